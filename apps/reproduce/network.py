"""What a backbone costs, counted by letting one image through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedfr_edge.errors import MissingPartError

if TYPE_CHECKING:
    from fedfr_edge.train.config import PretrainConfig


@dataclass(frozen=True)
class Network:
    """Sizes of a backbone.

    Attributes:
        parameters: numbers of its state, which is what travels.
        macs: multiply-adds of convolutions and linear layers for one 112×112 image.
        activations: numbers that its layers put out for one image; about what training keeps of it.
        dim: length of an embedding.
    """

    parameters: int
    macs: int
    activations: int
    dim: int


def measure_network(config: PretrainConfig) -> Network:
    """Build the backbone that ``config`` names and count.

    Raises:
        MissingPartError: torch is not installed.
    """
    try:
        import torch
        from torch import nn
    except ImportError as error:
        raise MissingPartError(
            "a plan counts the work of a network, which needs torch; install it with pip install "
            "'fedfr-edge[train]'"
        ) from error

    from fedfr_edge.train.backbones.backbone import build_backbone
    from fedfr_edge.train.backbones.spec import BackboneSpec

    spec = BackboneSpec(config.backbone, config.dim, config.width, config.input_size)
    net = build_backbone(spec, seed=0).eval()
    macs = activations = 0

    def count(module: nn.Module, _: Any, output: torch.Tensor) -> None:
        nonlocal macs, activations
        activations += output[0].numel()
        if isinstance(module, nn.Conv2d):
            weights = module.weight[0].numel()  # inputs of a group × kernel
            macs += output[0].numel() * weights
        elif isinstance(module, nn.Linear):
            macs += module.in_features * module.out_features

    for module in net.modules():
        if not list(module.children()):
            module.register_forward_hook(count)
    with torch.inference_mode():
        net(torch.zeros(1, 3, 112, 112))
    state = net.state_dict().values()
    return Network(sum(tensor.numel() for tensor in state), macs, activations, spec.dim)
