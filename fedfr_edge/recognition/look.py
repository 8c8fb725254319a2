"""What a login session says of each frame, and what its codes mean in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fedfr_edge.recognition.capture import Reason
from fedfr_edge.recognition.challenge import ADVICE as CHALLENGE_ADVICE
from fedfr_edge.recognition.challenge import HOLD
from fedfr_edge.recognition.decision import Decision
from fedfr_edge.vision.quality import ADVICE as QUALITY_ADVICE

HOLD_STILL = "hold_still"
"""The code of what is asked between moves."""

ADVICE: dict[str, str] = {
    **{str(code): text for code, text in QUALITY_ADVICE.items()},
    **{code.value: text for code, text in CHALLENGE_ADVICE.items()},
    HOLD_STILL: HOLD,
    Reason.NO_FACE.value: "stand before the camera",
    Reason.NOT_ALIGNABLE.value: "look at the camera",
    Reason.LOW_QUALITY.value: "look at the camera, with light on the face",
}
"""What the person should do, by every code of :attr:`Look.advice` and of a challenge's step."""


class Step(NamedTuple):
    """What a challenge asks for now.

    Attributes:
        step: which move, from 1.
        steps: of how many.
        code: ``turn_left`` and so on, or ``hold_still``; a fault's code where the challenge failed.
        text: the same for the person.
    """

    step: int
    steps: int
    code: str
    text: str


@dataclass(frozen=True, eq=False)
class Look:
    """What a frame showed.

    Attributes:
        faces_seen: faces in it.
        box: float32 (4,): left, top, right, bottom of the face that is looked at; None without one.
        advice: what is wrong with it, as codes of :data:`ADVICE`; empty where nothing is.
        challenge: what to do now; None without liveness.
        decision: the session's answer; None until there is one.
    """

    faces_seen: int
    box: npt.NDArray[np.float32] | None
    advice: tuple[str, ...]
    challenge: Step | None
    decision: Decision | None
