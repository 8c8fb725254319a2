"""Each change against what it must do to an image whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedfr_edge.train import augment
from fedfr_edge.train.augment import Augmentation

EVERYTHING = Augmentation(0.1, 0.1, 10, 0.3, 0.3, 0.5, 0.5)
SEPARATE = [
    Augmentation(shift=0.1),
    Augmentation(scale=0.1),
    Augmentation(rotate=10),
    Augmentation(light=0.3),
    Augmentation(colour=0.3),
    Augmentation(downscale=1.0),
    Augmentation(erase=1.0),
]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(n: int = 6) -> torch.Tensor:
    return torch.randint(0, 256, (n, 112, 112, 3), dtype=torch.uint8, generator=generator(9))


@pytest.mark.parametrize("augmentation", [EVERYTHING, *SEPARATE])
def test_keeps_shape_and_dtype_repeats_with_its_seed_and_changes_no_input(augmentation: Augmentation) -> None:
    images = noise()
    kept = images.clone()
    a, b, other = (augmentation(images, generator(seed)) for seed in (1, 1, 2))
    assert (a.dtype, a.shape) == (torch.uint8, images.shape)
    assert torch.equal(a, b)
    assert not torch.equal(a, other)
    assert torch.equal(images, kept)
    assert all(not torch.equal(x, y) for x, y in zip(a, images, strict=True))


def test_switched_off_nothing_happens_and_nothing_is_drawn() -> None:
    images, source = noise(), generator()
    assert Augmentation()(images, source) is images
    assert torch.equal(source.get_state(), generator().get_state())


def blob(x: int, y: int) -> torch.Tensor:
    """Black, with a white square of 9 pixels about (x, y)."""
    image = torch.zeros((1, 3, 112, 112))
    image[:, :, y - 4 : y + 5, x - 4 : x + 5] = 255
    return image


def centre(image: torch.Tensor) -> tuple[float, float]:
    weights = image[0, 0].double()
    index = torch.arange(112, dtype=torch.float64)
    return (
        float((weights.sum(0) * index).sum() / weights.sum()),
        float((weights.sum(1) * index).sum() / weights.sum()),
    )


def warp(image: torch.Tensor, shift: tuple[float, float], scale: float, degrees: float) -> torch.Tensor:
    return augment._warp(
        image, torch.tensor([shift]), torch.tensor([[scale]]), torch.tensor([[np.deg2rad(degrees)]]).float()
    )


def test_a_shift_moves_right_and_down_by_its_share_of_the_side() -> None:
    x, y = centre(warp(blob(50, 40), (0.125, 0.25), 1.0, 0.0))
    assert (x, y) == (pytest.approx(50 + 14, abs=0.05), pytest.approx(40 + 28, abs=0.05))


def test_a_larger_scale_moves_away_from_the_centre_and_grows_the_area() -> None:
    before, after = blob(40, 70), warp(blob(40, 70), (0.0, 0.0), 1.5, 0.0)
    x, y = centre(after)
    assert (x, y) == (
        pytest.approx(55.5 + 1.5 * (40 - 55.5), abs=0.1),
        pytest.approx(55.5 + 1.5 * (70 - 55.5), abs=0.1),
    )
    assert float(after.sum() / before.sum()) == pytest.approx(1.5**2, rel=0.02)


def test_a_turn_by_a_right_angle_moves_right_to_bottom() -> None:
    # y points down, so a positive turn, seen on the screen, goes from the right to the bottom or back.
    x, y = centre(warp(blob(85, 56), (0.0, 0.0), 1.0, 90.0))
    assert x == pytest.approx(55.5, abs=0.6)
    assert abs(y - 55.5) == pytest.approx(29.5, abs=0.1)


def test_the_border_is_continued_rather_than_black() -> None:
    white = torch.full((1, 3, 112, 112), 255.0)
    torch.testing.assert_close(warp(white, (0.3, -0.3), 0.7, 20.0), white)


def test_shifts_reach_the_stated_limit_and_no_further() -> None:
    images = (blob(56, 56).permute(0, 2, 3, 1).to(torch.uint8)).repeat(400, 1, 1, 1)
    moved = Augmentation(shift=0.1)(images, generator())
    offsets = np.array([centre(image.permute(2, 0, 1)[None].float()) for image in moved]) - 56
    assert np.abs(offsets).max() <= 11.2 + 0.05
    assert np.abs(offsets).max() > 10.5
    assert np.abs(offsets.mean(axis=0)).max() < 1.0


def test_contrast_keeps_the_mean_and_scales_the_spread() -> None:
    x = torch.rand((2, 3, 112, 112), generator=generator()) * 100 + 50
    y = augment._contrast(x, torch.tensor([[0.5], [1.2]]))
    torch.testing.assert_close(y.mean(dim=(1, 2, 3)), x.mean(dim=(1, 2, 3)))
    torch.testing.assert_close(y.std(dim=(1, 2, 3)) / x.std(dim=(1, 2, 3)), torch.tensor([0.5, 1.2]))


def test_saturation_zero_is_grey_with_the_pixels_luma_and_grey_stays_grey() -> None:
    x = torch.rand((1, 3, 4, 4), generator=generator()) * 255
    grey = augment._saturate(x, torch.tensor([[0.0]]))
    luma = 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]
    torch.testing.assert_close(grey, luma[:, None].expand(-1, 3, -1, -1))
    torch.testing.assert_close(augment._saturate(grey, torch.tensor([[1.7]])), grey)


def test_lost_detail_stays_lost_and_flat_images_stay_flat() -> None:
    stripes = torch.zeros((3, 3, 112, 112))
    stripes[:, :, :, ::2] = 200
    chosen, strongly = torch.tensor([True, True, False]), torch.tensor([False, True, False])
    found = augment._downscale(stripes, chosen, strongly)
    assert torch.equal(found[2], stripes[2])
    torch.testing.assert_close(found[:2], torch.full((2, 3, 112, 112), 100.0))


@pytest.mark.parametrize("extent", [-1.0, 1.0])
def test_erasing_covers_from_an_eighth_to_half_of_the_side(extent: float) -> None:
    x = torch.full((2, 3, 112, 112), 9.0)
    centre, extents = torch.zeros((2, 2)), torch.full((2, 2), extent)
    found = augment._erase(x, torch.tensor([True, False]), centre, extents, torch.full((2, 1), 1.0))
    assert torch.equal(found[1], x[1])
    covered = found[0, 0] == 255
    side = 14 if extent < 0 else 56
    assert int(covered.sum()) == side**2
    assert covered[56 - side // 2 : 56 + side // 2, 56 - side // 2 : 56 + side // 2].all()


def test_shares_choose_about_that_many_images() -> None:
    images = torch.full((600, 112, 112, 3), 255, dtype=torch.uint8)
    erased = Augmentation(erase=0.3)(images, generator()) != 255
    assert 130 <= int(erased.any(dim=(1, 2, 3)).sum()) <= 230  # 180 expected, σ = 11
