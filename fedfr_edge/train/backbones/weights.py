"""Loading published weights into a backbone, strictly: every name and shape must agree."""

from __future__ import annotations

import pickle
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from fedfr_edge.errors import CheckpointError
from fedfr_edge.train.backbones.backbone import Backbone

# What stands in front of every name: in our checkpoints, torch's DataParallel, torch.compile, our Backbone.
_PREFIXES = ("backbone.", "module.", "_orig_mod.", "net.")


def load_weights(backbone: Backbone, path: Path) -> None:
    """Load ``path`` into ``backbone.net`` in place.

    A file may be safetensors (also a global model of ours: its backbone is taken) or a plain state dict
    written by ``torch.save``, which is opened with ``weights_only=True`` and so runs no code. A wrapper's
    prefix (``module.``, ``net.``) that stands before all names is removed.

    Args:
        backbone: changed only if everything fits.
        path: safetensors when its name ends in ``.safetensors``, a plain state dict otherwise.

    Raises:
        CheckpointError: unreadable, no state dict, or names or shapes that do not fit; the message names
            the first few that are missing, unexpected or of another shape.
    """
    state = _strip(_read(path))
    wanted = backbone.net.state_dict()
    faults = [f"missing {name}" for name in wanted if name not in state]
    faults += [f"unexpected {name}" for name in state if name not in wanted]
    for name, value in wanted.items():
        if name in state and state[name].shape != value.shape:
            faults.append(f"{name} has shape {tuple(state[name].shape)}, expected {tuple(value.shape)}")
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise CheckpointError(
            f"the weights in {path} do not fit {backbone.spec}: {'; '.join(faults[:5])}{more}; "
            "choose the backbone, dim, width and input size that they were trained with"
        )
    backbone.net.load_state_dict(state)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        loaded = (
            safetensors.torch.load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (OSError, safetensors.SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).strip().splitlines()
        raise CheckpointError(
            f"cannot read weights from {path}: {reason[0] if reason else type(error).__name__}; expected "
            "safetensors or a plain state dict of tensors, check the file"
        ) from error
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise CheckpointError(
            f"{path} holds {_describe(loaded)}, expected a plain state dict (names to tensors); "
            "save the model's state_dict() alone"
        )
    return {str(name): value for name, value in loaded.items()}


def _describe(loaded: object) -> str:
    if isinstance(loaded, dict):
        return "a dict with " + ", ".join(map(repr, list(loaded)[:4]))
    return f"a {type(loaded).__name__}"


def _strip(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove wrappers' prefixes; of one of our global models keep the backbone alone."""
    if "global_proxies" in state:
        state = {name: value for name, value in state.items() if name.startswith("backbone.")}
    for prefix in _PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state
