"""What the quality limits say of real photographs; ``pytest -m long tests/vision/test_quality_figures.py -s``
prints the figures that the documentation quotes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from fedfr_edge.errors import AlignmentError
from fedfr_edge.types import Image
from fedfr_edge.vision.align import similarity_transform
from fedfr_edge.vision.centerface import CenterFace
from fedfr_edge.vision.image import read_image
from fedfr_edge.vision.quality import Quality, Reason, measure_quality
from fedfr_edge.vision.select import largest_central


@dataclass(frozen=True)
class Portrait:
    """A photograph, what was measured on its face, and the way from the 112×112 crop to its pixels."""

    image: Image
    quality: Quality
    back: np.ndarray


def look(detector: CenterFace, image: Image) -> tuple[Quality, np.ndarray] | None:
    faces = detector.detect(image)
    if not faces:
        return None
    face = largest_central(faces, image.shape)
    try:
        transform = np.vstack([similarity_transform(face.landmarks), [0, 0, 1]])
        return measure_quality(image, face), np.linalg.inv(transform)[:2]
    except AlignmentError:
        return None


def cut(portrait: Portrait, axis: int, at: float, *, keep_after: bool) -> Image:
    """Cut the photograph off where ``at`` on the crop's axis (0: columns, 1: rows) lies."""
    point = portrait.back[:, :2] @ ([at, 56] if axis == 0 else [56, at]) + portrait.back[:, 2]
    long = portrait.image.shape[1 - axis]
    place = int(np.clip(round(float(point[axis])), 8, long - 8))
    part = slice(place, None) if keep_after else slice(place)
    return np.ascontiguousarray(portrait.image[:, part] if axis == 0 else portrait.image[part])


def spoilt(portrait: Portrait) -> Iterator[tuple[str, Reason, Image]]:
    image, quality = portrait.image, portrait.quality
    for side in (30, 20):
        scale = side / quality.size
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        yield f"reduced to {side} pixels", "too_small", np.asarray(small, np.uint8)
    yield "mean light 25", "too_dark", (image * (25 / quality.brightness)).astype(np.uint8)
    yield "2 times the light, from 110 or more", "too_bright", np.minimum(image * 2.0, 255).astype(np.uint8)
    for sigma in (1.5, 2.0, 3.0):
        blurred = cv2.GaussianBlur(image, (0, 0), sigma * quality.size / 112)
        yield f"Gaussian blur, σ {sigma} crop pixels", "blurred", np.asarray(blurred, np.uint8)
    yield "cut through the lips", "cut_off", cut(portrait, 1, 92, keep_after=False)
    yield "cut through the nose", "cut_off", cut(portrait, 1, 75, keep_after=False)
    yield "cut through the eyes", "cut_off", cut(portrait, 1, 52, keep_after=True)
    yield "cut through one eye", "cut_off", cut(portrait, 0, 38, keep_after=True)
    yield "cut below the lips", "cut_off", cut(portrait, 1, 108, keep_after=False)


@pytest.mark.long
def test_print_figures(dev_data: Path, centerface: CenterFace) -> None:
    faces = dev_data / "faces"
    good = {
        "LFW": sorted((faces / "lfw_photos").rglob("*.jpg")),
        "press": sorted((faces / "celebrity_photos").rglob("*.jpg")),
    }
    portraits: list[Portrait] = []
    for kind, names in good.items():
        flagged: Counter[str] = Counter()
        measured = []
        for name in names:
            image = read_image(name)
            found = look(centerface, image)
            assert found is not None, name
            quality, back = found
            portraits.append(Portrait(image, quality, back))
            measured.append(quality)
            flagged.update(quality.reasons())
        some = sum(bool(quality.reasons()) for quality in measured)
        print(f"\n{kind}: {some} of {len(names)} good photographs flagged {dict(flagged)}")
        assert some <= 0.03 * len(names)
    found_bad: Counter[str] = Counter()
    no_face: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for portrait in portraits[::7]:
        for what, reason, image in spoilt(portrait):
            if reason == "too_bright" and portrait.quality.brightness < 110:
                continue
            total[what] += 1
            found = look(centerface, image)
            no_face[what] += found is None
            found_bad[what] += found is not None and reason in found[0].reasons()
    for what, count in total.items():
        print(f"  {what}: found {found_bad[what]} of {count}, no face {no_face[what]}")
    for what in ("cut through the nose", "cut through the eyes", "cut through one eye", "mean light 25"):
        assert found_bad[what] + no_face[what] >= 0.9 * total[what], what
    # What nothing here measures: covered faces.
    covered = ("bulk/mask.png", "bulk/mask2.jpg", "crop/crop_mask.png")
    folder = dev_data / "photos" / "insightface" / "inspireface_test_res"
    for name in covered:
        found = look(centerface, read_image(folder / name))
        print(f"  {name}: {'no face' if found is None else found[0].reasons() or 'nothing flagged'}")
