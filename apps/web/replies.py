"""What the page gets for a frame: a look, or a decision, as JSON with words for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fedfr_edge.recognition.capture import Reason
from fedfr_edge.recognition.decision import Decision
from fedfr_edge.recognition.gallery import Person
from fedfr_edge.recognition.guided import EnrolLook
from fedfr_edge.recognition.lockout import Block
from fedfr_edge.recognition.look import Look, Step
from fedfr_edge.recognition.proposal import Enrolment

from .words import sentence, words

Reply = dict[str, Any]
"""See the contract in docs/serve.md."""

VERDICTS: dict[Reason, str] = {
    Reason.ACCEPTED: "Welcome, {name}.",
    Reason.NOT_RECOGNISED: "You were not recognised.",
    Reason.NOT_ENROLLED: "You were not recognised.",
    Reason.EMPTY_GALLERY: "Nobody is enrolled yet.",
    Reason.NO_FACE: "No face was seen.",
    Reason.SEVERAL_FACES: "Several faces were seen; one person at a time, please.",
    Reason.LOW_QUALITY: "Your face could not be seen well enough.",
    Reason.NOT_ALIGNABLE: "Your face could not be seen well enough.",
    Reason.NOT_LIVE: "It was not clear that a living person is there.",
    Reason.UNREADABLE: "The picture could not be read.",
    Reason.LOCKED: "Too many failures in a row; face login pauses.",
    Reason.OTHER_FACTOR: "Face login is off until the operator switches it on.",
}


CAMERA_NEEDED = ("camera_needed", "A photo cannot show that somebody is alive; log in with the camera.")
"""Code and text of the refusal of a photograph where a login asks for a living person."""


def coded(codes: Iterable[str]) -> list[dict[str, str]]:
    """Codes with their words."""
    return [{"code": code, "text": words(code)} for code in codes]


def asked(step: Step | None) -> dict[str, Any] | None:
    """What a challenge asks for."""
    if step is None:
        return None
    return {"step": step.step, "steps": step.steps, "code": step.code, "text": sentence(step.text)}


def edges(box: Any) -> list[float] | None:
    """A face's box, left, top, right, bottom in pixels of the frame."""
    return None if box is None else [round(float(edge), 1) for edge in box]


def login_reply(look: Look | None = None, *, verdict: Reply | None = None) -> Reply:
    """The reply to a frame of a login."""
    return {
        "faces": 0 if look is None else look.faces_seen,
        "box": None if look is None else edges(look.box),
        "advice": [] if look is None else coded(look.advice),
        "enrol": None,
        "login": {"challenge": None if look is None else asked(look.challenge), "verdict": verdict},
    }


def enrol_reply(look: EnrolLook) -> Reply:
    """The reply to a frame of an enrolment."""
    return {
        "faces": look.faces_seen,
        "box": edges(look.box),
        "advice": [] if look.reason is None else coded([look.reason]),
        "enrol": {
            "taken": look.taken,
            "needed": look.needed,
            "next": {"code": str(look.next), "text": words(look.next)},
            "look": {"accepted": look.accepted, "code": look.reason, "text": sentence(look.text)},
            "done": False,
            "person": None,
            "report": [],
        },
        "login": None,
    }


def enrolled(reply: Reply, person: Person, done: Enrolment) -> Reply:
    """The same reply when somebody was enrolled with it."""
    left_out = [f"{each.label} {each.text}" for each in done.dropped]
    reply["enrol"] |= {
        "done": True,
        "person": {"id": person.id, "name": person.name},
        "report": [sentence(text) for text in (*left_out, *done.remarks)],
    }
    return reply


def verdict(decision: Decision, *, wait: float | None, operator: bool) -> dict[str, Any]:
    """A decision.

    Who asks for a person that is not enrolled gets the same answer as somebody who is not recognised: the
    page must not tell who is enrolled. Scores are for the operator's eyes, for a stranger could climb by
    them; so is what the threshold rests on, which tells how many are enrolled.
    """
    hidden = decision.reason is Reason.NOT_ENROLLED and not operator
    reason = Reason.NOT_RECOGNISED if hidden else decision.reason
    person, second = decision.person, decision.second
    return {
        "accepted": decision.accepted,
        "reason": reason.value,
        "text": VERDICTS[reason].format(name="" if person is None else person.name),
        "person": None if person is None else {"id": person.id, "name": person.name},
        "score": decision.score if operator else None,
        "threshold": decision.threshold,
        "far": decision.far,
        "far_supported": decision.far_supported,
        "rests_on": decision.rests_on if operator else None,
        "second": {"score": second.score, "threshold": second.threshold} if second and operator else None,
        "quality": coded(map(str, decision.quality)),
        "faces_seen": decision.faces_seen,
        "model": decision.model,
        "provider": decision.provider,
        "wait_seconds": None if wait is None else round(wait, 1),
    }


def locked(block: Block | None) -> dict[str, Any] | None:
    """Why nobody may log in now."""
    if block is None:
        return None
    text = VERDICTS[block.reason]
    if block.wait is not None:
        text += f" Wait {max(1, round(block.wait))} s."
    wait = None if block.wait is None else round(block.wait, 1)
    return {"reason": block.reason.value, "wait_seconds": wait, "text": text}
