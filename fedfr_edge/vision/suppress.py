"""Overlap of boxes and non-maximum suppression."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def overlaps(box: npt.NDArray[np.floating], boxes: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Intersection over union of ``box`` (4,) with each of ``boxes`` (n, 4), float64 (n,), 0 to 1.

    Boxes are left, top, right, bottom. Two boxes without area overlap by 0.
    """
    one = np.asarray(box, dtype=np.float64)
    left, top, right, bottom = np.asarray(boxes, dtype=np.float64).T
    width = np.minimum(one[2], right) - np.maximum(one[0], left)
    height = np.minimum(one[3], bottom) - np.maximum(one[1], top)
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    union = (one[2] - one[0]) * (one[3] - one[1]) + (right - left) * (bottom - top) - shared
    share: npt.NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return share


def suppress(boxes: npt.NDArray[np.floating], scores: npt.NDArray[np.floating], overlap: float) -> list[int]:
    """Keep the best box of every heap: greedy non-maximum suppression.

    Args:
        boxes: (n, 4): left, top, right, bottom.
        scores: (n,).
        overlap: a box goes when its intersection over union with a better, kept one exceeds this.

    Returns:
        Rows kept, best score first; of equal scores the earlier row first.
    """
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        order = rest[overlaps(boxes[best], boxes[rest]) <= overlap]
    return kept
