"""What was measured of a model's enrolments, in a file beside it: ``MODEL.enrolment.json``.

``fedfr evaluate enrolment`` writes it, from the people of a split; ``fedfr enrol`` says what stands in it. It
names the model by its hash, so that nothing is said of another one.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedfr_edge.errors import ModelError
from fedfr_edge.recognition.manifest import Manifest, far_key
from fedfr_edge.recognition.template import Combine

FORMAT = 1

Span = tuple[float, float] | None
"""A 95 % interval, where one is known."""


@dataclass(frozen=True)
class GroupRates:
    """The rates of a group of people at the model's threshold.

    Attributes:
        people: how many.
        tar: share of their looks accepted.
        tar_interval: of it.
        fmr: share of strangers' looks accepted as one of them.
        fmr_interval: of it.
    """

    people: int
    tar: float
    tar_interval: Span
    fmr: float
    fmr_interval: Span

    @property
    def text(self) -> str:
        """The same in words."""
        return (
            f"{_percent(self.tar, self.tar_interval)} of their looks accepted, "
            f"{_percent(self.fmr, self.fmr_interval)} of a stranger's as theirs"
        )


@dataclass(frozen=True)
class KnownRate:
    """The rates of one way to enrol.

    Attributes:
        combine: what is kept of several images.
        drop_outliers: whether images unlike the rest were left out.
        trained: people whom the model was trained on.
        new: people whom it was not.
    """

    combine: Combine
    drop_outliers: bool
    trained: GroupRates
    new: GroupRates


@dataclass(frozen=True)
class KnownRates:
    """What was measured of a model's enrolments.

    Attributes:
        model: sha256 of the model file, hexadecimal.
        measured: when, UTC, ISO 8601.
        images: a person was enrolled from.
        far: the false accept rate that the threshold was calibrated for.
        threshold: the score needed.
        rates: by way to enrol.
    """

    model: str
    measured: str
    images: int
    far: float
    threshold: float
    rates: tuple[KnownRate, ...]

    def to_json(self) -> str:
        """The file's text."""
        return json.dumps({"format": FORMAT} | asdict(self), indent=1, allow_nan=False) + "\n"

    def text(self, combine: Combine, drop_outliers: bool) -> str | None:
        """What is known of people whom the model was not trained on, in one line; None for another way."""
        for rate in self.rates:
            if (rate.combine, rate.drop_outliers) == (combine, drop_outliers):
                return (
                    f"somebody whom the model was not trained on: {rate.new.text}; whom it was trained on: "
                    f"{rate.trained.text} (threshold {self.threshold:.3f}, for FAR {far_key(self.far)}; "
                    f"measured {self.measured[:10]} on {rate.new.people} and {rate.trained.people} people, "
                    f"enrolled from {self.images} images each)"
                )
        return None


def rates_file(model: Path) -> Path:
    """Where the figures of a model are looked for."""
    return model.with_name(model.stem + ".enrolment.json")


def read_known_rates(model: Path, digest: str) -> KnownRates | None:
    """What stands in the file beside ``model``; None if there is none.

    Raises:
        ModelError: the file is something else, or of another model.
    """
    path = rates_file(model)
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']!r}, this version reads {FORMAT}")
        known = KnownRates(
            str(values["model"]),
            str(values["measured"]),
            int(values["images"]),
            float(values["far"]),
            float(values["threshold"]),
            tuple(
                KnownRate(
                    rate["combine"], rate["drop_outliers"], _group(rate["trained"]), _group(rate["new"])
                )
                for rate in values["rates"]
            ),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(
            f"{path} holds no figures of a model's enrolments ({error}); remove it, or write it again with "
            "'fedfr evaluate enrolment'"
        ) from error
    if known.model != digest:
        raise ModelError(
            f"{path} is about model {known.model[:12]}…, this is {digest[:12]}…; remove it, or write it "
            "again with 'fedfr evaluate enrolment'"
        )
    return known


def known_of_new_people(
    model: Path, manifest: Manifest, digest: str, combine: Combine, drop_outliers: bool
) -> str | None:
    """One line on how well a model knows people whom it was not trained on; None for a generic model.

    Raises:
        ModelError: as :func:`read_known_rates`.
    """
    if manifest.kind != "personal":
        return None
    known = read_known_rates(model, digest)
    text = None if known is None else known.text(combine, drop_outliers)
    return text or (
        "how well this model knows people whom it was not trained on was not measured: 'fedfr evaluate "
        f"enrolment' writes {rates_file(model).name}, which belongs beside it"
    )


def _group(values: Any) -> GroupRates:
    spans: list[Span] = []
    for key in ("tar_interval", "fmr_interval"):
        span = values[key]
        spans.append(None if span is None else (float(span[0]), float(span[1])))
    tar, fmr = float(values["tar"]), float(values["fmr"])
    if not (math.isfinite(tar) and math.isfinite(fmr)):
        raise ValueError("a rate is no number")
    return GroupRates(int(values["people"]), tar, spans[0], fmr, spans[1])


def _percent(share: float, span: Span) -> str:
    between = "" if span is None else f" [{100 * span[0]:.1f} … {100 * span[1]:.1f}]"
    return f"{100 * share:.1f}{between} %"
