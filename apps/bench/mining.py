"""Mining against the bare blocked matrix product: time, memory beyond the features, and the same set."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedfr_edge.train.mining import mine

from .isolated import Allocated
from .task import unit_rows

_BLOCK = 4096
_ARRIVING = 256


def measure(local: int, public: int, dim: int, *, pairs: int, threads: int, seed: int) -> dict[str, Any]:
    """All figures of mining, JSON-able; call it in a process of its own.

    The threshold is one that about a thousandth of the public images exceed. Features are held in
    memory before the clock runs; what mining needs beyond them is its peak.
    """
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(seed)
    mine_this, faces = unit_rows(local, dim, generator), unit_rows(public, dim, generator)
    sample = torch.full((min(public, 4000),), -torch.inf)
    for block in torch.split(mine_this, 512):
        sample = torch.maximum(sample, (faces[: len(sample)] @ block.T).amax(dim=1))
    threshold = float(torch.quantile(sample, 0.999))
    _product(faces[:_BLOCK], mine_this)  # libraries are loaded, their buffers made
    with Allocated() as memory:
        found = mine(torch.split(faces, _ARRIVING), mine_this, threshold=threshold)

    ours, bare = list[float](), list[float]()
    ours_cpu, bare_cpu = list[float](), list[float]()
    for _ in range(pairs):
        started, cpu = time.perf_counter(), time.process_time()
        _product(faces, mine_this)
        bare.append(time.perf_counter() - started)
        bare_cpu.append(time.process_time() - cpu)
        started, cpu = time.perf_counter(), time.process_time()
        mine(torch.split(faces, _ARRIVING), mine_this, threshold=threshold)
        ours.append(time.perf_counter() - started)
        ours_cpu.append(time.process_time() - cpu)
    expected, undecided = _brute_force(faces, mine_this, threshold)
    differ = set(found.rows.tolist()) ^ expected
    return {
        "local": local,
        "public": public,
        "dim": dim,
        "threshold": threshold,
        "hard_negatives": len(found.rows),
        "extra_bytes": memory.extra,
        "ours_seconds": ours,
        "bare_seconds": bare,
        "ours_cpu_seconds": ours_cpu,
        "bare_cpu_seconds": bare_cpu,
        "ratio": statistics.median(a / b for a, b in zip(ours, bare, strict=True)),
        "ratio_cpu": statistics.median(a / b for a, b in zip(ours_cpu, bare_cpu, strict=True)),
        "equals_brute_force": differ <= undecided,
        "within_rounding_of_threshold": len(undecided),
    }


def _product(public: Tensor, local: Tensor) -> None:
    """The bare product: the same blocks, nothing done with them."""
    buffer = torch.empty(_BLOCK * _BLOCK)
    for rows in torch.split(public, _BLOCK):
        for block in torch.split(local, _BLOCK):
            torch.mm(rows, block.T, out=buffer[: len(rows) * len(block)].view(len(rows), len(block)))


def _brute_force(public: Tensor, local: Tensor, threshold: float) -> tuple[set[int], set[int]]:
    """By numpy in float64: rows that exceed the threshold, and those that float32 may see either way."""
    against = local.numpy().astype(np.float64).T
    found, undecided = set[int](), set[int]()
    for start in range(0, len(public), 512):
        best = (public[start : start + 512].numpy().astype(np.float64) @ against).max(axis=1)
        found |= {start + int(row) for row in np.flatnonzero(best > threshold)}
        undecided |= {start + int(row) for row in np.flatnonzero(np.abs(best - threshold) < 1e-6)}
    return found, undecided
