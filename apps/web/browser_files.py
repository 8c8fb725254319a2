"""What the server hands to a page that decides by itself: model, detector, runtime, and their settings.

Every number and text that the page's engine needs of the library is taken from the library here, so that none
is typed twice; what it does with them is in ``static/engine``.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Mapping
from dataclasses import asdict
from inspect import signature
from pathlib import Path
from typing import Any

from fedfr_edge.errors import MissingPartError
from fedfr_edge.recognition import challenge, guided
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.enrol_policy import policy_for
from fedfr_edge.recognition.look import HOLD_STILL
from fedfr_edge.recognition.manifest import EMBEDDING, INPUT_NAME
from fedfr_edge.recognition.policy import LoginPolicy, operating_point
from fedfr_edge.types import FACE_SIZE
from fedfr_edge.vision import align, centerface, quality
from fedfr_edge.vision.working import WorkingSize

from ..known_models import default_folder, known_models
from .limits import Limits
from .replies import CAMERA_NEEDED, VERDICTS
from .static_files import Served, served
from .words import sentence, words

RUNTIME = "onnxruntime-web"
"""Its name in the list of known models, and at npm."""

ENTRY = "ort.wasm.min.mjs"
"""The module of the runtime that the page imports."""

RUNTIME_FILES = (ENTRY, "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
"""The runtime's parts, in the package's folder ``dist``."""

MODEL, DETECTOR, RUNTIME_FOLDER = "/engine/model.onnx", "/engine/detector.onnx", "/engine/ort/"
"""Addresses on the server."""

LIVE = WorkingSize(least=320, most=320)
"""At which size a frame of the camera is first looked at. WebAssembly computes several times slower than the
library; a face that is lost at this size is too small for a login, and the second look is the library's."""

_LARGEST = 64 * 1024 * 1024


def runtime_place() -> Path:
    """Where ``fedfr models get onnxruntime-web`` puts the runtime."""
    return default_folder() / known_models()[RUNTIME].file


def browser_files(encoder: OnnxEncoder, runtime: Path | None = None) -> dict[str, Served]:
    """The files, by address.

    Args:
        encoder: the exported model, checked as it was opened.
        runtime: the npm package onnxruntime-web as .tgz, unpacked, or its folder ``dist``; None takes what
            ``fedfr models get onnxruntime-web`` got.

    Raises:
        MissingPartError: the runtime, the detector or the model is not there or not what it should be.
    """
    files = {MODEL: _model(encoder), DETECTOR: centerface.network()}
    parts = _runtime(runtime if runtime is not None else runtime_place())
    files |= {RUNTIME_FOLDER + name: data for name, data in parts.items()}
    return {place: served(place, content) for place, content in files.items()}


def about_browser(
    encoder: OnnxEncoder,
    files: Mapping[str, Served],
    *,
    policy: LoginPolicy | None = None,
    limits: Limits | None = None,
) -> dict[str, Any]:
    """What ``/api/info`` says where the page decides: of the model, and all that its engine must know.

    Args:
        encoder: the model.
        files: of :func:`browser_files`.
        policy: how careful a login is; ``quality`` counts as on or off: the page judges as the library does.
        limits: of times and sizes.

    Raises:
        ModelError: the model was not calibrated as the policy asks.
    """
    policy, limits = policy or LoginPolicy(), limits or Limits()
    no_photo = dict(zip(("code", "text"), CAMERA_NEEDED, strict=True))
    point = operating_point(policy, encoder, None, 1)
    manifest = encoder.manifest
    return {
        "csrf": None,
        "operator": True,
        "model": {
            "name": manifest.name,
            "kind": manifest.kind,
            "digest": encoder.digest,
            "threshold": point.threshold,
            "far": point.far,
        },
        "detector": centerface.CenterFace.name,
        "liveness": policy.liveness,
        "frames": list(policy.frames),
        "locked": None,
        "limits": {"photo_bytes": limits.photo_bytes, "name_length": limits.name_length},
        "engine": _engine(files)
        | {
            "point": asdict(point),
            "login": {
                "frames": list(policy.frames),
                "gate": policy.quality is not None,
                "seconds": limits.login_seconds,
                "challenge": about_challenge(policy.moves) if policy.liveness else None,
                "no_photo": no_photo if policy.liveness else None,
            },
            "lockout": asdict(policy.lockout),
            "verdicts": {reason.value: text for reason, text in VERDICTS.items()},
            "advice": {code: words(code) for code in guided.ADVICE},
            "enrol": _enrolment(encoder),
        },
    }


def _engine(files: Mapping[str, Served]) -> dict[str, Any]:
    """What the engine must know to look at pictures as the library does."""
    return {
        "files": {
            "runtime": RUNTIME_FOLDER.lstrip("/"),
            "entry": ENTRY,
            **{
                name: {
                    "address": place.lstrip("/"),
                    "sha256": hashlib.sha256(files[place].content).hexdigest(),
                }
                for name, place in (("model", MODEL), ("detector", DETECTOR))
            },
        },
        "model": {"faces": INPUT_NAME, "embedding": EMBEDDING},
        "detector": {
            "working": {"least": centerface.WORKING.least, "most": centerface.WORKING.most},
            "live_working": {"least": LIVE.least, "most": LIVE.most},
            "second_look": asdict(centerface.SECOND_LOOK),
            "score": centerface.LEAST_SCORE,
            "stride": centerface.STRIDE,
            "vote_score": centerface.VOTE_SCORE,
            "vote_overlap": centerface.VOTE_OVERLAP,
        },
        "alignment": {
            "face_size": FACE_SIZE,
            "template": align.TEMPLATE.tolist(),
            "least_scale": align.SMALLEST_SCALE,
            "most_scale": align.LARGEST_SCALE,
            "least_explained": align.LEAST_EXPLAINED,
        },
        "quality": {
            "inner": _part(quality.INNER),
            "sides": [[_part(eye), _part(cheek)] for eye, cheek in quality.SIDES],
            "limits": asdict(quality.QualityLimits()),
        },
    }


def about_challenge(moves: int) -> dict[str, Any]:
    """How a living head is told: as :class:`~fedfr_edge.recognition.challenge.Challenge` does by default."""
    texts: dict[str, str] = {code.value: text for code, text in challenge.ADVICE.items()}
    return {
        "orders": [[move.value for move in order] for order in challenge.orders(moves)],
        "limits": asdict(challenge.Limits()) | {"fewest": challenge.FEWEST},
        "hold": HOLD_STILL,
        "advice": {code: sentence(text) for code, text in {**texts, HOLD_STILL: challenge.HOLD}.items()},
    }


def _enrolment(encoder: OnnxEncoder) -> dict[str, Any]:
    """How somebody is enrolled: as :class:`~fedfr_edge.recognition.guided.EnrolSession` does by default."""
    policy = policy_for(encoder.manifest)
    return {
        "looks": signature(guided.EnrolSession).parameters["looks"].default,
        "poses": [pose.value for pose in guided.Pose],
        "limits": asdict(guided.GuidedLimits()),
        "outlier": policy.outlier,
        "repeat": policy.repeat,
        "least_size": quality.QualityLimits().size,
    }


def _part(part: tuple[slice, slice]) -> list[int]:
    rows, columns = part
    return [rows.start, rows.stop, columns.start, columns.stop]


def _model(encoder: OnnxEncoder) -> bytes:
    try:
        data = encoder.path.read_bytes()
    except OSError as error:
        raise MissingPartError(f"cannot read {encoder.path}: {error.strerror}; check the path") from error
    if hashlib.sha256(data).hexdigest() != encoder.digest:
        raise MissingPartError(f"{encoder.path} was changed while it was read; start again")
    return data


def _runtime(place: Path) -> dict[str, bytes]:
    mend = f"get it with 'fedfr models get {RUNTIME}', or give npm's {RUNTIME} with --runtime"
    try:
        if place.is_dir():
            folder = place / "dist" if (place / "dist").is_dir() else place
            parts = {name: (folder / name).read_bytes() for name in RUNTIME_FILES}
        else:
            parts = _unpacked(place)
    except FileNotFoundError as error:
        raise MissingPartError(
            f"there is no {error.filename or error}, which the browser needs; {mend}"
        ) from error
    except (OSError, EOFError, tarfile.TarError) as error:
        raise MissingPartError(f"{place} cannot be read as npm's {RUNTIME} ({error}); {mend}") from error
    for name, data in parts.items():
        if name.endswith(".wasm") and not data.startswith(b"\0asm"):
            raise MissingPartError(f"{name} in {place} is no WebAssembly; {mend}")
    return parts


def _unpacked(package: Path) -> dict[str, bytes]:
    """The runtime's files out of the package, which is read once and not written anywhere."""
    wanted = {f"package/dist/{name}": name for name in RUNTIME_FILES}
    parts: dict[str, bytes] = {}
    with tarfile.open(package, "r:gz") as archive:
        for member in archive:
            name = wanted.get(member.name)
            if name is None or not member.isfile() or member.size > _LARGEST:
                continue
            file = archive.extractfile(member)
            assert file is not None  # it is a file
            parts[name] = file.read()
            if len(parts) == len(wanted):
                return {name: parts[name] for name in RUNTIME_FILES}
    missing = next(name for name in RUNTIME_FILES if name not in parts)
    raise FileNotFoundError(f"dist/{missing} in {package}")
