"""Θ and Φ as three flat arrays, and back, bit for bit; in FedFace W is a fourth.

The cost of a message in Flower is per array, not per byte: Θ is packed into one float32 and one int64
array, Φ stays one. The order inside is that of the network's state dict; both sides work it out from the
backbone's spec and compare its hash.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedfr_edge.errors import PayloadError
from fedfr_edge.train.backbones.backbone import Backbone
from fedfr_edge.train.backbones.spec import BackboneSpec

FLAT, INTS, PHI = "theta/flat", "theta/ints", "phi"
"""The arrays of every model in a message: Θ's float32 entries, Θ's int64 entries, Φ."""

PROXIES = "proxies"
"""W of one client, in messages of the one method that shares it (FedFace)."""

_KEY_OF = {"float32": FLAT, "int64": INTS}

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Layout:
    """Where each tensor of Θ lies in the packed arrays.

    Attributes:
        entries: (name, dtype, shape) of Θ's tensors, in the order of the state dict; dtype is
            ``float32`` or ``int64`` (BatchNorm's counters).
        proxies: shape (Kg, d) of Φ; Kg is 0 where the method uses no public faces.
        people: Kl, the rows of W, where W travels too; None everywhere else.
        floats: dtype in which Θ's float32 entries and Φ travel: ``float32``, or ``float16`` where an update
            is sent as a change in half precision (:mod:`fedfr_edge.train.half_precision`).
    """

    entries: tuple[tuple[str, str, tuple[int, ...]], ...]
    proxies: tuple[int, int]
    people: int | None = None
    floats: str = "float32"

    @classmethod
    def of(
        cls, spec: BackboneSpec, classes: int, people: int | None = None, floats: str = "float32"
    ) -> Layout:
        """The layout of a backbone with ``classes`` public identities, without allocating weights.

        ``people``, ``floats``: see :class:`Layout`.

        Raises:
            PayloadError: the backbone has a tensor that is neither float32 nor int64.
        """
        return cls(_entries(spec), (classes, spec.dim), people, floats)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over the names, dtypes and shapes of Θ and Φ in their order."""
        return hashlib.sha256(json.dumps([self.entries, self.proxies]).encode()).hexdigest()

    def expected(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Key -> (dtype, shape) of the packed arrays."""
        sizes = dict.fromkeys(_KEY_OF, 0)
        for _, dtype, shape in self.entries:
            sizes[dtype] += math.prod(shape)
        packed: dict[str, tuple[str, tuple[int, ...]]] = {
            _KEY_OF[dtype]: (self.travels(dtype), (size,)) for dtype, size in sizes.items()
        }
        packed[PHI] = (self.floats, self.proxies)
        if self.people is not None:
            packed[PROXIES] = ("float32", (self.people, self.proxies[1]))
        return packed

    def travels(self, dtype: str) -> str:
        """The dtype in which an entry of ``dtype`` travels."""
        return self.floats if dtype == "float32" else dtype


def pack(
    layout: Layout, backbone: Mapping[str, Tensor], proxies: Tensor, local: Tensor | None = None
) -> Arrays:
    """Θ, Φ and, if ``layout`` has room for it, W as the arrays of :meth:`Layout.expected`, bit for bit.

    Raises:
        PayloadError: a tensor is missing, unknown or of another shape or dtype.
    """
    if (local is None) != (layout.people is None):
        raise PayloadError(
            "W (local_proxies) is in the update, but nobody agreed that it may leave this client; refused"
            if local is not None
            else "W (local_proxies) was agreed to travel and is missing; update fedfr-edge on both sides"
        )
    names = {name for name, _, _ in layout.entries}
    if set(backbone) != names:
        odd = sorted(set(backbone) ^ names)
        raise PayloadError(
            f"the backbone's state has {len(backbone)} entries that differ from the layout's {len(names)} "
            f"in {', '.join(odd[:3])}; server and client must hold the same backbone"
        )
    arrays = {key: np.empty(shape, dtype) for key, (dtype, shape) in layout.expected().items()}
    start = dict.fromkeys(arrays, 0)
    for name, dtype, shape in layout.entries:
        key, part = _KEY_OF[dtype], _as_array(name, backbone[name], layout.travels(dtype), shape)
        arrays[key][start[key] : start[key] + part.size] = part.reshape(-1)
        start[key] += part.size
    arrays[PHI][...] = _as_array("phi", proxies, layout.floats, layout.proxies)
    if local is not None:
        arrays[PROXIES][...] = _as_array("local_proxies", local, *layout.expected()[PROXIES])
    return arrays


def unpack(layout: Layout, arrays: Mapping[str, npt.NDArray[Any]]) -> tuple[dict[str, Tensor], Tensor]:
    """Θ and Φ out of what :func:`pack` made; the tensors are copies that may be written to."""
    backbone: dict[str, Tensor] = {}
    start = dict.fromkeys(arrays, 0)
    for name, dtype, shape in layout.entries:
        key, size = _KEY_OF[dtype], math.prod(shape)
        part = arrays[key][start[key] : start[key] + size]
        backbone[name] = torch.from_numpy(part.reshape(shape).copy())
        start[key] += size
    return backbone, torch.from_numpy(arrays[PHI].copy())


@functools.lru_cache(maxsize=8)
def _entries(spec: BackboneSpec) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
    with torch.device("meta"):
        state = Backbone(spec).state_dict()
    entries = []
    for name, tensor in state.items():
        dtype = str(tensor.dtype).removeprefix("torch.")
        if dtype not in _KEY_OF:
            raise PayloadError(f"{name} of {spec} is {dtype}, only float32 and int64 can travel")
        entries.append((name, dtype, tuple(tensor.shape)))
    return tuple(entries)


def _as_array(name: str, tensor: Tensor, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = tensor.detach().cpu().contiguous().numpy()
    if array.dtype != dtype or array.shape != shape:
        raise PayloadError(
            f"{name} is {array.dtype} of shape {array.shape}, expected {dtype} of shape {shape}; "
            "server and client must hold the same backbone and the same public identities"
        )
    return array
