"""What a client keeps to itself between rounds: W, Π, Ω, b and its own Θ_l."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedfr_edge.errors import CheckpointError
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.train.checkpoint import PersonalModel

_PREFIX = "backbone/"
_ARRAYS = ("local_proxies", "transform_weight", "transform_bias", "binary_proxies", "binary_bias")


@dataclass
class PrivateState:
    """The private half of a client, as it stood at the end of a round. All tensors on the CPU.

    Attributes:
        local_proxies: W, float32 (Kl, d).
        transform_weight: of Π, float32 (d, d); starts as the identity.
        transform_bias: of Π, float32 (d,).
        binary_proxies: Ω, float32 (Kl, d); starts as a copy of W.
        binary_bias: b, float32 (Kl,).
        backbone: state dict of Θ_l **before** aggregation.
        round: the round it was made in; 0 before the first.
    """

    local_proxies: Tensor
    transform_weight: Tensor
    transform_bias: Tensor
    binary_proxies: Tensor
    binary_bias: Tensor
    backbone: dict[str, Tensor]
    round: int

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Named numpy arrays (copies); :meth:`from_arrays` reads them back bit for bit.

        Keys: the attributes' names, ``backbone/<parameter>`` and ``round`` (int64, no axes).
        """
        arrays = {name: getattr(self, name).numpy().copy() for name in _ARRAYS}
        arrays |= {_PREFIX + name: tensor.numpy().copy() for name, tensor in self.backbone.items()}
        arrays["round"] = np.array(self.round, dtype=np.int64)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> PrivateState:
        """The inverse of :meth:`to_arrays`.

        Raises:
            CheckpointError: an array is missing, unknown or of a shape that does not fit the others.
        """
        backbone = {
            name.removeprefix(_PREFIX): torch.from_numpy(np.array(array))
            for name, array in arrays.items()
            if name.startswith(_PREFIX)
        }
        names = {name for name in arrays if not name.startswith(_PREFIX)}
        expected = {*_ARRAYS, "round"}
        if names != expected or not backbone:
            raise CheckpointError(
                f"private state holds {sorted(names)} and {len(backbone)} backbone arrays, expected "
                f"{sorted(expected)} and a backbone; delete this snapshot to go on from the one before"
            )
        classes, dim = (*arrays["local_proxies"].shape, 0, 0)[:2]
        shapes = {
            "local_proxies": (classes, dim),
            "transform_weight": (dim, dim),
            "transform_bias": (dim,),
            "binary_proxies": (classes, dim),
            "binary_bias": (classes,),
            "round": (),
        }
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise CheckpointError(
                    f"{name} of a private state has shape {arrays[name].shape}, expected {shape}; "
                    "delete this snapshot to go on from the one before"
                )
        tensors = {name: torch.from_numpy(np.array(arrays[name])) for name in _ARRAYS}
        return cls(**tensors, backbone=backbone, round=int(arrays["round"]))

    def personal_model(
        self, spec: BackboneSpec, client: str, metadata: Mapping[str, str] | None = None
    ) -> PersonalModel:
        """[Θ_l, Π_l], the client's personal model; it shares this state's tensors."""
        return PersonalModel(
            spec=spec,
            backbone=self.backbone,
            transform_weight=self.transform_weight,
            transform_bias=self.transform_bias,
            round=self.round,
            client=client,
            metadata=dict(metadata or {}),
        )
