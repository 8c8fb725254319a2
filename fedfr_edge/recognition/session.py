"""Login frame by frame: frames in, what the person should do out, and in the end one decision.

Without liveness each usable frame is compared, and of up to n of them k must be recognised as the same
person. A frame without a usable face does not count. The session ends as soon as k agree, or as soon as
so many do not that k no longer can: after n usable frames at the latest, so a stranger's chances are counted.

With liveness the frames are those of a challenge (``challenge.py``). The face is compared at each moment in
which it was held still: before the first move, between moves and at the end; all of these must be recognised
as the same person, so nobody can do the moves for another. Another face in its place breaks the chain.
"""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import ConfigError, ModelError
from fedfr_edge.recognition.capture import Capture, Reason, capture, examine
from fedfr_edge.recognition.challenge import Challenge, Fault, State, Status, random_order
from fedfr_edge.recognition.decision import Decision, SecondScore
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.frames import all_of, is_settled, k_of
from fedfr_edge.recognition.gallery import Gallery, Person
from fedfr_edge.recognition.lockout import Block
from fedfr_edge.recognition.look import ADVICE, HOLD_STILL, Look, Step
from fedfr_edge.recognition.policy import LoginPolicy, OperatingPoint, operating_point
from fedfr_edge.recognition.spaces import probe_of
from fedfr_edge.recognition.template import Template
from fedfr_edge.types import Image
from fedfr_edge.vision.detect import Detector
from fedfr_edge.vision.liveness import PassiveLiveness
from fedfr_edge.vision.select import largest_central

_NO_SECOND = (
    "{} of the people enrolled have nothing in the backbone's space, which the second gate needs: an earlier "
    "version enrolled them; enrol them again, or log in with one gate (--gates one)"
)


class LoginSession:
    """One attempt to log in.

    Give it frames until a :class:`Look` has a decision, or call :meth:`give_up` when the time is over or the
    person has gone; either way hand the decision to :meth:`~fedfr_edge.recognition.vault.Vault.record`
    before anybody is told of it, so that attempts that are broken off count too.

    Args:
        encoder: the model; its digest must be the gallery's.
        gallery: the people enrolled.
        detector: finds the faces; None if the images are aligned faces (112, 112, 3).
        policy: how careful to be; default: as :func:`~fedfr_edge.recognition.login.login`.
        claim: name or id of the person it is said to be (1:1); None searches everybody (1:N).
        passive: judges each frame that is compared; one that it takes for a picture ends the session.
        rng: draws the order of the moves; default: the system's secure generator. For tests.

    Attributes:
        challenge: with liveness, what is asked for; None without.

    Raises:
        ModelError: the model was not calibrated as the policy asks, or a second gate cannot be asked about
            everybody enrolled.
        ConfigError: liveness without a detector, or too few or too many moves.
    """

    def __init__(
        self,
        *,
        encoder: OnnxEncoder,
        gallery: Gallery,
        detector: Detector | None,
        policy: LoginPolicy | None = None,
        claim: str | None = None,
        passive: PassiveLiveness | None = None,
        rng: random.Random | None = None,
    ) -> None:
        policy = policy or LoginPolicy()
        if detector is None and (policy.liveness or passive is not None):
            raise ConfigError("faces that come aligned cannot be judged for liveness; give whole frames")
        self._encoder, self._gallery, self._detector = encoder, gallery, detector
        self._policy, self._claim, self._passive = policy, claim, passive
        self._claimed = gallery.find(claim) if claim is not None else None
        self._point = _point_of(encoder, gallery, policy, claim)
        self.challenge = Challenge(random_order(policy.moves, rng)) if policy.liveness else None
        self._compared: list[Decision] = []
        self._unusable: Decision | None = None
        self._faces_seen = 0
        self._decision: Decision | None = None

    @property
    def decision(self) -> Decision | None:
        """The answer; None until there is one."""
        return self._decision

    def look(self, image: Image, at: float) -> Look:
        """Take in a frame.

        Args:
            image: uint8 (h, w, 3) RGB, not mirrored, or an aligned face (112, 112, 3) without a detector.
            at: when it was taken, seconds on a clock that never goes back.

        Raises:
            ModelMismatchError: the gallery was made by another model.
            ForeignModelError: the model gives something else than unit vectors.
            ImageError: an array that is no photograph.
            ConfigError: with liveness, a frame from before the last one.
        """
        if self._decision is not None:
            return Look(0, None, (), self._step(), self._decision)
        if self.challenge is None:
            found = capture(image, self._detector, several="central", gate=self._policy.quality)
            self._faces_seen = max(self._faces_seen, found.faces_seen)
            if not self._is_over(found):
                self._count(image, found)
        else:
            found = self._follow(image, at, self.challenge)
        box = None if found.chosen is None else found.chosen.box
        return Look(found.faces_seen, box, found.faults, self._step(), self._decision)

    def give_up(self) -> Decision:
        """The time is over: the decision from what was seen."""
        if self._decision is None:
            if self.challenge is not None and self.challenge.started:
                self._decision = self._not_live(Fault.TOO_SLOW, ADVICE[Fault.TOO_SLOW])
            elif self._compared:
                self._decision = self._final(k_of(self._compared, self._policy.frames[0]))
            else:
                nothing = self._answer(Capture(None, 0), Reason.NO_FACE, "no face was found")
                self._decision = self._unusable or nothing
        return self._decision

    # --- without liveness ----------------------------------------------------------------------

    def _count(self, image: Image, found: Capture) -> None:
        """Compare a frame if it can be, and decide if enough agree, or cannot any more."""
        if found.face is None:
            self._unusable = self._answer(found, found.reason or Reason.NO_FACE, found.detail)
            return
        if self._is_picture(image, found):
            return
        self._compared.append(self._compare(found, found.face))
        if is_settled(self._compared, *self._policy.frames):
            self._decision = self._final(k_of(self._compared, self._policy.frames[0]))

    # --- with liveness -------------------------------------------------------------------------

    def _follow(self, image: Image, at: float, challenge: Challenge) -> Capture:
        if self._detector is None:  # refused at the beginning
            raise ConfigError("liveness needs a detector")
        faces = self._detector.detect(image)
        self._faces_seen = max(self._faces_seen, len(faces))
        face = largest_central(faces, image.shape) if faces else None
        before, status = challenge.status, challenge.see(at, face)
        found = Capture(None, len(faces), None if faces else Reason.NO_FACE, chosen=face)
        if self._is_over(found):
            return found
        if status.state is State.FAILED:
            self._decision = self._not_live(status.fault or Fault.TOO_SLOW, status.advice)
        elif face is not None and _was_still(before, status):
            found = examine(image, faces, several="central", gate=self._policy.quality)
            if self._is_picture(image, found):
                return found
            if found.face is None:
                self._compared.append(self._answer(found, found.reason or Reason.NO_FACE, found.detail))
            else:
                self._compared.append(self._compare(found, found.face))
            if status.state is State.DONE:
                self._decision = self._final(all_of(self._compared))
        return found

    def _not_live(self, fault: Fault, advice: str) -> Decision:
        seen = Capture(None, self._faces_seen)
        return self._answer(seen, Reason.NOT_LIVE, f"{fault.value}: {advice}")

    def _step(self) -> Step | None:
        if self.challenge is None:
            return None
        status, steps = self.challenge.status, len(self.challenge.order)
        code = HOLD_STILL if status.move is None else status.move.value
        if status.fault is not None:
            code = status.fault.value
        return Step(min(status.done + 1, steps), steps, code, status.advice)

    # --- both ----------------------------------------------------------------------------------

    def _is_over(self, found: Capture) -> bool:
        """Nobody could be let in, whatever the frames show."""
        if len(self._gallery) == 0:
            self._decision = self._answer(found, Reason.EMPTY_GALLERY, "nobody is enrolled")
        elif self._claim is not None and self._claimed is None:
            detail = f"nobody called {self._claim!r} is enrolled"
            self._decision = self._answer(found, Reason.NOT_ENROLLED, detail)
        return self._decision is not None

    def _is_picture(self, image: Image, found: Capture) -> bool:
        """Whether the passive network takes the face for a picture of one."""
        if self._passive is None or found.chosen is None:
            return False
        # "not (… >= …)" so that a NaN counts as a picture.
        if not self._passive.score(image, found.chosen) >= self._policy.least_live:
            detail = "the face looks like a picture of one"
            self._decision = self._final(self._answer(found, Reason.NOT_LIVE, detail))
        return self._decision is not None

    def _compare(self, found: Capture, face: npt.NDArray[np.uint8]) -> Decision:
        probe = probe_of(self._encoder, face[None])
        if self._claimed is not None:
            match = self._gallery.verify(self._claimed, probe, self._point.threshold)
        else:
            match = self._gallery.identify(probe, self._point.threshold)
        if match.person is None:
            who = f"not {self._claimed.name!r}" if self._claimed is not None else "unknown"
            detail = f"{who}: the score is below the threshold"
            return self._answer(found, Reason.NOT_RECOGNISED, detail, score=match.score)
        second = self._ask_second(match.person, probe)
        if second is not None and not second.agrees:
            detail = "unknown: the backbone's space contradicts"
            return self._answer(found, Reason.NOT_RECOGNISED, detail, score=match.score, second=second)
        detail = f"{match.person.name!r} is recognised"
        return self._answer(
            found, Reason.ACCEPTED, detail, score=match.score, second=second, person=match.person
        )

    def _ask_second(self, person: Person, probe: Template) -> SecondScore | None:
        if self._point.second is None:
            return None
        score = self._gallery.backbone_score(person, probe)
        if score is None:
            raise ModelError(_NO_SECOND.format(1))  # enrolled since the session began
        return SecondScore(score, self._point.second)

    def _answer(self, found: Capture, reason: Reason, detail: str, **more: Any) -> Decision:
        return _decision(self._point, self._encoder, found, reason, detail, **more)

    def _final(self, decision: Decision) -> Decision:
        return dataclasses.replace(decision, faces_seen=self._faces_seen)


def locked_out(
    block: Block, *, encoder: OnnxEncoder, gallery: Gallery, policy: LoginPolicy, claim: str | None = None
) -> Decision:
    """The decision where earlier failures forbid an attempt, see ``Vault.blocked``; no frame is looked at.

    Raises:
        ModelError: as :class:`LoginSession`.
    """
    point = _point_of(encoder, gallery, policy, claim)
    return _decision(point, encoder, Capture(None, 0), block.reason, block.detail, wait_seconds=block.wait)


def _decision(
    point: OperatingPoint,
    encoder: OnnxEncoder,
    found: Capture,
    reason: Reason,
    detail: str,
    *,
    score: float | None = None,
    second: SecondScore | None = None,
    person: Person | None = None,
    wait_seconds: float | None = None,
) -> Decision:
    return Decision(
        accepted=person is not None,
        reason=reason,
        person=person,
        score=score,
        threshold=point.threshold,
        faces_seen=found.faces_seen,
        detail=detail,
        quality=found.quality,
        far=point.far,
        far_supported=point.supported,
        rests_on=point.rests_on,
        model=encoder.digest,
        provider=encoder.provider,
        second=second,
        wait_seconds=wait_seconds,
    )


def _was_still(before: Status, now: Status) -> bool:
    """The head was held still up to this frame: a move is asked for now, or it was the last."""
    return now.state is State.DONE or (before.move is None and now.move is not None)


def _point_of(
    encoder: OnnxEncoder, gallery: Gallery, policy: LoginPolicy, claim: str | None
) -> OperatingPoint:
    if policy.gates == "backbone" and encoder.manifest.kind == "personal":
        # Before any frame: found out at the gate, it would tell that the first one was passed, and not count.
        lacking = [each for each in gallery.people if gallery.template_of(each).backbone is None]
        if lacking:
            raise ModelError(_NO_SECOND.format(len(lacking)))
    people = len(gallery) if claim is None else 1
    return operating_point(policy, encoder, gallery.calibration, people)
