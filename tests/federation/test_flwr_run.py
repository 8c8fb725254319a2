"""Flower's own engine: a SuperLink, two SuperNodes, ``flwr run``, all on loopback."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from small_federation import SETTINGS, World, assert_same_bits, assert_same_state, make_store

from fedfr_edge.config import save_config
from fedfr_edge.federation.data import Faces
from fedfr_edge.federation.private_state import PrivateStore
from fedfr_edge.federation.run_folder import RunFolder
from fedfr_edge.federation.telemetry import SWITCHES
from fedfr_edge.train.checkpoint import load_global
from fedfr_edge.train.loop import run_rounds

APP = Path(__file__).resolve().parents[2] / "apps" / "flower"
BIN = Path(sys.executable).parent
NAMES = ("client-00", "client-01")


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for item in sockets:
        item.bind(("127.0.0.1", 0))
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


@contextmanager
def running(log: Path, *command: str, env: dict[str, str]) -> Iterator[None]:
    """A process and all that it starts, ended at the end; its output goes to ``log``."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [str(BIN / command[0]), *command[1:]],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
        )
        try:
            yield
            assert process.poll() is None, log.read_text()[-4000:]
        finally:
            for sign in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(process.pid, sign)
                except ProcessLookupError:
                    break
                try:
                    process.wait(timeout=15)
                except subprocess.TimeoutExpired:
                    continue


def flwr(*command: str, env: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [str(BIN / "flwr"), *command, "--format", "json"],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout[done.stdout.index("{") :]))
