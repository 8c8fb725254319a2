"""Models on disk: the global model of a round and a client's personal model, as safetensors.

One file holds the named arrays; its header holds the spec, the round, free metadata and a SHA-256 over
all arrays, so that a damaged file is noticed (safetensors itself has no checksum). Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from fedfr_edge import atomic
from fedfr_edge.errors import CheckpointError, ConfigError
from fedfr_edge.train.backbones.backbone import Backbone, state_shapes
from fedfr_edge.train.backbones.spec import BackboneSpec

# One header key only: with several, safetensors' order (and so the file's bytes) would vary from run to run.
_HEADER = "fedfr-edge"
_FORMAT = 1

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
    _check_arrays(tensors, model.spec, "global", "the model to save")
    _save(path, "global", model.spec, header, tensors, mode=0o644)


def load_global(path: Path) -> GlobalModel:
    """Read what :func:`save_global` wrote.

    Raises:
        CheckpointError: missing, damaged, of another kind or format, or not fitting its own spec.
    """
    spec, header, tensors = _load(path, "global")
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
    _check_arrays(tensors, model.spec, "personal", "the model to save")
    _save(path, "personal", model.spec, header, tensors, mode=0o600)


def load_personal(path: Path) -> PersonalModel:
    """Read what :func:`save_personal` wrote.

    Raises:
        CheckpointError: missing, damaged, of another kind or format, or not fitting its own spec.
    """
    spec, header, tensors = _load(path, "personal")
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


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) over names, dtypes, shapes and values, in sorted order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


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


def _expected(spec: BackboneSpec, kind: str) -> dict[str, tuple[int | None, ...]]:
    shapes: dict[str, tuple[int | None, ...]] = {
        f"backbone.{name}": shape for name, shape in state_shapes(spec).items()
    }
    if kind == "global":
        shapes["global_proxies"] = (None, spec.dim)
    else:
        shapes["transform.weight"] = (spec.dim, spec.dim)
        shapes["transform.bias"] = (spec.dim,)
    return shapes


def _check_arrays(tensors: Mapping[str, Tensor], spec: BackboneSpec, kind: str, where: str) -> None:
    """Raise CheckpointError unless names, shapes and dtypes are exactly those that ``spec`` asks for."""
    expected = _expected(spec, kind)
    faults = [f"lacks {name}" for name in expected if name not in tensors]
    faults += [f"has an unknown {name}" for name in tensors if name not in expected]
    for name, shape in expected.items():
        if name in tensors:
            found = tuple(tensors[name].shape)
            if len(found) != len(shape) or any(b not in (None, a) for a, b in zip(found, shape, strict=True)):
                faults.append(f"has {name} of shape {found}, expected {shape}".replace("None", "any"))
            dtype = torch.int64 if name.endswith("num_batches_tracked") else torch.float32
            if tensors[name].dtype != dtype:
                faults.append(f"has {name} as {tensors[name].dtype}, expected {dtype}")
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise CheckpointError(
            f"{where} does not fit {spec}: it {'; it '.join(faults[:3])}{more}; "
            "use the spec that the weights were trained with"
        )


def _save(
    path: Path,
    kind: str,
    spec: BackboneSpec,
    header: dict[str, Any],
    tensors: dict[str, Tensor],
    mode: int,
) -> None:
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    text = json.dumps(
        {
            "format": _FORMAT,
            "kind": kind,
            "spec": spec.to_dict(),
            **header,
            "sha256": tensors_sha256(plain),
        },
        sort_keys=True,
    )
    atomic.write_bytes(path, safetensors.torch.save(plain, metadata={_HEADER: text}), mode=mode)


def _load(path: Path, kind: str) -> tuple[BackboneSpec, dict[str, Any], dict[str, Tensor]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_HEADER)
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(
            f"cannot read checkpoint {path}: {error}; expected a {kind} model in safetensors form, "
            "check the path or restore the file"
        ) from error
    header = _parse_header(text, kind, path)
    try:
        spec = BackboneSpec.from_dict(header["spec"])
    except ConfigError as error:
        raise CheckpointError(f"{path} describes no backbone of ours: {error}") from error
    _check_arrays(stored, spec, kind, str(path))
    if tensors_sha256(stored) != header["sha256"]:
        raise CheckpointError(
            f"{path} is damaged: its arrays do not have the SHA-256 that its header states; "
            "restore the file or go back to an earlier round"
        )
    # The file is sorted by dtype and name; a state dict keeps the order of the network.
    return spec, header, {name: stored[name] for name in _expected(spec, kind)}


def _parse_header(text: str | None, kind: str, path: Path) -> dict[str, Any]:
    if text is None:
        raise CheckpointError(
            f"{path} is no checkpoint of fedfr-edge (its header lacks {_HEADER!r}); expected a {kind} model; "
            "plain weights are loaded as the backbone's start instead"
        )
    types: dict[str, type] = {
        "format": int,
        "kind": str,
        "spec": dict,
        "round": int,
        "metadata": dict,
        "sha256": str,
    }
    if kind == "personal":
        types["client"] = str
    try:
        header = json.loads(text)
    except ValueError as error:
        raise CheckpointError(f"{path} has a damaged header ({error}); restore the file") from error
    if not isinstance(header, dict) or header.get("format") != _FORMAT or header.get("kind") != kind:
        found = (
            f"format {header.get('format')}, kind {header.get('kind')}" if isinstance(header, dict) else text
        )
        raise CheckpointError(
            f"{path} has {found}; expected format {_FORMAT}, kind {kind}; give another file"
        )
    for key, wanted in types.items():
        if not isinstance(header.get(key), wanted):
            raise CheckpointError(f"{path} has no valid {key!r} in its header; restore the file")
    header["metadata"] = {str(key): str(value) for key, value in header["metadata"].items()}
    return header
