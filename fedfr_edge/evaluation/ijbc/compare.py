"""Two models on IJB-C: the paired bootstrap of their difference, see :mod:`fedfr_edge.evaluation.compare`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from fedfr_edge.evaluation.bootstrap import Curve
from fedfr_edge.evaluation.compare import Comparison, difference_of
from fedfr_edge.evaluation.ijbc.result import RANKS, IjbcResult, Reading
from fedfr_edge.evaluation.tables import rate_text


def compare_models(results: Sequence[IjbcResult]) -> list[Comparison]:
    """Every two models of one evaluation, reading by reading; none where it was made without intervals.

    1:1 stands with the standard reading, 1:N as means over the galleries.
    """
    readings: tuple[Reading, ...] = ("standard", "reference")
    found = []
    for reading in readings:
        for one, other in combinations(results, 2):
            first, second = dict(_measures(one, reading)), dict(_measures(other, reading))
            differences = tuple(
                difference_of(measure, first[measure], second[measure])
                for measure in first
                if measure in second
            )
            if differences:
                found.append(Comparison(one.name, other.name, reading, differences))
    return found


def _measures(result: IjbcResult, reading: Reading) -> Iterator[tuple[str, tuple[float, Curve]]]:
    """Each measure that the trials carry: its name, its value and its replicates (R,)."""
    one = result.verification
    if reading == "standard" and one is not None and one.replicates is not None:
        for place, rate in enumerate(one.rates):
            if rate.carried:
                yield f"TAR@FAR {rate_text(rate.far_target)}", (rate.value, one.replicates[:, place])
    for many in result.identification:
        if many.reading != reading or many.replicates is None or many.retrieval_replicates is None:
            continue
        for place, share in enumerate(many.rates):
            behind = [gallery.rates[place] for gallery in many.galleries]
            if all(rate.carried for rate in behind):
                measure = f"TPIR@FPIR {rate_text(behind[0].far_target)}"
                yield measure, (share.value, many.replicates[:, place])
        for place, share in enumerate(many.retrieval):
            yield f"rank {RANKS[place]}", (share.value, many.retrieval_replicates[:, place])
