"""The three network families in plain numpy, float64, from a state dict: an independent reference.

Written from the papers' and DESIGN's descriptions, with explicit loops over the kernel; nothing of torch's
arithmetic is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Weights:
    """A state dict with a prefix: ``w / "layer1"`` looks at the names below ``layer1.``"""

    def __init__(self, state: Mapping[str, Any], prefix: str = "") -> None:
        self.state, self.prefix = state, prefix

    def __truediv__(self, name: str) -> Weights:
        return Weights(self.state, f"{self.prefix}{name}.")

    def __getitem__(self, name: str) -> Array:
        return np.asarray(self.state[self.prefix + name], np.float64)

    def __contains__(self, name: str) -> bool:
        return any(key.startswith(f"{self.prefix}{name}.") for key in self.state)

    def count(self) -> int:
        """How many numbered parts there are."""
        names = {key[len(self.prefix) :].split(".")[0] for key in self.state if key.startswith(self.prefix)}
        return len({name for name in names if name.isdigit()})


def conv(x: Array, w: Weights, stride: int = 1, padding: int = 0) -> Array:
    weight = w["weight"]
    out_channels, per_group, k, _ = weight.shape
    groups = x.shape[1] // per_group
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    h, v = ((side - k) // stride + 1 for side in x.shape[2:])
    out = np.zeros((len(x), out_channels, h, v))
    for o in range(out_channels):
        group = o // (out_channels // groups)
        mine = x[:, group * per_group : (group + 1) * per_group]
        for i in range(k):
            for j in range(k):
                patch = mine[:, :, i : i + stride * h : stride, j : j + stride * v : stride]
                out[:, o] += np.einsum("nchw,c->nhw", patch, weight[o, :, i, j])
    if w.prefix + "bias" in w.state:
        out += w["bias"][:, None, None]
    return out


def prelu(x: Array, w: Weights) -> Array:
    return np.where(x > 0, x, x * w["weight"].reshape(-1, 1, 1))


def batchnorm(x: Array, w: Weights) -> Array:
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, var = w["running_mean"].reshape(shape), w["running_var"].reshape(shape)
    return (x - mean) / np.sqrt(var + 1e-5) * w["weight"].reshape(shape) + w["bias"].reshape(shape)


def linear(x: Array, w: Weights) -> Array:
    out = x @ w["weight"].T
    return out + w["bias"] if w.prefix + "bias" in w.state else out


def sphereface(x: Array, w: Weights) -> Array:
    for stage in (w / f"layer{i}" for i in (1, 2, 3, 4)):
        x = prelu(conv(x, stage / "0", stride=2, padding=1), stage / "1")
        for number in range(2, stage.count()):
            block = stage / str(number)
            inner = prelu(conv(x, block / "conv1", padding=1), block / "prelu1")
            x = x + prelu(conv(inner, block / "conv2", padding=1), block / "prelu2")
    return linear(x.reshape(len(x), -1), w / "fc")


def iresnet(x: Array, w: Weights) -> Array:
    x = prelu(batchnorm(conv(x, w / "conv1", padding=1), w / "bn1"), w / "prelu")
    for stage in (w / f"layer{i}" for i in (1, 2, 3, 4)):
        for number in range(stage.count()):
            block, stride = stage / str(number), 2 if number == 0 else 1
            inner = batchnorm(conv(batchnorm(x, block / "bn1"), block / "conv1", padding=1), block / "bn2")
            inner = conv(prelu(inner, block / "prelu"), block / "conv2", stride=stride, padding=1)
            if "downsample" in block:
                down = block / "downsample"
                x = batchnorm(conv(x, down / "0", stride=stride), down / "1")
            x = x + batchnorm(inner, block / "bn3")
    x = batchnorm(x, w / "bn2")
    return batchnorm(linear(x.reshape(len(x), -1), w / "fc"), w / "features")


def mobilefacenet(x: Array, w: Weights) -> Array:
    def unit(x: Array, w: Weights, stride: int = 1, padding: int = 0) -> Array:
        x = batchnorm(conv(x, w / "layers" / "0", stride, padding), w / "layers" / "1")
        return prelu(x, w / "layers" / "2") if "2" in w / "layers" else x

    def bottleneck(x: Array, w: Weights, stride: int) -> Array:
        x = unit(x, w / "layers" / "0")
        x = unit(x, w / "layers" / "1", stride, padding=1)
        return unit(x, w / "layers" / "2")

    layers = w / "layers"
    x = unit(x, layers / "0", stride=2, padding=1)
    x = unit(x, layers / "1", padding=1)
    for number in (2, 4, 6):
        x = bottleneck(x, layers / str(number), stride=2)
        repeated = layers / str(number + 1) / "layers" if str(number + 1) in layers else None
        for i in range(repeated.count() if repeated else 0):
            assert repeated
            x = x + bottleneck(x, repeated / str(i), stride=1)
    x = unit(x, w / "conv_sep")
    head = w / "features" / "layers"
    x = unit(x, head / "0")
    return batchnorm(linear(x.reshape(len(x), -1), head / "2"), head / "3")
