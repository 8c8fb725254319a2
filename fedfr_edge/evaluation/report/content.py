"""What a report can show. All pieces are optional; an absent one leaves no gap on the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fedfr_edge.evaluation.metrics import finite_or_none
from fedfr_edge.evaluation.outcome import PersonalisedResult, Reading
from fedfr_edge.evaluation.pairs import PairsResult
from fedfr_edge.evaluation.tables import Table
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
class Contrast:
    """Two models on the same trials: ``second`` − ``first``.

    Attributes:
        first, second: the models; ``second`` may be empty where ``first`` says it all.
        measure: in what, for example "TAR@FAR 1e-3".
        value: the difference as a share, −1 to 1.
        interval: its 95 % interval ``(low, high)``; infinite where nothing is known.
        basis: where the interval comes from, for example "1,000 resamples of the identities".
    """

    first: str
    second: str
    measure: str
    value: float
    interval: tuple[float, float]
    basis: str

    @property
    def text(self) -> str:
        """What is compared."""
        return f"{self.first} → {self.second}" if self.second else self.first

    @property
    def verdict(self) -> Literal["higher", "lower", "no difference shown"]:
        """What may be said of ``second``: a difference only where the interval leaves 0 out."""
        low, high = self.interval
        return "higher" if low > 0 else "lower" if high < 0 else "no difference shown"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        low, high = self.interval
        return {
            "first": self.first,
            "second": self.second,
            "measure": self.measure,
            "difference": finite_or_none(self.value),
            "interval": [low, high] if math.isfinite(low) and math.isfinite(high) else None,
            "basis": self.basis,
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class FacePair:
    """Two faces that a model judged wrongly.

    Attributes:
        first, second: uint8 (112, 112, 3) RGB.
        names: of the two images.
        mated: whether both show one person: then it is a false reject, otherwise a false accept.
        score: their cosine.
        threshold: what it was compared with.
        model: whose judgement it is.
        client: whose model it is.
    """

    first: Image
    second: Image
    names: tuple[str, str]
    mated: bool
    score: float
    threshold: float
    model: str
    client: str

    @property
    def verdict(self) -> str:
        """In words."""
        return "false reject" if self.mated else "false accept"


@dataclass(frozen=True)
class Faces:
    """Face pairs and on what terms they may be shown.

    Attributes:
        pairs: the hardest ones.
        licence: terms of use of the images, from their store.
        private: whether the store's licence does not by itself let others see its faces.
    """

    pairs: Sequence[FacePair]
    licence: str
    private: bool = False


@dataclass(frozen=True)
class GroupedTable:
    """A table with one more line of headings, as the paper's are.

    Attributes:
        table: the table.
        groups: ``(heading, columns)`` from the second column on.
        folded: whether the page shows it only when asked to, since a figure has the same numbers.
    """

    table: Table
    groups: tuple[tuple[str, int], ...]
    folded: bool = False

    def flat(self) -> Table:
        """The table alone, each heading with its group in front of it."""
        names = [name for name, columns in self.groups for _ in range(columns)]
        header = [
            f"{name}: {text}" if name else text
            for name, text in zip(names, self.table.header[1:], strict=True)
        ]
        return Table(self.table.title, (self.table.header[0], *header), self.table.rows, self.table.notes)


@dataclass(frozen=True)
class SweepLine:
    """One line of a panel.

    Attributes:
        name: of the method.
        points: ``(x, value, low, high)``, shares; low and high are NaN where there is no interval.
    """

    name: str
    points: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class Sweep:
    """A measure over a setting that was swept, as in the paper's Figures 3 and 4.

    Attributes:
        name: file name of the figure, without ending.
        setting: what stands on the x axis.
        panels: ``(title, lines)``.
        caption: what it shows, with its seeds.
    """

    name: str
    setting: str
    panels: Sequence[tuple[str, Sequence[SweepLine]]]
    caption: str


@dataclass(frozen=True)
class ReportData:
    """The pieces of a report.

    Attributes:
        title: heading of the page.
        intro: a sentence or two below it.
        facts: ``(what, value)`` about the run: seed, data, hardware, time.
        results: personalised results of any models and readings, in the order to show them.
        curves: names of the results that figures of many lines show; empty for the first few.
        headline_pair: names of the two results of the sentence at the top; by default the first and the last.
        differences: paired comparisons.
        paper: methods side by side as in the paper's tables.
        sweeps: measures over a setting.
        tables: further tables, each with a heading of its own.
        pairs: results on lists of pairs.
        faces: the hardest pairs of faces; None to show none.
        rounds: the objects of a run's ``metrics.jsonl``.
        decisions: example logins.
        files: ``(what, path)`` of what was written or read.
        notes: paragraphs for the end: what to keep in mind.
        left_out: what the page does not show although it was there, each with its count.
    """

    title: str
    intro: str = ""
    facts: Sequence[tuple[str, str]] = ()
    results: Sequence[PersonalisedResult] = ()
    curves: Sequence[str] = ()
    headline_pair: tuple[str, str] | None = None
    differences: Sequence[Contrast] = ()
    paper: Sequence[GroupedTable] = ()
    sweeps: Sequence[Sweep] = ()
    tables: Sequence[Table] = ()
    pairs: Sequence[PairsResult] = ()
    faces: Faces | None = None
    rounds: Sequence[Mapping[str, Any]] = ()
    decisions: Sequence[Decision] = ()
    files: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    left_out: Sequence[str] = ()

    def of_reading(self, reading: Reading) -> list[PersonalisedResult]:
        """The results of one reading."""
        return [result for result in self.results if result.reading == reading]

    def readings(self) -> list[Reading]:
        """Readings that there are, the one that is shown first in front."""
        found = dict.fromkeys(result.reading for result in self.results)
        return sorted(found, key=lambda reading: reading != "standard")

    def shown(self) -> list[PersonalisedResult]:
        """The results that the figures show: the standard reading where there is one."""
        readings = self.readings()
        return self.of_reading(readings[0]) if readings else []

    def drawn(self) -> list[PersonalisedResult]:
        """Those of them that figures with a line or a panel for each model show: :data:`MOST` at most."""
        shown = self.shown()
        chosen = [result for result in shown if result.name in self.curves]
        return (chosen or shown)[:MOST]


MOST = 6
"""Lines that can be told apart in one figure: as many as there are colours."""
