"""A client's update, shortened to a norm and covered with noise: the Gaussian mechanism on Θ and Φ.

What leaves is Θ_g + s·(clip(δ) + z·C·N(0, I)), δ = (Θ_l − Θ_g)/s, with Φ as part of Θ: one vector, one L2
norm (McMahan et al., arXiv 1710.06963, flat clipping). The scale s is 1 for weights and proxies. Running
statistics of batch normalisation are measured in the global model's own spread, √(v_g + ε) for a mean and
v_g + ε for a variance: channels' variances differ a hundredfold, and noise of one size would wipe out the
small ones. Batch normalisation's counters would tell how many images there are: they go back as they came.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from fedfr_edge.errors import NonFiniteError, TrainingError
from fedfr_edge.train.checkpoint import GlobalModel
from fedfr_edge.train.client import ClientUpdate
from fedfr_edge.train.gaussian_noise import RandomBytes, normals

_STEPS = 1024
"""Grid steps to a standard deviation of the noise."""

_PIECE = 1 << 18
"""Numbers covered at a time; the float64 beside the model stays small."""

_BN_EPSILON = 1e-5
_LEAST_VARIANCE = 0.25

_MEAN, _VARIANCE = "running_mean", "running_var"


def protect(
    update: ClientUpdate,
    sent: GlobalModel,
    *,
    clip: float,
    noise: float,
    random_bytes: RandomBytes = os.urandom,
) -> ClientUpdate:
    """The update in which no client moves the model by more than ``clip``, under noise if there is to be any.

    With noise, both the clipped δ and the noise are rounded to a grid of 1/1024 of the noise's standard
    deviation and added as whole numbers: the rounding of a floating-point sum would tell of δ (Mironov,
    CCS 2012). δ is rounded towards 0, so that its norm never grows.

    Args:
        update: of the client's training; not changed. Its W must be None.
        sent: the global model that the client was sent.
        clip: C, the largest L2 norm of δ.
        noise: z, the noise's standard deviation in units of ``clip``; 0 for none.
        random_bytes: the source of the noise; another one than the operating system's protects nothing.

    Raises:
        TrainingError: W is in the update, which this does not cover, or its arrays are not the model's.
        NonFiniteError: δ has no finite norm.
    """
    if update.local_proxies is not None:
        raise TrainingError("W (local_proxies) is in the update, and noise does not cover it; refused")
    found = {**update.backbone, _PHI: update.global_proxies}
    base = {**sent.backbone, _PHI: sent.global_proxies}
    if {name: tensor.shape for name, tensor in found.items()} != {
        name: tensor.shape for name, tensor in base.items()
    }:
        raise TrainingError("the update and the model that was sent differ in their arrays; refused")
    norm = math.sqrt(
        sum(
            float(_delta(new, old, scale).square().sum())
            for name in found
            if found[name].is_floating_point()
            for new, old, scale in _pieces(name, found[name], base)
        )
    )
    if not math.isfinite(norm):
        raise NonFiniteError("the update has no finite norm; nothing of it leaves")
    # The last factor outweighs the rounding of the norm.
    factor = min(1.0, clip / norm * (1 - 1e-12)) if norm > 0 else 1.0
    grid = noise * clip / _STEPS
    covered = {name: base[name].clone() for name in found}
    for name, tensor in covered.items():
        if not tensor.is_floating_point():
            continue
        flat, start = tensor.view(-1), 0
        for new, old, scale in _pieces(name, found[name], base):
            delta = _delta(new, old, scale) * factor
            if grid:
                draw = torch.from_numpy(normals(len(delta), random_bytes))
                delta = (torch.trunc(delta / grid) + torch.round(draw * _STEPS)) * grid
            flat[start : start + len(delta)] = (old + scale * delta).to(tensor.dtype)
            start += len(delta)
    proxies = covered.pop(_PHI)
    return dataclasses.replace(update, backbone=covered, global_proxies=proxies)


def with_sound_variances(model: GlobalModel, before: GlobalModel) -> GlobalModel:
    """``model`` with each running variance at least a quarter of what it was in ``before``.

    Noise can carry a variance below 0, where a network gives NaN. This looks at nothing but what was
    published, so it costs no privacy.
    """
    backbone = {
        name: torch.maximum(tensor, _LEAST_VARIANCE * before.backbone[name])
        if name.endswith(_VARIANCE)
        else tensor
        for name, tensor in model.backbone.items()
    }
    return dataclasses.replace(model, backbone=backbone)


_PHI = "global_proxies"


def _delta(new: Tensor, old: Tensor, scale: Tensor | float) -> Tensor:
    return (new - old) / scale


def _pieces(
    name: str, tensor: Tensor, base: Mapping[str, Tensor]
) -> Iterator[tuple[Tensor, Tensor, Tensor | float]]:
    """New values, old values and their scale, float64, piece by piece."""
    scale: Tensor | None = None
    if name.endswith(_VARIANCE):
        scale = base[name].double() + _BN_EPSILON
    elif name.endswith(_MEAN):
        scale = (base[name.removesuffix(_MEAN) + _VARIANCE].double() + _BN_EPSILON).sqrt()
    for start in range(0, tensor.numel(), _PIECE):
        part = slice(start, start + _PIECE)
        yield (
            tensor.detach().reshape(-1)[part].double(),
            base[name].reshape(-1)[part].double(),
            1.0 if scale is None else scale[part],
        )
