"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Read when flwr is imported: no telemetry, no update check, also in tests.
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
# Read when onnxruntime is imported, which some tests do themselves.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# Read when torch is imported: beside other processes, a second thread spins and slows small tests tenfold.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def dev_data() -> Path:
    """The folder of development faces and photographs; skips where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("FEDFR_DEV_DATA", default))
    if not (folder / "faces").is_dir():
        pytest.skip(f"no development data at {folder} (set FEDFR_DEV_DATA to its folder)")
    return folder
