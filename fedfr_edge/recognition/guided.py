"""Guided enrolment: frames of a camera in, a template of looks from several sides and distances out.

The person is told what to do next: look at the camera, turn a little to each side, come closer, move away.
A frame is taken when its one face is good (:mod:`fedfr_edge.vision.quality`), does what was asked, is the
person of the looks before, and is not the last look once more. Left and right are the person's own; frames
are not mirrored. Turn and size are measured as in ``challenge.py``; nothing here shows that anybody is alive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from itertools import cycle

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import ConfigError, GalleryError
from fedfr_edge.recognition.capture import Capture, Reason, examine
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.enrol_policy import EnrolPolicy, policy_for
from fedfr_edge.recognition.gallery import Gallery
from fedfr_edge.recognition.look import ADVICE as LOGIN_ADVICE
from fedfr_edge.recognition.proposal import Enrolment, Existing, Looks, propose, require_free
from fedfr_edge.recognition.spaces import embed_spaces
from fedfr_edge.recognition.template import Template, make_template, require_model, score
from fedfr_edge.types import Face, Image
from fedfr_edge.vision.detect import Detector
from fedfr_edge.vision.quality import QualityLimits, measure_quality, turn_of


class Pose(StrEnum):
    """What a person is asked for. The codes are stable."""

    FRONT = "front"
    TURN_LEFT = "turn_left"
    TURN_RIGHT = "turn_right"
    CLOSER = "closer"
    FARTHER = "farther"


TOO_LIKE_THE_LAST = "too_like_the_last"
NOT_THE_SAME_PERSON = "not_the_same_person"

ADVICE: dict[str, str] = {
    **LOGIN_ADVICE,
    Reason.SEVERAL_FACES.value: "be alone in the picture",
    Pose.FRONT.value: "look straight at the camera",
    Pose.TURN_LEFT.value: "turn your head a little to your left",
    Pose.TURN_RIGHT.value: "turn your head a little to your right",
    Pose.CLOSER.value: "come closer to the camera",
    Pose.FARTHER.value: "move away from the camera",
    TOO_LIKE_THE_LAST: "move a little: this is the last look once more",
    NOT_THE_SAME_PERSON: "this is not the person of the looks before; if those were wrong, begin again",
}
"""What the person should do, by every code of :attr:`EnrolLook.next` and :attr:`EnrolLook.reason`."""


@dataclass(frozen=True)
class GuidedLimits:
    """When a look is what was asked for.

    Attributes:
        front: greatest turn of the first look and, from there, of later ones to the front; see
            :attr:`~fedfr_edge.vision.quality.Quality.turn`.
        turn: least change of the turn from the first look for one to the side; a head turned by about 18°.
        nearer: growth of the face from the first look that counts as closer; its inverse as farther.
        widest: nobody is asked to come so close that the face would be higher than this share of the frame.
        patience: seconds after which the next look is asked for instead, if one is not to be had.
    """

    front: float = 0.12
    turn: float = 0.15
    nearer: float = 1.25
    widest: float = 0.7
    patience: float = 8.0


@dataclass(frozen=True, eq=False)
class EnrolLook:
    """What a frame came to.

    Attributes:
        faces_seen: faces in it.
        box: float32 (4,): left, top, right, bottom of the one face; None without one, and with several.
        taken: looks taken by now.
        needed: looks needed.
        next: what to do now, a :class:`Pose`.
        accepted: whether this frame was taken.
        reason: why it was refused, a code of :data:`ADVICE`; None if it was taken, or does not (yet) show
            what was asked for.
        text: what the person should do now, in words; empty once all are taken.
        done: all looks are taken: call :meth:`EnrolSession.finish`.
    """

    faces_seen: int
    box: npt.NDArray[np.float32] | None
    taken: int
    needed: int
    next: Pose
    accepted: bool
    reason: str | None
    text: str
    done: bool


class EnrolSession:
    """One person before a camera, until enough looks are taken.

    Args:
        encoder: the model; its digest must be the gallery's.
        gallery: the people enrolled; not changed.
        detector: finds the faces.
        name: the person's.
        looks: how many are needed.
        policy: how they become a template, and the limit below which a look is somebody else's
            (``outlier``); default: :func:`~fedfr_edge.recognition.enrol_policy.policy_for` the model.
        existing: what to do if the name is taken.
        limits: when a look is what was asked for.

    Raises:
        GalleryError: the name is unusable or taken, or there is nobody to add to.
        ModelMismatchError: the gallery belongs to another model.
        ConfigError: no looks.
    """

    def __init__(
        self,
        *,
        encoder: OnnxEncoder,
        gallery: Gallery,
        detector: Detector,
        name: str,
        looks: int = 5,
        policy: EnrolPolicy | None = None,
        existing: Existing = "refuse",
        limits: GuidedLimits | None = None,
    ) -> None:
        if looks < 1:
            raise ConfigError(f"{looks} looks were asked for, expected at least 1")
        require_model(gallery.model_digest, encoder.digest)
        known = require_free(gallery, name, existing)
        self._encoder, self._gallery, self._detector = encoder, gallery, detector
        self._name, self._existing = name, existing
        self._needed = looks
        self._policy = policy or policy_for(encoder.manifest)
        self._limits = limits or GuidedLimits()
        self._enrolled = gallery.template_of(known) if known is not None and existing == "add" else None
        self._taken: list[Looks] = []
        self._plan = cycle(Pose)
        self._next = next(self._plan)
        self._since: float | None = None
        # Of the first look: its turn, the height of its face and of its frame, the side of its crop.
        self._first: tuple[float, float, float, float] | None = None

    @property
    def next(self) -> Pose:
        """What is asked for now."""
        return self._next

    def look(self, image: Image, at: float) -> EnrolLook:
        """Take in a frame; after the last look it is not looked at any more.

        Args:
            image: uint8 (h, w, 3) RGB, not mirrored.
            at: when it was taken, seconds on a clock that never goes back.

        Raises:
            ConfigError: a time that is no number.
            ImageError: an array that is no photograph.
        """
        if not math.isfinite(at):
            raise ConfigError(f"a frame's time is {at}, expected seconds")
        if len(self._taken) >= self._needed:
            return self._answer(None, accepted=False, reason=None)
        if self._since is None:
            self._since = at
        found = examine(image, self._detector.detect(image), several="refuse")
        reason = found.faults[0] if found.faults else None
        if found.face is None or found.chosen is None or reason is not None:
            return self._refuse(found, at, reason)
        if not self._is_asked(found.chosen):
            return self._refuse(found, at, None)
        label = f"look {len(self._taken) + 1} ({self._next.value})"
        one = Looks((label,), *embed_spaces(self._encoder, found.face[None]), self._encoder.digest)
        reason = self._misfit(one)
        if reason is not None:
            return self._refuse(found, at, reason)
        self._taken.append(one)
        if self._first is None:
            crop = measure_quality(image, found.chosen).size
            self._first = turn_of(found.chosen.landmarks), _height(found.chosen), len(image), crop
        self._ask_next(at)
        return self._answer(found, accepted=True, reason=None)

    def finish(self) -> Enrolment:
        """The template of the looks taken, and a report; the gallery is not changed.

        Raises:
            GalleryError: looks are missing; or as :func:`~fedfr_edge.recognition.proposal.propose`.
        """
        if len(self._taken) < self._needed:
            raise GalleryError(
                f"{len(self._taken)} of {self._needed} looks were taken, so nobody was enrolled; go on, or "
                "begin again"
            )
        return propose(
            self.looks,
            name=self._name,
            gallery=self._gallery,
            policy=self._policy,
            existing=self._existing,
        )

    @property
    def looks(self) -> Looks:
        """The looks taken, to propose them again against a gallery that has changed.

        Raises:
            GalleryError: none was taken yet.
        """
        if not self._taken:
            raise GalleryError("no look was taken yet, expected at least one; show frames of the person")
        backbones = [look.backbone for look in self._taken if look.backbone is not None]
        return Looks(
            tuple(label for look in self._taken for label in look.labels),
            np.concatenate([look.embeddings for look in self._taken]),
            np.concatenate(backbones) if backbones else None,
            self._encoder.digest,
        )

    def _is_asked(self, face: Face) -> bool:
        """Whether a face does what was asked for."""
        turn, limits = turn_of(face.landmarks), self._limits
        if self._first is None:
            return abs(turn) <= limits.front
        first_turn, first_height, _, _ = self._first
        change, growth = turn - first_turn, _height(face) / first_height
        if self._next is Pose.TURN_LEFT:  # the person's left is the picture's right
            return change >= limits.turn
        if self._next is Pose.TURN_RIGHT:
            return change <= -limits.turn
        if abs(change) > limits.front:
            return False
        if self._next is Pose.CLOSER:
            return growth >= limits.nearer
        return self._next is Pose.FRONT or growth <= 1 / limits.nearer

    def _misfit(self, one: Looks) -> str | None:
        """Why a good face is not taken all the same."""
        probe = make_template(one.embeddings, self._encoder.digest)
        if self._policy.outlier is not None:
            for template in self._references():
                if score(template, probe) < self._policy.outlier:
                    return NOT_THE_SAME_PERSON
        if self._taken:
            last = self._taken[-1].embeddings[0]
            if float(last @ one.embeddings[0]) >= self._policy.repeat:
                return TOO_LIKE_THE_LAST
        return None

    def _references(self) -> list[Template]:
        """Whom a look must be like: the looks before, and the person whom they are added to."""
        references = [] if self._enrolled is None else [self._enrolled]
        if self._taken:
            references.append(make_template(self.looks.embeddings, self._encoder.digest))
        return references

    def _refuse(self, found: Capture, at: float, reason: str | None) -> EnrolLook:
        if self._first is not None and self._since is not None and at - self._since > self._limits.patience:
            self._ask_next(at)
        return self._answer(found, accepted=False, reason=reason)

    def _ask_next(self, at: float) -> None:
        self._since = at
        self._next = next(self._plan)
        while not self._can_be_asked(self._next):
            self._next = next(self._plan)

    def _can_be_asked(self, pose: Pose) -> bool:
        if self._first is None:
            return pose is Pose.FRONT
        _, height, frame, crop = self._first
        if pose is Pose.CLOSER:
            return height * self._limits.nearer <= self._limits.widest * frame
        return pose is not Pose.FARTHER or crop / self._limits.nearer >= QualityLimits().size

    def _answer(self, found: Capture | None, *, accepted: bool, reason: str | None) -> EnrolLook:
        done = len(self._taken) >= self._needed
        box = None if found is None or found.chosen is None else found.chosen.box
        text = "" if done else ADVICE[self._next if reason is None else reason]
        seen = 0 if found is None else found.faces_seen
        return EnrolLook(seen, box, len(self._taken), self._needed, self._next, accepted, reason, text, done)


def _height(face: Face) -> float:
    # A head that turns gets narrower, not lower.
    return max(float(face.box[3] - face.box[1]), 1e-6)
