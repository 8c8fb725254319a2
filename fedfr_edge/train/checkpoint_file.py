"""A checkpoint file: named arrays as safetensors, and a header that says what they are.

The header holds the kind (``global`` or ``personal``), the backbone's spec, the round, free metadata and a
SHA-256 over all of these and all arrays, so that damage is noticed (safetensors itself has no checksum).
Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from fedfr_edge import atomic
from fedfr_edge.errors import CheckpointError, ConfigError
from fedfr_edge.train.backbones.backbone import state_shapes
from fedfr_edge.train.backbones.spec import BackboneSpec

Kind: TypeAlias = Literal["global", "personal"]

# One header key only: with several, safetensors' order (and so the file's bytes) would vary from run to run.
_HEADER = "fedfr-edge"
_FORMAT = 1


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) over names, dtypes, shapes and values, in sorted order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _expected(spec: BackboneSpec, kind: Kind) -> dict[str, tuple[int | None, ...]]:
    shapes: dict[str, tuple[int | None, ...]] = {
        f"backbone.{name}": shape for name, shape in state_shapes(spec).items()
    }
    if kind == "global":
        shapes["global_proxies"] = (None, spec.dim)
    else:
        shapes["transform.weight"] = (spec.dim, spec.dim)
        shapes["transform.bias"] = (spec.dim,)
    return shapes


def _check_arrays(tensors: Mapping[str, Tensor], spec: BackboneSpec, kind: Kind, where: str) -> None:
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


def save(
    path: Path,
    kind: Kind,
    spec: BackboneSpec,
    header: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    *,
    mode: int,
) -> None:
    """Write ``path`` atomically; equal contents give equal bytes.

    Args:
        path: the file.
        kind: what the arrays are.
        spec: of the backbone among them.
        header: ``round``, ``metadata`` (texts) and, for a personal model, ``client``.
        tensors: ``backbone.`` + names of the backbone's state dict, and ``global_proxies`` or
            ``transform.weight`` and ``transform.bias``.
        mode: permissions.

    Raises:
        CheckpointError: arrays that do not fit the spec; nothing is written.
        WriteError: the disk refused; what was there is untouched.
    """
    _check_arrays(tensors, spec, kind, "the model to save")
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    described = {"format": _FORMAT, "kind": kind, "spec": spec.to_dict(), **header}
    text = json.dumps({**described, "sha256": _digest(described, plain)}, sort_keys=True)
    atomic.write_bytes(path, safetensors.torch.save(plain, metadata={_HEADER: text}), mode=mode)


def load(path: Path, kind: Kind) -> tuple[BackboneSpec, dict[str, Any], dict[str, Tensor]]:
    """Read and check what :func:`save` wrote: ``(spec, header, tensors)``.

    Raises:
        CheckpointError: missing, damaged, of another kind or format, or not fitting its own spec.
    """
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
        raise CheckpointError(f"{path} describes no backbone of ours: {error}; restore the file") from error
    _check_arrays(stored, spec, kind, str(path))
    if _digest({key: value for key, value in header.items() if key != "sha256"}, stored) != header["sha256"]:
        raise CheckpointError(
            f"{path} is damaged: it does not have the SHA-256 that its header states; restore the file or go "
            "back to an earlier round"
        )
    # The file is sorted by dtype and name; a state dict keeps the order of the network.
    return spec, header, {name: stored[name] for name in _expected(spec, kind)}


def _digest(described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    text = json.dumps(described, sort_keys=True)
    return hashlib.sha256(f"{text}\n{tensors_sha256(tensors)}".encode()).hexdigest()


def _parse_header(text: str | None, kind: Kind, path: Path) -> dict[str, Any]:
    if text is None:
        raise CheckpointError(
            f"{path} is no checkpoint of fedfr-edge (its header lacks {_HEADER!r}); expected a {kind} model; "
            "give one that 'fedfr pretrain' or 'fedfr train' wrote"
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
        if type(header.get(key)) is not wanted:
            raise CheckpointError(f"{path} has no valid {key!r} in its header; restore the file")
    if header["round"] < 0:
        raise CheckpointError(f"{path} has 'round' {header['round']}, expected 0 or more; restore the file")
    if not all(isinstance(value, str) for value in header["metadata"].values()):
        raise CheckpointError(f"{path} has metadata that are no texts in its header; restore the file")
    return header
