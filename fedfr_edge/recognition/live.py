"""Login from a film: a challenge that a living head can do, and one person in every still moment of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from fedfr_edge.errors import ConfigError
from fedfr_edge.recognition.capture import Reason
from fedfr_edge.recognition.challenge import Challenge, Fault, State, Status
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.gallery import Gallery
from fedfr_edge.recognition.login import Decision, login
from fedfr_edge.types import Face, Image
from fedfr_edge.vision.detect import Detector
from fedfr_edge.vision.liveness import PassiveLiveness
from fedfr_edge.vision.select import largest_central


def login_live(
    frames: Iterable[tuple[float, Image]],
    challenge: Challenge,
    *,
    encoder: OnnxEncoder,
    gallery: Gallery,
    detector: Detector,
    threshold: float,
    claim: str | None = None,
    passive: PassiveLiveness | None = None,
    least_live: float = 0.5,
    tell: Callable[[Status], None] | None = None,
) -> Decision:
    """Decide whether a film shows a living person who is enrolled.

    The face is compared at each moment in which it was held still: before the first move, between moves and
    at the end. Somebody is accepted only if all of these are accepted as the same person, so nobody can do
    the moves for another. Of several faces the large and central one is followed; another one in its place
    breaks the chain.

    Args:
        frames: (seconds, uint8 (h, w, 3) RGB), in order of time, 15 a second or more; read one by one as the
            challenge goes on, no further than it needs.
        challenge: a new one, see :func:`~fedfr_edge.recognition.challenge.random_order`.
        encoder: see :func:`~fedfr_edge.recognition.login.login`, also for the four that follow.
        gallery: the people enrolled.
        detector: finds the faces.
        threshold: the score needed.
        claim: who it is said to be.
        passive: judges each of the still moments by itself, too.
        least_live: probability that it must give.
        tell: called at first and whenever what to do changes; shows the person ``status.advice``.

    Returns:
        With reason ``not_live``, and without a score, unless the challenge was done; else the decision with
        the lowest score.

    Raises:
        ConfigError: a challenge that was used before, or frames not in order of time.
        ModelMismatchError, ModelError, ImageError: as ``login``.
    """
    status, told = challenge.status, None
    if status.state is not State.RUNNING or status.move is not None or status.done:
        raise ConfigError("the challenge was used before, expected a new one; make one for each login")
    decisions: list[Decision] = []
    most = 0

    def not_live(detail: str) -> Decision:
        return Decision(False, Reason.NOT_LIVE, None, None, threshold, most, detail)

    for time, image in frames:
        if status != told and tell is not None:
            tell(status)
        told = status
        faces = detector.detect(image)
        most = max(most, len(faces))
        face = largest_central(faces, image.shape) if faces else None
        status = challenge.see(time, face)
        if status.state is State.FAILED:
            break
        # The head was held still up to this frame: a move is asked for now, or it was the last.
        if face is None or not (
            status.state is State.DONE or (told.move is None and status.move is not None)
        ):
            continue
        if passive is not None and not passive.score(image, face) >= least_live:
            return not_live("the face looks like a picture of one")
        decision = login(
            image,
            encoder=encoder,
            gallery=gallery,
            detector=_Found(faces),
            threshold=threshold,
            claim=claim,
        )
        decisions.append(decision)
        if status.state is State.DONE:
            break
    if tell is not None and status != told:
        tell(status)
    if status.state is not State.DONE:
        fault = status.fault.value if status.fault is not None else Fault.TOO_SLOW.value
        return not_live(f"{fault}: {status.advice}")
    return dataclasses.replace(_least(decisions), faces_seen=most)


@dataclasses.dataclass(frozen=True)
class _Found:
    """A detector that has looked already."""

    faces: list[Face]
    name: str = "found"

    def detect(self, image: Image) -> list[Face]:
        return self.faces


def _least(decisions: list[Decision]) -> Decision:
    refused = [decision for decision in decisions if not decision.accepted]
    worst = min(refused or decisions, key=lambda each: -2.0 if each.score is None else each.score)
    if not refused and len({each.person.id for each in decisions if each.person is not None}) > 1:
        return dataclasses.replace(
            worst,
            accepted=False,
            reason=Reason.NOT_RECOGNISED,
            person=None,
            detail="not the same person throughout",
        )
    return worst
