"""Settings as the words of a command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def words(settings: Mapping[str, Any]) -> list[str]:
    """``{"out": "x", "plot": False}`` as ``["--out", "x", "--no-plot"]``; lists repeat their option."""
    found: list[str] = []
    for key, value in settings.items():
        option = "--" + key.rstrip("_").replace("_", "-")
        if isinstance(value, bool):
            found.append(option if value else f"--no-{option[2:]}")
        else:
            for item in value if isinstance(value, tuple | list) else (value,):
                found += [option, str(item)]
    return found
