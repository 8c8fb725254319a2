"""One client of the paper's personalised protocol against the bare matrix product of the same size."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fedfr_edge.evaluation.bootstrap import People, Resampling
from fedfr_edge.evaluation.identification import mean_templates
from fedfr_edge.evaluation.metrics import carried_rates, tar_at_far
from fedfr_edge.evaluation.outcome import ClientResult
from fedfr_edge.evaluation.personalised import FARS, FPIRS, ClientEmbeddings, evaluate_client
from fedfr_edge.evaluation.products import HostProducts, Products
from fedfr_edge.evaluation.verification import cross_scores, mated_scores, non_mated_scores

from .isolated import Allocated

_BARE_TILE = 2048


def measure(
    clients: int,
    people: int,
    images: int,
    train_images: int,
    dim: int,
    *,
    pairs: int,
    intervals: int,
    device: str,
    seed: int,
) -> dict[str, Any]:
    """All figures, JSON-able; call it in a process of its own.

    Args:
        clients: clients of the protocol; one of them is evaluated.
        people: people of each.
        images: test images of each person.
        train_images: training images of each of the client's own people.
        dim: length of an embedding.
        pairs: evaluations and bare products, in turns; medians count.
        intervals: replicates of the one evaluation with intervals.
        device: torch device of the products; "cpu" is numpy.
        seed: of the embeddings.
    """
    given = embeddings(clients, people, images, train_images, dim, seed)
    fars = carried_rates(FARS, len(given.local) * len(given.others))
    fpirs = carried_rates(FPIRS, len(given.others))
    products, bare = _products(device, given)

    def evaluate(drawn: People | None = None) -> ClientResult:
        return evaluate_client("bench", given, fars=fars, fpirs=fpirs, drawn=drawn, products=products)[0]

    drawn = People(
        Resampling(intervals, seed).weights("own", people),
        Resampling(intervals, seed).weights("strangers", (clients - 1) * people),
    )
    equal = equals_full_sort(dim, seed)  # libraries are loaded, their buffers made
    with Allocated() as memory:
        result = evaluate()
    gc.collect()
    with Allocated() as memory_with:
        started = time.perf_counter()
        result = evaluate(drawn) if intervals else result
        with_intervals = time.perf_counter() - started
    ours, plain, ours_cpu, plain_cpu = list[float](), list[float](), list[float](), list[float]()
    for _ in range(pairs):
        for work, seconds, cpu in ((bare, plain, plain_cpu), (evaluate, ours, ours_cpu)):
            started, started_cpu = time.perf_counter(), time.process_time()
            work()
            seconds.append(time.perf_counter() - started)
            cpu.append(time.process_time() - started_cpu)
    compared = result.verification[0].non_mated
    median = statistics.median(ours)
    return {
        "clients": clients,
        "people": people,
        "test_images": images,
        "dim": dim,
        "mated": result.verification[0].trials,
        "non_mated": compared,
        "ours_seconds": ours,
        "bare_seconds": plain,
        "ours_cpu_seconds": ours_cpu,
        "bare_cpu_seconds": plain_cpu,
        "seconds": median,
        "matmul_ratio": statistics.median(a / b for a, b in zip(ours, plain, strict=True)),
        "matmul_ratio_cpu": statistics.median(a / b for a, b in zip(ours_cpu, plain_cpu, strict=True)),
        "pairs_per_second": (compared + result.verification[0].trials) / median,
        "peak_extra_bytes": memory.extra,
        "interval_replicates": intervals,
        "interval_seconds": max(with_intervals - median, 0.0) if intervals else None,
        "peak_extra_bytes_with_intervals": memory_with.extra if intervals else None,
        "equals_full_sort": equal,
        "verification": [rate.to_dict() for rate in result.verification],
        "identification": [rate.to_dict() for rate in result.identification],
    }


def embeddings(
    clients: int, people: int, images: int, train_images: int, dim: int, seed: int
) -> ClientEmbeddings:
    """Random unit vectors around one centre a person, all of one client and the strangers' test images."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(clients * people, dim)).astype(np.float32) / np.sqrt(dim)

    def faces(first: int, last: int, each: int) -> tuple[Any, Any]:
        labels = np.repeat(np.arange(first, last, dtype=np.int64), each)
        rows = np.empty((len(labels), dim), dtype=np.float32)
        for start in range(0, len(labels), 4096):
            part = slice(start, start + 4096)
            noise = draw.standard_normal((len(labels[part]), dim), dtype=np.float32)
            # Half as much person as noise: scores of one person lie around 0.2, of two around 0.
            rows[part] = 0.5 * centres[labels[part]] + noise / np.sqrt(dim)
            rows[part] /= np.linalg.norm(rows[part], axis=1, keepdims=True)
        return rows, labels

    return ClientEmbeddings(
        *faces(0, people, train_images), *faces(0, people, images), *faces(people, clients * people, images)
    )


def equals_full_sort(dim: int, seed: int) -> bool:
    """Whether a small client's rates are those of all its scores held and sorted at once."""
    given = embeddings(4, 12, 10, 3, dim, seed)
    fars = (0.1, 0.01, 0.001)
    (result,) = evaluate_client("small", given, fars=fars, fpirs=(0.1,))
    mated = mated_scores(given.local, given.local_labels)
    blocks = [*cross_scores(given.local, given.others), *non_mated_scores(given.local, given.local_labels)]
    non_mated = np.concatenate([block.ravel() for block in blocks])
    return result.verification == tuple(tar_at_far(mated, non_mated, far) for far in fars)


def _products(device: str, given: ClientEmbeddings) -> tuple[Products, Callable[[], None]]:
    """What makes the scores, and the same products with nothing done to them."""
    templates, _ = mean_templates(given.gallery, given.gallery_labels, renormalise=True)
    if device == "cpu":
        buffer = np.empty(_BARE_TILE * _BARE_TILE, dtype=np.float32)

        def by_numpy() -> None:
            for left, right in _tiles(given.local, given.others, templates, _BARE_TILE):
                out = buffer[: len(left) * len(right)].reshape(len(left), len(right))
                np.matmul(left, right.T, out=out)

        return HostProducts(), by_numpy

    import torch

    from ..torch_products import TorchProducts

    products = TorchProducts(device)
    own, strangers, enrolled = (products.put(part) for part in (given.local, given.others, templates))
    scores = torch.empty(products.tile**2, device=own.device)

    def by_torch() -> None:
        for left, right in _tiles(own, strangers, enrolled, products.tile):
            out = scores[: len(left) * len(right)].view(len(left), len(right))
            torch.mm(left, right.T, out=out)
        if own.is_cuda:
            torch.cuda.synchronize(own.device)

    return products, by_torch


def _tiles(local: Any, others: Any, templates: Any, tile: int) -> Iterator[tuple[Any, Any]]:
    """Every pair that is compared: 1:1 local × others and local × local, each once; 1:N all × templates."""
    for i in range(0, len(local), tile):
        for j in range(0, len(others), tile):
            yield local[i : i + tile], others[j : j + tile]
        for j in range(i, len(local), tile):
            yield local[i : i + tile], local[j : j + tile]
    for probes in (local, others):
        for i in range(0, len(probes), tile):
            yield probes[i : i + tile], templates
