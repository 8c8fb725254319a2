"""Looks of one person, from photographs, a film or a webcam: what the sources of ``fedfr enrol`` come to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fedfr_edge.errors import ConfigError, GalleryError
from fedfr_edge.recognition.capture import Gate, Reason, capture
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.enrolment import gather
from fedfr_edge.recognition.guided import EnrolSession
from fedfr_edge.recognition.proposal import Looks
from fedfr_edge.recognition.spaces import embed_spaces
from fedfr_edge.types import Progress
from fedfr_edge.vision.detect import Detector

from . import device
from .attend import follow_enrolment
from .sources import Film, photos_among
from .webcam import Camera

if TYPE_CHECKING:
    from collections.abc import Sequence

EVERY = 0.4
"""Seconds of a film from one frame that is looked at to the next: neighbours show the same."""

MOST = 60
"""Frames of a film that are looked at."""


@dataclass(frozen=True)
class Gathered:
    """Looks, and what they came from.

    Attributes:
        looks: at least one, embedded.
        skipped: (name, reason, in words) of pictures that could not be used.
        total: pictures looked at.
        kind: what they are, in the plural.
    """

    looks: Looks
    skipped: tuple[tuple[str, Reason, str], ...]
    total: int
    kind: str


def from_photos(
    photos: Sequence[Path],
    *,
    encoder: OnnxEncoder,
    detector: Detector | None,
    gate: Gate | None,
    progress: Progress,
) -> Gathered:
    """All photographs; one that cannot be used is skipped.

    Raises:
        ConfigError: a film is among them.
        FedFRError: as :func:`~fedfr_edge.recognition.enrolment.gather`.
    """
    files = photos_among(photos)
    looks, skipped = gather(
        device.read_photos(files), encoder=encoder, detector=detector, gate=gate, progress=progress
    )
    return Gathered(looks, skipped, len(files), "photographs")


def from_film(
    file: Path, *, encoder: OnnxEncoder, detector: Detector, gate: Gate | None, seconds: float | None
) -> Gathered:
    """Frames of a film that shows the person alone, as it is; those that cannot be used are skipped.

    Raises:
        ImageError: no film.
        GalleryError: no frame can be used.
    """
    labels, faces, skipped = [], [], []
    due, total = 0.0, 0
    with Film(file) as source:
        for frame in source.frames(seconds):
            if frame.at < due:
                continue
            due, total = frame.at + EVERY, total + 1
            label = f"second {frame.at:.1f}"
            found = capture(frame.image, detector, several="refuse", gate=gate)
            if found.face is not None:
                labels.append(label)
                faces.append(found.face)
            else:
                skipped.append((label, found.reason or Reason.NO_FACE, found.detail))
            if total == MOST:
                break
    if not faces:
        label, _, detail = skipped[0]
        raise GalleryError(
            f"no frame of {file} can be used, the first ({label}): {detail}; nobody was enrolled, give a "
            "film that shows the person alone, clearly"
        )
    looks = Looks(tuple(labels), *embed_spaces(encoder, np.stack(faces)), encoder.digest)
    return Gathered(looks, tuple(skipped), total, "frames")


def from_camera(index: int, session: EnrolSession, seconds: float) -> Gathered:
    """Looks of somebody who is told what to do.

    Raises:
        CameraError: no such camera, or it is lost.
        GalleryError: the time is over before all looks are taken.
    """
    with Camera(index) as source:
        total = follow_enrolment(session, source, seconds)
    session.finish()
    return Gathered(session.looks, (), total, "pictures")


def needs_eyes(detector: Detector | None) -> Detector:
    """A detector for whole pictures.

    Raises:
        ConfigError: there is none, because faces were said to come aligned.
    """
    if detector is None:
        raise ConfigError("--aligned is for photographs; leave it away for a camera or a film")
    return detector
