"""Whether a model meets what NIST SP 800-63B-4 asks of a biometric that logs people in.

It asks (section 3.2.3) for a false match rate of 1 in 10,000 or better, a false non-match rate below 5 %,
and that fewer than 15 % of presentation attacks are taken for the person (IAPAR). The first two are measured
where the thresholds come from, at the strictest of them that promises the first; each stands with its 95 %
interval, and only an interval that lies on one side of the bar answers the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedfr_edge.evaluation.bootstrap import Resampling, interval_of, weighted_shares
from fedfr_edge.evaluation.metrics import Interval
from fedfr_edge.evaluation.tables import DASH, Table, interval_text, percent, rate_text
from fedfr_edge.recognition.manifest import Threshold
from fedfr_edge.types import Embeddings, Labels

FALSE_MATCH_RATE = 1e-4
FALSE_NON_MATCH_RATE = 0.05
ATTACK_ACCEPT_RATE = 0.15

REPLICATES = 1000

_BLOCK = 1024


@dataclass(frozen=True)
class ErrorRate:
    """A share of comparisons that went wrong.

    Attributes:
        errors: how many.
        trials: of how many.
        interval: 95 %, people drawn anew; None with fewer than two people.
    """

    errors: int
    trials: int
    interval: Interval | None

    @property
    def value(self) -> float:
        """The share; NaN without comparisons."""
        return self.errors / self.trials if self.trials else float("nan")


@dataclass(frozen=True)
class ErrorRates:
    """Both kinds of error at one threshold, comparing single images.

    Attributes:
        threshold: where.
        false_match: FMR, over pairs of different people.
        false_non_match: FNMR, over pairs of images of one person.
    """

    threshold: Threshold
    false_match: ErrorRate
    false_non_match: ErrorRate


def strict_enough(thresholds: Sequence[Threshold]) -> Threshold | None:
    """The mildest threshold that promises :data:`FALSE_MATCH_RATE`; None if none does."""
    strict = [record for record in thresholds if record.far <= FALSE_MATCH_RATE]
    return max(strict, key=lambda record: record.far) if strict else None


def measure_errors(embeddings: Embeddings, labels: Labels, threshold: Threshold) -> ErrorRates:
    """Both error rates among these faces, all pairs of them.

    Intervals are those of people: each of 1,000 replicates draws the K people with replacement, person k
    w_k times; a pair of persons i ≠ j then weighs w_i·w_j, a pair of images of person k weighs w_k (see
    :mod:`fedfr_edge.evaluation.bootstrap`).

    Args:
        embeddings: float32 (n, d), unit rows.
        labels: int64 (n,).
        threshold: a score ≥ it is a match.
    """
    people, columns = np.unique(labels, return_inverse=True)
    matched, trials = _pairs_by_people(embeddings, columns, len(people), threshold.threshold)
    weights = Resampling(REPLICATES).weights("calibration", len(people))
    wrong, all_pairs = (_of_different(weights, pairs) for pairs in (matched, trials))
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = wrong / all_pairs
    impostors = int(np.triu(trials, 1).sum())
    accepted = int(np.triu(matched, 1).sum())
    mated, refused = np.diag(trials), np.diag(trials) - np.diag(matched)
    replicates = weighted_shares(refused[:, None, None].astype(np.float64), mated, weights)[:, 0]
    return ErrorRates(
        threshold,
        _rate(accepted, impostors, drawn, len(people)),
        _rate(int(refused.sum()), int(mated.sum()), replicates, int(np.count_nonzero(mated))),
    )


def requirements_table(rates: ErrorRates | None, source: str) -> Table:
    """The three bars, what was measured, and whether that shows them to be met.

    Args:
        rates: at the threshold of :func:`strict_enough`; None where there is none.
        source: whose faces were compared, in words.
    """
    # A rate at its own bar answers neither way: FMR may reach it, the others may not.
    match = _cells(None if rates is None else rates.false_match, FALSE_MATCH_RATE)
    non_match = _cells(None if rates is None else rates.false_non_match, FALSE_NON_MATCH_RATE)
    rows = [
        ("FMR", f"≤ {rate_text(FALSE_MATCH_RATE)}", *match),
        ("FNMR", f"< {FALSE_NON_MATCH_RATE:.0%}", *non_match),
        ("IAPAR", f"< {ATTACK_ACCEPT_RATE:.0%}", DASH, DASH, DASH, "not measured"),
    ]
    where = (
        f"At the threshold for FAR {rate_text(rates.threshold.far)}, comparing single images: {source}."
        if rates is not None
        else f"No threshold promises an FMR of {rate_text(FALSE_MATCH_RATE)}: too few comparisons."
    )
    notes = (
        f"{where} Met or missed: the whole interval lies on that side of the bar; else neither is shown.",
        "The model alone does not look for presentation attacks: its IAPAR is that of the liveness check in "
        "front of it.",
    )
    header = ("what", "bar", "%", "95 %", "comparisons", "answer")
    return Table("NIST SP 800-63B-4", header, tuple(rows), notes)


def _pairs_by_people(
    embeddings: Embeddings, columns: npt.NDArray[np.int64], people: int, threshold: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Pairs of images that match, and all pairs, by the two people: symmetric float64 (K, K) each."""
    members = np.zeros((len(columns), people))
    members[np.arange(len(columns)), columns] = 1.0
    matched = np.zeros((people, people))
    for start in range(0, len(embeddings), _BLOCK):
        rows = slice(start, start + _BLOCK)
        hits = (embeddings[rows] @ embeddings.T >= threshold).astype(np.float64)
        # An image is not compared with itself.
        hits[np.arange(len(hits)), np.arange(start, start + len(hits))] = 0.0
        matched += members[rows].T @ (hits @ members)
    images = members.sum(axis=0)
    trials = np.outer(images, images)
    np.fill_diagonal(trials, images * (images - 1))
    # Both orders of a pair of one person's images were counted.
    for pairs in (matched, trials):
        np.fill_diagonal(pairs, np.diag(pairs) / 2)
    return matched, trials


def _of_different(
    weights: npt.NDArray[np.float64], pairs: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Weight of the pairs of two different people in each replicate, float64 (R,)."""
    apart = pairs - np.diag(np.diag(pairs))
    return np.asarray(np.einsum("ri,ij,rj->r", weights, apart, weights, optimize=True) / 2)


def _rate(errors: int, trials: int, replicates: npt.NDArray[np.float64], people: int) -> ErrorRate:
    value = errors / trials if trials else float("nan")
    return ErrorRate(errors, trials, interval_of(value, replicates, people))


def _cells(rate: ErrorRate | None, bar: float) -> tuple[str, ...]:
    if rate is None or not rate.trials:
        return (DASH, DASH, DASH, "not shown")
    answer = "not shown"
    if rate.interval is not None and rate.interval.high < bar:
        answer = "met"
    elif rate.interval is not None and rate.interval.low > bar:
        answer = "missed"
    # Two decimals would round a false match rate near the bar to nothing.
    shown = f"{100 * rate.value:.4f}" if bar < 1e-3 else percent(rate.value)
    span = interval_text(rate.interval)
    if rate.interval is not None and bar < 1e-3:
        span = f"{100 * rate.interval.low:.4f} … {100 * rate.interval.high:.4f}"
    return (shown, span, f"{rate.errors:,} of {rate.trials:,}", answer)
