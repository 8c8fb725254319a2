"""Importing and running the in-process engine reaches for no network, whatever the environment says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_federation import World

from fedfr_edge.federation import telemetry

HERE = Path(__file__).parent

PROGRAM = """
import json, sys, threading, time

seen = []

watched = {f"socket.{name}" for name in ("connect", "getaddrinfo", "sendto", "bind", "gethostbyname")}

def hook(event, arguments):
    if event in watched:
        seen.append([event, str(arguments[-1 if event == "socket.connect" else 0])])

sys.addaudithook(hook)
import fedfr_edge.federation.engine as engine
loaded = sorted({"torch", "flwr"} & sys.modules.keys())
sys.path.insert(0, sys.argv[1])
import warnings
warnings.filterwarnings("ignore", "'click", DeprecationWarning)
import small_federation as small
from pathlib import Path
folder = Path(sys.argv[2])
world = small.World(*(Path(part) for part in sys.argv[3:7]))
import dataclasses
settings = dataclasses.replace(small.SETTINGS, rounds=1)
small.in_process(world, folder, settings, wire=True)
for thread in threading.enumerate():
    if thread is not threading.main_thread():
        thread.join(5)
before = list(seen)
import socket
probe = socket.socket()
probe.setblocking(False)
try:
    probe.connect(("192.0.2.1", 9))
except OSError:
    pass
import os
print(json.dumps({"loaded": loaded, "seen": before, "planted": seen[len(before):],
                  "environment": {k: v for k, v in os.environ.items() if k.startswith("FLWR")}}))
"""


def test_importing_and_running_opens_no_connection(world: World, tmp_path: Path) -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("FLWR")}
    places = [world.store, world.public_store, world.split, world.pretrained]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(HERE), str(tmp_path), *map(str, places)],
        env={**plain, "OMP_NUM_THREADS": "1", "HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["loaded"] == []
    assert result["seen"] == []
    assert [event for event, _ in result["planted"]] == ["socket.connect"]  # the hook does see
    assert not (tmp_path / "home").exists()  # nor does Flower write into the home folder


def test_the_switches_are_set_unless_the_user_set_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in telemetry.SWITCHES:
        monkeypatch.delenv(name, raising=False)
    telemetry.switch_off_telemetry()
    assert {name: os.environ[name] for name in telemetry.SWITCHES} == telemetry.SWITCHES
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "1")
    telemetry.switch_off_telemetry()
    assert os.environ["FLWR_TELEMETRY_ENABLED"] == "1"


def test_flower_read_the_switches() -> None:
    """The names are Flower's: telemetry is off in this process, where conftest set them before the import."""
    from flwr.supercore import telemetry as flowers

    assert os.environ["FLWR_TELEMETRY_ENABLED"] == "0"
    assert flowers.FLWR_TELEMETRY_ENABLED == "0"


def test_importing_the_package_changes_nothing() -> None:
    program = (
        "import os, sys; before = dict(os.environ); import fedfr_edge.federation.engine, "
        "fedfr_edge.federation.telemetry; assert dict(os.environ) == before; "
        "assert not {'flwr', 'torch', 'grpc'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
