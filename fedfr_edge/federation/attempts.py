"""A round that too few clients answered is tried again, and each attempt is written down.

A round follows from its number and from what the server and its clients had before it, so an attempt that
counts gives what an undisturbed round would have given: clients that trained in an earlier attempt start
again from the snapshot below the round.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from fedfr_edge.errors import QuorumError
from fedfr_edge.federation.refusal import lasting

log = logging.getLogger(__name__)

R = TypeVar("R")


class ShortRound(QuorumError):
    """An attempt at a round that too few clients answered.

    Args:
        text: the error's text.
        asked: how many were asked.
        answered: how many did answer.
        least: how many had to.
        failed: why the others did not, by client id; empty if too few were online to ask.
        seconds: how long it took.
        lost_traffic: bytes sent to clients and received from them in vain, by client id.
    """

    def __init__(
        self,
        text: str,
        *,
        asked: int,
        answered: int,
        least: int,
        failed: Mapping[str, str],
        seconds: float,
        lost_traffic: Mapping[str, Mapping[str, int]] | None = None,
    ) -> None:
        super().__init__(text)
        self.asked, self.answered, self.least = asked, answered, least
        self.failed, self.seconds = dict(failed), seconds
        self.lost_traffic = {client: dict(told) for client, told in sorted((lost_traffic or {}).items())}

    @property
    def may_pass(self) -> bool:
        """Whether another attempt could reach the quorum: enough failed of what need not recur."""
        return not self.failed or self.asked - sum(map(lasting, self.failed.values())) >= self.least

    def to_dict(self) -> dict[str, Any]:
        """As an item of ``attempts`` in a line of ``metrics.jsonl``."""
        line: dict[str, Any] = {"answered": self.answered, "expected": self.least, "seconds": self.seconds}
        line |= {"lost_traffic": self.lost_traffic} if self.lost_traffic else {}
        return line | ({"failed": self.failed} if self.failed else {"reason": "too few clients are online"})


def until_it_counts(
    once: Callable[[int], R],
    round: int,
    *,
    repeats: int,
    pause: float,
    note: Callable[[dict[str, Any]], None],
) -> R:
    """Try a round until it counts.

    Args:
        once: one attempt, given how many were made before.
        round: the round's number.
        repeats: how often it is tried again.
        pause: seconds before each repetition.
        note: called with the record of each attempt that does not count, at once.

    Raises:
        QuorumError: the last attempt did not count either, or no further one could.
    """
    for number in range(repeats + 1):
        try:
            return once(number)
        except ShortRound as error:
            note(error.to_dict())
            said = f"round {round}, attempt {number + 1} of {repeats + 1}: {error}"
            if number == repeats or not error.may_pass:
                log.error("%s", said)
                again = f"; attempt {number + 1}, see metrics.jsonl for all" if number else ""
                raise QuorumError(f"{error}{again}") from error
            log.warning("%s; the round is tried again in %g s", said, pause)
            time.sleep(pause)
    raise AssertionError("repeats is at least 0")
