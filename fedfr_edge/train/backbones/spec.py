"""Which network: its name, width and input size. Free of torch, so that configs and manifests can hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fedfr_edge.errors import ConfigError
from fedfr_edge.types import FACE_SIZE

BACKBONES = (
    "sphereface10",
    "sphereface20",
    "sphereface64",
    "iresnet18",
    "iresnet34",
    "iresnet50",
    "iresnet100",
    "mobilefacenet",
)
"""Every backbone's name."""

INPUT_SIZES = (112, 56, 28)
"""Sides, in pixels, at which a backbone may look at its 112×112 input."""


@dataclass(frozen=True)
class BackboneSpec:
    """What it takes to build a backbone; see :func:`fedfr_edge.train.backbones.backbone.build_backbone`.

    Attributes:
        name: one of :data:`BACKBONES`.
        dim: length d of the embedding.
        width: channels of the first stage; 64 is the published network, less is thinner in every stage.
        input_size: 112, 56 or 28; the 112×112 face is average-pooled by 1, 2 or 4 inside the network.

    Raises:
        ConfigError: a value that no backbone can have.
    """

    name: str = "sphereface20"
    dim: int = 512
    width: int = 64
    input_size: int = FACE_SIZE

    def __post_init__(self) -> None:
        if self.name not in BACKBONES:
            raise ConfigError(f"no backbone is called {self.name!r}; choose one of {', '.join(BACKBONES)}")
        for what, value in (("dim", self.dim), ("width", self.width), ("input_size", self.input_size)):
            if type(value) is not int or value < 1:
                raise ConfigError(
                    f"the backbone's {what} is {value!r}, expected a whole number of at least 1; correct it"
                )
        if self.input_size not in INPUT_SIZES:
            raise ConfigError(
                f"the backbone's input_size is {self.input_size}, "
                f"expected one of {', '.join(map(str, INPUT_SIZES))}; correct it"
            )

    @property
    def pooling(self) -> int:
        """By how much the 112×112 input is average-pooled before the network: 1, 2 or 4."""
        return FACE_SIZE // self.input_size

    @property
    def final_side(self) -> int:
        """Side of the last feature map: four stride-2 steps of ⌈side / 2⌉ below ``input_size``."""
        return -(-self.input_size // 16)

    def to_dict(self) -> dict[str, Any]:
        """The spec as JSON-able values; :meth:`from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BackboneSpec:
        """Read what :meth:`to_dict` gave.

        Raises:
            ConfigError: an unknown or missing key, or a value that no backbone can have.
        """
        if not isinstance(values, Mapping) or set(values) != {"name", "dim", "width", "input_size"}:
            found = ", ".join(sorted(map(str, values))) if isinstance(values, Mapping) else repr(values)
            raise ConfigError(
                f"a backbone is described by dim, input_size, name, width; found {found or 'nothing'}"
            )
        return cls(**values)

    def __str__(self) -> str:
        """Short text for tables, such as ``sphereface20 (width 16, 56 px, d=128)``."""
        return f"{self.name} (width {self.width}, {self.input_size} px, d={self.dim})"
