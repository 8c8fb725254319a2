"""What the tests of liveness have, for the tests in a browser."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def borrowed(name: str) -> ModuleType:
    """A module of ``tests/liveness``."""
    place = Path(__file__).parents[1] / "liveness" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, place)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
