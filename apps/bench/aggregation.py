"""How much memory the server's average needs, in models."""

from __future__ import annotations

import time
from typing import Any

import torch

from fedfr_edge.train.aggregate import WeightedMean
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.train.checkpoint import GlobalModel
from fedfr_edge.train.client import ClientUpdate

from .isolated import Allocated

_ARRAYS, _ROW = 20, 500


def measure(clients: int, millions: float, seed: int) -> dict[str, Any]:
    """Peak memory of averaging ``clients`` updates that come one by one; call it in its own process.

    One model is 4 bytes a parameter. A quarter of them is one array, as in the networks here. Counted
    from when the server holds its model and nothing else: so the update that has just come counts too.
    """
    parameters = int(millions * 1e6)
    large, small = parameters // 4 // _ROW, (parameters - parameters // 4) // _ARRAYS // _ROW
    shapes = {"large": (large, _ROW), **{f"layer{n}": (small, _ROW) for n in range(_ARRAYS)}}
    generator = torch.Generator().manual_seed(seed)

    def arrays() -> dict[str, torch.Tensor]:
        return {name: torch.empty(shape).normal_(generator=generator) for name, shape in shapes.items()}

    unit = 4 * _ROW * (large + _ARRAYS * small)
    phi = torch.zeros((1, 8))
    # The code is loaded and each operation has run once before anything counts.
    _average(1, lambda: {"warm": torch.ones(2)}, GlobalModel(BackboneSpec(), {"warm": torch.ones(2)}, phi))
    model = GlobalModel(BackboneSpec(), arrays(), phi)
    started = time.perf_counter()
    with Allocated() as memory:
        _average(clients, arrays, model)
    return {
        "clients": clients,
        "parameters": unit // 4,
        "peak_models": memory.extra / unit,
        "seconds": time.perf_counter() - started,
    }


def _average(clients: int, arrays: Any, model: GlobalModel) -> None:
    mean = WeightedMean()
    for number in range(clients):
        mean.add(ClientUpdate(arrays(), model.global_proxies, images=1 + number), float(1 + number))
    mean.result(model)
