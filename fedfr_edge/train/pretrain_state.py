"""What pre-training needs to go on after a kill, as one safetensors file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from fedfr_edge import atomic
from fedfr_edge.errors import CheckpointError, ConfigError

_HEADER = "fedfr-edge-pretraining"


@dataclass
class PretrainState:
    """Everything after some number of whole epochs; chance needs no state, it derives from the epoch.

    Attributes:
        epochs: epochs done.
        tensors: ``net.…`` (Θ), ``proxies``, and ``momentum.…`` of the optimiser.
        best: Θ and the proxies of the epoch to keep, likewise named; empty while there is none.
        best_epoch: that epoch, from 1; 0 while there is none.
        history: one record an epoch, as in ``metrics.jsonl``.
    """

    epochs: int = 0
    tensors: dict[str, Tensor] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    def save(self, path: Path, settings: dict[str, Any]) -> None:
        """Write the state and the settings it belongs to, atomically.

        Raises:
            WriteError: the disk refused; the state of the epoch before is still there.
        """
        header = {
            "epochs": self.epochs,
            "best_epoch": self.best_epoch,
            "history": self.history,
            "settings": settings,
        }
        arrays = {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}
        arrays |= {f"best.{name}": tensor.cpu().contiguous() for name, tensor in self.best.items()}
        # safetensors refuses arrays that share memory, which on the CPU best and current ones may do.
        arrays = {name: tensor.clone() for name, tensor in arrays.items()}
        atomic.write_bytes(path, safetensors.torch.save(arrays, metadata={_HEADER: json.dumps(header)}))

    @classmethod
    def load(cls, path: Path, settings: dict[str, Any]) -> PretrainState:
        """Read what :meth:`save` wrote.

        Raises:
            CheckpointError: the file is damaged.
            ConfigError: it belongs to other settings.
        """
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {})[_HEADER])
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            state = cls(
                epochs=header["epochs"],
                tensors={name: value for name, value in arrays.items() if not name.startswith("best.")},
                best={name[5:]: value for name, value in arrays.items() if name.startswith("best.")},
                best_epoch=header["best_epoch"],
                history=header["history"],
            )
            before = dict(header["settings"])
        except (OSError, safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
            raise CheckpointError(
                f"cannot go on from {path}: it is damaged ({error}); delete it to start from the beginning"
            ) from error
        require_same(before, settings, path)
        return state


def require_same(before: dict[str, Any], now: dict[str, Any], path: Path) -> None:
    """Make sure that a file that is there belongs to these settings.

    Raises:
        ConfigError: names a setting that differs.
    """
    different = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if different:
        key = different[0]
        raise ConfigError(
            f"{path} was made with {key} = {before.get(key)!r}, now it is {now.get(key)!r}; "
            "choose another --out, or delete that file to start anew"
        )
