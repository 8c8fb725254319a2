"""Flower's telemetry and update check, switched off by our entry points before Flower is imported."""

from __future__ import annotations

import os

SWITCHES = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
}
"""Environment variables that Flower reads as it is imported."""


def switch_off_telemetry() -> None:
    """Put :data:`SWITCHES` into the environment of this process; whoever set one keeps it.

    Call it before anything imports ``flwr``.
    """
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
