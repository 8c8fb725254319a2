"""Are the synthetic faces a fair stand-in for real ones? The measurements behind the claim.

Two of the three bars are here, for they need no training: a real detector must find the faces, and
raw pixels must not tell people apart. The third (a small trained network does) is measured with
``fedfr pretrain`` and ``fedfr evaluate``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedfr_edge.data.synth.faces import render_faces
from fedfr_edge.data.synth.scene import render_scene
from fedfr_edge.errors import DataError
from fedfr_edge.types import AlignedFaces, Labels, Progress, no_progress
from fedfr_edge.vision.detect import Detector

NEAR_ENOUGH = 0.4
"""Intersection over union from which a detected box counts as the face's."""

DETECTOR_BAR = 0.95
"""Least share of frontal scenes in which a detector has to find the face."""

PIXEL_BAR = 0.30
"""Raw pixels have to stay below this TAR at FAR 1e-3."""


@dataclass(frozen=True)
class DetectorCheck:
    """How often a detector found the face of a frontal scene.

    Attributes:
        scenes: photographs tried, one person each.
        found: in how many a detected box overlaps the true one with IoU ≥ 0.4.
        landmark_error: mean distance between true landmarks and found ones, in shares of the
            distance between the eyes, over the faces found; NaN without any.
    """

    scenes: int
    found: int
    landmark_error: float

    @property
    def rate(self) -> float:
        """Share of scenes in which the face was found."""
        return self.found / self.scenes


@dataclass(frozen=True)
class PixelCheck:
    """How well cosines of raw pixels (mean removed, unit length) verify people.

    Attributes:
        tar: share of mated pairs accepted at the FAR asked for.
        far: that FAR.
        mated, non_mated: pairs behind the figure.
        false_accepts: non-mated pairs accepted at the threshold.
        threshold: cosine above which a pair is accepted.
    """

    tar: float
    far: float
    mated: int
    non_mated: int
    false_accepts: int
    threshold: float


def check_detector(
    detector: Detector, *, scenes: int, seed: int, progress: Progress = no_progress
) -> DetectorCheck:
    """Let a detector look for the one face in each of ``scenes`` frontal scenes (all else at full strength).

    Raises:
        DataError: fewer than one scene, or a negative seed.
    """
    if scenes < 1:
        raise DataError(f"{scenes} scenes to check, expected at least 1")
    found, errors = 0, []
    for number in range(scenes):
        scene = render_scene(seed, number, [number], frontal=True)
        truth = scene.people[0]
        faces = [face for face in detector.detect(scene.image) if overlap(face.box, truth.box) >= NEAR_ENOUGH]
        if faces:
            found += 1
            eyes = float(np.linalg.norm(truth.landmarks[1] - truth.landmarks[0]))
            errors.append(float(np.linalg.norm(faces[0].landmarks - truth.landmarks, axis=1).mean()) / eyes)
        progress("scenes through the detector", number + 1, scenes)
    return DetectorCheck(scenes, found, float(np.mean(errors)) if errors else float("nan"))


def overlap(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = float(width) * float(height)
    areas = [float(box[2] - box[0]) * float(box[3] - box[1]) for box in (a, b)]
    return both / (sum(areas) - both)


def check_pixels(
    *, identities: int, images: int, seed: int, far: float = 1e-3, progress: Progress = no_progress
) -> PixelCheck:
    """Render aligned crops and verify them by nothing but their pixels.

    Raises:
        DataError: fewer than two identities or images (there would be no pairs).
    """
    if identities < 2 or images < 2:
        raise DataError(
            f"{identities} identities with {images} images, expected at least 2 of both to form pairs"
        )
    faces = []
    for who in range(identities):
        faces.append(render_faces(seed, [(who, image) for image in range(images)]))
        progress("faces for the pixel check", who + 1, identities)
    labels = np.repeat(np.arange(identities, dtype=np.int64), images)
    return pixel_verification(np.concatenate(faces), labels, far=far)


def pixel_verification(faces: AlignedFaces, labels: Labels, *, far: float = 1e-3) -> PixelCheck:
    """Verify every pair of aligned faces by the cosine of their pixels.

    The threshold is the smallest at which at most ``far`` of the non-mated pairs are accepted.
    """
    vectors = faces.reshape(len(faces), -1).astype(np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    scores = vectors @ vectors.T
    first, second = np.triu_indices(len(faces), 1)
    same = labels[first] == labels[second]
    pairs = scores[first, second]
    mated, non_mated = pairs[same], np.sort(pairs[~same])[::-1]
    if not len(mated) or not len(non_mated):
        raise DataError("the labels give no mated or no non-mated pair; more identities or images are needed")
    threshold = float(non_mated[int(far * len(non_mated))])
    return PixelCheck(
        tar=float(np.mean(mated > threshold)),
        far=far,
        mated=len(mated),
        non_mated=len(non_mated),
        false_accepts=int(np.sum(non_mated > threshold)),
        threshold=threshold,
    )
