"""The best of many templates for one probe: fast, and exact by proof rather than by chance.

Every row's score is first bracketed by cheap arithmetic with a bound on its error; only rows that can
still win are scored in float64. With x a row, y the probe:

* float32: |fl(x·y) − x·y| ≤ γ ‖x‖‖y‖, γ = d·u / (1 − d·u), u = 2⁻²⁴, whatever the order of the sum
  (Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, §3.1).
* 8 bits: with x = s·q + e and y = t·p + f, q and p whole numbers, x·y = s·t·(q·p) + (s·q)·f + e·y, so by
  Cauchy and Schwarz |x·y − s·t·(q·p)| ≤ ‖s·q‖‖f‖ + ‖e‖‖y‖. The integer product itself is exact.

The 8-bit product reads a quarter of the memory. It needs onnxruntime; numpy has no fast one.
"""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import GalleryError, MissingPartError

LARGE = 20_000
"""From so many rows on, a second search makes 8-bit copies of them, which takes a second or two for 100,000
rows of 512; one search would not be worth that."""

_ROW_STEPS = 127
# Two products of numbers up to 127 fit 16 bits, in which processors without 8-bit instructions add pairs
# of unsigned and signed ones, saturating: with larger probes the product there would not be exact.
_PROBE_STEPS = _PROBE_ZERO = 63

_BLOCK = 8192  # rows turned to float64 at once

# Above all rounding left out of the bounds (a few of 2⁻²⁴ of scaling, 2⁻⁴⁴ of float64 sums), relative to
# the norms, and above what underflow of single products adds.
_SLACK, _TINY = 1e-6, 1e-30

_LONGEST = 1e12  # templates have length 1; far beyond, float32 would overflow


class ExactSearch:
    """Finds the row with the largest inner product.

    Args:
        rows: float32 (n, d), n ≥ 1, finite; kept, not copied. Templates, so of length 1; others are
            searched as well.

    Raises:
        GalleryError: another dtype or shape, no row, values that are not finite, or far too long a row.
    """

    def __init__(self, rows: npt.NDArray[np.float32]) -> None:
        if rows.dtype != np.float32 or rows.ndim != 2 or 0 in rows.shape:
            raise GalleryError(
                f"rows to search are {rows.dtype} {rows.shape}, expected float32 (n, d), n and d at least 1"
            )
        self._rows = np.ascontiguousarray(rows)
        # From above: float32 sums of squares lack at most γ of themselves, and what underflows.
        squares = np.einsum("ij,ij->i", self._rows, self._rows)
        self._largest: float = (
            math.sqrt(float(squares.max())) * (1 + rows.shape[1] * math.ldexp(1, -23)) + 1e-18
        )
        if not self._largest <= _LONGEST:
            raise GalleryError("rows to search are no unit vectors, or not finite; enrol these people again")
        self._searches = 0
        self._index: _Index | None = None

    def best(self, probe: npt.NDArray[np.float32]) -> tuple[int, float]:
        """The row with the largest inner product with ``probe``, and that product.

        It is what ``np.argmax`` finds of the products summed in float64, row by row; of equal ones the
        first.

        Args:
            probe: float32 (d,), finite.

        Returns:
            (row, product in float64).

        Raises:
            GalleryError: ``probe`` has another dtype or length, or is not finite.
        """
        if probe.dtype != np.float32 or probe.shape != self._rows.shape[1:]:
            raise GalleryError(
                f"the probe is {probe.dtype} {probe.shape}, expected float32 ({self._rows.shape[1]},)"
            )
        precise = probe.astype(np.float64)
        length = float(np.linalg.norm(precise))
        if not length <= _LONGEST:
            raise GalleryError("the probe is no unit vector, or not finite; make it again")
        self._searches += 1
        if self._searches == 2 and len(self._rows) >= LARGE:
            self._index = _open_index(self._rows)
        if self._index is not None:
            estimates, bound = self._index.estimate(precise, length)
        else:
            estimates, bound = self._rows @ probe, self._float32_bound(length)
        bound += _SLACK * self._largest * length + _TINY
        # The winner's product is at least (largest estimate − bound), its own estimate at most bound below.
        candidates = np.flatnonzero(estimates >= float(estimates.max()) - 2 * bound)
        products = np.concatenate(
            [
                (self._rows[candidates[start : start + _BLOCK]] * precise).sum(axis=1)
                for start in range(0, len(candidates), _BLOCK)
            ]
        )
        winner = int(np.argmax(products))
        return int(candidates[winner]), float(products[winner])

    def _float32_bound(self, length: float) -> float:
        errors = float(self._rows.shape[1] * math.ldexp(1, -24))
        if errors >= 0.5:
            return math.inf
        return errors / (1 - errors) * self._largest * length


class _Index:
    """8-bit rows, packed by onnxruntime for its integer product."""

    def __init__(self, rows: npt.NDArray[np.float32]) -> None:
        from onnx import TensorProto, helper, numpy_helper

        from fedfr_edge.vision.runtime import open_session

        count, dim = rows.shape
        whole = np.empty((dim, count), np.int8)
        scales = np.empty(count, np.float64)
        self._miss = self._size = 0.0
        for start, block in _blocks(rows):
            precise = block.astype(np.float64)
            scale = np.abs(precise).max(axis=1) / _ROW_STEPS
            steps = np.rint(precise / np.where(scale > 0, scale, 1)[:, None])
            near = steps * scale[:, None]
            whole[:, start : start + len(block)] = steps.astype(np.int8).T
            scales[start : start + len(block)] = scale
            self._miss = max(self._miss, float(np.linalg.norm(precise - near, axis=1).max()))
            self._size = max(self._size, float(np.linalg.norm(near, axis=1).max()))
        self._scales = scales.astype(np.float32)
        graph = helper.make_graph(
            [helper.make_node("MatMulInteger", ["probe", "rows", "zero"], ["products"])],
            "search",
            [helper.make_tensor_value_info("probe", TensorProto.UINT8, [1, dim])],
            [helper.make_tensor_value_info("products", TensorProto.INT32, [1, count])],
            [numpy_helper.from_array(whole, "rows"), numpy_helper.from_array(np.uint8(_PROBE_ZERO), "zero")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        # It waits for memory, of which two cores get more than one.
        threads = min(2, os.cpu_count() or 1)
        self._session: Any = open_session(model.SerializeToString(), provider="cpu", threads=threads)

    def estimate(
        self, probe: npt.NDArray[np.float64], length: float
    ) -> tuple[npt.NDArray[np.float32], float]:
        """Products of all rows with ``probe`` of this ``length``, and how wrong any of them can be."""
        scale = float(np.abs(probe).max()) / _PROBE_STEPS
        steps = np.rint(probe / scale) if scale > 0 else np.zeros_like(probe)
        shifted = (steps + _PROBE_ZERO).astype(np.uint8)[None]
        products: npt.NDArray[np.int32] = self._session.run(None, {"probe": shifted})[0][0]
        missed = float(np.linalg.norm(probe - steps * scale))
        estimates = products.astype(np.float32)
        estimates *= self._scales * np.float32(scale)
        return estimates, self._size * missed + self._miss * length


def _open_index(rows: npt.NDArray[np.float32]) -> _Index | None:
    """None where it cannot be: no onnxruntime, a model above 2 GB, or rows so long that sums overflow."""
    if rows.size >= 2**31 - 2**20 or rows.shape[1] * _ROW_STEPS * _PROBE_STEPS >= 2**27:
        return None
    try:
        return _Index(rows)
    except MissingPartError:
        return None


def _blocks(rows: npt.NDArray[np.float32]) -> list[tuple[int, npt.NDArray[np.float32]]]:
    return [(start, rows[start : start + _BLOCK]) for start in range(0, len(rows), _BLOCK)]
