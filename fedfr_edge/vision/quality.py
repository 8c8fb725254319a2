"""Is this face good enough: size, light, sharpness, turn and frame, with stable reason codes.

The limits of :class:`QualityLimits` were set on 420 ordinary portraits (200 LFW photographs and 220
press photographs) and on darkened, brightened, reduced, blurred and cut copies of them; what each
attribute says there is what was measured. None of those originals breaks a limit but for turn, which
1 % do, and five who wear dark glasses. ``pytest -m long tests/vision/test_quality_figures.py -s`` measures it
again.

Of what covers a face only dark glasses are noticed, and about half of them. Masks, scarves and hands are
not: five landmarks are found on a covered face too, and no measure that was tried tells a mask in warm light
from a beard or from skin.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from fedfr_edge.types import FACE_SIZE, Face, Image, Landmarks
from fedfr_edge.vision.align import similarity_transform, warp

Reason: TypeAlias = Literal[
    "too_small", "too_dark", "too_bright", "blurred", "turned_away", "cut_off", "occluded"
]
"""Why a face is not good enough. These words are stable: programs may compare with them."""

ADVICE: dict[Reason, str] = {
    "too_small": "come closer",
    "too_dark": "more light on the face",
    "too_bright": "less light on the face",
    "blurred": "hold still, clean the lens",
    "turned_away": "look at the camera",
    "cut_off": "bring the whole face into the picture",
    "occluded": "take off dark glasses",
}
"""What the person should do about each reason."""

INNER = (slice(36, 100), slice(26, 86))
"""Rows and columns of the aligned crop from brows to chin, without hair and background."""

SIDES = (
    ((slice(46, 60), slice(28, 48)), (slice(66, 80), slice(26, 38))),
    ((slice(46, 60), slice(64, 84)), (slice(66, 80), slice(74, 86))),
)
"""On either side of the crop: rows and columns around the eye, rows and columns of the cheek below."""


@dataclass(frozen=True)
class QualityLimits:
    """Where a face stops being good enough.

    Attributes:
        size: least side, in photograph pixels, of the square that becomes the 112×112 crop.
            Reduced to 40, landmarks move against those of the full photograph by 1.6 crop
            pixels or less in 90 % of portraits; at 24 by 2.6, more than two good detectors differ.
        dark: least mean brightness. Portraits have 60 to 191. At a quarter of their light (36) the
            landmarks still hold within 0.7 crop pixels in 90 %, but two of the eight bits are lost.
        bright: greatest mean brightness. From 1.5 times the light (203) to twice the light (230)
            the landmarks' movement doubles, to 1.2 crop pixels at the 90th percentile.
        sharpness: least sharpness. Portraits have 0.216 or more; blurred by a Gaussian of
            σ = 1.5 crop pixels 94 % fall below 0.2, at σ = 2 all do.
        turn: greatest turn to either side; 0.4 is the 99th percentile of portraits.
        outside: greatest share of the inner face beyond the photograph's edge. Portraits have 0; of
            those cut through the lips, the nose or an eye, 19 in 20 have more than 0.05. A cut below the
            lips or above the brows takes nothing of the inner face and is not found.
        eyes: least light around the eyes. Of 3,811 LFW crops 23 have less, 21 of them with dark glasses; that
            is about half of the dark or tinted glasses there, and hardly any that shows the eyes. Of 7,500
            other portraits, many in stage light, about 0.4 % without dark glasses have less.
    """

    size: float = 40.0
    dark: float = 40.0
    bright: float = 220.0
    sharpness: float = 0.2
    turn: float = 0.4
    outside: float = 0.05
    eyes: float = 0.4


@dataclass(frozen=True)
class Quality:
    """What was measured on one face.

    Attributes:
        size: side in photograph pixels of the square that becomes the 112×112 crop.
        brightness: mean luma of the inner face, 0 to 255.
        sharpness: root mean square of the Laplacian of the inner face's luma over its standard
            deviation; no unit, and unchanged by exposure.
        turn: the nose tip's distance from the line between the eyes' middle and the mouth's
            middle, in distances between the eyes; 0 straight on, positive with the nose towards the
            image's right, 0.5 with the nose below an eye. A stand-in for yaw, not an angle.
        outside: share of the inner face, from brows to chin, that lies beyond the photograph's edge.
        eyes: light around the eyes, as a part of the cheek's: the 70th percentile of the luma around an eye
            over the median on the cheek below, of the side where that is more (shadow falls to one side).
    """

    size: float
    brightness: float
    sharpness: float
    turn: float
    outside: float
    eyes: float

    def reasons(self, limits: QualityLimits | None = None) -> tuple[Reason, ...]:
        """Why the face is not good enough; empty when it is."""
        limits = limits or QualityLimits()
        broken: dict[Reason, bool] = {
            "too_small": self.size < limits.size,
            "too_dark": self.brightness < limits.dark,
            "too_bright": self.brightness > limits.bright,
            "blurred": self.sharpness < limits.sharpness,
            "turned_away": abs(self.turn) > limits.turn,
            "cut_off": self.outside > limits.outside,
            "occluded": self.eyes < limits.eyes,
        }
        return tuple(reason for reason, is_so in broken.items() if is_so)


def measure_quality(image: Image, face: Face) -> Quality:
    """Measure one face of a photograph.

    Args:
        image: uint8 (height, width, 3), RGB.
        face: as detected in it.

    Raises:
        AlignmentError: landmarks that are no face's.
    """
    transform = similarity_transform(face.landmarks)
    luma = cv2.cvtColor(warp(image, transform), cv2.COLOR_RGB2GRAY).astype(np.float64)
    inner = luma[INNER]
    edges = cv2.Laplacian(luma, cv2.CV_64F)[INNER]
    contrast = float(inner.std())
    return Quality(
        size=FACE_SIZE / float(np.hypot(*transform[:, 0])),
        brightness=float(inner.mean()),
        sharpness=float(np.sqrt(np.mean(edges**2))) / contrast if contrast > 0 else 0.0,
        turn=turn_of(face.landmarks),
        outside=_outside(image, transform),
        eyes=max(_light(luma[eye], luma[cheek]) for eye, cheek in SIDES),
    )


def advice(reasons: Iterable[Reason]) -> str:
    """The reasons on one line, each with what the person should do; empty for none."""
    return "; ".join(f"{reason}: {ADVICE[reason]}" for reason in reasons)


def turn_of(landmarks: Landmarks) -> float:
    """How far a head is turned to a side; see ``turn`` of :class:`Quality`.

    Moving, turning and scaling the picture leave it as it is, and so does squeezing it across the face:
    it changes with the head's depth, not with where a picture of the head is held.

    Args:
        landmarks: float32 (5, 2).
    """
    left_eye, right_eye, nose, left_mouth, right_mouth = landmarks.astype(np.float64)
    eyes, mouth = (left_eye + right_eye) / 2, (left_mouth + right_mouth) / 2
    down = mouth - eyes
    # Turning "down" by a quarter gives the image's right for an upright face.
    right = np.array([down[1], -down[0]])
    width = float(np.hypot(*(right_eye - left_eye)) * np.hypot(*right))
    return float((nose - eyes) @ right) / width if width > 0 else 0.0


def _light(eye: npt.NDArray[np.float64], cheek: npt.NDArray[np.float64]) -> float:
    # One grey level more, so that black on black is 1: a dark picture is another reason's matter.
    return (_quantile(eye, 0.7) + 1) / (_quantile(cheek, 0.5) + 1)


def _quantile(values: npt.NDArray[np.float64], share: float) -> float:
    """As ``np.quantile``, whose first call imports numpy.ma, which a login would wait for."""
    ordered = np.sort(values, axis=None)
    return float(np.interp(share * (ordered.size - 1), np.arange(ordered.size), ordered))


def _outside(image: Image, transform: npt.NDArray[np.float64]) -> float:
    rows, columns = (np.arange(part.start, part.stop) for part in INNER)
    # The transform is a similarity: its inverse turns back and divides by the squared scale.
    back = transform[:, :2].T / float(transform[:, 0] @ transform[:, 0])
    height, width = image.shape[:2]
    # The corners first: where they are inside, all is.
    for xs, ys in ((columns[[0, -1]], rows[[0, -1]]), (columns, rows)):
        points = (np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2) - transform[:, 2]) @ back.T
        outside = ((points <= -0.5) | (points >= (width - 0.5, height - 0.5))).any(axis=1)
        if not outside.any():
            return 0.0
    return float(outside.mean())
