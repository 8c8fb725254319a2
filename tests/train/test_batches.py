"""Every image once an epoch, never a batch of one, and no client that starves."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedfr_edge.train import batches


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.integers(2, 70), st.integers(2, 20), st.integers(0, 5))
def test_each_image_is_seen_exactly_once(size: int, batch: int, seed: int) -> None:
    cut = batches.epoch(size, batch, generator(seed))
    assert sorted(torch.cat([rows for rows, _ in cut]).tolist()) == list(range(size))
    assert all(2 <= len(rows) <= batch + 1 for rows, _ in cut)
    assert all(len(rows) == batch for rows, _ in cut[:-1])
    assert all(len(rows) == len(flipped) for rows, flipped in cut)


@given(st.integers(2, 70), st.integers(2, 20))
def test_drop_last_leaves_full_batches_but_never_nothing(size: int, batch: int) -> None:
    cut = batches.epoch(size, batch, generator(), drop_last=True)
    if size < batch:
        assert [len(rows) for rows, _ in cut] == [size]
    else:
        assert [len(rows) for rows, _ in cut] == [batch] * (size // batch)


def test_a_single_image_is_trained_beside_its_mirror_image() -> None:
    ((rows, flipped),) = batches.epoch(1, 8, generator())
    assert rows.tolist() == [0, 0]
    assert flipped.tolist() == [False, True]


def test_the_order_changes_from_epoch_to_epoch_and_returns_with_the_seed() -> None:
    def two_epochs(seed: int) -> list[list[int]]:
        source = generator(seed)
        return [batches.epoch(20, 20, source)[0].rows.tolist() for _ in range(2)]

    assert two_epochs(1)[0] != two_epochs(1)[1]
    assert two_epochs(1) == two_epochs(1)
    assert two_epochs(1) != two_epochs(2)


def test_half_of_the_images_are_mirrored_or_none() -> None:
    flips = torch.cat([part.flipped for part in batches.epoch(4000, 256, generator())])
    assert 1800 < flips.sum().item() < 2200  # five standard deviations are 158
    none = torch.cat([part.flipped for part in batches.epoch(4000, 256, generator(), flip=False)])
    assert none.sum().item() == 0


def test_switching_flips_off_does_not_change_the_order() -> None:
    for_flips, without = (batches.epoch(30, 7, generator(), flip=flip) for flip in (True, False))
    for a, b in zip(for_flips, without, strict=True):
        assert torch.equal(a.rows, b.rows)


@pytest.mark.parametrize("flipped", [True, False])
def test_mirroring_swaps_left_and_right_only(flipped: bool) -> None:
    image = torch.randint(0, 256, (1, 112, 112, 3), dtype=torch.uint8, generator=generator())
    found = batches.mirrored(image, torch.tensor([flipped]))
    expected = image.numpy()[:, :, ::-1] if flipped else image.numpy()
    assert (found.numpy() == expected).all()
