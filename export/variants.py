"""One model in several precisions: made, measured side by side, and kept only if worth it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fedfr_edge.errors import ExportError
from fedfr_edge.recognition.manifest import Precision
from fedfr_edge.types import AlignedFaces, Embeddings

from .accuracy import Judges
from .calibration import NOT_CALIBRATED, Calibrated, Calibration, calibrate_model
from .fuse import FusedModel
from .latency import Latency, in_turns
from .parity import CLOSE, SAME, UNLIMITED, Limits, Parity, check_parity, largest_feature
from .precision import MOST, to_half, to_int8

MAX_LOSS = 0.005
"""TAR that a variant may lose against float32 and still be kept: half a point."""

FASTER = 0.95
"""A variant is faster if it takes at most this share of float32's time."""

SMALLER = 0.9
"""A variant is smaller if it has at most this share of float32's bytes."""

LIMITS: dict[Precision, Limits] = {"fp32": SAME, "fp16": CLOSE, "int8": UNLIMITED}

_RANGE_FACES = 256


@dataclass(frozen=True)
class Variant:
    """One precision of a model.

    Attributes:
        precision: which.
        data: the file's bytes before its manifest; empty if it could not be made.
        parity: against torch; None if it was not reached.
        calibrated: its own thresholds, and its error rates at one of them.
        accuracy: TAR on the judges; None where it was not measured.
        latency: in turns with the others; None where it was not measured.
        kept: whether it is written.
        why: the reason, in words.
    """

    precision: Precision
    data: bytes
    parity: Parity | None
    calibrated: Calibrated = NOT_CALIBRATED
    accuracy: float | None = None
    latency: Latency | None = None
    kept: bool = True
    why: str = ""


@dataclass(frozen=True)
class Workshop:
    """What variants are made with.

    Attributes:
        fused: the model under torch.
        proto: its float32 graph.
        faces: real faces to compare with torch on.
        calibration: public faces for ranges and thresholds.
        judges: faces to measure accuracy on.
        open_session: opens a graph's bytes; the second argument is the number of threads.
        embed: a session's embeddings of many faces.
    """

    fused: FusedModel
    proto: Any
    faces: AlignedFaces
    calibration: Calibration
    judges: Judges
    open_session: Callable[[bytes, int | None], Any]
    embed: Callable[[Any, AlignedFaces, str], Embeddings]


def compare(
    shop: Workshop, plain: Variant, precisions: Sequence[Precision]
) -> tuple[list[Variant], Precision]:
    """Make ``precisions`` beside the float32 file ``plain``, measure all, decide which to keep.

    Returns:
        All variants, float32 first, and which of those kept is recommended.
    """
    made = [plain] + [_make(shop, precision) for precision in precisions if precision != "fp32"]
    running = [variant for variant in made if variant.data]
    single: dict[str, Any] = {one.precision: shop.open_session(one.data, 1) for one in running}
    latencies = in_turns(single, shop.judges.faces[:1])
    measured = []
    for variant in made:
        if variant.data:
            session = shop.open_session(variant.data, None)
            accuracy = shop.judges.accuracy(
                shop.embed(session, shop.judges.faces, f"judging {variant.precision}")
            )
            variant = replace(variant, accuracy=accuracy, latency=latencies[variant.precision])
        measured.append(variant)
    return decide(measured)


def decide(variants: Sequence[Variant]) -> tuple[list[Variant], Precision]:
    """Which of measured ``variants`` (float32 first) to keep, with reasons, and which to recommend.

    Recommended is the fastest of those kept; of those that are as fast as it within 5 %, the smallest.
    """
    plain = variants[0]
    decided = [replace(plain, kept=True, why="the reference")]
    decided += [_judged(variant, plain) if variant.data else variant for variant in variants[1:]]
    kept = [variant for variant in decided if variant.kept]
    fastest = min(_ratio(variant) for variant in kept)
    near = [variant for variant in kept if _ratio(variant) <= fastest / FASTER]
    best = min(near, key=lambda variant: (len(variant.data), _ratio(variant)))
    return decided, best.precision


def only(variants: Sequence[Variant], precision: Precision) -> list[Variant]:
    """Keep ``precision`` alone."""
    return [
        variant
        if variant.precision == precision or not variant.kept
        else replace(variant, kept=False, why=f"not kept: {precision} is recommended here")
        for variant in variants
    ]


def _make(shop: Workshop, precision: Precision) -> Variant:
    """A variant that runs and gives unit vectors, calibrated; or one without data that says why not."""
    try:
        graph = _half(shop) if precision == "fp16" else to_int8(shop.proto, _range_faces(shop))
        data: bytes = graph.SerializeToString()
        session = shop.open_session(data, None)
        parity = check_parity(shop.fused, session, shop.faces, LIMITS[precision])
    except ExportError as error:
        return Variant(precision, b"", None, kept=False, why=f"not kept: {error}")
    calibrated = calibrate_model(
        lambda faces: shop.embed(session, faces, f"calibrating {precision}"), shop.calibration
    )
    return Variant(precision, data, parity, calibrated)


def _half(shop: Workshop) -> Any:
    """The graph in half precision.

    Raises:
        ExportError: a weight or a feature is beyond float16.
    """
    largest = largest_feature(shop.fused, shop.faces)
    if not largest < MOST:
        raise ExportError(f"features reach {largest:.3g}, half precision ends at {MOST:.0f}")
    return to_half(shop.proto)


def _range_faces(shop: Workshop) -> AlignedFaces:
    """Public faces for the ranges of features, spread over all there are."""
    count = len(shop.calibration.faces)
    rows = np.unique(np.linspace(0, count - 1, min(count, _RANGE_FACES)).astype(np.int64))
    return np.array(shop.calibration.faces[rows])


def _judged(variant: Variant, plain: Variant) -> Variant:
    assert variant.accuracy is not None
    assert plain.accuracy is not None
    loss = plain.accuracy - variant.accuracy
    ratio, share = _ratio(variant), len(variant.data) / len(plain.data)
    told = f"{share:.0%} of fp32's size, {ratio:.2f} of its time, TAR {0.0 - 100 * loss:+.2f} points"
    if math.isnan(loss):
        return replace(variant, kept=False, why="not kept: no two images of one person to judge it on")
    # Both are means of counts: 0.5 points exactly must not fall to rounding.
    if loss > MAX_LOSS + 1e-9:
        return replace(variant, kept=False, why=f"not kept: too inaccurate ({told})")
    if ratio > FASTER and share > SMALLER:
        return replace(variant, kept=False, why=f"not kept: neither faster nor smaller ({told})")
    return replace(variant, kept=True, why=told)


def _ratio(variant: Variant) -> float:
    assert variant.latency is not None
    return variant.latency.ratio
