"""The exact search against all products in float64, also where float32 and 8 bits cannot tell rows apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedfr_edge.errors import GalleryError, MissingPartError
from fedfr_edge.recognition import search
from fedfr_edge.recognition.search import ExactSearch

Vectors = npt.NDArray[np.float32]


def unit(values: npt.NDArray[np.floating]) -> Vectors:
    return np.asarray(values / np.linalg.norm(values, axis=-1, keepdims=True), dtype=np.float32)


def every_product(rows: Vectors, probe: Vectors) -> npt.NDArray[np.float64]:
    """Row by row: equal rows give equal products, which a matrix product does not promise."""
    return np.array([(row.astype(np.float64) * probe).sum() for row in rows])


@pytest.fixture(params=["float32", "8 bits"])
def from_the_first(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether searches after the first use 8 bits, however few the rows."""
    eight = request.param == "8 bits"
    monkeypatch.setattr(search, "LARGE", 1 if eight else 10**9)
    return eight


def check(rows: Vectors, *probes: Vectors) -> ExactSearch:
    searched = ExactSearch(rows)
    searched.best(probes[0])  # the 8-bit rows are made for the second search
    for probe in probes:
        products = every_product(rows, probe)
        row, score = searched.best(probe)
        assert row == int(np.argmax(products))
        assert score == products[row]
    return searched


def test_random_people_and_strangers(from_the_first: bool) -> None:
    draw = np.random.default_rng(0)
    rows = unit(draw.standard_normal((3000, 512)))
    strangers = unit(draw.standard_normal((10, 512)))
    known = unit(rows[:10] + 0.06 * draw.standard_normal((10, 512)))
    searched = check(rows, *strangers, *known)
    assert (searched._index is not None) == from_the_first


@pytest.mark.usefixtures("from_the_first")
def test_rows_that_differ_in_the_last_bit() -> None:
    """Float32 sums and 8 bits cannot tell them apart; equal ones give the first."""
    draw = np.random.default_rng(1)
    probe = unit(draw.standard_normal(512))
    rows = np.repeat(probe[None], 400, axis=0)
    for row in range(1, 400):
        place = draw.integers(512)
        rows[row, place] = np.nextafter(rows[row, place], np.float32(draw.choice([-1, 1])))
    rows[[7, 100, 300]] = rows[0]
    check(rows, probe, unit(probe + 0.1 * draw.standard_normal(512)), -probe)


@pytest.mark.usefixtures("from_the_first")
def test_all_scores_negative_and_one_template() -> None:
    draw = np.random.default_rng(2)
    probe = unit(draw.standard_normal(64))
    rows = unit(0.3 * draw.standard_normal((500, 64)) - 2 * probe)
    assert ExactSearch(rows).best(probe)[1] < 0
    check(rows, probe)
    check(rows[:1], probe, rows[0], -rows[0])


@pytest.mark.usefixtures("from_the_first")
def test_rows_that_eight_bits_hold_badly() -> None:
    """One value of a row is large, all others fall below a step of it."""
    draw = np.random.default_rng(3)
    rows = 0.003 * draw.standard_normal((300, 256))
    rows[np.arange(300), draw.integers(0, 256, 300)] = 1
    rows = unit(rows)
    spike = np.zeros(256, np.float32)
    spike[5] = 1
    check(rows, unit(0.003 * draw.standard_normal(256) + spike), spike, np.zeros(256, np.float32), rows[8])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 60),
    dim=st.integers(1, 40),
    steps=st.sampled_from([1, 3, 1000]),
    large=st.sampled_from([1, 10**9]),
)
def test_any_rows(seed: int, count: int, dim: int, steps: int, large: int) -> None:
    """Few steps make many ties."""
    draw = np.random.default_rng(seed)
    rows = draw.integers(-steps, steps + 1, (count, dim)).astype(np.float32) / np.float32(steps)
    probe = draw.integers(-steps, steps + 1, dim).astype(np.float32) / np.float32(steps)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "LARGE", large)
        check(rows, probe)


def test_bounds_hold_for_every_row() -> None:
    """Not only the winner's: the worst error comes near the bound, never above."""
    draw = np.random.default_rng(4)
    rows = unit(draw.standard_normal((2000, 512)))
    index = search._Index(rows)
    probe = unit(draw.standard_normal(512)).astype(np.float64)
    estimates, bound = index.estimate(probe, float(np.linalg.norm(probe)))
    worst = float(np.abs(estimates - rows.astype(np.float64) @ probe).max())
    assert bound / 100 < worst <= bound + 1e-6
    assert bound < 0.04


def test_without_onnxruntime_it_stays_with_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def missing(*_: object, **__: object) -> None:
        asked.append(1)
        raise MissingPartError("no onnxruntime")

    monkeypatch.setattr(search, "LARGE", 1)
    monkeypatch.setattr("fedfr_edge.vision.runtime.open_session", missing)
    draw = np.random.default_rng(5)
    rows = unit(draw.standard_normal((50, 32)))
    assert check(rows, *rows[:3])._index is None
    assert len(asked) == 1


def test_refuses_what_is_no_template() -> None:
    rows = unit(np.random.default_rng(6).standard_normal((4, 8)))
    for bad in (rows[:0], rows[0], rows.astype(np.float64), rows * np.float32(np.nan)):
        with pytest.raises(GalleryError):
            ExactSearch(bad)
    for probe in (rows[0, :7], rows[0].astype(np.float64), rows[0] * np.float32(np.inf)):
        with pytest.raises(GalleryError):
            ExactSearch(rows).best(probe)
