"""A backbone Θ: the network that turns 112×112 RGB faces into embeddings.

A backbone's parameters are named as those of the published network behind ``net.``; :mod:`.weights` loads
public weights into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedfr_edge.errors import ConfigError
from fedfr_edge.train.backbones import iresnet, mobilefacenet, sphereface
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.train.precision import DTYPES
from fedfr_edge.types import FACE_SIZE


class Backbone(nn.Module):
    """Θ with its average pooling in front.

    Attributes:
        spec: what was built.
        net: the network, with exactly the published parameter names.
        precision: in which it computes, ``float32``, ``bf16`` or ``fp16`` (autocast); what comes out is
            float32 always, and so are the parameters.
    """

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__()
        self.spec = spec
        self.net = _network(spec)
        self.precision = "float32"

    def forward(self, x: Tensor) -> Tensor:
        """float32 (n, 3, 112, 112), RGB in [-1, 1], to float32 (n, dim), **not** normalised."""
        if self.spec.pooling > 1:
            x = F.avg_pool2d(x, self.spec.pooling)
        if self.precision == "float32":
            out: Tensor = self.net(x)
            return out
        with torch.autocast(x.device.type, DTYPES[self.precision]):
            out = self.net(x)
        return out.float()


def build_backbone(spec: BackboneSpec, *, seed: int = 0) -> Backbone:
    """Build a freshly initialised backbone on the CPU, in training mode.

    The same spec and seed give the same weights; torch's global random state is left alone. How each
    family is initialised stands at its ``initialise``.
    """
    with torch.random.fork_rng(devices=[]):  # the layers' own initialisation draws from the global state
        backbone = Backbone(spec)
    generator = torch.Generator().manual_seed(seed)
    net = backbone.net
    if isinstance(net, sphereface.SphereFace):
        sphereface.initialise(net, generator)
    elif isinstance(net, iresnet.IResNet):
        iresnet.initialise(net, generator)
    elif isinstance(net, mobilefacenet.MobileFaceNet):
        mobilefacenet.initialise(net, generator)
    return backbone


def normalise(images: Tensor) -> Tensor:
    """uint8 (n, 112, 112, 3) RGB to float32 (n, 3, 112, 112): (x / 255 − 0.5) / 0.5, on the same device.

    Written as (x − 127.5) · (1 / 127.5), the form that an exported model computes too.

    Raises:
        ConfigError: another dtype or shape.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1:] != (FACE_SIZE, FACE_SIZE, 3):
        raise ConfigError(
            f"faces are {images.dtype} of shape {tuple(images.shape)}, expected uint8 "
            f"(n, {FACE_SIZE}, {FACE_SIZE}, 3); align them first"
        )
    return images.permute(0, 3, 1, 2).float().sub(127.5).mul(1 / 127.5)


@lru_cache(maxsize=32)
def state_shapes(spec: BackboneSpec) -> Mapping[str, tuple[int, ...]]:
    """Names and shapes of a backbone's state dict, in order, without allocating its weights."""
    with torch.device("meta"):
        backbone = Backbone(spec)
    return MappingProxyType({name: tuple(value.shape) for name, value in backbone.state_dict().items()})


def _network(spec: BackboneSpec) -> nn.Module:
    if spec.name in sphereface.BLOCKS:
        return sphereface.SphereFace(spec)
    if spec.name in iresnet.BLOCKS:
        return iresnet.IResNet(spec)
    if spec.name == "mobilefacenet":
        return mobilefacenet.MobileFaceNet(spec)
    raise ConfigError(f"no network stands behind the name {spec.name!r}")
