"""What a login answers."""

from __future__ import annotations

from dataclasses import dataclass

from fedfr_edge.recognition.capture import Reason
from fedfr_edge.recognition.gallery import Person
from fedfr_edge.vision.quality import Reason as QualityReason


@dataclass(frozen=True)
class SecondScore:
    """What the second gate found.

    Attributes:
        score: cosine in the backbone's space with the person who was recognised.
        threshold: what was needed there.
    """

    score: float
    threshold: float

    @property
    def agrees(self) -> bool:
        """Whether it lets them pass."""
        return self.score >= self.threshold


@dataclass(frozen=True)
class Decision:
    """The answer to a login.

    Attributes:
        accepted: whether to let them in.
        reason: a stable code, see :class:`~fedfr_edge.recognition.capture.Reason`.
        person: who it is; None unless accepted.
        score: cosine with the person claimed or with the best one; None if nothing was compared. Of several
            frames the one that decided: the lowest of those that were needed.
        threshold: the score needed.
        faces_seen: faces in the photograph, the most in any frame; with more than one, the large and central
            one was compared.
        detail: the reason in words.
        quality: what is poor about the face that was compared, see
            :data:`~fedfr_edge.vision.quality.ADVICE` for what to do about it; empty where nothing is.
        far: the false accept rate of one comparison that the threshold stands for; None for a threshold
            that was given.
        far_supported: whether the trials behind the threshold carry that rate; None where ``far`` is.
        rests_on: what the threshold rests on, in words.
        model: sha256 of the model file, hexadecimal.
        provider: the execution provider that computed, by onnxruntime's name.
        second: the second gate; None where there is none or it was not reached.
        wait_seconds: until the next attempt, where earlier failures forbid this one; None where waiting does
            not help, or nothing is in the way.
    """

    accepted: bool
    reason: Reason
    person: Person | None
    score: float | None
    threshold: float
    faces_seen: int
    detail: str
    quality: tuple[QualityReason, ...] = ()
    far: float | None = None
    far_supported: bool | None = None
    rests_on: str = ""
    model: str = ""
    provider: str = ""
    second: SecondScore | None = None
    wait_seconds: float | None = None
