"""Overlap, suppression, and the way to the working size and back."""

from __future__ import annotations

import numpy as np
import pytest

from fedfr_edge.errors import ImageError
from fedfr_edge.types import Image
from fedfr_edge.vision.suppress import overlaps, suppress
from fedfr_edge.vision.working import WorkingSize, at_working_size


def test_overlap_of_known_boxes() -> None:
    box = np.array([0.0, 0, 10, 10])
    others = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [2, 2, 4, 4], [3, 3, 3, 3]])
    np.testing.assert_allclose(overlaps(box, others), [1, 50 / 150, 0, 4 / 100, 0])
    assert overlaps(others[4], others[4:]) == [0]


def test_suppression_equals_the_plain_double_loop() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        corner = rng.uniform(0, 50, (40, 2))
        boxes = np.hstack([corner, corner + rng.uniform(5, 30, (40, 2))])
        scores = rng.permutation(40) / 40
        kept: list[int] = []
        for i in sorted(range(40), key=lambda i: -scores[i]):
            clear = True
            for j in kept:
                width = min(boxes[i, 2], boxes[j, 2]) - max(boxes[i, 0], boxes[j, 0])
                height = min(boxes[i, 3], boxes[j, 3]) - max(boxes[i, 1], boxes[j, 1])
                shared = max(width, 0) * max(height, 0)
                areas = sum((boxes[k, 2] - boxes[k, 0]) * (boxes[k, 3] - boxes[k, 1]) for k in (i, j))
                clear &= shared / (areas - shared) <= 0.3
            if clear:
                kept.append(i)
        assert suppress(boxes, scores, 0.3) == kept


def test_suppression_of_nothing_and_of_ties() -> None:
    assert suppress(np.zeros((0, 4)), np.zeros(0), 0.3) == []
    same = np.array([[0.0, 0, 5, 5]] * 3)
    assert suppress(same, np.ones(3), 0.3) == [0]


@pytest.mark.parametrize(
    ("height", "width", "size", "inner", "padded"),
    [
        (250, 250, WorkingSize(512, 1024), (512, 512), (512, 512)),
        (480, 640, WorkingSize(512, 1024), (480, 640), (480, 640)),
        (3000, 4000, WorkingSize(512, 1024), (768, 1024), (768, 1024)),
        (90, 100, WorkingSize(512, 1024), (461, 512), (480, 512)),
        (1, 3000, WorkingSize(512, 1024), (1, 1024), (32, 1024)),
        (100, 50, WorkingSize(640, 640, square=640), (640, 320), (640, 640)),
        (100, 50, WorkingSize(256, 256, square=640), (256, 128), (640, 640)),
    ],
)
def test_working_size(
    height: int, width: int, size: WorkingSize, inner: tuple[int, int], padded: tuple[int, int]
) -> None:
    worked = at_working_size(np.full((height, width, 3), 9, dtype=np.uint8), size)
    assert worked.pixels.shape == (*padded, 3)
    assert (worked.pixels[: inner[0], : inner[1]] == 9).all()
    assert worked.pixels.sum() == 9 * 3 * inner[0] * inner[1]
    assert worked.scale == (inner[1] / width, inner[0] / height)


@pytest.mark.parametrize("side", [100, 900, 2300])
def test_points_come_back_to_where_they_were(side: int) -> None:
    """A bright square's middle, found at working size, against where it was drawn."""
    image = np.zeros((side, side // 2, 3), dtype=np.uint8)
    image[side // 4 : side // 4 + 21, side // 5 : side // 5 + 13] = 255
    worked = at_working_size(image, WorkingSize(512, 1024))
    weights = worked.pixels[:, :, 0].astype(np.float64)
    y, x = np.mgrid[: weights.shape[0], : weights.shape[1]]
    middle = np.array([(x * weights).sum(), (y * weights).sum()]) / weights.sum()
    np.testing.assert_allclose(worked.to_photograph(middle), [side // 5 + 6, side // 4 + 10], atol=0.05)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((5, 5), dtype=np.uint8),
        np.zeros((5, 5, 4), dtype=np.uint8),
        np.zeros((5, 5, 3), dtype=np.float32),
        np.zeros((0, 5, 3), dtype=np.uint8),
    ],
)
def test_what_is_no_rgb_photograph(image: Image) -> None:
    with pytest.raises(ImageError, match="expected uint8"):
        at_working_size(image, WorkingSize(512, 1024))
