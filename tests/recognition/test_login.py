from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_model
from marked import Flat, Marked, photo

from fedfr_edge.errors import (
    ConfigError,
    ImageError,
    ModelError,
    ModelMismatchError,
)
from fedfr_edge.recognition.capture import Gate, Reason, capture
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.enrolment import enrol
from fedfr_edge.recognition.gallery import Gallery, Person
from fedfr_edge.recognition.login import Decision, LoginPolicy, login, operating_threshold
from fedfr_edge.types import Image

T = 0.9
POLICY = LoginPolicy(threshold=T)
EVERYBODY = LoginPolicy(threshold=-1.0)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> OnnxEncoder:
    return OnnxEncoder(tiny_model.write(tmp_path_factory.mktemp("model") / "m.onnx"), threads=1)


@pytest.fixture
def gallery(encoder: OnnxEncoder) -> Gallery:
    return Gallery(encoder.digest, encoder.dim)


ANA, BEN, STRANGER = tiny_model.faces(3)


def enrol_one(name: str, image: Image, encoder: OnnxEncoder, gallery: Gallery) -> Person:
    enrolled = enrol([("x", image)], name=name, encoder=encoder, gallery=gallery, detector=Marked())
    assert enrolled.person is not None
    return enrolled.person


def test_enrolled_people_are_accepted_and_strangers_are_not(encoder: OnnxEncoder, gallery: Gallery) -> None:
    ana = enrol_one("Ana", photo(ANA), encoder, gallery)
    enrol_one("Ben", photo(BEN), encoder, gallery)
    yes = login(photo(ANA), encoder=encoder, gallery=gallery, detector=Marked(), policy=POLICY)
    assert (yes.accepted, yes.reason, yes.person, yes.faces_seen) == (True, Reason.ACCEPTED, ana, 1)
    assert yes.score == pytest.approx(1, abs=1e-5)
    no = login(photo(STRANGER), encoder=encoder, gallery=gallery, detector=Marked(), policy=POLICY)
    assert (no.accepted, no.reason, no.person) == (False, Reason.NOT_RECOGNISED, None)
    assert no.score is not None
    assert no.score < T


def test_the_score_is_the_cosine_of_the_two_embeddings(encoder: OnnxEncoder, gallery: Gallery) -> None:
    enrol_one("Ana", photo(ANA), encoder, gallery)
    decision = login(BEN, encoder=encoder, gallery=gallery, detector=None, policy=POLICY)
    a, b = encoder.embed(np.stack([capture(photo(ANA), Marked(), several="refuse").face, BEN]))
    assert decision.score == pytest.approx(float(a.astype(np.float64) @ b), abs=1e-6)


def test_a_claim_is_checked_against_that_person_only(encoder: OnnxEncoder, gallery: Gallery) -> None:
    ana = enrol_one("Ana", photo(ANA), encoder, gallery)
    enrol_one("Ben", photo(BEN), encoder, gallery)

    def as_(claim: str) -> Decision:
        return login(
            photo(ANA), encoder=encoder, gallery=gallery, detector=Marked(), policy=POLICY, claim=claim
        )

    assert as_("Ana").person == as_(ana.id).person == ana
    assert as_("Ben").reason is Reason.NOT_RECOGNISED
    assert as_("Eve").reason is Reason.NOT_ENROLLED


def test_login_takes_the_central_face_and_says_how_many_it_saw(
    encoder: OnnxEncoder, gallery: Gallery
) -> None:
    ana = enrol_one("Ana", photo(ANA), encoder, gallery)
    crowd = photo(STRANGER, ANA, BEN)
    decision = login(crowd, encoder=encoder, gallery=gallery, detector=Marked(), policy=POLICY)
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
    policy = dataclasses.replace(EVERYBODY, quality=gate)
    decision = login(image, encoder=encoder, gallery=gallery, detector=detector, policy=policy)
    assert (decision.accepted, decision.reason, decision.score) == (False, reason, None)
    assert decision.detail


def test_an_empty_gallery_accepts_nobody(encoder: OnnxEncoder, gallery: Gallery) -> None:
    decision = login(photo(ANA), encoder=encoder, gallery=gallery, detector=Marked(), policy=EVERYBODY)
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
        login(photo(ANA), encoder=other, gallery=gallery, detector=Marked(), policy=EVERYBODY)
    with pytest.raises(ModelMismatchError):
        enrol_one("Ben", photo(BEN), other, gallery)
    assert len(gallery) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"threshold": float("-inf")}, "threshold is -inf"),
        (
            {"threshold": 0.5, "second_threshold": float("nan"), "gates": "backbone"},
            "second threshold is nan",
        ),
        ({"second_threshold": 0.5, "gates": "backbone"}, "without one for the first"),
        ({"threshold": 0.5, "second_threshold": 0.5}, "without a second gate"),
        ({"threshold": 0.5, "far": 1e-3}, "leave one of them away"),
        ({"threshold": 1.5}, "threshold is 1.5"),
        ({"far": 0.0}, "between 0 and 1"),
        ({"far": float("nan")}, "between 0 and 1"),
        ({"least_live": float("nan")}, "expected 0 to 1"),
        ({"frames": (0, 1)}, "0 of 1"),
        ({"frames": (3, 2)}, "3 of 2"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LoginPolicy(**settings)


def test_the_verdict_says_what_it_rests_on(encoder: OnnxEncoder, gallery: Gallery) -> None:
    enrol_one("Ana", photo(ANA), encoder, gallery)
    known: dict[str, Any] = {"encoder": encoder, "gallery": gallery, "detector": Marked()}
    own = login(photo(ANA), **known)
    assert (own.threshold, own.far, own.far_supported) == (0.90, 1e-3, True)
    assert own.rests_on == "FAR 1e-3 per comparison: 100 of 100000 non-mated comparisons of test faces"
    assert (own.model, own.provider) == (encoder.digest, "CPUExecutionProvider")
    assert own.second is None
    strict = login(photo(STRANGER), **known, policy=LoginPolicy(far=1e-4))
    assert (strict.threshold, strict.far, strict.far_supported) == (0.95, 1e-4, False)
    given = login(photo(ANA), **known, policy=POLICY)
    assert (given.threshold, given.far, given.far_supported) == (T, None, None)
    assert given.rests_on == "a threshold given"
    enrol_one("Ben", photo(BEN), encoder, gallery)
    assert login(photo(ANA), **known).rests_on == own.rests_on + "; up to 0.002 for 2 people"
    assert login(photo(ANA), **known, claim="Ana").rests_on == own.rests_on
    # Whatever the answer, these stand in it.
    for image, claim in ((photo(), None), (photo(ANA), "Eve")):
        refused = login(image, **known, claim=claim)
        assert (refused.far, refused.model, refused.provider) == (own.far, own.model, own.provider)


def test_one_photograph_cannot_show_liveness(encoder: OnnxEncoder, gallery: Gallery) -> None:
    policy = LoginPolicy(threshold=T, liveness=True)
    with pytest.raises(ConfigError, match="LoginSession"):
        login(photo(ANA), encoder=encoder, gallery=gallery, detector=Marked(), policy=policy)


def test_aligned_images_must_be_aligned(encoder: OnnxEncoder, gallery: Gallery) -> None:
    enrol_one("Ana", photo(ANA), encoder, gallery)
    with pytest.raises(ImageError, match="--aligned"):
        login(photo(ANA, BEN), encoder=encoder, gallery=gallery, detector=None, policy=POLICY)


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
