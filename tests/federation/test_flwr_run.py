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
from small_federation import SETTINGS, World, assert_same_bits, assert_same_state

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


# Put into every Python process of the deployment: writes down each attempt to leave this machine.
WATCH = """
import os, socket, sys

def hook(event, arguments):
    if event == "socket.connect":
        target = arguments[1]
        host = target[0] if isinstance(target, tuple) else "127.0.0.1"
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host not in (None, "", "localhost", "127.0.0.1", "::1", "0.0.0.0"):
        with open(os.environ["WATCHED"], "a") as file:
            file.write(f"{event} {host} {sys.argv}\\\\n")

sys.addaudithook(hook)
with open(os.environ["WATCHED"] + ".processes", "a") as file:
    file.write("x")
"""


def environment(folder: Path, name: str) -> dict[str, str]:
    """What the documentation tells an operator to set, and a home of this test's own."""
    return {
        **os.environ,
        **SWITCHES,
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_HOME": str(folder / name),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder / "watch"),
        "WATCHED": str(folder / "watched"),
        "OMP_NUM_THREADS": "1",
    }


def node_config(world: World, folder: Path, client: str) -> str:
    values = {
        "client-id": client,
        "store": world.store,
        "split": world.split,
        "public-stores": world.public_store,
        "private": folder / "private" / client,
    }
    return " ".join(f'{key}="{value}"' for key, value in values.items())


@pytest.mark.long
def test_two_supernodes_give_the_bits_of_the_plain_loop(world: World, tmp_path: Path) -> None:
    link_port, *node_ports = free_ports(3)
    address = f"127.0.0.1:{link_port}"
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCH)
    env = environment(tmp_path, "home")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text(
        f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "{address}"\ninsecure = true\n'
    )
    save_config(SETTINGS, "train", tmp_path / "settings.toml")
    run_config = (
        f'out="{tmp_path / "run"}" pretrained="{world.pretrained}" config="{tmp_path / "settings.toml"}" '
        f"rounds=2 seed=7 clients={len(NAMES)} patience=120.0 deadline=200.0"
    )

    with running(
        tmp_path / "link.log",
        *("flower-superlink", "--insecure", "--host", "127.0.0.1", "--port", str(link_port)),
        env=env,
    ):
        wait_for_port(link_port)
        with (
            running(
                tmp_path / "node-0.log",
                *("flower-supernode", "--insecure", "--superlink", address, "--host", "127.0.0.1"),
                *("--port", str(node_ports[0]), "--node-config", node_config(world, tmp_path, NAMES[0])),
                env=environment(tmp_path, "home-0"),
            ),
            running(
                tmp_path / "node-1.log",
                *("flower-supernode", "--insecure", "--superlink", address, "--host", "127.0.0.1"),
                *("--port", str(node_ports[1]), "--node-config", node_config(world, tmp_path, NAMES[1])),
                env=environment(tmp_path, "home-1"),
            ),
        ):
            started = flwr("run", str(APP), "here", "-c", run_config, env=env)
            status = wait_for_end(str(started["run-id"]), env)
    logs = "\n".join(path.read_text()[-3000:] for path in sorted(tmp_path.glob("*.log")))
    assert status == "finished:completed", logs

    faces = Faces.open(world.store, world.split, [world.public_store])
    start = world.model()
    data = {client: faces.of_client(client, start) for client in NAMES}
    expected, states, _ = run_rounds(start, data, SETTINGS, 7, 2)
    run = RunFolder(tmp_path / "run")
    assert run.rounds() == [0, 1, 2]
    assert_same_bits(load_global(run.checkpoint(2)), expected)
    run.open(start, dataclasses.replace(SETTINGS, rounds=2).resolved(), 7, {})
    for client in NAMES:
        folder = tmp_path / "private" / client
        with PrivateStore(folder, federation=run.federation, client=client) as store:
            kept = store.load_before(3)
        assert kept is not None
        assert_same_state(kept, states[client])

    # SuperLink, two SuperNodes, their helpers, the apps: all were watched, none left this machine.
    assert len((tmp_path / "watched.processes").read_text()) >= 8
    assert not (tmp_path / "watched").exists(), (tmp_path / "watched").read_text()


def wait_for_port(port: int, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError(f"nothing listens on port {port}")


def wait_for_end(run_id: str, env: dict[str, str], seconds: float = 400) -> str:
    """The run's final status: ``flwr run`` itself ends at once, and its exit status says nothing."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        runs = flwr("list", "here", env=env)["runs"]
        (status,) = [run["status"] for run in runs if str(run["run-id"]) == run_id]
        if status.startswith("finished"):
            return str(status)
        time.sleep(2)
    raise AssertionError(f"the run is still {status} after {seconds:g} s")
