"""A client's update as a change in half precision, for half the bytes to the server (``update_dtype``).

With δ = Θ_l − Θ_g (and the same for Φ) the client sends half(δ) and the server takes Θ_g + half(δ). float16
has 11 significant bits and below 2⁻¹⁴ a fixed spacing of 2⁻²⁴, so each number arrives within

    2⁻¹¹·|δ| + 2⁻²⁵   (and float32's own rounding of one subtraction and one addition)

of what the client trained. The weights of the server's mean sum to 1, so the same bound holds for it. What
the client keeps for itself is not rounded, nor are whole numbers (BatchNorm's counters), nor W in FedFace.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from fedfr_edge.errors import NonFiniteError
from fedfr_edge.train.checkpoint import GlobalModel
from fedfr_edge.train.client import ClientUpdate
from fedfr_edge.train.config import TrainConfig

_LARGEST = torch.finfo(torch.float16).max


def to_change(update: ClientUpdate, model: GlobalModel) -> ClientUpdate:
    """The update with half(δ), float16, in the place of each float32 tensor of Θ and of Φ.

    Args:
        update: what the client trained.
        model: Θ_g and Φ that the round began with.

    Raises:
        NonFiniteError: a number has changed by more than float16 can say, or is not finite.
    """
    backbone = {name: _change(name, tensor, model.backbone[name]) for name, tensor in update.backbone.items()}
    proxies = _change("Φ", update.global_proxies, model.global_proxies)
    return dataclasses.replace(update, backbone=backbone, global_proxies=proxies)


def from_change(change: ClientUpdate, model: GlobalModel) -> ClientUpdate:
    """The update, float32, that :func:`to_change` stands for; ``model`` is the same as there."""
    backbone = {
        name: tensor if tensor.dtype != torch.float16 else model.backbone[name] + tensor.float()
        for name, tensor in change.backbone.items()
    }
    proxies = model.global_proxies + change.global_proxies.float()
    return dataclasses.replace(change, backbone=backbone, global_proxies=proxies)


def as_it_arrives(update: ClientUpdate, model: GlobalModel, config: TrainConfig) -> ClientUpdate:
    """The update that the server averages, whatever way it travelled."""
    if config.update_dtype == "float32":
        return update
    return from_change(to_change(update, model), model)


def _change(name: str, after: Tensor, before: Tensor) -> Tensor:
    if not after.is_floating_point():
        return after
    change = (after - before).half()
    if not bool(torch.isfinite(change).all()):
        raise NonFiniteError(
            f"{name} changed by more than {_LARGEST:g} in a round, or is not finite: too much for "
            "update_dtype float16; set float32, or lower the learning rate"
        )
    return change
