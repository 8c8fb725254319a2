"""What a calibration on the device found: thresholds with the trials and the confidence behind them.

Made by ``calibrate_device.py``, kept sealed in the gallery's state (``state_file.py``), which binds it to the
gallery; it names the model, and is left aside with any other.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from fedfr_edge.recognition.manifest import far_key


@dataclass(frozen=True)
class Calibrated:
    """The thresholds of one rate, with one gate or two.

    Attributes:
        gates: ``"one"`` or ``"backbone"``.
        far: the false accept rate of one comparison asked for.
        threshold: the score needed.
        second_threshold: the score needed in the backbone's space; None with one gate.
        comparisons: of strangers with templates.
        false_accepts: how many of these pass.
        upper: the false accept rate is at most this, with 95 % confidence, among strangers like these.
        effective: as how many independent comparisons they count.
        searches: strangers' faces that were searched among those enrolled; 0 if nobody was.
        search_false_accepts: how many of these were taken for somebody.
        search_upper: the rate of that is at most this, with 95 % confidence; None without searches.
    """

    gates: str
    far: float
    threshold: float
    second_threshold: float | None
    comparisons: int
    false_accepts: int
    upper: float
    effective: int
    searches: int = 0
    search_false_accepts: int = 0
    search_upper: float | None = None

    @property
    def supported(self) -> bool:
        """Whether the trials show the rate: its upper bound is no higher."""
        return self.upper <= self.far


@dataclass(frozen=True)
class Calibration:
    """All thresholds of one calibration, and what it was made from.

    Attributes:
        model: sha256 of the model file, hexadecimal.
        made: when, UTC, ISO 8601.
        source: whose faces the strangers' are, in words.
        source_digest: sha256 that names these faces.
        strangers: how many people they are.
        faces: how many faces.
        against: ``"gallery"``: the templates of those enrolled; ``"public"``: templates of some of the
            strangers, made as enrolment makes them; ``"both"``.
        templates: how many templates.
        enrolled: how many people were enrolled then.
        records: the thresholds.
        exported: what the model's own thresholds, from when it was exported, come to here; for comparison.
    """

    model: str
    made: str
    source: str
    source_digest: str
    strangers: int
    faces: int
    against: str
    templates: int
    enrolled: int
    records: tuple[Calibrated, ...]
    exported: tuple[Calibrated, ...] = ()

    def record_at(self, far: float, gates: str) -> Calibrated | None:
        """The record of exactly this rate and these gates, or None."""
        for record in self.records:
            if record.gates == gates and math.isclose(record.far, far, rel_tol=1e-9):
                return record
        return None

    def words(self, record: Calibrated, people: int) -> str:
        """What a record rests on.

        Args:
            record: one of these.
            people: among how many a face is searched; 1 for a claim.
        """
        shown = "at most" if record.supported else "not shown, at most"
        text = (
            f"FAR {far_key(record.far)} per comparison, {shown} {record.upper:.2g} with 95 % confidence: "
            f"{record.false_accepts} of {record.comparisons} comparisons of {self.strangers} strangers "
            f"({self.source}) with {self.templates} templates, calibrated on this device on {self.made[:10]}"
        )
        if people > 1 and record.search_upper is not None and self.enrolled >= people:
            text += (
                f"; searched among {self.enrolled} people: {record.search_false_accepts} of "
                f"{record.searches}, at most {record.search_upper:.2g}"
            )
        elif people > 1:
            text += f"; up to {min(1.0, record.far * people):g} for {people} people"
        return text

    def to_dict(self) -> dict[str, Any]:
        """As JSON; :meth:`from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Calibration:
        """Of :meth:`to_dict`. It comes out of a seal, so only another version's could be wrong."""
        records, exported = (
            tuple(Calibrated(**record) for record in values[name]) for name in ("records", "exported")
        )
        return cls(**{**values, "records": records, "exported": exported})
