"""Exporting: :func:`export_generic` and :func:`export_personal` write one checked .onnx file each."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fedfr_edge
from fedfr_edge import atomic
from fedfr_edge.errors import ExportError, MissingPartError
from fedfr_edge.recognition.encoder import weights_sha256
from fedfr_edge.recognition.manifest import EMBEDDING, INPUT_NAME, MANIFEST_KEY, Manifest, Threshold
from fedfr_edge.train.checkpoint import LICENCE_KEY, GlobalModel, PersonalModel
from fedfr_edge.types import FACE_SIZE, AlignedFaces, Embeddings, Progress, no_progress
from fedfr_edge.vision.runtime import import_onnxruntime, open_session

from .calibration import Calibration, calibrate_model
from .fuse import FusedModel, describe_preprocessing
from .graph import to_onnx
from .parity import Parity, check_parity

_BATCH = 64
_REAL_FACES = 4


@dataclass(frozen=True)
class ExportReport:
    """What was written and how well it agrees with torch.

    Attributes:
        path: the .onnx file.
        bytes: its size.
        max_abs_difference: largest difference of a component to torch, over ``faces_compared`` faces.
        lowest_cosine: lowest cosine between torch's and onnxruntime's vector of one face.
        faces_compared: random images and, where the export was calibrated, real faces.
        seconds: what the export took.
        manifest: what the file says about itself.
    """

    path: Path
    bytes: int
    max_abs_difference: float
    lowest_cosine: float
    faces_compared: int
    seconds: float
    manifest: Manifest

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """The thresholds in the manifest, by falling false accept rate; empty if not calibrated."""
        return self.manifest.thresholds


def export_generic(
    model: GlobalModel,
    path: Path,
    *,
    calibration: Calibration | None,
    name: str | None = None,
    licence: str | None = None,
    progress: Progress = no_progress,
) -> ExportReport:
    """Write the generic model Θ_g as ONNX: faces to ``embedding``.

    Args:
        model: its proxies Φ are not exported.
        path: the .onnx file; replaced only if everything went well.
        calibration: public faces for the thresholds; None exports none, so that each login needs an
            explicit one.
        name: what the model is called in tables; default ``generic round N``.
        licence: terms of the training data; default what the model's metadata say, else ``unknown``.
        progress: told of the steps, and of each batch of calibration.

    Raises:
        CheckpointError: the weights do not fit the model's spec.
        DataError: too few comparisons to calibrate with.
        ExportError: torch cannot export the model, or torch and onnxruntime disagree.
        MissingPartError: no onnxruntime.
        WriteError: the disk refused.
        In each case no file is written and an earlier one at ``path`` is untouched.
    """
    name = name or f"generic round {model.round}"
    return _export(model, path, calibration, name, licence, progress, mode=0o644)


def export_personal(
    model: PersonalModel,
    path: Path,
    *,
    calibration: Calibration | None,
    name: str | None = None,
    licence: str | None = None,
    progress: Progress = no_progress,
) -> ExportReport:
    """Write a personal model [Θ_l, Π_l] as ONNX: faces to ``embedding`` and ``backbone_embedding``.

    Thresholds are those of ``embedding``, the space of Π_l. The file was learned from the faces of one
    client's people: it is readable by its owner only (mode 0600). Arguments and errors are those of
    :func:`export_generic`; the default name is ``<client> round N``.
    """
    name = name or f"{model.client} round {model.round}"
    return _export(model, path, calibration, name, licence, progress, mode=0o600)


def _export(
    model: GlobalModel | PersonalModel,
    path: Path,
    calibration: Calibration | None,
    name: str,
    licence: str | None,
    progress: Progress,
    mode: int,
) -> ExportReport:
    started = time.perf_counter()
    import_onnxruntime()  # before the slow part, so that a missing one shows at once
    progress("exporting", 0, 2)
    fused = FusedModel(model)
    proto = to_onnx(fused)
    progress("exporting", 1, 2)
    session = _session(proto.SerializeToString())
    parity = check_parity(fused, session, _some_faces(calibration))
    progress("exporting", 2, 2)
    thresholds: tuple[Threshold, ...] = ()
    if calibration is not None:
        thresholds = calibrate_model(lambda faces: _embed(session, faces, progress), calibration)
    manifest = _manifest(model, name, licence, thresholds, weights_sha256(proto))
    entry = proto.metadata_props.add()
    entry.key, entry.value = MANIFEST_KEY, manifest.to_json()
    data: bytes = proto.SerializeToString()
    atomic.write_bytes(path, data, mode=mode)
    return _report(path, data, parity, time.perf_counter() - started, manifest)


def _session(data: bytes) -> Any:
    try:
        return open_session(data)
    except MissingPartError:
        raise
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise ExportError(
            f"onnxruntime cannot load the exported graph: {error}; update onnxruntime"
        ) from error


def _some_faces(calibration: Calibration | None) -> AlignedFaces:
    """A few real faces for the comparison with torch, spread over those given."""
    if calibration is None or not len(calibration.faces):
        return np.empty((0, FACE_SIZE, FACE_SIZE, 3), np.uint8)
    rows = np.unique(np.linspace(0, len(calibration.faces) - 1, _REAL_FACES).astype(np.int64))
    return np.array(calibration.faces[rows])


def _embed(session: Any, faces: AlignedFaces, progress: Progress) -> Embeddings:
    blocks = []
    for start in range(0, len(faces), _BATCH):
        block = np.ascontiguousarray(faces[start : start + _BATCH])
        blocks.append(session.run([EMBEDDING], {INPUT_NAME: block})[0])
        progress("calibrating", start + len(block), len(faces))
    return np.concatenate(blocks)


def _manifest(
    model: GlobalModel | PersonalModel,
    name: str,
    licence: str | None,
    thresholds: tuple[Threshold, ...],
    digest: str,
) -> Manifest:
    personal = isinstance(model, PersonalModel)
    return Manifest(
        kind="personal" if personal else "generic",
        name=name,
        client=model.client if isinstance(model, PersonalModel) else None,
        round=model.round,
        dim=model.spec.dim,
        backbone=model.spec.to_dict(),
        preprocessing=describe_preprocessing(model.spec.pooling),
        thresholds=thresholds,
        training_data_licence=licence or model.metadata.get(LICENCE_KEY) or "unknown",
        weights_sha256=digest,
        versions={
            "fedfr-edge": fedfr_edge.__version__,
            "torch": torch.__version__,
            "onnx": version("onnx"),
            "onnxscript": version("onnxscript"),
        },
    )


def _report(path: Path, data: bytes, parity: Parity, seconds: float, manifest: Manifest) -> ExportReport:
    return ExportReport(
        path=path,
        bytes=len(data),
        max_abs_difference=parity.max_abs_difference,
        lowest_cosine=parity.lowest_cosine,
        faces_compared=parity.faces,
        seconds=seconds,
        manifest=manifest,
    )
