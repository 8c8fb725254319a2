"""What IJB-C found of one model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from fedfr_edge.evaluation.bootstrap import Curve, interval_of
from fedfr_edge.evaluation.identification import Searches
from fedfr_edge.evaluation.ijbc.pair_list import PairList
from fedfr_edge.evaluation.metrics import Interval, Rate, finite_or_none
from fedfr_edge.evaluation.outcome import PLOT_FMRS
from fedfr_edge.types import Labels, Scores

Reading: TypeAlias = Literal["standard", "reference"]
"""See :mod:`.protocol`."""

RANKS = (1, 5, 10)
"""Ranks at which retrieval is reported."""


@dataclass(frozen=True)
class Verification:
    """1:1.

    Attributes:
        rates: TAR, one per false-accept rate.
        tar_curve: float64, TAR at :data:`fedfr_edge.evaluation.outcome.PLOT_FMRS`; NaN where too few trials.
        scores: float32 (p,), one per pair of ``pairs``.
        pairs: the pairs that were compared.
        left_out: pairs with a template whose images are all missing.
        contradictions: pairs whose label is not what the 1:N lists' subjects say.
        replicates: float64 (R, F), the rates of each replicate; None without intervals.
    """

    rates: tuple[Rate, ...]
    tar_curve: npt.NDArray[np.float64]
    scores: Scores = field(repr=False)
    pairs: PairList = field(repr=False)
    left_out: int
    contradictions: int
    replicates: Curve | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, without scores."""
        mated = int(np.count_nonzero(self.pairs.mated))
        return {
            "mated_pairs": mated,
            "non_mated_pairs": len(self.pairs) - mated,
            "left_out_pairs": self.left_out,
            "pairs_against_subject_lists": self.contradictions,
            "rates": [rate.to_dict() for rate in self.rates],
        }


@dataclass(frozen=True)
class GalleryResult:
    """1:N against one gallery.

    Attributes:
        gallery: "G1", "G2" or "G1+G2".
        rates: TPIR, one per FPIR.
        ranks: int64 (m,), rank of each mated probe's mate; a tie counts against it.
        searches: every probe's scores.
        enrolled: int64 (k,), the subjects of the gallery's templates, in the order of ``searches``.
        mated_subjects: int64 (m,), of the mated probes, in the order of ``searches``.
        non_mated_subjects: int64 (q,), likewise.
        left_out: probes whose images, or whose mate's, are all missing.
        replicates: float64 (R, P), the rates of each replicate; None without intervals.
        retrieval_replicates: float64 (R, 3), likewise.
    """

    gallery: str
    rates: tuple[Rate, ...]
    ranks: npt.NDArray[np.int64] = field(repr=False)
    searches: Searches = field(repr=False)
    enrolled: Labels = field(repr=False)
    mated_subjects: Labels = field(repr=False)
    non_mated_subjects: Labels = field(repr=False)
    left_out: int
    replicates: Curve | None = field(default=None, repr=False)
    retrieval_replicates: Curve | None = field(default=None, repr=False)

    @property
    def people(self) -> int:
        """Subjects enrolled."""
        return len(self.enrolled)

    @property
    def retrieval(self) -> tuple[float, ...]:
        """Share of mated probes whose mate is among the best 1, 5, 10 (:data:`RANKS`)."""
        return tuple(float(np.mean(self.ranks <= rank)) for rank in RANKS)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, without scores."""
        return {
            "gallery": self.gallery,
            "people": self.people,
            "mated_probes": len(self.mated_subjects),
            "non_mated_probes": len(self.non_mated_subjects),
            "left_out_probes": self.left_out,
            "rates": [rate.to_dict() for rate in self.rates],
            "retrieval": {
                str(rank): finite_or_none(value) for rank, value in zip(RANKS, self.retrieval, strict=True)
            },
        }


@dataclass(frozen=True)
class Share:
    """A mean over galleries, with its interval (None where intervals were not asked for)."""

    value: float
    interval: Interval | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        interval = None if self.interval is None else self.interval.to_dict()
        return {"value": finite_or_none(self.value), "interval": interval}


@dataclass(frozen=True)
class Identification:
    """1:N in one reading.

    Attributes:
        reading: "standard" or "reference".
        galleries: one result per gallery: G1 and G2, or both joined.
    """

    reading: Reading
    galleries: tuple[GalleryResult, ...]

    @property
    def rates(self) -> tuple[Share, ...]:
        """TPIR, plain mean over the galleries, one per FPIR."""
        values = np.mean([[rate.value for rate in one.rates] for one in self.galleries], axis=0)
        return self._shares(values, self.replicates)

    @property
    def retrieval(self) -> tuple[Share, ...]:
        """Rank rates, plain mean over the galleries."""
        values = np.mean([one.retrieval for one in self.galleries], axis=0)
        return self._shares(values, self.retrieval_replicates)

    @property
    def replicates(self) -> Curve | None:
        """float64 (R, P), mean over the galleries, both of one draw; None without intervals."""
        return _mean([one.replicates for one in self.galleries])

    @property
    def retrieval_replicates(self) -> Curve | None:
        """float64 (R, 3), likewise."""
        return _mean([one.retrieval_replicates for one in self.galleries])

    def _shares(self, values: Curve, replicates: Curve | None) -> tuple[Share, ...]:
        people = sum(len(np.unique(one.mated_subjects)) for one in self.galleries)
        return tuple(
            Share(value, None if replicates is None else interval_of(value, replicates[:, place], people))
            for place, value in enumerate(values.tolist())
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form: means first, then each gallery."""
        fpirs = [rate.far_target for rate in self.galleries[0].rates]
        return {
            "reading": self.reading,
            "rates": [
                {
                    "fpir_target": fpir,
                    **share.to_dict(),
                    "supported": all(one.rates[place].supported for one in self.galleries),
                    "carried": all(one.rates[place].carried for one in self.galleries),
                }
                for place, (fpir, share) in enumerate(zip(fpirs, self.rates, strict=True))
            ],
            "retrieval": {
                str(rank): share.to_dict() for rank, share in zip(RANKS, self.retrieval, strict=True)
            },
            "galleries": [gallery.to_dict() for gallery in self.galleries],
        }


@dataclass(frozen=True)
class IjbcResult:
    """One model on IJB-C.

    Attributes:
        name: the model.
        dim: length of its embeddings.
        verification: 1:1; None if it was not asked for.
        identification: 1:N, one per reading; empty likewise.
    """

    name: str
    dim: int
    verification: Verification | None
    identification: tuple[Identification, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, without scores and curves."""
        return {
            "name": self.name,
            "dim": self.dim,
            "verification": None if self.verification is None else self.verification.to_dict(),
            "identification": [reading.to_dict() for reading in self.identification],
        }

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The ROC for an .npz file."""
        if self.verification is None:
            return {}
        return {"fmr": PLOT_FMRS, "tar": self.verification.tar_curve}


def _mean(replicates: Sequence[Curve | None]) -> Curve | None:
    drawn = [one for one in replicates if one is not None]
    return np.asarray(np.mean(drawn, axis=0)) if drawn else None
