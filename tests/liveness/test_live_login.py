"""Login from a film: the challenge and every still moment of it must agree."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pytest
from heads import FRAME, Actor, landmarks_3d, see

from fedfr_edge.errors import ConfigError
from fedfr_edge.recognition.capture import Reason
from fedfr_edge.recognition.challenge import Move
from fedfr_edge.recognition.gallery import Gallery
from fedfr_edge.recognition.lockout import FAILURES, WITH_LIVENESS
from fedfr_edge.recognition.login import Decision, LoginPolicy
from fedfr_edge.recognition.look import Look, Step
from fedfr_edge.recognition.manifest import Manifest
from fedfr_edge.recognition.session import LoginSession
from fedfr_edge.recognition.template import make_template
from fedfr_edge.types import AlignedFaces, Embeddings, Face, Image
from fedfr_edge.vision.align import similarity_transform

ORDER = (Move.TURN_LEFT, Move.NEARER, Move.TURN_RIGHT)
LOOKS = {
    name: np.random.default_rng(seed).integers(0, 256, (7, 7, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    for seed, name in enumerate(("Ana", "Ben", "Eve"))
}


class Fixed(random.Random):
    """Draws one order of moves."""

    def choice(self, seq: Sequence[Any]) -> Any:
        assert ORDER in seq
        return ORDER


class Pooled:
    """An encoder: means of 16×16 pixels less their mean, of unit length."""

    name, dim, digest, provider = "pooled", 147, "0" * 64, "numpy"
    manifest = Manifest("generic", "pooled", 0, 147, {}, "means", "0" * 64)

    def embed(self, faces: AlignedFaces) -> Embeddings:
        means = faces.reshape(-1, 7, 16, 7, 16, 3).mean(axis=(2, 4)).reshape(-1, 147)
        means -= means.mean(axis=1, keepdims=True)
        return (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)


@dataclass
class Stage:
    """Camera, person and detector in one: whoever stands there does what the session asks for.

    Attributes:
        who: who stands there, by the number of the move.
        nose: see :func:`landmarks_3d`.
    """

    who: Callable[[int], str | None]
    nose: float = 0.5
    faces: list[Face] = field(default_factory=list)
    name: str = "stage"

    def frames(self, session: LoginSession) -> Iterator[tuple[float, Image]]:
        actor, head, time = Actor(), landmarks_3d(self.nose), 0.0
        while True:
            status = session.challenge.status
            who = self.who(status.done)
            pose = actor.follow(status, time)
            self.faces = [] if who is None else [see(head, pose)]
            image = np.zeros((480, 640, 3), np.uint8)
            if who is not None:
                back = cv2.invertAffineTransform(similarity_transform(self.faces[0].landmarks))
                image = np.asarray(cv2.warpAffine(LOOKS[who], back, (640, 480)), np.uint8)
            yield time, image
            time += FRAME

    def detect(self, image: Image) -> list[Face]:
        return self.faces


@pytest.fixture
def gallery() -> Gallery:
    encoder, gallery = Pooled(), Gallery(Pooled.digest, Pooled.dim)
    for name in ("Ana", "Ben"):
        gallery.add(name, make_template(encoder.embed(LOOKS[name][None]), encoder.digest))
    return gallery


POLICY = LoginPolicy(threshold=0.9, liveness=True, moves=3)


def look_on(
    gallery: Gallery, who: Callable[[int], str | None], nose: float = 0.5, most: int = 600, **settings: Any
) -> tuple[Decision, list[Look]]:
    stage = Stage(who, nose)
    session = LoginSession(
        encoder=Pooled(), gallery=gallery, detector=stage, policy=POLICY, rng=Fixed(), **settings
    )
    looks = []
    for time, image in itertools.islice(stage.frames(session), most):
        looks.append(session.look(image, time))
        if looks[-1].decision is not None:
            break
    return session.give_up(), looks


def try_it(gallery: Gallery, who: Callable[[int], str | None], **settings: Any) -> Decision:
    return look_on(gallery, who, **settings)[0]


def test_a_living_person_who_is_enrolled(gallery: Gallery) -> None:
    decision, looks = look_on(gallery, lambda move: "Ana")
    assert (decision.accepted, decision.reason, decision.faces_seen) == (True, Reason.ACCEPTED, 1)
    assert decision.person is not None
    assert decision.person.name == "Ana"
    assert looks[-1].decision is decision
    assert all(look.faces_seen == 1 and look.box is not None and look.advice == () for look in looks)
    # Hold still, then each move in its turn.
    steps = [step for step, _ in itertools.groupby(look.challenge for look in looks[:-1])]
    asked = [(step.step, step.steps, step.code) for step in steps if isinstance(step, Step)]
    hold = [(number, 3, "hold_still") for number in (1, 2, 3, 3)]
    moves = [(number, 3, move.value) for number, move in enumerate(ORDER, 1)]
    assert asked == [hold[0], moves[0], hold[1], moves[1], hold[2], moves[2], hold[3]]
    assert all(isinstance(step, Step) and step.text for step in steps)


def test_a_picture_of_somebody_enrolled(gallery: Gallery) -> None:
    decision, looks = look_on(gallery, lambda move: "Ana", nose=0.0)
    assert (decision.accepted, decision.reason, decision.score) == (False, Reason.NOT_LIVE, None)
    assert decision.detail.startswith("too_slow: begin again")
    assert looks[-1].challenge is not None
    assert looks[-1].challenge.code == "too_slow"


def test_a_living_stranger(gallery: Gallery) -> None:
    decision = try_it(gallery, lambda move: "Eve")
    assert (decision.accepted, decision.reason) == (False, Reason.NOT_RECOGNISED)
    assert decision.score is not None
    assert decision.score < 0.9


@pytest.mark.parametrize("other", ["Ben", "Eve"])
def test_somebody_who_does_the_moves_for_another(gallery: Gallery, other: str) -> None:
    decision = try_it(gallery, lambda move: "Ana" if move == 0 else other)
    assert (decision.accepted, decision.reason, decision.person) == (False, Reason.NOT_RECOGNISED, None)


@pytest.mark.parametrize(("comes", "accepted"), [("Ana", True), ("Ben", False), ("Eve", False)])
def test_who_comes_after_a_break_is_compared_too(gallery: Gallery, comes: str, accepted: bool) -> None:
    """Ana holds still; then no frames come for a while, and whoever comes back makes the first move."""
    stage, late = Stage(lambda move: "Ana"), 0.0
    session = LoginSession(encoder=Pooled(), gallery=gallery, detector=stage, policy=POLICY, rng=Fixed())
    for time, image in itertools.islice(stage.frames(session), 600):
        if not late and session.challenge.status.move is not None:
            stage.who, late = (lambda move: "Ana" if move else comes), 0.6
        elif session.look(image, time + late).decision is not None:
            break
    assert session.decision is not None
    assert session.decision.accepted is accepted


def test_a_claim_holds_throughout(gallery: Gallery) -> None:
    assert try_it(gallery, lambda move: "Ben", claim="Ben").accepted
    assert try_it(gallery, lambda move: "Ana", claim="Ben").reason is Reason.NOT_RECOGNISED


@pytest.mark.parametrize(("score", "accepted"), [(0.9, True), (0.4, False), (float("nan"), False)])
def test_the_passive_network_must_agree(gallery: Gallery, score: float, accepted: bool) -> None:
    class Passive:
        def score(self, image: Image, face: Face) -> float:
            return score

    decision = try_it(gallery, lambda move: "Ana", passive=Passive())
    assert decision.accepted is accepted
    assert decision.reason is (Reason.ACCEPTED if accepted else Reason.NOT_LIVE)


def test_a_challenge_that_is_broken_off_is_a_failed_attempt(gallery: Gallery) -> None:
    decision, looks = look_on(gallery, lambda move: "Ana", most=30)
    assert looks[-1].decision is None
    assert (decision.accepted, decision.reason) == (False, Reason.NOT_LIVE)
    assert decision.reason in FAILURES
    assert POLICY.lockout is WITH_LIVENESS


def test_nobody_before_the_camera_is_no_attempt(gallery: Gallery) -> None:
    decision, looks = look_on(gallery, lambda move: None, most=30)
    assert {look.advice for look in looks} == {("no_face",)}
    assert (decision.reason, decision.faces_seen) == (Reason.NO_FACE, 0)
    assert decision.reason not in FAILURES


def test_a_poor_frame_does_not_hide_a_stranger(gallery: Gallery) -> None:
    """The attempt counts as failed although the last still moment was too poor to be compared."""
    poor = iter([None, None, None, "too dark"])
    policy = dataclasses.replace(POLICY, quality=lambda *_: next(poor))
    stage = Stage(lambda move: "Eve")
    session = LoginSession(encoder=Pooled(), gallery=gallery, detector=stage, policy=policy, rng=Fixed())
    for time, image in itertools.islice(stage.frames(session), 600):
        if session.look(image, time).decision is not None:
            break
    assert session.give_up().reason is Reason.NOT_RECOGNISED


def test_each_session_draws_its_own_order(gallery: Gallery) -> None:
    policy = LoginPolicy(threshold=0.9, liveness=True)
    stage = Stage(lambda move: "Ana")
    drawn = {
        LoginSession(encoder=Pooled(), gallery=gallery, detector=stage, policy=policy).challenge.order
        for _ in range(40)
    }
    assert len(drawn) > 5


def test_liveness_needs_whole_frames(gallery: Gallery) -> None:
    with pytest.raises(ConfigError, match="whole frames"):
        LoginSession(encoder=Pooled(), gallery=gallery, detector=None, policy=POLICY)
