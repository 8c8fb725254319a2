"""From photographs to a gallery entry: what is used, what is left out and why, who is too like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_model
from marked import Flat, Marked, photo

from fedfr_edge.errors import (
    AlignmentError,
    ConfigError,
    FedFRError,
    GalleryError,
    ImageError,
    ModelMismatchError,
    NoFaceError,
    SeveralFacesError,
    VisionError,
)
from fedfr_edge.recognition.capture import Gate, Reason
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.enrol_policy import EnrolPolicy, policy_for
from fedfr_edge.recognition.enrolment import Enrolment, enrol, gather
from fedfr_edge.recognition.gallery import Gallery
from fedfr_edge.recognition.proposal import Looks, propose
from fedfr_edge.recognition.template import make_template
from fedfr_edge.types import Image

T = 0.9
ANA, BEN, STRANGER, OTHER = tiny_model.faces(4)
MODEL = "a" * 64


def looks_like(face: np.ndarray, seed: int, noise: int = 110) -> np.ndarray:
    """Another picture of the same: cosines of about 0.7 to it, under the limit of a repeat."""
    change = np.random.default_rng(seed).integers(-noise, noise + 1, (14, 14, 3)).repeat(8, 0).repeat(8, 1)
    return np.clip(face.astype(int) + change, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> OnnxEncoder:
    return OnnxEncoder(tiny_model.write(tmp_path_factory.mktemp("model") / "m.onnx"), threads=1)


@pytest.fixture(scope="module")
def personal(tmp_path_factory: pytest.TempPathFactory) -> OnnxEncoder:
    path = tmp_path_factory.mktemp("model") / "p.onnx"
    return OnnxEncoder(tiny_model.write(path, personal=True), threads=1)


@pytest.fixture
def gallery(encoder: OnnxEncoder) -> Gallery:
    return Gallery(encoder.digest, encoder.dim)


def enrolled(encoder: OnnxEncoder, gallery: Gallery, name: str, *faces: np.ndarray, **more: Any) -> Enrolment:
    photos = [(str(number), face) for number, face in enumerate(faces)]
    return enrol(photos, name=name, encoder=encoder, gallery=gallery, detector=None, **more)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def looks_of(rows: np.ndarray) -> Looks:
    return Looks(tuple(f"{number}.jpg" for number in range(len(rows))), rows, None, MODEL)


def person(seed: int, count: int, dim: int = 64) -> np.ndarray:
    """Cosine about 0.8 within a person, about 0 between two."""
    centre = unit(np.random.default_rng(seed).normal(size=(1, dim)))
    return unit(centre + 0.5 * unit(np.random.default_rng(1000 + seed).normal(size=(count, dim))))


# --- photographs -------------------------------------------------------------------------------


def test_it_averages_what_it_can_use_and_lists_the_rest(encoder: OnnxEncoder, gallery: Gallery) -> None:
    similar = looks_like(ANA, 1)
    seen: list[tuple[str, int, int]] = []
    result = enrol(
        [("good", ANA), ("bad", ImageError("bad is no image")), ("good too", similar)],
        name=" Ana ",
        encoder=encoder,
        gallery=gallery,
        detector=None,
        policy=EnrolPolicy(),
        progress=lambda *step: seen.append(step),
    )
    assert (result.name, result.used) == ("Ana", ("good", "good too"))
    assert result.skipped == (("bad", Reason.UNREADABLE, "bad is no image"),)
    assert (result.dropped, result.too_like, result.remarks, result.added_to) == ((), (), (), None)
    expected = make_template(encoder.embed(np.stack([ANA, similar])), encoder.digest)
    assert result.person is not None
    assert np.array_equal(gallery.template_of(result.person).vector, expected.vector)
    assert gallery.template_of(result.person).backbone is None
    assert seen[-1] == ("photographs", 3, 3)


def test_photographs_of_several_people_are_skipped(encoder: OnnxEncoder, gallery: Gallery) -> None:
    result = enrol(
        [("crowd", photo(ANA, BEN)), ("alone", photo(ANA)), ("empty", photo())],
        name="Ana",
        encoder=encoder,
        gallery=gallery,
        detector=Marked(),
    )
    assert result.used == ("alone",)
    assert [(name, reason.value) for name, reason, _ in result.skipped] == [
        ("crowd", "several_faces"),
        ("empty", "no_face"),
    ]
    assert any("single image" in text for text in result.remarks)


@pytest.mark.parametrize(
    ("item", "detector", "gate", "error"),
    [
        (photo(), Marked(), None, NoFaceError),
        (photo(ANA, BEN), Marked(), None, SeveralFacesError),
        (photo(ANA), Flat(), None, AlignmentError),
        (photo(ANA), Marked(), lambda *_: "blurred", VisionError),
        (ImageError("cannot be decoded"), Marked(), None, ImageError),
    ],
)
def test_without_a_usable_photograph_nobody_is_enrolled(
    encoder: OnnxEncoder,
    gallery: Gallery,
    item: Image | FedFRError,
    detector: Marked,
    gate: Gate,
    error: type[FedFRError],
) -> None:
    with pytest.raises(error, match=r"p\.jpg.*nobody was enrolled"):
        enrol([("p.jpg", item)], name="Ana", encoder=encoder, gallery=gallery, detector=detector, gate=gate)
    assert len(gallery) == 0


def test_a_personal_model_gives_templates_in_both_spaces(personal: OnnxEncoder) -> None:
    gallery = Gallery(personal.digest, personal.dim)
    faces = np.stack([ANA, looks_like(ANA, 1)])
    done = enrolled(personal, gallery, "Ana", *faces)
    backbone, own = personal.embed_both(faces)
    expected = make_template(own, personal.digest, backbone=backbone)
    assert done.template.backbone is not None
    assert expected.backbone is not None
    assert np.array_equal(done.template.vector, expected.vector)
    assert np.array_equal(done.template.backbone, expected.backbone)
    assert not np.allclose(done.template.vector, done.template.backbone, atol=0.1)


# --- the name is taken -------------------------------------------------------------------------


def test_nothing_or_a_taken_name(encoder: OnnxEncoder, gallery: Gallery) -> None:
    with pytest.raises(GalleryError, match="no photographs"):
        enrolled(encoder, gallery, "Ana")
    with pytest.raises(GalleryError, match="nobody called 'Ana'"):
        enrolled(encoder, gallery, "Ana", ANA, existing="add")
    ana = enrolled(encoder, gallery, "Ana", ANA).person
    with pytest.raises(GalleryError, match=r"--add.*--replace"):
        enrolled(encoder, gallery, "Ana", BEN)
    assert ana is not None
    with pytest.raises(GalleryError, match="nobody called"):  # an id is no name
        enrolled(encoder, gallery, ana.id, ANA, existing="add")
    assert gallery.people == (ana,)
    result = enrolled(encoder, gallery, "Ana", BEN, existing="replace")
    assert gallery.people == (result.person,)
    assert result.template.vector == pytest.approx(encoder.embed(BEN[None])[0], abs=1e-6)


@pytest.mark.parametrize("combine", ["mean", "robust", "all"])
def test_added_images_count_with_the_old_ones(encoder: OnnxEncoder, gallery: Gallery, combine: Any) -> None:
    faces = [ANA, *(looks_like(ANA, seed) for seed in range(5))]
    policy = EnrolPolicy(combine=combine, outlier=0.2)
    before = enrolled(encoder, gallery, "Ana", *faces[:3], policy=policy).person
    done = enrolled(encoder, gallery, "Ana", *faces[3:], policy=policy, existing="add")
    assert done.added_to == before
    assert gallery.people == (done.person,)
    assert done.person is not None
    assert before is not None
    assert done.person.id != before.id
    assert done.person.images == 6
    at_once = make_template(encoder.embed(np.stack(faces)), encoder.digest, combine=combine)
    if combine == "robust":  # medians of batches are averaged: near, but not the same
        assert float(done.template.vector @ at_once.vector) > 0.97
    else:
        assert done.template.vector == pytest.approx(at_once.vector, abs=1e-6)
        assert done.template.rows == pytest.approx(at_once.rows, abs=1e-6)


def test_somebody_else_cannot_be_added_by_being_many(encoder: OnnxEncoder, gallery: Gallery) -> None:
    ana = enrolled(encoder, gallery, "Ana", ANA, looks_like(ANA, 1), looks_like(ANA, 2)).person
    policy = EnrolPolicy(outlier=0.4)
    strangers = [looks_like(STRANGER, seed) for seed in range(8)]
    with pytest.raises(
        GalleryError, match=r"8 of 9 images do not look like the 'Ana' .*limit 0\.400.*nothing"
    ):
        enrolled(encoder, gallery, "Ana", looks_like(ANA, 3), *strangers, policy=policy, existing="add")
    assert gallery.people == (ana,)
    mixed = [looks_like(ANA, 3), strangers[0], looks_like(ANA, 4)]
    done = enrolled(encoder, gallery, "Ana", *mixed, policy=policy, existing="add")
    assert [(each.label, each.code) for each in done.dropped] == [("1", "unlike_the_enrolled")]
    assert ana is not None
    assert done.template.images == ana.images + 2


def test_images_added_without_a_limit_are_remarked(encoder: OnnxEncoder, gallery: Gallery) -> None:
    ana = enrolled(encoder, gallery, "Ana", ANA).template
    found = float((encoder.embed(STRANGER[None]) @ ana.vector)[0])
    done = enrolled(encoder, gallery, "Ana", STRANGER, policy=EnrolPolicy(outlier=None), existing="add")
    assert any(f"lowest cosine {found:.3f}" in text for text in done.remarks)


def test_an_image_that_is_kept_already_is_not_added_again(encoder: OnnxEncoder, gallery: Gallery) -> None:
    policy = EnrolPolicy(combine="all")
    enrolled(encoder, gallery, "Ana", ANA, looks_like(ANA, 1), policy=policy)
    done = enrolled(
        encoder, gallery, "Ana", looks_like(ANA, 1), looks_like(ANA, 2), policy=policy, existing="add"
    )
    assert [(each.label, each.code) for each in done.dropped] == [("0", "repeated")]
    assert done.template.images == 3
    with pytest.raises(GalleryError, match=r"all 1 images are among those of 'Ana' already"):
        enrolled(encoder, gallery, "Ana", ANA, policy=policy, existing="add")


# --- left out ----------------------------------------------------------------------------------


def test_an_image_of_somebody_else_is_left_out_and_named() -> None:
    rows = np.concatenate([person(1, 4), person(2, 1)])
    gallery = Gallery(MODEL, 64)
    done = propose(looks_of(rows), name="Ana", gallery=gallery, policy=EnrolPolicy(outlier=0.4))
    assert done.used == ("0.jpg", "1.jpg", "2.jpg", "3.jpg")
    (left_out,) = done.dropped
    mean = rows[:4].astype(np.float64).sum(axis=0)
    assert (left_out.label, left_out.code, left_out.limit) == ("4.jpg", "unlike_the_others", 0.4)
    assert left_out.score == pytest.approx(float(rows[4] @ mean / np.linalg.norm(mean)), abs=1e-6)
    assert f"cosine {left_out.score:.3f}, below 0.400" in left_out.text
    assert np.array_equal(done.template.vector, make_template(rows[:4], MODEL).vector)
    assert len(gallery) == 0  # proposing changes nothing
    kept = propose(looks_of(rows), name="Ana", gallery=gallery, policy=EnrolPolicy())
    assert (kept.template.images, kept.dropped) == (5, ())


def test_the_majority_stays_and_what_is_doubtful_is_said() -> None:
    rows = np.concatenate([person(seed, 1) for seed in range(5)])
    done = propose(looks_of(rows), name="Ana", gallery=Gallery(MODEL, 64), policy=EnrolPolicy(outlier=0.6))
    assert len(done.dropped) == 2
    assert len(done.used) == 3
    assert any(text.startswith("3 of 3 images kept are unlike the others too") for text in done.remarks)


def test_the_same_photograph_counts_once() -> None:
    rows = person(1, 3)
    doubled = np.concatenate([rows, rows[:1]])
    done = propose(looks_of(doubled), name="Ana", gallery=Gallery(MODEL, 64), policy=EnrolPolicy())
    assert [(each.label, each.code, each.other) for each in done.dropped] == [("3.jpg", "repeated", "0.jpg")]
    assert "0.jpg again" in done.dropped[0].text
    assert np.array_equal(done.template.vector, make_template(rows, MODEL).vector)


def test_images_that_are_all_alike_are_remarked() -> None:
    near = unit(person(1, 1) + 0.3 * unit(np.random.default_rng(0).normal(size=(4, 64))))
    lowest = min(float(a @ b) for a in near for b in near)
    policy = EnrolPolicy(alike=0.8)
    assert 0.8 < lowest < policy.repeat
    done = propose(looks_of(near), name="Ana", gallery=Gallery(MODEL, 64), policy=policy)
    assert any(f"all images look alike (lowest cosine of two {lowest:.3f}" in text for text in done.remarks)
    other = propose(looks_of(person(1, 4)), name="Ana", gallery=Gallery(MODEL, 64), policy=policy)
    assert other.remarks == ()


def test_images_that_a_login_would_refuse_are_remarked() -> None:
    rows = np.concatenate([person(1, 4), person(2, 1)])
    done = propose(looks_of(rows), name="Ana", gallery=Gallery(MODEL, 64), policy=EnrolPolicy(threshold=0.5))
    assert any(
        text.startswith("1 of 5 images would not be accepted") and "lowest: 4.jpg" in text
        for text in done.remarks
    )


# --- too like ----------------------------------------------------------------------------------


def test_somebody_too_like_is_reported_in_both_directions() -> None:
    gallery = Gallery(MODEL, 64)
    twins = person(1, 9)
    ben = gallery.add("Ben", make_template(twins[:5], MODEL, combine="all"))
    gallery.add("Eve", make_template(person(2, 3), MODEL))
    new = np.concatenate([twins[5:], person(3, 1)])
    done = propose(looks_of(new), name="Ana", gallery=gallery, policy=EnrolPolicy(threshold=0.6))
    (like,) = done.too_like
    assert like.person == ben
    per_image = [max(float(a.astype(np.float64) @ b) for b in twins[:5]) for a in new]
    assert like.accepted == sum(score >= 0.6 for score in per_image)
    assert like.images == 5
    assert 0 < like.accepted < 5
    assert like.as_them == pytest.approx(max(per_image), abs=1e-6)
    mean = new.astype(np.float64).sum(axis=0)
    mean /= np.linalg.norm(mean)
    assert like.as_new == pytest.approx(max(float(row @ mean) for row in twins[:5]), abs=1e-6)
    assert like.threshold == 0.6
    assert like.text in done.remarks
    assert "'Ben'" in like.text
    # Ben's own images added to Ben are no finding, and without a threshold there is none.
    added = propose(
        looks_of(twins[5:]),
        name="Ben",
        gallery=gallery,
        policy=EnrolPolicy(threshold=0.6, combine="all"),
        existing="add",
    )
    assert added.too_like == ()
    assert propose(looks_of(new), name="Ana", gallery=gallery, policy=EnrolPolicy()).too_like == ()


def test_the_most_alike_comes_first() -> None:
    gallery = Gallery(MODEL, 64)
    rows = person(1, 6)
    gallery.add("Far", make_template(np.concatenate([rows[:1], person(2, 1)]), MODEL))
    gallery.add("Near", make_template(rows[1:3], MODEL))
    done = propose(looks_of(rows[3:]), name="Ana", gallery=gallery, policy=EnrolPolicy(threshold=0.3))
    assert [each.person.name for each in done.too_like] == ["Near", "Far"]


def test_of_many_too_like_three_are_told_and_the_rest_counted() -> None:
    gallery = Gallery(MODEL, 64)
    rows = person(1, 9)
    for number in range(5):
        gallery.add(f"Twin {number}", make_template(rows[number : number + 1], MODEL))
    done = propose(looks_of(rows[5:]), name="Ana", gallery=gallery, policy=EnrolPolicy(threshold=0.3))
    assert len(done.too_like) == 5
    told = [remark for remark in done.remarks if remark.startswith("hard to tell from")]
    assert told == [
        *(each.text for each in done.too_like[:3]),
        "hard to tell from 2 more of those enrolled, too",
    ]


# --- policy ------------------------------------------------------------------------------------


def test_the_limits_come_from_the_models_calibration(encoder: OnnxEncoder, tmp_path: Path) -> None:
    policy = policy_for(encoder.manifest)
    assert (policy.outlier, policy.combine, policy.threshold) == (0.80, "mean", None)
    assert policy_for(encoder.manifest, drop_outliers=False).outlier is None
    bare = OnnxEncoder(tiny_model.write(tmp_path / "m.onnx", thresholds=()), threads=1)
    assert policy_for(bare.manifest).outlier is None


@pytest.mark.parametrize("what", ["outlier", "repeat", "alike", "threshold"])
def test_limits_are_cosines(what: str) -> None:
    for value in (1.5, -2.0, float("nan")):
        with pytest.raises(ConfigError, match=what):
            EnrolPolicy(**{what: value})


def test_another_models_gallery_is_refused(encoder: OnnxEncoder) -> None:
    with pytest.raises(ModelMismatchError):
        enrolled(encoder, Gallery("b" * 64, encoder.dim), "Ana", ANA)


def test_gathering_needs_no_gallery(encoder: OnnxEncoder) -> None:
    looks, skipped = gather([("a", ANA), ("b", ImageError("no")), ("c", BEN)], encoder=encoder, detector=None)
    assert looks.labels == ("a", "c")
    assert np.array_equal(looks.embeddings, encoder.embed(np.stack([ANA, BEN])))
    assert [label for label, _, _ in skipped] == ["b"]
