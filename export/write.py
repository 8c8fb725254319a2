"""Exporting: :func:`export_generic` and :func:`export_personal` write one bundle of checked .onnx files each.

A bundle is ``NAME.onnx`` (float32) and, where asked for and worth it, ``NAME.fp16.onnx``, ``NAME.int8.onnx``
and the folder ``NAME.insightface``.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

import fedfr_edge
from fedfr_edge.errors import DataError, ExportError, MissingPartError
from fedfr_edge.recognition.encoder import weights_sha256
from fedfr_edge.recognition.manifest import (
    EMBEDDING,
    INPUT_NAME,
    MANIFEST_KEY,
    Manifest,
    Precision,
)
from fedfr_edge.train.checkpoint import LICENCE_KEY, GlobalModel, PersonalModel
from fedfr_edge.types import FACE_SIZE, AlignedFaces, Embeddings, Progress, no_progress
from fedfr_edge.vision.runtime import import_onnxruntime, open_session

from .accuracy import Judges
from .bundle import Exported, ExportReport, file_of, write_all
from .calibration import NOT_CALIBRATED, Calibration, calibrate_model
from .fuse import FusedModel, describe_preprocessing
from .graph import to_onnx
from .insightface_package import MODEL_FILE, check_same, package_files
from .parity import RANDOM_FACES, check_parity
from .variants import Variant, Workshop, compare, only

_BATCH = 64
_REAL_FACES = 8


def export_generic(
    model: GlobalModel,
    path: Path,
    *,
    calibration: Calibration | None,
    name: str | None = None,
    licence: str | None = None,
    variants: Sequence[Precision] = (),
    judges: Judges | None = None,
    insightface: bool = False,
    only_recommended: bool = False,
    progress: Progress = no_progress,
) -> ExportReport:
    """Write the generic model Θ_g as ONNX: faces to ``embedding``.

    Args:
        model: its proxies Φ are not exported.
        path: the float32 .onnx file; files are replaced only if everything went well.
        calibration: public faces for the thresholds; None exports none, so that each login needs an
            explicit one.
        name: what the model is called in tables; default ``generic round N``.
        licence: terms of the training data; default what the model's metadata say, else ``unknown``.
        variants: precisions to try beside float32; each is written only if it is worth it, see
            :mod:`.variants`. They need ``calibration`` and ``judges``.
        judges: faces on which the files' accuracy is compared.
        insightface: also write the float32 model as a package for insightface.
        only_recommended: write no file but the recommended one, at ``path``.
        progress: told of the steps, and of each batch of calibration.

    Raises:
        CheckpointError: the weights do not fit the model's spec.
        DataError: too few comparisons to calibrate with, or variants without faces.
        ExportError: torch cannot export the model, or torch and onnxruntime disagree.
        MissingPartError: no onnxruntime.
        WriteError: the disk refused.
        In each case no file is written and earlier ones are untouched.
    """
    wishes = _Wishes(calibration, licence, tuple(variants), judges, insightface, only_recommended)
    return _export(model, path, name or f"generic round {model.round}", wishes, progress, mode=0o644)


def export_personal(
    model: PersonalModel,
    path: Path,
    *,
    calibration: Calibration | None,
    name: str | None = None,
    licence: str | None = None,
    variants: Sequence[Precision] = (),
    judges: Judges | None = None,
    insightface: bool = False,
    only_recommended: bool = False,
    progress: Progress = no_progress,
) -> ExportReport:
    """Write a personal model [Θ_l, Π_l] as ONNX: faces to ``embedding`` and ``backbone_embedding``.

    Thresholds are those of ``embedding``, the space of Π_l. The files were learned from the faces of one
    client's people: they are readable by their owner only (mode 0600). Arguments and errors are those of
    :func:`export_generic`; the default name is ``<client> round N``.
    """
    wishes = _Wishes(calibration, licence, tuple(variants), judges, insightface, only_recommended)
    return _export(model, path, name or f"{model.client} round {model.round}", wishes, progress, mode=0o600)


@dataclass(frozen=True)
class _Wishes:
    calibration: Calibration | None
    licence: str | None
    variants: tuple[Precision, ...]
    judges: Judges | None
    insightface: bool
    only_recommended: bool


def _export(
    model: GlobalModel | PersonalModel,
    path: Path,
    name: str,
    wishes: _Wishes,
    progress: Progress,
    mode: int,
) -> ExportReport:
    started = time.perf_counter()
    import_onnxruntime()  # before the slow part, so that a missing one shows at once
    calibration, others = wishes.calibration, [one for one in wishes.variants if one != "fp32"]
    if others and (calibration is None or wishes.judges is None):
        raise DataError(
            f"{' and '.join(others)} asked for without faces to calibrate and judge with; give a store of "
            "public faces, or export float32 alone"
        )
    progress("exporting", 0, 2)
    fused = FusedModel(model)
    proto = to_onnx(fused)
    progress("exporting", 1, 2)
    data: bytes = proto.SerializeToString()
    session = _session(data)
    real = _some_faces(calibration)
    parity = check_parity(fused, session, real)
    progress("exporting", 2, 2)

    def embed(session: Any, faces: AlignedFaces, what: str = "calibrating") -> Embeddings:
        return _embed(session, faces, what, progress)

    calibrated = NOT_CALIBRATED
    if calibration is not None:
        calibrated = calibrate_model(lambda faces: embed(session, faces), calibration)
    variants = [Variant("fp32", data, parity, calibrated)]
    recommended: Precision = "fp32"
    if others:
        assert calibration is not None
        assert wishes.judges is not None
        shop = Workshop(fused, proto, real, calibration, wishes.judges, _session, embed)
        variants, recommended = compare(shop, variants[0], others)
    if wishes.only_recommended:
        variants = only(variants, recommended)
    kept = [variant for variant in variants if variant.kept]
    files = []
    for variant in kept:
        place = path if len(kept) == 1 else file_of(path, variant.precision)
        files.append(_finished(variant, place, _manifest(model, name, wishes.licence, variant)))
    package = path.with_name(f"{path.stem}.insightface") if wishes.insightface else None
    contents = {file.path: content for file, content in files}
    if package is not None:
        plain_manifest = _manifest(model, name, wishes.licence, Variant("fp32", data, parity, calibrated))
        for file_name, content in _package(proto, plain_manifest, session, real).items():
            contents[package / file_name] = content
    removed = write_all(contents, path, mode)
    first = files[0][0]
    return ExportReport(
        path=path,
        bytes=first.bytes,
        max_abs_difference=parity.max_abs_difference,
        lowest_cosine=parity.lowest_cosine,
        faces_compared=parity.faces,
        public_faces=len(real),
        seconds=time.perf_counter() - started,
        manifest=first.manifest,
        files=tuple(file for file, _ in files),
        rejected=tuple(variant for variant in variants if not variant.kept),
        recommended=recommended,
        judged=wishes.judges.source if others and wishes.judges is not None else "",
        judged_far=wishes.judges.far if others and wishes.judges is not None else 0.0,
        package=package,
        removed=removed,
    )


def _session(data: bytes, threads: int | None = None) -> Any:
    try:
        return open_session(data, provider="cpu", threads=threads)
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


def _embed(session: Any, faces: AlignedFaces, what: str, progress: Progress) -> Embeddings:
    blocks = []
    for start in range(0, len(faces), _BATCH):
        block = np.ascontiguousarray(faces[start : start + _BATCH])
        blocks.append(session.run([EMBEDDING], {INPUT_NAME: block})[0])
        progress(what, start + len(block), len(faces))
    return np.concatenate(blocks)


def _finished(variant: Variant, file: Path, manifest: Manifest) -> tuple[Exported, bytes]:
    """The file with its manifest inside, not yet written."""
    proto = onnx.load_from_string(variant.data)
    entry = proto.metadata_props.add()
    entry.key, entry.value = MANIFEST_KEY, manifest.to_json()
    data: bytes = proto.SerializeToString()
    return Exported(file, len(data), hashlib.sha256(data).hexdigest(), manifest, variant), data


def _package(proto: Any, manifest: Manifest, session: Any, real: AlignedFaces) -> dict[str, bytes]:
    """The insightface package's files, compared with the float32 file they are made from."""
    files = package_files(proto, manifest)
    rng = np.random.default_rng(1)
    faces = np.concatenate([real, rng.integers(0, 256, (RANDOM_FACES, FACE_SIZE, FACE_SIZE, 3), np.uint8)])
    check_same(_session(files[MODEL_FILE]), faces, session.run([EMBEDDING], {INPUT_NAME: faces})[0])
    return files


def _manifest(
    model: GlobalModel | PersonalModel, name: str, licence: str | None, variant: Variant
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
        thresholds=variant.calibrated.thresholds,
        training_data_licence=licence or model.metadata.get(LICENCE_KEY) or "unknown",
        weights_sha256=weights_sha256(variant.data),
        versions={
            "fedfr-edge": fedfr_edge.__version__,
            "torch": torch.__version__,
            "onnx": version("onnx"),
            "onnxscript": version("onnxscript"),
            "onnxruntime": import_onnxruntime().__version__,
        },
        precision=variant.precision,
    )
