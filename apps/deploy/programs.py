"""Flower's programs as children of ours: found beside this Python, quiet, and gone when we are gone."""

from __future__ import annotations

import ctypes
import ipaddress
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fedfr_edge import atomic
from fedfr_edge.errors import ConfigError, FederationError, MissingPartError
from fedfr_edge.extras import require
from fedfr_edge.federation.telemetry import SWITCHES

_LOG_BYTES = 20 * 2**20  # a log that is longer is put aside as the next process starts
_PR_SET_PDEATHSIG = 1
_ADDRESS = re.compile(r"[^\s:/]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")


def require_flower() -> None:
    """Stop before anything starts if the federation's packages are not installed.

    Raises:
        MissingPartError: one is not.
    """
    require("torch", "safetensors", "flwr")


def check_address(address: str, setting: str) -> None:
    """Stop at an address that is none.

    Raises:
        ConfigError: not ``host:port``.
    """
    if not _ADDRESS.fullmatch(address):
        raise ConfigError(f"{setting} is {address!r}, expected host:port, such as fedfr.example.org:8443")


def stays_here(host: str) -> bool:
    """Whether what listens on ``host`` is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_free_port(host: str, port: int) -> None:
    """Stop if something listens already where a program of ours is to listen.

    Raises:
        FederationError: the port is taken.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise FederationError(
                f"cannot listen on {host}:{port}: {error.strerror}; is the same command running already? "
                "End it, or set another port"
            ) from error


def environment(home: Path) -> dict[str, str]:
    """The environment of Flower's programs: no telemetry, no update check, no packages fetched.

    Args:
        home: Flower's own folder, instead of one in the user's home.
    """
    # Flower's programs start one another by name.
    here = str(Path(sys.executable).parent)
    return {
        **os.environ,
        **SWITCHES,
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_HOME": str(home),
        "PATH": here + os.pathsep + os.environ.get("PATH", os.defpath),
    }


def program(name: str) -> str:
    """The path of one of Flower's programs in this Python's environment.

    Raises:
        MissingPartError: it is not there.
    """
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise MissingPartError(f"{path} is missing; run: pip install 'fedfr-edge[train,federation]'")
    return str(path)


@contextmanager
def child(command: Sequence[str], env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the end of the block; then it ends, and all that it started.

    Args:
        command: the program and its arguments.
        env: its environment.
        log: file that its output is added to.

    Raises:
        WriteError: the log cannot be written.
    """
    with atomic.write_errors(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_suffix(".1.log"))
        file = log.open("ab")
    with file:
        process = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
        try:
            yield process
        finally:
            _end_group(process)


@contextmanager
def stop_on_sigterm() -> Iterator[None]:
    """Within the block SIGTERM (a service manager's stop) is what Ctrl-C is."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def tail(log: Path, start: int, size: int = 20_000) -> str:
    """The end of what a log has got since it was ``start`` bytes long."""
    try:
        with log.open("rb") as file:
            length = file.seek(0, os.SEEK_END)
            # A log that was put aside in between starts at 0 again.
            file.seek(max(start if start <= length else 0, length - size))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def _end_with_parent() -> None:
    # Even where our process is killed: systemd's SIGKILL, or the kernel's as memory runs out.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    for sign, patience in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
    # What it had started may outlive its own orderly end.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
