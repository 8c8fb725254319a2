"""What the paper says of the methods' order, and what a study says of it, seed by seed.

Differences are paired: both sides of one saw the same people, the same start and the same seed. So a
difference can be clear where the rows' own spreads overlap, which are mostly those of the people.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from ..models_for_evaluation import GENERIC, SPACES
from .plan import PRETRAINED
from .scores import UNSEEN, Scores

Lookup: TypeAlias = Callable[[str, str], float | None]
"""(row, column) -> its figure with one seed in one measure."""

Term: TypeAlias = Callable[[Lookup], float | None]
"""One side of an ordering; None where it cannot be had."""

BACKBONE, BRANCH = SPACES


@dataclass(frozen=True)
class Ordering:
    """``lower`` < ``higher``, as the paper has it.

    Attributes:
        text: what it says.
        lower, higher: the two sides.
        source: where the paper says so.
    """

    text: str
    lower: Term = field(repr=False)
    higher: Term = field(repr=False)
    source: str


def at(row: str, column: str) -> Term:
    """A figure."""
    return lambda get: get(row, column)


def personal(row: str) -> Term:
    """A method's personal model: [Θ_l, Π_l] where it has a branch, otherwise Θ_l."""

    def term(get: Lookup) -> float | None:
        transformed = get(row, BRANCH)
        return get(row, BACKBONE) if transformed is None else transformed

    return term


def gain(before: Term, after: Term) -> Term:
    """How much ``after`` is above ``before``."""

    def term(get: Lookup) -> float | None:
        first, second = before(get), after(get)
        return None if first is None or second is None else second - first

    return term


def greatest(*terms: Term) -> Term:
    """The greatest of those that can be had."""

    def term(get: Lookup) -> float | None:
        known = [value for one in terms if (value := one(get)) is not None]
        return max(known) if known else None

    return term


_STEPS = ("fedavg", "hard-negatives", "contrastive")
_OTHERS = (
    PRETRAINED,
    *("fedavg", "shared", "hard-negatives", "contrastive", "fedfr"),
    *("branch-cosface", "fine-tune", "kd", "fedface"),
)

ORDERINGS = (
    Ordering("generic: FedAvg < pre-trained", at("fedavg", UNSEEN), at(PRETRAINED, UNSEEN), "Table 1"),
    Ordering("generic: FedAvg < + shared data", at("fedavg", UNSEEN), at("shared", UNSEEN), "Table 1"),
    Ordering(
        "generic: FedAvg < + hard negatives", at("fedavg", UNSEEN), at("hard-negatives", UNSEEN), "Table 1"
    ),
    Ordering(
        "generic: + hard negatives < + contrastive",
        at("hard-negatives", UNSEEN),
        at("contrastive", UNSEEN),
        "Table 1",
    ),
    Ordering(
        "personal: + contrastive < + hard negatives",
        personal("contrastive"),
        personal("hard-negatives"),
        "Table 1",
    ),
    Ordering(
        "personal: + contrastive < + DFC (FedFR)", personal("contrastive"), personal("fedfr"), "Table 1"
    ),
    Ordering(
        "personal: the step to DFC lifts more than any step before",
        greatest(*(gain(personal(a), personal(b)) for a, b in pairwise(_STEPS))),
        gain(personal("contrastive"), personal("fedfr")),
        "Table 1",
    ),
    Ordering(
        "generic: best of all others < central",
        greatest(*(at(row, UNSEEN) for row in _OTHERS)),
        at("central", UNSEEN),
        "Table 1",
    ),
    Ordering("FedFR: Θ_g < Θ_l", at("fedfr", GENERIC), at("fedfr", BACKBONE), "Table 3"),
    Ordering("FedFR: Θ_l < [Θ_l, Π_l]", at("fedfr", BACKBONE), at("fedfr", BRANCH), "Table 3"),
    Ordering("personal: fine-tune < KD", personal("fine-tune"), personal("kd"), "Table 2"),
    Ordering("personal: KD < CosFace branch", personal("kd"), personal("branch-cosface"), "Table 2"),
    Ordering(
        "personal: CosFace branch < BCE branch (FedFR)",
        personal("branch-cosface"),
        personal("fedfr"),
        "Table 2",
    ),
    Ordering("generic: FedFace < pre-trained", at("fedface", UNSEEN), at(PRETRAINED, UNSEEN), "Figure 4"),
    Ordering("generic: FedFace < FedFR", at("fedface", UNSEEN), at("fedfr", UNSEEN), "Figure 4"),
    Ordering("personal: FedFace < FedFR", personal("fedface"), personal("fedfr"), "Figure 4"),
)
"""The paper's orderings (FedFR, arXiv 2112.12496); "generic" is on people whom nobody trained on."""


@dataclass(frozen=True)
class Outcome:
    """One ordering in one measure.

    Attributes:
        ordering: which.
        measure: by what.
        differences: seed -> ``higher`` − ``lower``, as shares; seeds without one are left out.
    """

    ordering: Ordering
    measure: str
    differences: Mapping[int, float]

    @property
    def mean(self) -> float:
        """Mean difference over the seeds."""
        return float(np.mean(list(self.differences.values())))

    @property
    def spread(self) -> float:
        """Standard deviation over the seeds (n − 1); NaN for one seed."""
        values = list(self.differences.values())
        return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan

    @property
    def holds_in(self) -> int:
        """In how many seeds the ordering holds."""
        return sum(value > 0 for value in self.differences.values())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the mean difference (Student's t over the seeds); infinite for one seed."""
        return mean_interval(list(self.differences.values()))

    @property
    def verdict(self) -> str:
        """``holds``, ``reversed`` where the interval leaves 0 out, otherwise ``not shown``."""
        low, high = self.interval
        return "holds" if low > 0 else "reversed" if high < 0 else "not shown"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        low, high = self.interval
        return {
            "ordering": self.ordering.text,
            "source": self.ordering.source,
            "measure": self.measure,
            "differences": {str(seed): value for seed, value in self.differences.items()},
            "mean": self.mean,
            "spread": None if math.isnan(self.spread) else self.spread,
            "interval": None if math.isinf(low) else [low, high],
            "holds_in": self.holds_in,
            "seeds": len(self.differences),
            "verdict": self.verdict,
        }


def compare(scores: Scores, orderings: tuple[Ordering, ...] = ORDERINGS) -> list[Outcome]:
    """Every ordering in every measure in which some seed has both sides."""
    outcomes = []
    for ordering in orderings:
        for measure in scores.measures():
            differences: dict[int, float] = {}
            for seed in scores.seeds:

                def get(row: str, column: str, seed: int = seed, measure: str = measure) -> float | None:
                    return scores.get(row, seed, column, measure)

                lower, higher = ordering.lower(get), ordering.higher(get)
                if lower is not None and higher is not None:
                    differences[seed] = higher - lower
            if differences:
                outcomes.append(Outcome(ordering, measure, differences))
    return outcomes


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean of independent values (Student's t); infinite for a single one."""
    n = len(values)
    if n < 2:
        return -math.inf, math.inf
    mean = float(np.mean(values))
    half = student_quantile(n - 1) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return mean - half, mean + half


@functools.cache
def student_quantile(freedom: int, level: float = 0.975) -> float:
    """Quantile of Student's t with ``freedom`` degrees of freedom, ``level`` in (0.5, 1).

    With t = √ν·tan φ the density becomes cos^(ν−1) φ up to a factor, so the quantile is that angle up to
    which the integral has its share: found on a grid of φ, exact to about 1e-6.
    """
    grid = np.linspace(0.0, np.pi / 2, 200_001)
    density = np.cos(grid) ** (freedom - 1)
    sums = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    angle = np.interp(2 * level - 1, sums / sums[-1], grid)
    return float(np.sqrt(freedom) * np.tan(angle))
