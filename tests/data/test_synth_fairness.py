"""The bars that the renderer is held to, on smaller numbers, and the measures themselves."""

from __future__ import annotations

import numpy as np
import pytest

from fedfr_edge.data.synth.fairness import (
    DETECTOR_BAR,
    PIXEL_BAR,
    check_detector,
    check_pixels,
    overlap,
    pixel_verification,
)
from fedfr_edge.errors import DataError
from fedfr_edge.types import Face, Image
from fedfr_edge.vision.detect import open_detector


def test_a_real_detector_finds_the_faces() -> None:
    check = check_detector(open_detector(threads=1), scenes=30, seed=11)
    assert check.scenes == 30
    assert check.rate >= DETECTOR_BAR
    assert check.landmark_error < 0.15


def test_raw_pixels_do_not_solve_verification() -> None:
    check = check_pixels(identities=24, images=8, seed=11)
    assert check.mated == 24 * 28
    assert check.non_mated == 192 * 191 // 2 - check.mated
    assert check.false_accepts == int(1e-3 * check.non_mated)
    assert check.tar < PIXEL_BAR


class Blind:
    name = "blind"

    def detect(self, image: Image) -> list[Face]:
        return []


def test_a_detector_that_sees_nothing_scores_nothing() -> None:
    check = check_detector(Blind(), scenes=2, seed=0)
    assert check.rate == 0
    assert np.isnan(check.landmark_error)


def test_overlap() -> None:
    unit = np.array([0, 0, 2, 2], np.float32)
    assert overlap(unit, unit) == 1
    assert overlap(unit, np.array([1, 0, 3, 2], np.float32)) == pytest.approx(1 / 3)
    assert overlap(unit, np.array([2, 0, 4, 2], np.float32)) == 0


def test_pixel_verification_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 4)
    base = rng.integers(0, 256, (6, 112, 112, 3))
    noise = rng.normal(0, 200, (24, 112, 112, 3))
    faces = np.clip(base[labels] + noise, 0, 255).astype(np.uint8)
    far = 0.02
    check = pixel_verification(faces, labels, far=far)
    mated, non_mated = [], []
    for i in range(24):
        for j in range(i):
            a, b = (faces[k].astype(np.float64).ravel() for k in (i, j))
            a, b = a - a.mean(), b - b.mean()
            score = a @ b / np.sqrt((a @ a) * (b @ b))
            (mated if labels[i] == labels[j] else non_mated).append(score)
    allowed = int(far * len(non_mated))
    threshold = sorted(non_mated)[-allowed - 1]
    assert (check.mated, check.non_mated) == (len(mated), len(non_mated))
    assert check.threshold == pytest.approx(threshold, abs=1e-5)
    assert check.false_accepts == allowed
    assert check.tar == pytest.approx(np.mean(np.array(mated) > threshold), abs=1 / len(mated))


def test_too_little_to_compare() -> None:
    with pytest.raises(DataError, match="at least 2"):
        check_pixels(identities=1, images=5, seed=0)
    with pytest.raises(DataError, match="no mated or no non-mated"):
        pixel_verification(np.zeros((2, 112, 112, 3), np.uint8), np.array([0, 0]))
    with pytest.raises(DataError, match="at least 1"):
        check_detector(Blind(), scenes=0, seed=0)
