"""What a report can show. All pieces are optional; an absent one leaves no gap on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedfr_edge.evaluation.outcome import PersonalisedResult, Reading
from fedfr_edge.evaluation.pairs import PairsResult
from fedfr_edge.types import Image


@dataclass(frozen=True)
class Decision:
    """One login attempt, for the strip of examples.

    Attributes:
        image: uint8 (h, w, 3) RGB of any size: the face, or the photograph.
        name: who tried, or what is shown.
        score: the best cosine; None where no face could be scored.
        threshold: what it was compared with.
        accepted: what the device answered.
        expected: what it should have answered.
        detail: a few words more, for example a reason code.
    """

    image: Image
    name: str
    score: float | None
    threshold: float
    accepted: bool
    expected: bool
    detail: str = ""

    @property
    def right(self) -> bool:
        """Whether the answer is the expected one."""
        return self.accepted == self.expected


@dataclass(frozen=True)
class ReportData:
    """The pieces of a report.

    Attributes:
        title: heading of the page.
        intro: a sentence or two below it.
        facts: ``(what, value)`` about the run: seed, data, hardware, time.
        results: personalised results of any models and readings, in the order to show them.
        pairs: results on lists of pairs.
        rounds: the objects of a run's ``metrics.jsonl``.
        decisions: example logins.
        files: ``(what, path)`` of what was written.
        notes: paragraphs for the end: what to keep in mind.
    """

    title: str
    intro: str = ""
    facts: Sequence[tuple[str, str]] = ()
    results: Sequence[PersonalisedResult] = ()
    pairs: Sequence[PairsResult] = ()
    rounds: Sequence[Mapping[str, Any]] = ()
    decisions: Sequence[Decision] = ()
    files: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()

    def of_reading(self, reading: Reading) -> list[PersonalisedResult]:
        """The results of one reading."""
        return [result for result in self.results if result.reading == reading]

    def shown(self) -> list[PersonalisedResult]:
        """The results that the figures show: the standard reading where there is one."""
        return self.of_reading("standard") or self.of_reading("paper")
