"""A login on the device, measured beside insightface's pipeline over the same networks in the same run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import ConfigError, ImageError, MissingPartError, ModelError
from fedfr_edge.types import Progress, no_progress

from .device_sides import Ours, Side, Task, Theirs

_REST = 0.1
"""Seconds between turns."""


def prepare(model: Path, detector: str, photos: Sequence[Path], folder: Path) -> tuple[Task, list[Path]]:
    """Enrol somebody from each folder of photographs and write what both sides open.

    Args:
        model: an exported model.
        detector: ``scrfd:FILE.onnx``.
        photos: photographs, each in its person's folder; the first with one face is enrolled.
        folder: gets the files.

    Returns:
        (the task, the other photographs).

    Raises:
        ConfigError: the detector is none that insightface has, too.
        MissingPartError: insightface is not installed.
        ModelError: the model cannot be turned for insightface.
        ImageError: no face was found, or no photograph is left to decide on.
    """
    import onnx

    from fedfr_edge.export.insightface_package import MODEL_FILE, package_files
    from fedfr_edge.recognition.capture import capture
    from fedfr_edge.recognition.encoder import OnnxEncoder
    from fedfr_edge.recognition.login import operating_threshold
    from fedfr_edge.vision.detect import open_detector
    from fedfr_edge.vision.image import read_image

    kind, _, file = detector.partition(":")
    if kind != "scrfd" or not file:
        raise ConfigError(f"detector is {detector!r}, expected scrfd:FILE.onnx, which both sides can open")
    encoder = OnnxEncoder(model, threads=1)
    nchw = folder / MODEL_FILE
    nchw.write_bytes(package_files(onnx.load(str(model)), encoder.manifest)[MODEL_FILE])
    eyes = open_detector(detector, threads=1)
    people: dict[Path, npt.NDArray[np.float32]] = {}
    left: list[Path] = []
    for photo in photos:
        found = None if photo.parent in people else capture(read_image(photo), eyes, several="refuse").face
        if found is None:
            left.append(photo)
        else:
            people[photo.parent] = encoder.embed(found[None])[0]
    if not people or not left:
        raise ImageError(
            f"of {len(photos)} photographs {len(people)} could be enrolled and {len(left)} are left to "
            "decide on, expected some of each; give folders of one person each"
        )
    rows = folder / "people.npy"
    np.save(rows, np.stack(list(people.values())))
    try:
        threshold = operating_threshold(encoder.manifest).threshold
    except ModelError:
        threshold = 0.5  # a model that was not calibrated; what is decided does not change how long it takes
    return Task(str(model), str(nchw), detector, str(rows), threshold), left


def frames(
    task: Task, photos: Sequence[Path], threads: int, progress: Progress = no_progress
) -> dict[str, Any]:
    """Both sides on every photograph, one photograph after the other, in changing order.

    Call it in a process of its own that has ``threads`` for numpy. ``auto`` is insightface with the two
    sizes that its ``FaceAnalysis`` looks at unless told otherwise; the ratio is to the one size. Each turn
    waits for the threads of the one before to fall asleep: onnxruntime's wait awake for more work after a
    run, on the cores that the other side needs.
    """
    import dataclasses

    sides: dict[str, Side] = {
        "ours": Ours(task, threads),
        "theirs": Theirs(task, threads),
        "theirs_auto": Theirs(dataclasses.replace(task, side=0), threads),
    }
    whole: dict[str, list[float]] = {name: [] for name in sides}
    stages: dict[str, dict[str, list[float]]] = {name: {} for name in sides}
    answers: dict[str, list[int | None]] = {name: [] for name in sides}
    first = photos[0].read_bytes()
    for side in sides.values():  # the first run of a network sets it up
        side.decide(first)
        side.stages(first)
    order = list(sides)
    for number, photo in enumerate(photos):
        data = photo.read_bytes()
        order = order[1:] + order[:1]
        for name in order:
            time.sleep(_REST)
            started = time.perf_counter()
            answers[name].append(sides[name].decide(data))
            whole[name].append(time.perf_counter() - started)
        for name in order:
            time.sleep(_REST)
            for stage, seconds in (sides[name].stages(data) or {}).items():
                stages[name].setdefault(stage, []).append(seconds)
        progress(f"photographs, {threads} threads", number + 1, len(photos))
    return {
        "photographs": len(photos),
        "frame_to_decision_ratio": _paired(whole["ours"], whole["theirs"]),
        "frame_to_decision_ratio_auto": _paired(whole["ours"], whole["theirs_auto"]),
        "same_decisions": sum(a == b for a, b in zip(answers["ours"], answers["theirs"], strict=True)),
        "recognised": {name: sum(a is not None for a in given) for name, given in answers.items()},
        "whole": {name: _spread(values) for name, values in whole.items()},
        "stages": {
            name: {stage: _spread(values) for stage, values in of.items()} for name, of in stages.items()
        },
    }


def networks(task: Task, threads: int, times: int = 10) -> dict[str, Any]:
    """Each network's speed beside the best matrix product; in a process that has ``threads`` for numpy."""
    from .network import flops, peak_flops, run_seconds

    peak = peak_flops()
    found: dict[str, Any] = {}
    shapes = {
        "detector": (Path(task.detector.partition(":")[2]), (1, 3, 640, 640)),
        "embedding": (Path(task.model), (1, 112, 112, 3)),
    }
    for name, (file, shape) in shapes.items():
        operations, seconds = flops(file, shape), run_seconds(file, shape, threads, times)
        found[name] = {"input": shape, "flops": operations, "seconds": seconds}
    peak = max(peak, peak_flops())
    for one in found.values():
        one["share_of_peak"] = one["flops"] / one["seconds"] / peak
    return {"peak_flops_per_second": peak, **found}


def search(count: int, dim: int, probes: int, seed: int) -> dict[str, Any]:
    """One probe among ``count`` templates by :meth:`Gallery.identify`, against every float64 product.

    Half of the probes are strangers, half are somebody enrolled at a cosine near 0.6. The first search of
    a gallery is told apart: it comes before the 8-bit copies.
    """
    from fedfr_edge.recognition.gallery import Gallery
    from fedfr_edge.recognition.template import Template

    draw = np.random.default_rng(seed)
    rows = _unit(draw.standard_normal((count, dim), dtype=np.float32))
    gallery = Gallery("0" * 64, dim)
    for row, vector in enumerate(rows):
        gallery.add(str(row), Template(vector, gallery.model_digest, 1), subject_id=f"{row:016x}")
    noise = _unit(draw.standard_normal((probes, dim), dtype=np.float32))
    asked = np.where(
        np.arange(probes)[:, None] % 2 == 0,
        noise,
        _unit(rows[draw.integers(count, size=probes)] + np.float32(4 / 3) * noise),
    )
    spent, exact = [], True
    for probe in asked:
        template = Template(probe, gallery.model_digest, 1)
        started = time.perf_counter()
        match = gallery.identify(template, -1.0)
        spent.append(time.perf_counter() - started)
        products = np.concatenate(
            [rows[start : start + 8192].astype(np.float64) @ probe for start in range(0, count, 8192)]
        )
        best = int(np.argmax(products))
        right = match.person is not None and match.person.name == str(best)
        exact &= right and match.score is not None and abs(match.score - products[best]) < 1e-6
    bare = []
    for probe in asked[:5]:
        started = time.perf_counter()
        int(np.argmax(rows @ probe))
        bare.append(time.perf_counter() - started)
    return {
        "templates": count,
        "dim": dim,
        "probes": probes,
        "exact": bool(exact),
        "first_seconds": spent[0],
        "index_seconds": spent[1],
        "seconds": _spread(spent[2:]),
        "matrix_product_seconds": float(np.median(bare)),
    }


def cold_starts(task: Task, photo: Path, pairs: int, progress: Progress = no_progress) -> dict[str, Any]:
    """Seconds from starting a process to its first decision, both sides in turn.

    One start of each comes before, which brings their files into memory.
    """
    spent: dict[str, list[float]] = {"ours": [], "theirs": []}
    for turn in range(pairs + 1):
        for name, seconds in spent.items():
            took = _start(name, task, [photo])[0]
            if turn:
                seconds.append(took)
        progress("cold starts", turn + 1, pairs + 1)
    return {
        "cold_start_ratio": _paired(spent["ours"], spent["theirs"]),
        **{f"{name}_seconds": seconds for name, seconds in spent.items()},
    }


def memory(task: Task, photos: Sequence[Path]) -> dict[str, Any]:
    """What a process holds that has decided on ``photos``: ours with both detectors, and theirs."""
    import dataclasses

    own = dataclasses.replace(task, detector="centerface")
    return {
        "ours": _start("ours", task, photos)[1],
        "ours_centerface": _start("ours", own, photos)[1],
        "theirs": _start("theirs", task, photos)[1],
    }


def _start(side: str, task: Task, photos: Sequence[Path]) -> tuple[float, dict[str, int]]:
    command = [sys.executable, "-m", "fedfr_edge.apps.bench.device_start", side, task.to_json()]
    started = time.perf_counter()
    with subprocess.Popen([*command, *map(str, photos)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - started
        while line and line.strip() != "decided":  # what insightface says of itself
            line = process.stdout.readline()
            seconds = time.perf_counter() - started
        rest = process.stdout.read()
    if process.returncode or not rest.strip():
        raise MissingPartError(
            f"the process that was to start {side} ended with {process.returncode}; its message stands above"
        )
    held: dict[str, int] = json.loads(rest.strip().splitlines()[-1])
    return seconds, held


def _unit(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def _paired(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median ratio of neighbours in time: what else the machine does touches both."""
    return float(np.median(np.asarray(ours) / np.asarray(theirs)))


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    return {"p50": float(np.quantile(seconds, 0.5)), "p95": float(np.quantile(seconds, 0.95))}
