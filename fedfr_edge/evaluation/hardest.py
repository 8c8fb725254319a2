"""The pairs that a model gets most wrong, for people to look at."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedfr_edge.evaluation.outcome import HardPairs
from fedfr_edge.evaluation.replicates import ClientTrials
from fedfr_edge.evaluation.tail import ScoreTail
from fedfr_edge.types import Scores

SHOWN = 20
"""Pairs of each kind."""

_LOOKED_AT = 5000


def hard_pairs(
    tail: ScoreTail,
    mated: Scores,
    first: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
    trials: ClientTrials,
) -> HardPairs:
    """The highest non-mated and the lowest mated scores, one for each two people or each person.

    Of the 5,000 highest scores: where one stranger resembles a person in more images than that, there are
    fewer pairs. Rows count all test images, strangers' first; see :meth:`HardPairs.moved`.

    Args:
        tail: the non-mated scores, at places ``i * width + j``.
        mated: float32 (m,).
        first: int64 (m,), rows of the client's own test images; ``second`` likewise.
        second: see ``first``.
        trials: who is on the images.
    """
    scores, places = tail.top(_LOOKED_AT)
    i, j = np.divmod(places.astype(np.int64), trials.width)
    left, right = trials.left_person[i], trials.right_person[j]
    # Two local people may meet in either order.
    own = right - trials.strangers
    one = np.where(own >= 0, np.minimum(left, own), left)
    other = np.where(own >= 0, trials.strangers + np.maximum(left, own), right)
    alike = _firsts(one * trials.right_people + other)
    strangers = trials.width - len(trials.left_person)
    order = np.argsort(mated, kind="stable")
    unlike = order[_firsts(trials.mated_person[order])]
    return HardPairs(
        np.stack([strangers + i[alike], j[alike]], axis=1),
        scores[alike],
        strangers + np.stack([first[unlike], second[unlike]], axis=1),
        mated[unlike],
    )


def _firsts(keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where each of the first :data:`SHOWN` different keys appears first."""
    return np.sort(np.unique(keys, return_index=True)[1])[:SHOWN]
