"""Templates: mean, geometric median, single faces, a second space, adding later, storing."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from fedfr_edge.errors import GalleryError, ModelMismatchError
from fedfr_edge.recognition.combine import geometric_median
from fedfr_edge.recognition.gallery import Gallery
from fedfr_edge.recognition.template import (
    Template,
    backbone_score,
    make_template,
    pack_template,
    score,
    unpack_template,
)

MODEL, OTHER = "a" * 64, "b" * 64


def cloud(count: int, dim: int = 24, seed: int = 0, spread: float = 0.8) -> np.ndarray:
    """Unit rows around a random direction, float32."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=dim) + 2 * spread * rng.normal(size=(count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def plane(*degrees: float) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def distance_sum(place: np.ndarray, points: np.ndarray, weights: np.ndarray) -> float:
    """What the geometric median minimises, one point after another."""
    total = 0.0
    for point, weight in zip(points.tolist(), weights.tolist(), strict=True):
        total += weight * math.sqrt(sum((a - b) ** 2 for a, b in zip(place.tolist(), point, strict=True)))
    return total


# --- combining ---------------------------------------------------------------------------------


def test_agreement_is_the_mean_cosine_and_for_a_mean_its_length() -> None:
    rows = cloud(7)
    template = make_template(rows, MODEL)
    cosines = [math.fsum(a * b for a, b in zip(row, template.vector.tolist(), strict=True)) for row in rows]
    assert template.agreement == pytest.approx(math.fsum(cosines) / 7, abs=1e-6)
    assert template.agreement == pytest.approx(np.linalg.norm(rows.astype(np.float64).mean(axis=0)), abs=1e-6)


def test_the_median_of_two_against_one_lies_at_the_two() -> None:
    """At the two, the pull of the third is 1, theirs up to 2: the median stays. The mean is carried off."""
    rows = plane(0, 0, 90)
    robust = make_template(rows, MODEL, combine="robust").vector
    assert robust == pytest.approx([1, 0], abs=1e-5)
    assert make_template(rows, MODEL).vector == pytest.approx([2 / math.sqrt(5), 1 / math.sqrt(5)], abs=1e-6)


def test_the_median_on_the_circle_is_what_a_search_finds() -> None:
    rows = plane(0, 10, 25, 100, 170)
    angles = np.radians(np.arange(0, 360, 0.01))
    places = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    sums = np.sqrt(((places[:, None] - rows.astype(np.float64)[None]) ** 2).sum(axis=2)).sum(axis=1)
    best = places[int(np.argmin(sums))]
    assert make_template(rows, MODEL, combine="robust").vector == pytest.approx(best, abs=3e-4)


def test_no_step_aside_shortens_the_median() -> None:
    points, weights = cloud(9, seed=3).astype(np.float64), np.array([5.0] + [1.0] * 8)
    place = geometric_median(points, weights)
    least = distance_sum(place, points, weights)
    rng = np.random.default_rng(1)
    for _ in range(200):
        aside = place + 1e-3 * rng.normal(size=place.shape)
        assert distance_sum(aside / np.linalg.norm(aside), points, weights) >= least - 1e-9
    assert np.linalg.norm(place) == pytest.approx(1, abs=1e-12)


def test_a_few_foreign_faces_move_the_median_less_than_the_mean() -> None:
    own, foreign = cloud(7, seed=1, spread=0.3), cloud(2, seed=2, spread=0.3)
    truth = make_template(own, MODEL).vector
    mixed = np.concatenate([own, foreign])
    mean, robust = (make_template(mixed, MODEL, combine=kind).vector for kind in ("mean", "robust"))
    assert 1 - truth @ robust < 0.7 * (1 - truth @ mean)


def test_faces_kept_one_by_one_are_those_faces() -> None:
    rows = cloud(5)
    template = make_template(rows, MODEL, combine="all")
    assert template.singles is not None
    assert np.array_equal(template.singles, rows)
    assert np.array_equal(template.rows, rows)
    assert np.array_equal(template.vector, make_template(rows, MODEL).vector)
    assert np.array_equal(make_template(rows, MODEL).rows, template.vector[None])


# --- scores ------------------------------------------------------------------------------------


def test_the_score_of_kept_faces_is_the_best_one() -> None:
    rows, probe = cloud(6, seed=4), make_template(cloud(1, seed=5), MODEL)
    template = make_template(rows, MODEL, combine="all")
    best = max(math.fsum(float(a) * float(b) for a, b in zip(row, probe.vector, strict=True)) for row in rows)
    assert score(template, probe) == pytest.approx(best, abs=1e-6)


def test_the_second_space_has_a_score_of_its_own() -> None:
    rows, second = cloud(4, seed=6), cloud(4, seed=7)
    template = make_template(rows, MODEL, backbone=second)
    probe = make_template(rows[:1], MODEL, backbone=second[:1])
    mean = second.astype(np.float64).sum(axis=0)
    expected = float(second[0] @ mean / np.linalg.norm(mean))
    assert backbone_score(template, probe) == pytest.approx(expected, abs=1e-6)
    assert template.backbone_agreement == pytest.approx(np.linalg.norm(mean) / 4, abs=1e-6)
    assert backbone_score(template, make_template(rows[:1], MODEL)) is None
    assert backbone_score(make_template(rows, MODEL), probe) is None
    with pytest.raises(ModelMismatchError):
        backbone_score(template, make_template(rows[:1], OTHER, backbone=second[:1]))


@pytest.mark.parametrize("combine", ["mean", "robust", "all"])
def test_one_to_one_and_one_to_many_agree_with_a_plain_search(combine: Any) -> None:
    rng = np.random.default_rng(8)
    gallery, people = Gallery(MODEL, 24), []
    for number in range(40):
        rows = cloud(int(rng.integers(1, 6)), seed=100 + number)
        kept = [make_template(rows, MODEL, combine=combine)]
        people.append((gallery.add(f"p{number}", kept[0]), kept[0]))
    for seed in range(50):
        probe = make_template(cloud(1, seed=seed), MODEL)
        scores = [
            max(float(np.dot(row.astype(np.float64), probe.vector.astype(np.float64))) for row in found.rows)
            for _, found in people
        ]
        best = int(np.argmax(scores))
        match = gallery.identify(probe, -1)
        assert match.person == people[best][0]
        assert match.score == pytest.approx(scores[best], abs=1e-6)
        assert gallery.verify(people[best][0], probe, -1).score == match.score


def test_a_gallery_checks_every_vector() -> None:
    gallery = Gallery(MODEL, 2)
    unit, long = plane(0)[0], np.array([1, 0, 0], np.float32)
    for template in (
        Template(unit, MODEL, 1, backbone=long),
        Template(unit, MODEL, 1, singles=long[None]),
    ):
        with pytest.raises(GalleryError, match=r"\(3,\)"):
            gallery.add("Ana", template)
    ana = gallery.add("Ana", Template(unit, MODEL, 1, backbone=plane(60)[0]))
    probe = Template(unit, MODEL, 1, backbone=plane(0)[0])
    assert gallery.backbone_score(ana, probe) == pytest.approx(0.5, abs=1e-6)
    with pytest.raises(ModelMismatchError):
        gallery.backbone_score(ana, Template(unit, OTHER, 1))


# --- adding later ------------------------------------------------------------------------------


def test_means_added_one_after_the_other_are_the_mean_of_all() -> None:
    rows, second = cloud(9, seed=9), cloud(9, seed=10)
    grown = None
    for start, stop in ((0, 2), (2, 3), (3, 9)):
        grown = make_template(rows[start:stop], MODEL, backbone=second[start:stop], old=grown)
    assert grown is not None
    assert grown.backbone is not None
    at_once = make_template(rows, MODEL, backbone=second)
    assert at_once.backbone is not None
    assert grown.vector == pytest.approx(at_once.vector, abs=1e-6)
    assert grown.backbone == pytest.approx(at_once.backbone, abs=1e-6)
    assert (grown.images, at_once.images) == (9, 9)
    assert grown.agreement == pytest.approx(at_once.agreement, abs=1e-6)
    assert grown.backbone_agreement == pytest.approx(at_once.backbone_agreement, abs=1e-6)


def test_faces_kept_can_be_added_to_and_made_a_mean_or_median_of() -> None:
    rows = cloud(6, seed=11)
    kept = make_template(rows[:4], MODEL, combine="all")
    more = make_template(rows[4:], MODEL, combine="all", old=kept)
    assert more.singles is not None
    assert np.array_equal(more.singles, rows)
    for combine in ("mean", "robust"):
        assert np.array_equal(
            make_template(rows[4:], MODEL, combine=combine, old=kept).vector,
            make_template(rows, MODEL, combine=combine).vector,
        )


def test_a_robust_template_weighs_as_its_images() -> None:
    """The median of three at 0° and that of three at 90°, 90° and 0°, which lies at 90°."""
    old = make_template(plane(0, 0, 0), MODEL, combine="robust")
    new = make_template(plane(90, 90, 0), MODEL, combine="robust", old=old)
    # It stands for three images of mean cosine 1, and for three of mean cosine 2/3.
    assert new.vector == pytest.approx([3 / math.sqrt(13), 2 / math.sqrt(13)], abs=1e-5)
    assert new.images == 6
    assert new.agreement == pytest.approx((4 * 3 + 2 * 2) / math.sqrt(13) / 6, abs=1e-5)


def test_what_cannot_be_added() -> None:
    rows = cloud(3)
    with pytest.raises(GalleryError, match=r"only the mean.*--replace"):
        make_template(rows, MODEL, combine="all", old=make_template(rows, MODEL))
    one = make_template(rows[:1], MODEL)  # its mean is the face itself
    assert np.array_equal(make_template(rows[1:], MODEL, combine="all", old=one).rows, rows)
    with pytest.raises(GalleryError, match="backbone"):
        make_template(rows, MODEL, backbone=rows, old=make_template(rows, MODEL))
    with pytest.raises(ModelMismatchError):
        make_template(rows, MODEL, old=make_template(rows, OTHER))


# --- storing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("combine", ["mean", "robust", "all"])
@pytest.mark.parametrize("second", [False, True])
def test_stored_and_read_again(combine: Any, second: bool) -> None:
    rows = cloud(3, seed=12)
    template = make_template(rows, MODEL, combine=combine, backbone=cloud(3, seed=13) if second else None)
    about, data = pack_template(template)
    # The layout, independently: vector, backbone, singles.
    vectors = np.frombuffer(data, "<f4").reshape(-1, 24)
    assert len(vectors) == 1 + second + (3 if combine == "all" else 0)
    assert np.array_equal(vectors[0], template.vector)
    found = unpack_template(json.loads(json.dumps(about)), data, MODEL)
    assert (found.images, found.agreement, found.backbone_agreement, found.model_digest) == (
        template.images,
        template.agreement,
        template.backbone_agreement,
        MODEL,
    )
    for one, other in ((found.backbone, template.backbone), (found.singles, template.singles)):
        assert (one is None) == (other is None)
        assert one is None or np.array_equal(one, other)


def test_format_1_had_images_and_a_vector_only() -> None:
    vector = cloud(1)[0]
    found = unpack_template({"images": 7, "name": "Ana"}, vector.astype("<f4").tobytes(), MODEL)
    assert np.array_equal(found.vector, vector)
    assert (found.images, found.agreement, found.backbone, found.singles) == (7, 1.0, None, None)


@pytest.mark.parametrize(
    "change",
    [
        {"images": 0},
        {"images": 2},
        {"images": "3"},
        {"images": True},
        {"agreement": 0.0},
        {"agreement": 2.0},
        {"agreement": float("nan")},
        {"agreement": "1"},
        {"singles": 2},
        {"singles": -1},
        {"backbone_agreement": 0.5},
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    about, data = pack_template(make_template(cloud(3), MODEL, combine="all"))
    unpack_template(about, data, MODEL)
    with pytest.raises((ValueError, TypeError)):
        unpack_template({**about, **change}, data, MODEL)


def test_vectors_that_are_no_unit_vectors_are_refused() -> None:
    about, data = pack_template(make_template(cloud(3), MODEL, combine="all"))
    for row in range(4):
        vectors = np.frombuffer(data, "<f4").reshape(4, -1).copy()
        for wrong in (2 * vectors[row], np.full_like(vectors[row], np.nan)):
            vectors[row] = wrong
            with pytest.raises(ValueError, match="no unit vector"):
                unpack_template(about, vectors.tobytes(), MODEL)
    for cut in (b"", data[:-1], data[:-4]):
        with pytest.raises(ValueError, match=r"bytes|buffer"):
            unpack_template(about, cut, MODEL)
