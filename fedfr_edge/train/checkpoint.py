"""The models that training makes: the global model of a round, and a client's personal model.

How they lie on disk stands in :mod:`fedfr_edge.train.checkpoint_file`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from fedfr_edge.errors import CheckpointError
from fedfr_edge.train import checkpoint_file
from fedfr_edge.train.backbones.backbone import Backbone
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.train.checkpoint_file import tensors_sha256

__all__ = [
    "LICENCE_KEY",
    "GlobalModel",
    "PersonalModel",
    "cpu_state",
    "load_global",
    "load_personal",
    "save_global",
    "save_personal",
    "tensors_sha256",
]

LICENCE_KEY = "training_data_licence"
"""Key in a model's ``metadata``: the terms of the faces that it was trained on."""


@dataclass
class GlobalModel:
    """The generic model Θ with the public proxies Φ: what travels, plus what describes it.

    Attributes:
        spec: which backbone.
        backbone: Θ, the ``state_dict()`` of a :class:`Backbone` on the CPU (names begin with ``net.``).
        global_proxies: Φ, float32 (Kg, d).
        round: how many rounds made it; 0 is the pre-trained start.
        metadata: free text, for example under :data:`LICENCE_KEY`.
    """

    spec: BackboneSpec
    backbone: dict[str, Tensor]
    global_proxies: Tensor
    round: int = 0
    metadata: dict[str, str] = field(default_factory=dict)

    def build(self, device: str | torch.device = "cpu") -> Backbone:
        """The backbone with these weights, in eval mode, on ``device``.

        Raises:
            CheckpointError: the weights do not fit the spec.
        """
        return _build(self.spec, self.backbone, device)


@dataclass
class PersonalModel:
    """One client's model [Θ_l, Π_l], as its local training left it, before aggregation. Private.

    Attributes:
        spec: which backbone.
        backbone: Θ_l, the ``state_dict()`` of a :class:`Backbone` on the CPU (names begin with ``net.``).
        transform_weight: weight of Π_l, float32 (d, d): f' = f @ weight.T + bias.
        transform_bias: bias of Π_l, float32 (d,).
        round: the round that it was trained in.
        client: whose it is, for example ``client-00``.
        metadata: free text, for example under :data:`LICENCE_KEY`.
    """

    spec: BackboneSpec
    backbone: dict[str, Tensor]
    transform_weight: Tensor
    transform_bias: Tensor
    round: int
    client: str
    metadata: dict[str, str] = field(default_factory=dict)

    def build(self, device: str | torch.device = "cpu") -> Backbone:
        """The backbone Θ_l with these weights, in eval mode, on ``device``; Π_l is not part of it.

        Raises:
            CheckpointError: the weights do not fit the spec.
        """
        return _build(self.spec, self.backbone, device)

    def build_transform(self, device: str | torch.device = "cpu") -> nn.Linear:
        """Π_l as a linear layer in eval mode on ``device``: float32 (n, d) to float32 (n, d)."""
        dim = self.spec.dim
        transform = nn.Linear(dim, dim, device="meta").to_empty(device="cpu")
        transform.load_state_dict({"weight": self.transform_weight, "bias": self.transform_bias})
        return transform.to(device).eval().requires_grad_(False)


def save_global(model: GlobalModel, path: Path) -> None:
    """Write ``model`` to ``path`` atomically; equal models give equal bytes.

    Raises:
        CheckpointError: arrays that do not fit the spec (nothing is written).
        WriteError: the disk refused; what was there is untouched.
    """
    tensors = {f"backbone.{name}": value for name, value in model.backbone.items()}
    tensors["global_proxies"] = model.global_proxies
    header = {"round": model.round, "metadata": model.metadata}
    checkpoint_file.save(path, "global", model.spec, header, tensors, mode=0o644)


def load_global(path: Path) -> GlobalModel:
    """Read what :func:`save_global` wrote.

    Raises:
        CheckpointError: missing, damaged, of another kind or format, or not fitting its own spec.
    """
    spec, header, tensors = checkpoint_file.load(path, "global")
    return GlobalModel(
        spec=spec,
        backbone=_backbone_part(tensors),
        global_proxies=tensors["global_proxies"],
        round=header["round"],
        metadata=header["metadata"],
    )


def save_personal(model: PersonalModel, path: Path) -> None:
    """Write ``model`` to ``path`` atomically, readable by its owner only (mode 0600).

    Raises:
        CheckpointError: arrays that do not fit the spec (nothing is written).
        WriteError: the disk refused; what was there is untouched.
    """
    tensors = {f"backbone.{name}": value for name, value in model.backbone.items()}
    tensors["transform.weight"] = model.transform_weight
    tensors["transform.bias"] = model.transform_bias
    header = {"round": model.round, "client": model.client, "metadata": model.metadata}
    checkpoint_file.save(path, "personal", model.spec, header, tensors, mode=0o600)


def load_personal(path: Path) -> PersonalModel:
    """Read what :func:`save_personal` wrote.

    Raises:
        CheckpointError: missing, damaged, of another kind or format, or not fitting its own spec.
    """
    spec, header, tensors = checkpoint_file.load(path, "personal")
    return PersonalModel(
        spec=spec,
        backbone=_backbone_part(tensors),
        transform_weight=tensors["transform.weight"],
        transform_bias=tensors["transform.bias"],
        round=header["round"],
        client=header["client"],
        metadata=header["metadata"],
    )


def cpu_state(module: nn.Module) -> dict[str, Tensor]:
    """A copy of the module's state dict on the CPU that later training does not change."""
    return {name: value.detach().to("cpu", copy=True) for name, value in module.state_dict().items()}


def _build(spec: BackboneSpec, state: dict[str, Tensor], device: str | torch.device) -> Backbone:
    with torch.device("meta"):
        backbone = Backbone(spec)
    backbone.to_empty(device="cpu")
    try:
        backbone.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"these weights do not fit {spec}: {error}") from error
    return backbone.to(device).eval()


def _backbone_part(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    prefix = "backbone."
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
