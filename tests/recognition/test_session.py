"""A login from frames: k of n, the second gate, what each look says."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_model
from marked import Flat, Marked, photo

from fedfr_edge.errors import ModelError, ModelMismatchError
from fedfr_edge.recognition.capture import Reason
from fedfr_edge.recognition.decision import Decision
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.frames import all_of, is_settled, k_of
from fedfr_edge.recognition.gallery import Gallery, Person
from fedfr_edge.recognition.lockout import Block
from fedfr_edge.recognition.login import LoginPolicy, login
from fedfr_edge.recognition.look import ADVICE, Look
from fedfr_edge.recognition.session import LoginSession, locked_out
from fedfr_edge.recognition.spaces import probe_of
from fedfr_edge.recognition.template import make_template
from fedfr_edge.types import Image

T = 0.9
ANA, BEN, STRANGER = tiny_model.faces(3)
PEOPLE = {"a": Person("a" * 16, "Ana", 1), "b": Person("b" * 16, "Ben", 1)}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> OnnxEncoder:
    folder = tmp_path_factory.mktemp("model")
    return OnnxEncoder(tiny_model.write(folder / "m.onnx", personal=True), threads=1)


@pytest.fixture
def gallery(encoder: OnnxEncoder) -> Gallery:
    gallery = Gallery(encoder.digest, encoder.dim)
    for name, face in (("Ana", ANA), ("Ben", BEN)):
        gallery.add(name, probe_of(encoder, face[None]))
    return gallery


def start(encoder: OnnxEncoder, gallery: Gallery, claim: str | None = None, **policy: Any) -> LoginSession:
    settings = LoginPolicy(**{"threshold": T, **policy})
    return LoginSession(encoder=encoder, gallery=gallery, detector=Marked(), policy=settings, claim=claim)


def show(session: LoginSession, *frames: Image) -> list[Look]:
    return [session.look(frame, float(time)) for time, frame in enumerate(frames)]


def answers(looks: list[Look]) -> list[bool | None]:
    return [None if look.decision is None else look.decision.accepted for look in looks]


# --- k of n ------------------------------------------------------------------------------------


def frame(what: str, score: float) -> Decision:
    person = PEOPLE.get(what)
    reason = Reason.NOT_RECOGNISED if person is None else Reason.ACCEPTED
    return Decision(person is not None, reason, person, score, T, 1, "")


@pytest.mark.parametrize(("k", "n"), [(1, 1), (1, 3), (2, 2), (2, 3), (2, 4), (3, 5), (5, 5)])
def test_every_film_of_n_frames_ends_as_the_rule_says(k: int, n: int) -> None:
    """Against the rule as it is written: at the first frame at which k agree; refused if none of all n do."""
    for film in itertools.product("ab-", repeat=n):
        scores = [0.95 - 0.01 * i if what != "-" else 0.5 - 0.01 * i for i, what in enumerate(film)]
        seen = [frame(what, score) for what, score in zip(film, scores, strict=True)]
        ended = next(i for i in range(1, n + 1) if is_settled(seen[:i], k, n))
        decision = k_of(seen[:ended], k)
        first = [i for i in range(1, n + 1) if any(film[:i].count(who) >= k for who in "ab")]
        assert decision.accepted == bool(first)
        if first:
            assert ended == first[0]
            who = film[ended - 1]  # whose k-th frame it was
            assert decision.person == PEOPLE[who]
            own = sorted((s for s, w in zip(scores, film[:ended], strict=False) if w == who), reverse=True)
            assert decision.score == own[k - 1] >= T
        else:
            assert (decision.reason, decision.person) == (Reason.NOT_RECOGNISED, None)
            assert decision.score is not None
            # Below the threshold, but where enough were recognised, as different people.
            assert (decision.score >= T) == (sum(w != "-" for w in film[:ended]) >= min(k, ended))
            # Not sooner than it was certain.
            assert any((film[: ended - 1] + tuple(who) * (n - ended + 1)).count(who) >= k for who in "ab")


def test_all_frames_must_be_the_same_person() -> None:
    assert all_of([frame("a", 0.95), frame("a", 0.92)]).score == 0.92
    assert all_of([frame("a", 0.95), frame("-", 0.5), frame("-", 0.3)]).score == 0.3
    mixed = all_of([frame("a", 0.95), frame("b", 0.92)])
    assert (mixed.accepted, mixed.reason, mixed.person) == (False, Reason.NOT_RECOGNISED, None)
    assert mixed.detail == "not the same person throughout"


def test_two_of_three_frames(encoder: OnnxEncoder, gallery: Gallery) -> None:
    looks = show(start(encoder, gallery, frames=(2, 3)), photo(ANA), photo(STRANGER), photo(ANA))
    assert answers(looks) == [None, None, True]
    assert looks[-1].decision is not None
    assert looks[-1].decision.person == gallery.find("Ana")
    looks = show(start(encoder, gallery, frames=(2, 3)), photo(STRANGER), photo(STRANGER), photo(ANA))
    assert answers(looks) == [None, False, False]  # decided once and for all
    looks = show(start(encoder, gallery, frames=(2, 3)), photo(ANA), photo(BEN), photo(STRANGER))
    assert answers(looks) == [None, None, False]
    assert looks[-1].decision is not None
    assert looks[-1].decision.detail == "not the same person throughout"


def test_frames_without_a_usable_face_do_not_count(encoder: OnnxEncoder, gallery: Gallery) -> None:
    blank = [photo()] * 5
    looks = show(start(encoder, gallery, frames=(2, 2)), *blank, photo(ANA), *blank, photo(ANA))
    assert answers(looks) == [None] * 11 + [True]
    assert [look.advice for look in looks[:6]] == [("no_face",)] * 5 + [()]
    assert [look.faces_seen for look in looks[4:7]] == [0, 1, 0]
    assert looks[0].box is None
    assert looks[5].box is not None
    assert looks[5].box.dtype == np.float32
    assert looks[5].challenge is None


def test_giving_up(encoder: OnnxEncoder, gallery: Gallery) -> None:
    def ended(*frames: Image, **policy: Any) -> Decision:
        session = start(encoder, gallery, frames=(2, 3), **policy)
        show(session, *frames)
        return session.give_up()

    assert ended().reason is Reason.NO_FACE
    assert ended(photo(), photo()).reason is Reason.NO_FACE
    assert ended(photo(ANA), quality=lambda *_: "too dark").reason is Reason.LOW_QUALITY
    once = ended(photo(ANA))
    assert (once.accepted, once.reason, once.person) == (False, Reason.NOT_RECOGNISED, None)
    assert once.detail == "too few frames were compared"
    assert ended(photo(STRANGER), photo()).reason is Reason.NOT_RECOGNISED
    assert ended(photo(ANA), photo(), photo(ANA)).accepted


def test_an_attempt_that_cannot_succeed_ends_at_once(encoder: OnnxEncoder, gallery: Gallery) -> None:
    (look,) = show(start(encoder, gallery, claim="Eve", frames=(3, 5)), photo())
    assert look.decision is not None
    assert look.decision.reason is Reason.NOT_ENROLLED
    (look,) = show(start(encoder, Gallery(encoder.digest, encoder.dim)), photo(ANA))
    assert look.decision is not None
    assert look.decision.reason is Reason.EMPTY_GALLERY


def test_faces_seen_are_the_most_of_any_frame(encoder: OnnxEncoder, gallery: Gallery) -> None:
    looks = show(start(encoder, gallery, frames=(2, 2)), photo(STRANGER, ANA, BEN), photo(ANA))
    assert [look.faces_seen for look in looks] == [3, 1]
    assert looks[-1].decision is not None
    assert looks[-1].decision.faces_seen == 3


def test_every_advice_has_a_text(encoder: OnnxEncoder, gallery: Gallery) -> None:
    session = LoginSession(encoder=encoder, gallery=gallery, detector=Flat(), policy=LoginPolicy(threshold=T))
    (look,) = show(session, photo(ANA))
    assert look.advice == ("not_alignable",)
    assert all(ADVICE[code] for code in look.advice)
    assert {"too_small", "hold_still", "turn_left", "face_lost", "no_face", "low_quality"} <= set(ADVICE)


def test_a_passive_network_ends_the_session(encoder: OnnxEncoder, gallery: Gallery) -> None:
    class Passive:
        def score(self, image: Image, face: object) -> float:
            return 0.2

    session = LoginSession(
        encoder=encoder,
        gallery=gallery,
        detector=Marked(),
        policy=LoginPolicy(threshold=T, frames=(2, 3)),
        passive=Passive(),
    )
    looks = show(session, photo(), photo(ANA))
    assert answers(looks) == [None, False]
    assert session.give_up().reason is Reason.NOT_LIVE


# --- the second gate ---------------------------------------------------------------------------


def test_the_second_gate_must_not_contradict(encoder: OnnxEncoder, gallery: Gallery) -> None:
    """Ana's look, a little changed: its cosines in both spaces are computed here, too."""
    changed = np.clip(ANA.astype(int) + np.linspace(-60, 60, 112)[None, :, None], 0, 255).astype(np.uint8)
    own = [encoder.embed(face[None])[0].astype(np.float64) for face in (ANA, changed)]
    second = [encoder.embed_backbone(face[None])[0].astype(np.float64) for face in (ANA, changed)]
    first_score, second_score = float(own[0] @ own[1]), float(second[0] @ second[1])
    for margin, accepted in ((-1e-3, True), (1e-3, False)):
        policy = LoginPolicy(
            threshold=first_score - 0.01, gates="backbone", second_threshold=second_score + margin
        )
        decision = login(changed, encoder=encoder, gallery=gallery, detector=None, policy=policy)
        assert (decision.accepted, decision.person is None) == (accepted, not accepted)
        assert decision.score == pytest.approx(first_score, abs=1e-5)
        assert decision.second is not None
        assert decision.second.score == pytest.approx(second_score, abs=1e-5)
        assert decision.second.threshold == second_score + margin
        assert decision.second.agrees is accepted
        assert ("contradicts" in decision.detail) is not accepted


def test_the_second_gate_is_not_asked_about_strangers(encoder: OnnxEncoder, gallery: Gallery) -> None:
    policy = LoginPolicy(threshold=T, gates="backbone", second_threshold=-1.0)
    decision = login(STRANGER, encoder=encoder, gallery=gallery, detector=None, policy=policy)
    assert (decision.reason, decision.second) == (Reason.NOT_RECOGNISED, None)


def test_two_gates_need_thresholds_and_templates_for_both(
    encoder: OnnxEncoder, gallery: Gallery, tmp_path: Path
) -> None:
    known: dict[str, Any] = {"encoder": encoder, "gallery": gallery, "detector": None}
    with pytest.raises(ModelError, match="fedfr calibrate"):
        login(ANA, **known, policy=LoginPolicy(gates="backbone"))
    with pytest.raises(ModelError, match="--second-threshold"):
        login(ANA, **known, policy=LoginPolicy(gates="backbone", threshold=T))
    policy = LoginPolicy(gates="backbone", threshold=T, second_threshold=T)
    gallery.replace("Ana", make_template(encoder.embed(ANA[None]), encoder.digest))
    # Before a frame is seen, whoever comes: else it would tell that the first gate was passed, uncounted.
    for claim in (None, "Ana", "Ben"):
        with pytest.raises(ModelError, match=r"1 of the people enrolled .* enrol them again"):
            start(encoder, gallery, claim, gates="backbone", second_threshold=T)
    generic = OnnxEncoder(tiny_model.write(tmp_path / "g.onnx"), threads=1)
    with pytest.raises(ModelError, match="is generic"):
        login(ANA, **{**known, "encoder": generic}, policy=policy)


# --- other things ------------------------------------------------------------------------------


def test_another_models_gallery_is_an_error(encoder: OnnxEncoder, gallery: Gallery, tmp_path: Path) -> None:
    other = OnnxEncoder(tiny_model.write(tmp_path / "o.onnx", seed=1), threads=1)
    with pytest.raises(ModelMismatchError):
        show(start(other, gallery), photo(ANA))


def test_locked_out(encoder: OnnxEncoder, gallery: Gallery) -> None:
    block = Block(Reason.LOCKED, 12.5, "5 failures in a row, wait 12 s")
    decision = locked_out(block, encoder=encoder, gallery=gallery, policy=LoginPolicy(far=1e-4))
    assert (decision.accepted, decision.reason, decision.wait_seconds) == (False, Reason.LOCKED, 12.5)
    assert (decision.score, decision.faces_seen, decision.detail) == (None, 0, block.detail)
    assert (decision.threshold, decision.far, decision.model) == (0.95, 1e-4, encoder.digest)
    block = replace(block, reason=Reason.OTHER_FACTOR, wait=None)
    last = locked_out(block, encoder=encoder, gallery=gallery, policy=LoginPolicy())
    assert (last.reason, last.wait_seconds) == (Reason.OTHER_FACTOR, None)
