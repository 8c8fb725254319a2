"""Does the exported graph compute what torch computes? Part of every export, not an extra."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fedfr_edge.errors import ExportError
from fedfr_edge.recognition.manifest import INPUT_NAME
from fedfr_edge.types import FACE_SIZE, AlignedFaces

from .fuse import FusedModel


@dataclass(frozen=True)
class Limits:
    """How far an exported graph may be from torch.

    Attributes:
        max_abs_difference: between any two components of torch's and onnxruntime's unit vectors.
        min_cosine: between torch's and onnxruntime's vector of one face.
    """

    max_abs_difference: float
    min_cosine: float


SAME = Limits(1e-4, 1 - 1e-6)
"""Of the float32 graph: it computes the same."""

CLOSE = Limits(1e-2, 0.999)
"""Of half precision: eleven bits instead of 24, no overflow."""

UNLIMITED = Limits(2.0, -1.0)
"""Of integers: accuracy decides, not closeness; vectors must be of unit length all the same."""

BATCHES = (1, 3)
"""Batch sizes that are compared; the exporter's own example has 2."""

RANDOM_FACES = 4
"""Images of noise that are compared beside real faces."""


@dataclass(frozen=True)
class Parity:
    """What the comparison found, over all outputs, faces and batch sizes.

    Attributes:
        max_abs_difference: largest absolute difference of a component.
        lowest_cosine: lowest cosine between the two vectors of one face, in float64.
        faces: how many images were compared, :data:`RANDOM_FACES` of them noise.
    """

    max_abs_difference: float
    lowest_cosine: float
    faces: int


def check_parity(model: FusedModel, session: Any, faces: AlignedFaces, limits: Limits = SAME) -> Parity:
    """Compare ``model`` under torch with ``session`` on random images and on ``faces``.

    Args:
        model: what was exported.
        session: an ``onnxruntime.InferenceSession`` of the exported graph.
        faces: real faces, uint8 (n, 112, 112, 3) RGB; n may be 0.
        limits: how far they may be apart.

    Raises:
        ExportError: values that are not finite or not of unit length, or that are beyond ``limits``.
    """
    random = np.random.default_rng(0).integers(0, 256, (RANDOM_FACES, FACE_SIZE, FACE_SIZE, 3), np.uint8)
    faces = np.concatenate([random, faces])
    worst, lowest = 0.0, 1.0
    for batch in BATCHES:
        for start in range(0, len(faces), batch):
            block = faces[start : start + batch]
            with torch.inference_mode():
                expected = [output.numpy() for output in model(torch.from_numpy(block))]
            found = session.run(list(model.outputs), {INPUT_NAME: block})
            for name, one, other in zip(model.outputs, expected, found, strict=True):
                _check_unit(name, one, "torch")
                _check_unit(name, other, "onnxruntime")
                a, b = one.astype(np.float64), other.astype(np.float64)
                worst = max(worst, float(np.abs(a - b).max()))
                cosines = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
                lowest = min(lowest, float(cosines.min()))
    if worst > limits.max_abs_difference or lowest < limits.min_cosine:
        raise ExportError(
            f"the exported model differs from torch by up to {worst:.2e} (lowest cosine {lowest:.7f}) on "
            f"{len(faces)} faces, expected at most {limits.max_abs_difference:.0e} (at least "
            f"{limits.min_cosine:.6f}); "
            "nothing was written, report it with the versions that 'fedfr doctor' lists"
        )
    return Parity(worst, lowest, len(faces))


def largest_feature(model: FusedModel, faces: AlignedFaces) -> float:
    """The largest absolute value that any layer gives under torch, for ``faces``.

    onnxruntime on a CPU computes half precision in float32 and does not show what overflows elsewhere.
    """
    largest = 0.0

    def note(module: torch.nn.Module, inputs: Any, output: torch.Tensor) -> None:
        nonlocal largest
        largest = max(largest, float(output.abs().max()))

    layers = [layer for layer in model.modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        with torch.inference_mode():
            for start in range(0, len(faces), BATCHES[-1]):
                model(torch.from_numpy(faces[start : start + BATCHES[-1]]))
    finally:
        for hook in hooks:
            hook.remove()
    return largest


def _check_unit(name: str, values: Any, where: str) -> None:
    lengths = np.linalg.norm(values.astype(np.float64), axis=1)
    # "not (… <= …)", so that a NaN is a fault too.
    if not np.all(np.abs(lengths - 1) <= 1e-3):
        raise ExportError(
            f"{where} gives {name} vectors of length {lengths.min():.3g} to {lengths.max():.3g}, expected 1; "
            "the features are zero or overflow, so the model is untrained or diverged: export another round"
        )
