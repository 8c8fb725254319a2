"""From the decisions on single frames to one: k of n, or all of them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from fedfr_edge.recognition.capture import Reason
from fedfr_edge.recognition.decision import Decision

_TWO_PEOPLE = "not the same person throughout"


def is_settled(compared: Sequence[Decision], k: int, n: int) -> bool:
    """Whether k frames agree on a person, or k of n cannot any more."""
    most = max(_counts(compared).values(), default=0)
    return most >= k or most + n - len(compared) < k


def k_of(compared: Sequence[Decision], k: int) -> Decision:
    """Accepted if k frames are recognised as the same person.

    The score is that of the frame that decided: the k-th best of those that agree, or of all where too few
    do; so it is below the threshold where too few were recognised.

    Args:
        compared: one decision or more.
        k: how many must agree.
    """
    people = _counts(compared)
    for person, count in people.items():
        if count >= k:
            return _ranked([each for each in compared if _id(each) == person])[k - 1]
    decisive = _ranked(compared)[min(k, len(compared)) - 1]
    if decisive.accepted:
        return _refused(decisive, _TWO_PEOPLE if len(people) > 1 else "too few frames were compared")
    return decisive


def all_of(compared: Sequence[Decision]) -> Decision:
    """Accepted if every frame is recognised as the same person; the one that tells most against it.

    Args:
        compared: one decision or more.
    """
    refused = [each for each in compared if not each.accepted]
    # Somebody else in one of them is a failed attempt, however poor the others were.
    strange = [each for each in refused if each.reason is Reason.NOT_RECOGNISED]
    worst = _ranked(strange or refused or compared)[-1]
    return _refused(worst, _TWO_PEOPLE) if not refused and len(_counts(compared)) > 1 else worst


def _counts(compared: Sequence[Decision]) -> Counter[str]:
    return Counter(each.person.id for each in compared if each.person is not None)


def _id(decision: Decision) -> str | None:
    return None if decision.person is None else decision.person.id


def _ranked(decisions: Sequence[Decision]) -> list[Decision]:
    """Those accepted first, each by falling score."""
    return sorted(
        decisions, key=lambda each: (each.accepted, -2.0 if each.score is None else each.score), reverse=True
    )


def _refused(decision: Decision, detail: str) -> Decision:
    return dataclasses.replace(
        decision, accepted=False, reason=Reason.NOT_RECOGNISED, person=None, detail=detail
    )
