"""Login from a film: the challenge and every still moment of it must agree."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest
from heads import FRAME, Actor, landmarks_3d, see

from fedfr_edge.errors import ConfigError
from fedfr_edge.recognition.capture import Reason
from fedfr_edge.recognition.challenge import Challenge, Limits, Move, State, Status
from fedfr_edge.recognition.gallery import Gallery
from fedfr_edge.recognition.live import login_live
from fedfr_edge.recognition.login import Decision
from fedfr_edge.recognition.template import make_template
from fedfr_edge.types import AlignedFaces, Embeddings, Face, Image
from fedfr_edge.vision.align import similarity_transform

ORDER = (Move.TURN_LEFT, Move.NEARER, Move.TURN_RIGHT)
LOOKS = {
    name: np.random.default_rng(seed).integers(0, 256, (7, 7, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    for seed, name in enumerate(("Ana", "Ben", "Eve"))
}


class Pooled:
    """An encoder: means of 16×16 pixels less their mean, of unit length."""

    name, dim, digest = "pooled", 147, "0" * 64

    def embed(self, faces: AlignedFaces) -> Embeddings:
        means = faces.reshape(-1, 7, 16, 7, 16, 3).mean(axis=(2, 4)).reshape(-1, 147)
        means -= means.mean(axis=1, keepdims=True)
        return (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)


@dataclass
class Stage:
    """Camera, person and detector in one: whoever stands there follows the challenge."""

    challenge: Challenge
    who: Callable[[Status], str]
    nose: float = 0.5
    faces: list[Face] = field(default_factory=list)
    time: float = 0.0
    name: str = "stage"

    def frames(self) -> Iterator[tuple[float, Image]]:
        actor, head = Actor(), landmarks_3d(self.nose)
        for _ in range(2000):
            status = self.challenge.status
            self.faces = [see(head, actor.follow(status, self.time))]
            back = cv2.invertAffineTransform(similarity_transform(self.faces[0].landmarks))
            image = cv2.warpAffine(LOOKS[self.who(status)], back, (640, 480))
            yield self.time, np.asarray(image, np.uint8)
            self.time += FRAME

    def detect(self, image: Image) -> list[Face]:
        return self.faces


@pytest.fixture
def gallery() -> Gallery:
    encoder, gallery = Pooled(), Gallery(Pooled.digest, Pooled.dim)
    for name in ("Ana", "Ben"):
        gallery.add(name, make_template(encoder.embed(LOOKS[name][None]), encoder.digest))
    return gallery


def try_it(gallery: Gallery, who: Callable[[Status], str], nose: float = 0.5, **settings: object) -> Decision:
    stage = Stage(Challenge(ORDER, Limits(time=5)), who, nose)
    return login_live(
        stage.frames(),
        stage.challenge,
        encoder=Pooled(),
        gallery=gallery,
        detector=stage,
        threshold=0.9,
        **settings,
    )


def test_a_living_person_who_is_enrolled(gallery: Gallery) -> None:
    told: list[Status] = []
    decision = try_it(gallery, lambda status: "Ana", tell=told.append)
    assert (decision.accepted, decision.reason, decision.faces_seen) == (True, Reason.ACCEPTED, 1)
    assert decision.person is not None
    assert decision.person.name == "Ana"
    # Hold still, then each move in its turn.
    assert [status.move for status in told] == [None, ORDER[0], None, ORDER[1], None, ORDER[2], None, None]
    assert told[-1].state is State.DONE


def test_a_picture_of_somebody_enrolled(gallery: Gallery) -> None:
    decision = try_it(gallery, lambda status: "Ana", nose=0)
    assert (decision.accepted, decision.reason, decision.score) == (False, Reason.NOT_LIVE, None)
    assert decision.detail.startswith("too_slow: begin again")


def test_a_living_stranger(gallery: Gallery) -> None:
    decision = try_it(gallery, lambda status: "Eve")
    assert (decision.accepted, decision.reason) == (False, Reason.NOT_RECOGNISED)
    assert decision.score is not None
    assert decision.score < 0.9


@pytest.mark.parametrize("other", ["Ben", "Eve"])
def test_somebody_who_does_the_moves_for_another(gallery: Gallery, other: str) -> None:
    decision = try_it(gallery, lambda status: "Ana" if status.done == 0 else other)
    assert (decision.accepted, decision.reason, decision.person) == (False, Reason.NOT_RECOGNISED, None)


def test_a_claim_holds_throughout(gallery: Gallery) -> None:
    assert try_it(gallery, lambda status: "Ben", claim="Ben").accepted
    assert try_it(gallery, lambda status: "Ana", claim="Ben").reason is Reason.NOT_RECOGNISED


@pytest.mark.parametrize(("score", "accepted"), [(0.9, True), (0.4, False), (float("nan"), False)])
def test_the_passive_network_must_agree(gallery: Gallery, score: float, accepted: bool) -> None:
    class Passive:
        def score(self, image: Image, face: Face) -> float:
            return score

    decision = try_it(gallery, lambda status: "Ana", passive=Passive())
    assert decision.accepted is accepted
    assert decision.reason is (Reason.ACCEPTED if accepted else Reason.NOT_LIVE)


def test_a_film_that_ends_too_early_proves_nothing(gallery: Gallery) -> None:
    stage = Stage(Challenge(ORDER), lambda status: "Ana")
    frames = itertools.islice(stage.frames(), 30)
    decision = login_live(
        frames, stage.challenge, encoder=Pooled(), gallery=gallery, detector=stage, threshold=0.9
    )
    assert stage.challenge.status.state is State.RUNNING
    assert (decision.accepted, decision.reason) == (False, Reason.NOT_LIVE)
    with pytest.raises(ConfigError, match="used before"):
        login_live([], stage.challenge, encoder=Pooled(), gallery=gallery, detector=stage, threshold=0.9)
