"""A whole client round: ours against the plain loop, each in a process of its own, in alternation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from fedfr_edge.errors import TrainingError
from fedfr_edge.types import Progress

from . import shares
from .isolated import fresh_process, peak_bytes
from .task import RoundInput, RoundTask

_made: dict[RoundTask, RoundInput] = {}
"""This process's task: made once, before any clock runs."""


@dataclass
class Timed:
    """One round of one loop.

    Attributes:
        seconds: by the clock on the wall.
        cpu: of this process, on all its threads.
        hard: rows of the hard negatives.
        losses: of each step the reference's TERMS.
        peak: most bytes of memory that the process ever held.
    """

    seconds: float
    cpu: float
    hard: list[int]
    losses: list[list[float]]
    peak: int


def measure(task: RoundTask, pairs: int, progress: Progress) -> dict[str, Any]:
    """Median of the pairs' ratios, and all that belongs to it, JSON-able.

    Raises:
        TrainingError: the loops did not train on the same images.
    """
    name = f"rounds {task.spec.name}"
    with fresh_process() as ours_at, fresh_process() as plain_at:
        # The warm-up tells the threshold, makes the images and loads every library.
        threshold = ours_at.submit(prepare_ours, task).result()
        plain_at.submit(prepare_plain, task).result()
        ours: list[Timed] = []
        plain: list[Timed] = []
        for pair in range(pairs):
            order: list[tuple[Any, Callable[[RoundTask, float], Timed], list[Timed]]] = [
                (plain_at, run_plain, plain),
                (ours_at, run_ours, ours),
            ]
            for number, (place, loop, results) in enumerate(order if pair % 2 == 0 else order[::-1]):
                results.append(place.submit(loop, task, threshold).result())
                progress(name, 2 * pair + number + 1, 2 * pairs)
        same_layers = ours_at.submit(run_plain_with_our_layers, task, threshold).result()
        bounds = ours_at.submit(profile_ours, task, threshold).result()
    if plain[0].hard != ours[0].hard or len(plain[0].losses) != len(ours[0].losses):
        raise TrainingError(
            f"the plain loop mined {len(plain[0].hard)} images, ours {len(ours[0].hard)}; expected the same "
            "ones, choose another seed"
        )
    return {
        "task": {**asdict(task), "spec": task.spec.to_dict()},
        "threshold": threshold,
        "hard_negatives": len(ours[0].hard),
        "steps": len(ours[0].losses),
        "plain_seconds": [one.seconds for one in plain],
        "ours_seconds": [one.seconds for one in ours],
        "plain_cpu_seconds": [one.cpu for one in plain],
        "ours_cpu_seconds": [one.cpu for one in ours],
        "round_ratio": statistics.median(a.seconds / b.seconds for a, b in zip(ours, plain, strict=True)),
        "round_ratio_cpu": statistics.median(a.cpu / b.cpu for a, b in zip(ours, plain, strict=True)),
        "arithmetic_ratio": arithmetic_ratio(task, len(ours[0].hard)),
        "largest_loss_difference": _difference(same_layers.losses, ours[0].losses),
        "first_step_loss_difference": _difference(plain[0].losses[:1], ours[0].losses[:1]),
        "loss_difference_with_other_layers": _difference(plain[0].losses, ours[0].losses),
        "plain_peak_bytes": plain[-1].peak,
        "ours_peak_bytes": ours[-1].peak,
        "profile": bounds,
    }


def arithmetic_ratio(task: RoundTask, hard: int, backward: float = 2.0) -> float:
    """The ratio by arithmetic alone: forward passes 1, backward ones ``backward``, nothing else.

    Plain: mining, then 3 + backward for every image and epoch. Ours: mining, 1 + backward for those, and
    the frozen passes over the views that some epoch shows; view 0 under Θ_g is known from mining.
    """
    pool, epochs = task.local + hard, task.epochs
    mining, shown = task.local + task.public, 1 - 0.5**epochs
    plain = mining + pool * epochs * (3 + backward)
    return (mining + pool * (epochs * (1 + backward) + 3 * shown)) / plain


def prepare_ours(task: RoundTask) -> float:
    """Make the task in this process, as ``fedfr train`` would set it up; its threshold."""
    from fedfr_edge.train.threads import set_threads

    from .task import make, threshold_for

    set_threads(task.threads)
    _made[task] = make(task)
    return threshold_for(task, _made[task])


def prepare_plain(task: RoundTask) -> None:
    """Make the task in this process, which stays as Python starts it but for the number of threads."""
    import torch

    from .task import make, threshold_for

    torch.set_num_threads(task.threads)
    _made[task] = make(task)
    threshold_for(task, _made[task])


def run_plain(task: RoundTask, threshold: float) -> Timed:
    """One round of the plain loop."""
    from .reference import plain_round

    return _timed(lambda: plain_round(task, _made[task], threshold))


def run_plain_with_our_layers(task: RoundTask, threshold: float) -> Timed:
    """One round of the plain loop whose layers are ours: its losses are what ours must be."""
    from .reference import plain_round

    return _timed(lambda: plain_round(task, _made[task], threshold, our_layers=True))


def run_ours(task: RoundTask, threshold: float) -> Timed:
    """One round of ours."""
    return _timed(lambda: _our_round(task, threshold))


def profile_ours(task: RoundTask, threshold: float) -> dict[str, float]:
    """Where the time of our round goes, shares by kind."""
    return shares.of(lambda: _our_round(task, threshold))


def _our_round(task: RoundTask, threshold: float) -> tuple[list[int], list[list[float]]]:
    from fedfr_edge.train.client import ClientData, client_round

    from .reference import TERMS

    given = _made[task]
    data = ClientData("bench", given.local, given.local_labels, given.public, given.public_labels)
    with _listening() as heard:
        client_round(given.private, given.model, data, task.config(threshold), task.rng)
    hard, log = heard
    places = [log.terms.index(term) for term in TERMS]
    return hard.rows.tolist(), log.values[: log.step, places].tolist()


@contextmanager
def _listening() -> Any:
    """Keep what a round says to nobody: its hard negatives, and the losses of every step."""
    from fedfr_edge.train import client

    heard: list[Any] = []
    before = {name: getattr(client, name) for name in ("_mine", "train_locally")}

    def note(function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **kwargs: Any) -> Any:
            heard.append(function(*args, **kwargs))
            return heard[-1]

        return noted

    try:
        for name, function in before.items():
            setattr(client, name, note(function))
        yield heard
    finally:
        for name, function in before.items():
            setattr(client, name, function)


def _timed(loop: Callable[[], tuple[list[int], list[list[float]]]]) -> Timed:
    started, cpu = time.perf_counter(), time.process_time()
    hard, losses = loop()
    return Timed(time.perf_counter() - started, time.process_time() - cpu, hard, losses, peak_bytes())


def _difference(one: list[list[float]], other: list[list[float]]) -> float:
    """The largest |a − b| / max(1, |b|) over steps and terms."""
    pairs = (pair for a, b in zip(one, other, strict=True) for pair in zip(a, b, strict=True))
    return max(abs(a - b) / max(1.0, abs(b)) for a, b in pairs)
