"""Images per second of pre-training, beside the machine's measured peak."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from fedfr_edge.train.backbones.backbone import Backbone
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.train.config import PretrainConfig
from fedfr_edge.train.pretrain import pretrain
from fedfr_edge.train.public import PublicSet
from fedfr_edge.train.threads import set_threads

_EPOCHS, _SIDE = 3, 2048


def measure(
    spec: BackboneSpec, *, images: int, batch: int, device: str, threads: int, seed: int
) -> dict[str, Any]:
    """Throughput of :func:`fedfr_edge.train.pretrain.pretrain` itself; call it in its own process."""
    set_threads(threads)
    draw = np.random.default_rng(seed)
    labels = np.arange(images) % max(2, images // 4)
    faces = draw.integers(0, 256, (images, 112, 112, 3), dtype=np.uint8)
    people = tuple(f"person-{number}" for number in range(int(labels.max()) + 1))
    public = PublicSet(faces, labels.astype(np.int64), people, ("bench",), ("none",), len(people))
    records: list[dict[str, Any]] = []
    peak = [_peak(device)]
    with tempfile.TemporaryDirectory() as folder:
        config = PretrainConfig(
            backbone=spec.name,
            dim=spec.dim,
            width=spec.width,
            input_size=spec.input_size,
            epochs=_EPOCHS,
            batch_size=batch,
            seed=seed,
            device=device,
            threads=threads,
        )
        started = time.process_time()
        pretrain(public, config, Path(folder), on_epoch=records.append)
        cpu = time.process_time() - started
    peak.append(_peak(device))
    # The first epoch warms up.
    speed = statistics.median(record["images"] / record["seconds"] for record in records[1:])
    per_cpu_second = sum(record["images"] for record in records) / cpu
    flops = _flops(spec)
    # Of the time that the CPU gave us: beside other work the clock on the wall says little.
    share = (per_cpu_second if device == "cpu" and threads == 1 else speed) * flops / max(peak)
    return {
        "images_per_second": speed,
        "images_per_cpu_second": per_cpu_second,
        "flops_per_image": flops,
        "peak_flops_per_second": max(peak),
        "share_of_peak": share,
    }


def _flops(spec: BackboneSpec) -> int:
    """Floating-point operations of a step for one image, two for each multiply-add.

    The backward pass counts as two forward ones: what torch counts there for grouped convolutions is
    that of full ones.
    """
    with torch.device("meta"):
        net, faces = Backbone(spec).train(), torch.zeros((2, 3, 112, 112))
    with FlopCounterMode(display=False) as counter:
        net(faces)
    return 3 * (int(counter.get_total_flops()) // 2)


def _peak(device: str) -> float:
    """The best float32 matrix product of several, operations a second."""
    one = torch.rand((_SIDE, _SIDE), device=device)
    one_core = device == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if one_core else time.perf_counter
    best = 0.0
    for _ in range(5):
        started = clock()
        float((one @ one)[0, 0])  # reading a number waits for a GPU
        best = max(best, 2 * _SIDE**3 / (clock() - started))
    return best
