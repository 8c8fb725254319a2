"""From a photograph to the one aligned face that is meant, or to the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import AlignmentError, ImageError
from fedfr_edge.types import FACE_SIZE, Face, Image
from fedfr_edge.vision.align import align
from fedfr_edge.vision.detect import Detector
from fedfr_edge.vision.quality import Reason as QualityReason
from fedfr_edge.vision.quality import advice, measure_quality
from fedfr_edge.vision.select import largest_central

Gate = Callable[[Image, Face, npt.NDArray[np.uint8]], str | None]
"""Called as ``gate(photograph, face, aligned uint8 (112, 112, 3))``; a text says why the face is too
poor to be recognised, None lets it pass."""


class Reason(StrEnum):
    """Why a decision is as it is. The codes are stable: programs and logs may rely on them."""

    ACCEPTED = "accepted"
    NOT_RECOGNISED = "not_recognised"
    NOT_ENROLLED = "not_enrolled"
    EMPTY_GALLERY = "empty_gallery"
    NO_FACE = "no_face"
    SEVERAL_FACES = "several_faces"
    LOW_QUALITY = "low_quality"
    NOT_ALIGNABLE = "not_alignable"
    NOT_LIVE = "not_live"
    UNREADABLE = "unreadable"
    LOCKED = "locked"
    OTHER_FACTOR = "other_factor"


@dataclass(frozen=True)
class Capture:
    """What was found in a photograph.

    Attributes:
        face: uint8 (112, 112, 3) RGB, aligned; None if the photograph cannot be used.
        faces_seen: how many faces the detector found.
        reason: why it cannot be used; None if it can.
        detail: the same in words.
        quality: what is poor about the chosen face, whether or not it can be used; empty where no face
            was chosen or the image came aligned.
        chosen: the face that was chosen, as it was detected.
    """

    face: npt.NDArray[np.uint8] | None
    faces_seen: int
    reason: Reason | None = None
    detail: str = ""
    quality: tuple[QualityReason, ...] = ()
    chosen: Face | None = None

    @property
    def faults(self) -> tuple[str, ...]:
        """Codes of what is amiss: what is poor about the face, else :attr:`reason`; often none."""
        return self.quality or (() if self.reason is None else (self.reason.value,))


def quality_gate(photograph: Image, face: Face, aligned: npt.NDArray[np.uint8]) -> str | None:
    """A :data:`Gate`: why a face is too poor, with what to do; None if it is good enough."""
    return advice(measure_quality(photograph, face).reasons()) or None


def capture(
    image: Image,
    detector: Detector | None,
    *,
    several: Literal["refuse", "central"],
    gate: Gate | None = None,
) -> Capture:
    """Find, choose, align and judge a face.

    Args:
        image: uint8 (h, w, 3), RGB.
        detector: finds the faces; None means that ``image`` is an aligned face (112, 112, 3) already.
        several: with more than one face, refuse (enrolment: nobody says whose template it would
            become) or take the large and central one (login).
        gate: judges the chosen face; not asked about faces that come aligned.

    Raises:
        ImageError: an array that is no photograph, or no aligned face where one is expected.
    """
    if detector is None:
        if image.dtype != np.uint8 or image.shape != (FACE_SIZE, FACE_SIZE, 3):
            raise ImageError(
                f"an aligned face is {image.dtype} {image.shape}, expected uint8 ({FACE_SIZE}, {FACE_SIZE}, "
                "3); leave --aligned away for whole photographs"
            )
        return Capture(image, 1)
    return examine(image, detector.detect(image), several=several, gate=gate)


def examine(
    image: Image, faces: Sequence[Face], *, several: Literal["refuse", "central"], gate: Gate | None = None
) -> Capture:
    """Choose, align and judge one of the faces that a detector found; see :func:`capture`."""
    if not faces:
        return Capture(None, 0, Reason.NO_FACE, "no face was found")
    if len(faces) > 1 and several == "refuse":
        return Capture(
            None, len(faces), Reason.SEVERAL_FACES, f"{len(faces)} faces were found, expected exactly one"
        )
    chosen = largest_central(faces, image.shape)
    try:
        aligned = align(image, chosen.landmarks)
    except AlignmentError as error:
        return Capture(None, len(faces), Reason.NOT_ALIGNABLE, str(error), chosen=chosen)
    poor = measure_quality(image, chosen).reasons()
    fault = gate(image, chosen, aligned) if gate is not None else None
    if fault is not None:
        return Capture(None, len(faces), Reason.LOW_QUALITY, fault, poor, chosen)
    return Capture(aligned, len(faces), quality=poor, chosen=chosen)
