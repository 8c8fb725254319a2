from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tiny_model

from fedfr_edge.errors import (
    AlignmentError,
    FedFRError,
    GalleryError,
    ImageError,
    ModelError,
    ModelMismatchError,
    NoFaceError,
    SeveralFacesError,
    VisionError,
)
from fedfr_edge.recognition.capture import Gate, Reason, capture
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.enrolment import enrol
from fedfr_edge.recognition.gallery import Gallery, Person
from fedfr_edge.recognition.login import Decision, login, operating_threshold
from fedfr_edge.recognition.template import make_template
from fedfr_edge.types import Face, Image
from fedfr_edge.vision.align import TEMPLATE

T = 0.9


class Marked:
    """A detector that reads its faces off the photograph's first row: see :func:`photo`."""

    name = "marked"

    def detect(self, image: Image) -> list[Face]:
        faces = []
        for index in range(int(image[0, 0, 0])):
            offset = np.float32(index * 112)
            box = np.array([offset, 0, offset + 112, 112], np.float32)
            faces.append(Face(box, np.add(TEMPLATE, [offset, 0]).astype(np.float32), 0.9))
        return faces


class Flat:
    """A detector whose landmarks coincide."""

    name = "flat"

    def detect(self, image: Image) -> list[Face]:
        return [Face(np.array([0, 0, 9, 9], np.float32), np.full((5, 2), 5, np.float32), 0.9)]


def photo(*faces: np.ndarray) -> Image:
    """Aligned faces side by side; its first pixel tells :class:`Marked` how many there are."""
    image = np.concatenate(faces, axis=1) if faces else np.zeros((112, 112, 3), np.uint8)
    image = image.copy()
    image[0, 0] = len(faces)
    return image


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> OnnxEncoder:
    return OnnxEncoder(tiny_model.write(tmp_path_factory.mktemp("model") / "m.onnx"), threads=1)


@pytest.fixture
def gallery(encoder: OnnxEncoder) -> Gallery:
    return Gallery(encoder.digest, encoder.dim)


ANA, BEN, STRANGER = tiny_model.faces(3)


def enrol_one(name: str, image: Image, encoder: OnnxEncoder, gallery: Gallery) -> Person:
    return enrol(
        [("x", image)], name=name, encoder=encoder, gallery=gallery, detector=Marked(), threshold=T
    ).person


def test_enrolled_people_are_accepted_and_strangers_are_not(encoder: OnnxEncoder, gallery: Gallery) -> None:
    ana = enrol_one("Ana", photo(ANA), encoder, gallery)
    enrol_one("Ben", photo(BEN), encoder, gallery)
    yes = login(photo(ANA), encoder=encoder, gallery=gallery, detector=Marked(), threshold=T)
    assert (yes.accepted, yes.reason, yes.person, yes.faces_seen) == (True, Reason.ACCEPTED, ana, 1)
    assert yes.score == pytest.approx(1, abs=1e-5)
    no = login(photo(STRANGER), encoder=encoder, gallery=gallery, detector=Marked(), threshold=T)
    assert (no.accepted, no.reason, no.person) == (False, Reason.NOT_RECOGNISED, None)
    assert no.score is not None
    assert no.score < T


def test_the_score_is_the_cosine_of_the_two_embeddings(encoder: OnnxEncoder, gallery: Gallery) -> None:
    enrol_one("Ana", photo(ANA), encoder, gallery)
    decision = login(BEN, encoder=encoder, gallery=gallery, detector=None, threshold=T)
    a, b = encoder.embed(np.stack([capture(photo(ANA), Marked(), several="refuse").face, BEN]))
    assert decision.score == pytest.approx(float(a.astype(np.float64) @ b), abs=1e-6)


def test_a_claim_is_checked_against_that_person_only(encoder: OnnxEncoder, gallery: Gallery) -> None:
    ana = enrol_one("Ana", photo(ANA), encoder, gallery)
    enrol_one("Ben", photo(BEN), encoder, gallery)

    def as_(claim: str) -> Decision:
        return login(
            photo(ANA), encoder=encoder, gallery=gallery, detector=Marked(), threshold=T, claim=claim
        )

    assert as_("Ana").person == as_(ana.id).person == ana
    assert as_("Ben").reason is Reason.NOT_RECOGNISED
    assert as_("Eve").reason is Reason.NOT_ENROLLED


def test_login_takes_the_central_face_and_says_how_many_it_saw(
    encoder: OnnxEncoder, gallery: Gallery
) -> None:
    ana = enrol_one("Ana", photo(ANA), encoder, gallery)
    crowd = photo(STRANGER, ANA, BEN)
    decision = login(crowd, encoder=encoder, gallery=gallery, detector=Marked(), threshold=T)
    assert (decision.person, decision.faces_seen) == (ana, 3)


@pytest.mark.parametrize(
    ("image", "detector", "gate", "reason"),
    [
        (photo(), Marked(), None, Reason.NO_FACE),
        (photo(ANA), Flat(), None, Reason.NOT_ALIGNABLE),
        (photo(ANA), Marked(), lambda image, face, aligned: "too dark", Reason.LOW_QUALITY),
    ],
)
def test_a_photograph_that_cannot_be_compared_is_refused_with_its_reason(
    encoder: OnnxEncoder, gallery: Gallery, image: Image, detector: Marked, gate: Gate, reason: Reason
) -> None:
    enrol_one("Ana", photo(ANA), encoder, gallery)
    decision = login(image, encoder=encoder, gallery=gallery, detector=detector, threshold=-1.0, gate=gate)
    assert (decision.accepted, decision.reason, decision.score) == (False, reason, None)
    assert decision.detail


def test_an_empty_gallery_accepts_nobody(encoder: OnnxEncoder, gallery: Gallery) -> None:
    decision = login(photo(ANA), encoder=encoder, gallery=gallery, detector=Marked(), threshold=-1.0)
    assert (decision.accepted, decision.reason) == (False, Reason.EMPTY_GALLERY)


def test_reason_codes_are_stable() -> None:
    assert {reason.value for reason in Reason} == {
        *("accepted", "not_recognised", "not_enrolled", "empty_gallery", "no_face", "several_faces"),
        *("low_quality", "not_alignable", "not_live", "unreadable", "locked", "other_factor"),
    }


def test_another_models_gallery_is_an_error(tmp_path: Path, encoder: OnnxEncoder, gallery: Gallery) -> None:
    enrol_one("Ana", photo(ANA), encoder, gallery)
    other = OnnxEncoder(tiny_model.write(tmp_path / "other.onnx", seed=1), threads=1)
    with pytest.raises(ModelMismatchError):
        login(photo(ANA), encoder=other, gallery=gallery, detector=Marked(), threshold=-1.0)
    with pytest.raises(ModelMismatchError):
        enrol_one("Ben", photo(BEN), other, gallery)
    assert len(gallery) == 1


def test_a_threshold_that_is_no_number_accepts_nobody(encoder: OnnxEncoder, gallery: Gallery) -> None:
    enrol_one("Ana", photo(ANA), encoder, gallery)
    for bad in (float("nan"), float("-inf")):
        with pytest.raises(ModelError, match="threshold"):
            login(photo(ANA), encoder=encoder, gallery=gallery, detector=Marked(), threshold=bad)


def test_enrolment_averages_what_it_can_use_and_lists_the_rest(
    encoder: OnnxEncoder, gallery: Gallery
) -> None:
    similar = np.clip(ANA.astype(int) + 10, 0, 255).astype(np.uint8)
    seen: list[tuple[str, int, int]] = []
    result = enrol(
        [
            ("good", ANA),
            ("bad", ImageError("bad is no image")),
            ("good too", similar),
        ],
        name="Ana",
        encoder=encoder,
        gallery=gallery,
        detector=None,
        threshold=T,
        progress=lambda *step: seen.append(step),
    )
    assert result.used == ("good", "good too")
    assert result.skipped == (("bad", Reason.UNREADABLE, "bad is no image"),)
    assert result.remarks == ()
    expected = make_template(encoder.embed(np.stack([ANA, similar])), encoder.digest)
    assert np.array_equal(gallery.template_of(result.person).vector, expected.vector)
    assert seen[-1] == ("photographs", 3, 3)


def test_enrolment_skips_photographs_of_several_people(encoder: OnnxEncoder, gallery: Gallery) -> None:
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


def test_enrolment_of_nothing_or_of_a_taken_name(encoder: OnnxEncoder, gallery: Gallery) -> None:
    with pytest.raises(GalleryError, match="no photographs"):
        enrol([], name="Ana", encoder=encoder, gallery=gallery, detector=None)
    ana = enrol_one("Ana", photo(ANA), encoder, gallery)
    with pytest.raises(GalleryError, match="--replace"):
        enrol_one("Ana", photo(BEN), encoder, gallery)
    assert gallery.people == (ana,)
    result = enrol([("b", BEN)], name="Ana", encoder=encoder, gallery=gallery, detector=None, replace=True)
    assert gallery.people == (result.person,)
    assert login(BEN, encoder=encoder, gallery=gallery, detector=None, threshold=T).accepted
    assert not login(ANA, encoder=encoder, gallery=gallery, detector=None, threshold=T).accepted


def test_enrolment_remarks_on_doubtful_photographs(encoder: OnnxEncoder, gallery: Gallery) -> None:
    enrol_one("Ana", photo(ANA), encoder, gallery)
    mixed = enrol(
        [("1", BEN), ("2", BEN), ("3", STRANGER)],
        name="Ben",
        encoder=encoder,
        gallery=gallery,
        detector=None,
        threshold=T,
    )
    assert any("lowest: 3" in text for text in mixed.remarks)
    twin = enrol([("a", ANA)], name="Twin", encoder=encoder, gallery=gallery, detector=None, threshold=T)
    assert any("'Ana'" in text for text in twin.remarks)


def test_aligned_images_must_be_aligned(encoder: OnnxEncoder, gallery: Gallery) -> None:
    enrol_one("Ana", photo(ANA), encoder, gallery)
    with pytest.raises(ImageError, match="--aligned"):
        login(photo(ANA, BEN), encoder=encoder, gallery=gallery, detector=None, threshold=T)


def test_the_operating_threshold_is_the_models_own(encoder: OnnxEncoder, tmp_path: Path) -> None:
    assert operating_threshold(encoder.manifest).threshold == 0.90
    assert operating_threshold(encoder.manifest, 1e-4).threshold == 0.95
    with pytest.raises(ModelError, match=r"2e-3 \(it has: 1e-2, 1e-3, 1e-4\)"):
        operating_threshold(encoder.manifest, 2e-3)
    mild = dataclasses.replace(encoder.manifest, thresholds=encoder.manifest.thresholds[:1])
    assert operating_threshold(mild).far == mild.thresholds[0].far > 1e-3
    bare = OnnxEncoder(tiny_model.write(tmp_path / "m.onnx", thresholds=()), threads=1)
    with pytest.raises(ModelError, match=r"it has: none"):
        operating_threshold(bare.manifest)
