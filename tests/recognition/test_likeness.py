"""Images unlike the rest, and the same photograph twice: against plain loops in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedfr_edge.recognition.likeness import find_outliers, find_repeats, least_alike, leave_one_out


def plane(*degrees: float) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def people(counts: list[int], seed: int, dim: int = 256, spread: float = 0.5) -> np.ndarray:
    """Rows of several people, one after the other: cosine about 0.8 within, about 0 between."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate(
        [
            unit(rng.normal(size=(1, dim))) + spread * unit(rng.normal(size=(count, dim)))
            for count in counts
            if count
        ]
    )
    return unit(rows).astype(np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def plain_leave_one_out(rows: np.ndarray) -> list[float]:
    found = []
    for i, row in enumerate(rows.tolist()):
        others = [sum(other[k] for j, other in enumerate(rows.tolist()) if j != i) for k in range(len(row))]
        length = math.sqrt(sum(value**2 for value in others))
        found.append(sum(a * b for a, b in zip(row, others, strict=True)) / length)
    return found


def test_leave_one_out_is_the_cosine_with_the_others() -> None:
    rows = people([6], 0)
    assert leave_one_out(rows) == pytest.approx(plain_leave_one_out(rows), abs=1e-9)
    # At 60° against two at 0°, and at 0° against 0° and 60°, whose mean lies at 30°.
    assert leave_one_out(plane(0, 0, 60)) == pytest.approx(
        [math.cos(math.pi / 6), math.cos(math.pi / 6), 0.5], abs=1e-6
    )
    assert leave_one_out(plane(0, 90, -90))[0] == 0


@pytest.mark.parametrize("wrong", [0, 1, 2, 3])
def test_wrong_images_go_and_right_ones_stay(wrong: int) -> None:
    for seed in range(30):
        rows = people([7, *[1] * wrong], seed)
        order = np.random.default_rng(seed).permutation(len(rows))
        found = find_outliers(rows[order], 0.4)
        planted = {place for place, row in enumerate(order) if row >= 7}
        assert {row for row, _ in found.dropped} == planted
        assert set(found.kept) == set(range(len(rows))) - planted
        assert found.doubtful == ()
        assert all(score < 0.4 for _, score in found.dropped)


def test_the_worst_goes_first_and_the_others_are_judged_without_it() -> None:
    rows = plane(0, 20, -20, 120)
    found = find_outliers(rows, 0.8)
    assert [row for row, _ in found.dropped] == [3]
    mean = plane(0).sum(axis=0) + plane(20, -20).sum(axis=0)
    assert found.dropped[0][1] == pytest.approx(float(rows[3] @ mean / np.linalg.norm(mean)), abs=1e-6)
    # With it, the one at -20° would have been below the limit too.
    assert plain_leave_one_out(rows)[2] < 0.8
    assert found.doubtful == ()


@pytest.mark.parametrize("count", range(1, 10))
def test_the_majority_always_stays(count: int) -> None:
    """Images of as many people: nothing agrees, and still more than half are kept; what is left is named."""
    rows = people([1] * count, count)
    found = find_outliers(rows, 0.9)
    assert len(found.dropped) == (count - 1) // 2
    assert 2 * len(found.kept) > count
    assert sorted([row for row, _ in found.dropped] + list(found.kept)) == list(range(count))
    left = leave_one_out(rows[list(found.kept)]) if count > 1 else np.empty(0)
    assert [score for _, score in found.doubtful] == pytest.approx(left[left < 0.9])
    assert bool(found.doubtful) == (count > 1)


def test_a_minority_of_another_person_goes_whoever_comes_first() -> None:
    for order in (1, -1):
        found = find_outliers(people([3, 2], 5)[::order], 0.4)
        assert len(found.dropped) == 2
        expected = (0, 1, 2) if order == 1 else (2, 3, 4)
        assert found.kept == expected


def test_repeats_name_the_image_that_is_kept() -> None:
    rows = plane(0, 1, 50, 2, 51, 90)
    near = math.cos(math.radians(1.5))
    repeats = find_repeats(rows, near)
    assert [(row, other) for row, other, _ in repeats] == [(1, 0), (4, 2)]  # 2° is too far from the one kept
    assert [score for _, _, score in repeats] == pytest.approx([math.cos(math.radians(1))] * 2, abs=1e-6)
    assert find_repeats(rows[:1], 0.5) == ()


def test_the_least_alike_two() -> None:
    rows = people([5], 3)
    pairs = [
        math.fsum(float(a) * float(b) for a, b in zip(rows[i], rows[j], strict=True))
        for i in range(5)
        for j in range(i)
    ]
    assert least_alike(rows) == pytest.approx(min(pairs), abs=1e-9)
    assert least_alike(rows[:1]) == 1
