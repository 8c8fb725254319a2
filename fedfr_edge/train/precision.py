"""In which precision a backbone computes: float32, or half of it on a GPU."""

from __future__ import annotations

import torch

from fedfr_edge.errors import ConfigError

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""Autocast's dtype by the name of the setting ``precision``."""


def require_fit(precision: str, device: torch.device) -> None:
    """Refuse a half precision on the CPU.

    Raises:
        ConfigError: see above; it would work, but many times slower than float32.
    """
    if precision != "float32" and device.type == "cpu":
        raise ConfigError(
            f"precision is {precision} on the device cpu, which computes it many times slower than float32; "
            "set precision to float32, or device to cuda"
        )
