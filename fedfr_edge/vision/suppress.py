"""Non-maximum suppression."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def suppress(
    boxes: npt.NDArray[np.floating], scores: npt.NDArray[np.floating], overlap: float
) -> list[int]:
    """Keep the best box of every heap: greedy non-maximum suppression.

    Args:
        boxes: (n, 4): left, top, right, bottom.
        scores: (n,).
        overlap: a box goes when its intersection over union with a better, kept one exceeds this.

    Returns:
        Rows kept, best score first; of equal scores the earlier row first.
    """
    left, top, right, bottom = np.asarray(boxes, dtype=np.float64).T
    area = (right - left) * (bottom - top)
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        width = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest])
        height = np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        order = rest[shared <= overlap * (area[best] + area[rest] - shared)]
    return kept
