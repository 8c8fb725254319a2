"""Verification on a list of pairs, in the form of Labeled Faces in the Wild (LFW).

A list looks like this (tabs between the fields; the first line says ten folds of 300 mated and 300
non-mated pairs; with a single number there is one fold)::

    10      300
    Abel_Pacheco    1       4
    …
    Abdel_Madi_Shabneh      1       Dean_Barker     1
    …

Accuracy follows LFW's protocol: the pairs of each fold are decided at the threshold that is best on
all *other* folds. Images are looked up under LFW's names, ``Abel_Pacheco/Abel_Pacheco_0001``; pairs
with an image that the store lacks are left out, counted and listed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import DataError
from fedfr_edge.evaluation import metrics
from fedfr_edge.evaluation.embedding import OneSpace, Shares, embed_rows
from fedfr_edge.evaluation.metrics import Rate, finite_or_none
from fedfr_edge.types import AlignedFaces, Encoder, Progress, Scores, no_progress

PAIR_FARS = (1e-1, 1e-2, 1e-3)
"""False-accept rates reported by default, as far as the trials carry them."""


@dataclass(frozen=True)
class Pair:
    """Two images by name, whether they show one person, and the fold they belong to."""

    first: str
    second: str
    mated: bool
    fold: int


@dataclass(frozen=True)
class PairsResult:
    """What a model makes of a list of pairs.

    Attributes:
        name: the model.
        folds: accuracy of each fold at the threshold of the others; empty with a single fold.
        thresholds: those thresholds.
        best_accuracy: at the one threshold that is best for these very pairs: an upper bound.
        best_threshold: that threshold.
        rates: TAR at the false-accept rates asked for.
        auc: area under the ROC.
        eer: equal error rate.
        mated: float32, scores of mated pairs.
        non_mated: float32, scores of non-mated pairs.
        missing: names of images that the list has and the store lacks.
        left_out: number of pairs with such an image.
    """

    name: str
    folds: tuple[float, ...]
    thresholds: tuple[float, ...]
    best_accuracy: float
    best_threshold: float
    rates: tuple[Rate, ...]
    auc: float
    eer: float
    mated: Scores
    non_mated: Scores
    missing: tuple[str, ...]
    left_out: int

    @property
    def accuracy(self) -> float:
        """Mean over the folds; NaN with a single fold."""
        return float(np.mean(self.folds)) if self.folds else math.nan

    @property
    def spread(self) -> float:
        """Standard deviation over the folds (n − 1); NaN with a single fold."""
        return float(np.std(self.folds, ddof=1)) if len(self.folds) > 1 else math.nan

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, without the scores."""
        return {
            "name": self.name,
            "mated_pairs": int(self.mated.size),
            "non_mated_pairs": int(self.non_mated.size),
            "accuracy": finite_or_none(self.accuracy),
            "spread": finite_or_none(self.spread),
            "folds": list(self.folds),
            "thresholds": list(self.thresholds),
            "best_accuracy": self.best_accuracy,
            "best_threshold": self.best_threshold,
            "rates": [rate.to_dict() for rate in self.rates],
            "auc": self.auc,
            "eer": self.eer,
            "left_out_pairs": self.left_out,
            "missing_images": list(self.missing),
        }


def read_pairs(path: Path) -> list[Pair]:
    """Parse a list of pairs.

    Raises:
        DataError: unreadable, a line of another form, or not as many pairs as its header says.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise DataError(f"cannot read pairs list {path}: {reason}; check the path") from error
    rows = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise DataError(f"{path} is empty, expected a pairs list in LFW's form; give another file")
    folds, per_kind = _read_header(path, rows[0][1])
    body = rows[1:]
    expected = folds * 2 * per_kind
    if len(body) != expected:
        raise DataError(
            f"{path} has {len(body)} pairs, its header says {folds} × 2 × {per_kind} = {expected}; "
            "the file may be cut short: copy it again, or correct the header"
        )
    pairs = []
    for place, (number, line) in enumerate(body):
        fold, within = divmod(place, 2 * per_kind)
        pairs.append(_read_pair(path, number, line, mated=within < per_kind, fold=fold))
    return pairs


def evaluate_pairs(
    encoder: Encoder,
    images: AlignedFaces,
    row_of: Callable[[str], int | None],
    pairs: Sequence[Pair],
    *,
    fars: Sequence[float] | None = None,
    progress: Progress = no_progress,
) -> PairsResult:
    """Score every pair whose two images are there.

    Args:
        encoder: the model.
        images: uint8 (n, 112, 112, 3), may be a memory map.
        row_of: gives the row of an image's name, or None (``FaceStore.row_of``).
        pairs: see :func:`read_pairs`.
        fars: false-accept rates; by default those of :data:`PAIR_FARS` that the pairs carry.
        progress: told of embedding.

    Raises:
        DataError: no mated or no non-mated pair is left.
        ModelError: an embedding that is not finite or not of unit length.
    """
    rows = {name: row_of(name) for pair in pairs for name in (pair.first, pair.second)}
    missing = tuple(sorted(name for name, row in rows.items() if row is None))
    used = [(pair, rows[pair.first], rows[pair.second]) for pair in pairs]
    kept = [(pair, one, two) for pair, one, two in used if one is not None and two is not None]
    kinds = {pair.mated for pair, _, _ in kept}
    if len(kinds) < 2:
        lacking = "no pair" if not kinds else f"no {'non-mated' if True in kinds else 'mated'} pair"
        example = f", for example {missing[0]!r}" if missing else ""
        raise DataError(
            f"{lacking} of the list can be scored: {len(missing)} of {len(rows)} images are not in the "
            f"store{example}; names must be like Abel_Pacheco/Abel_Pacheco_0001"
        )
    first = np.array([one for _, one, _ in kept], dtype=np.int64)
    second = np.array([two for _, _, two in kept], dtype=np.int64)
    needed = np.unique(np.concatenate([first, second]))
    share = Shares(progress, f"embedding ({encoder.name})", len(needed))
    (embeddings,) = embed_rows(OneSpace(encoder), images, needed, share.add)
    left = embeddings[np.searchsorted(needed, first)]
    right = embeddings[np.searchsorted(needed, second)]
    scores = np.einsum("ij,ij->i", left, right)
    mated = np.array([pair.mated for pair, _, _ in kept])
    fold = np.array([pair.fold for pair, _, _ in kept])
    if fars is None:
        fars = metrics.carried_rates(PAIR_FARS, int(np.count_nonzero(~mated)))
    accuracies, thresholds = _by_fold(scores, mated, fold)
    best, best_threshold = metrics.best_accuracy(scores[mated], scores[~mated])
    return PairsResult(
        name=encoder.name,
        folds=accuracies,
        thresholds=thresholds,
        best_accuracy=best,
        best_threshold=best_threshold,
        rates=tuple(metrics.tar_at_far(scores[mated], scores[~mated], far) for far in fars),
        auc=metrics.auc(scores[mated], scores[~mated]),
        eer=metrics.eer(scores[mated], scores[~mated]),
        mated=scores[mated],
        non_mated=scores[~mated],
        missing=missing,
        left_out=len(pairs) - len(kept),
    )


def _by_fold(
    scores: Scores, mated: npt.NDArray[np.bool_], fold: npt.NDArray[np.int64]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Accuracy of each fold at the others' best threshold, and those thresholds."""
    accuracies, thresholds = [], []
    for number in np.unique(fold):
        own, others = fold == number, fold != number
        if not np.any(others & mated) or not np.any(others & ~mated):
            return (), ()  # a single fold: there is nothing to take a threshold from
        _, threshold = metrics.best_accuracy(scores[others & mated], scores[others & ~mated])
        accuracies.append(metrics.accuracy_at(scores[own & mated], scores[own & ~mated], threshold))
        thresholds.append(threshold)
    return tuple(accuracies), tuple(thresholds)


def _read_header(path: Path, line: str) -> tuple[int, int]:
    fields = line.split()
    if len(fields) not in (1, 2) or not all(field.isdigit() and int(field) > 0 for field in fields):
        raise DataError(
            f"{path} begins with {line.strip()!r}, expected LFW's header: the number of folds and of "
            "pairs of each kind in a fold, for example 10 300"
        )
    numbers = [int(field) for field in fields]
    return (1, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])


def _read_pair(path: Path, number: int, line: str, *, mated: bool, fold: int) -> Pair:
    # Names may hold spaces where the list is made of tabs, as LFW's is.
    fields = line.strip().split("\t") if "\t" in line else line.split()
    form = ("name", "n", "n") if mated else ("name", "n", "name", "n")
    fits = len(fields) == len(form) and all(
        field.isdigit() for field, kind in zip(fields, form, strict=True) if kind == "n"
    )
    if not fits:
        wanted = "name, number, number" if mated else "name, number, name, number"
        raise DataError(
            f"line {number} of {path} is {line.strip()!r}, expected {wanted} "
            f"({'a mated' if mated else 'a non-mated'} pair of fold {fold + 1}); correct the list"
        )
    if mated:
        return Pair(_image_name(fields[0], fields[1]), _image_name(fields[0], fields[2]), True, fold)
    return Pair(_image_name(fields[0], fields[1]), _image_name(fields[2], fields[3]), False, fold)


def _image_name(person: str, number: str) -> str:
    return f"{person}/{person}_{int(number):04d}"
