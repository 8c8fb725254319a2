"""What bounds a piece of training: shares of its time by kind of work, from torch's profiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

KINDS = {
    "convolution": ("convolution", "mkldnn_conv", "cudnn_conv"),
    "matrix product": ("aten::mm", "aten::addmm", "aten::bmm"),
    "normalisation": ("batch_norm", "batchnorm"),
    "PReLU": ("prelu",),
    "optimiser": ("sgd", "optimizer"),
    "copies": ("aten::copy_", "aten::cat", "aten::index", "aten::flip", "aten::where"),
}
"""Kinds of work by what their operations, or the operations they are part of, are called; else "other"."""


def of(work: Callable[[], object]) -> dict[str, float]:
    """Run ``work`` under the profiler; each kind's share of its own CPU (or GPU) time."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as seen:
        work()
    times = dict.fromkeys([*KINDS, "other"], 0.0)
    for event in seen.events() or ():
        times[_kind(event)] += event.self_device_time_total or event.self_cpu_time_total
    total = sum(times.values()) or 1.0
    return {kind: spent / total for kind, spent in times.items()}


def _kind(event: Any) -> str:
    """Of the outermost operation that has one: a sum inside a normalisation is normalisation."""
    found = "other"
    while event is not None:
        name = event.name.lower()
        found = next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), found)
        event = event.cpu_parent
    return found
