"""The benchmark's rounds by Flower's own programs: SuperLink and SuperNodes on loopback."""

from __future__ import annotations

import contextlib
import json
import socket
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from fedfr_edge import atomic
from fedfr_edge.errors import FederationError

from ..commands.federation_client import ClientConfig, supernode_command
from ..deploy.programs import child, environment, require_flower, tail
from ..deploy.superlink import SuperLink
from .federation_echo import client_names

_HOST = "127.0.0.1"
_LOOK = 20.0  # seconds between two questions after the run: each starts a program of Flower's
_PROJECT = """[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "fedfr-bench"
version = "0.1.0"
dependencies = ["fedfr-edge[train,federation]"]

[tool.setuptools]
packages = []

[tool.flwr.app]
publisher = "fedfr-edge"

[tool.flwr.app.components]
serverapp = "fedfr_edge.apps.bench.federation_apps:server"
clientapp = "fedfr_edge.apps.bench.federation_apps:client"

[tool.flwr.app.config]
"""


def superlink_rounds(
    backbone: str, *, dim: int, clients: int, rounds: int, seed: int, limit: float = 900.0
) -> dict[str, Any]:
    """Seconds of each round through a SuperLink, and where they went.

    Args:
        backbone: whose parameters travel, ``NAME`` or ``NAME:WIDTH``.
        dim: length of an embedding.
        clients: how many SuperNodes.
        rounds: rounds that count, after one that warms up.
        seed: of the weights.
        limit: seconds after which all is given up.

    Returns:
        ``seconds`` of each round; ``parts`` and ``cpu``: name -> seconds by the clock, and of CPU time in the
        client's and the server's process; medians over the rounds.

    Raises:
        FederationError: the run failed, or was not over in time.
        MissingPartError: Flower or torch is not installed.
    """
    require_flower()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        (folder / "times").mkdir()
        app = folder / "app"
        app.mkdir()
        config = {
            "folder": name,
            "backbone": backbone,
            "dim": dim,
            "clients": clients,
            "rounds": rounds,
            "seed": seed,
        }
        keys = "".join(f"{key} = {json.dumps(value)}\n" for key, value in config.items())
        atomic.write_text(app / "pyproject.toml", _PROJECT + keys)
        port, *helpers = _free_ports(clients + 1)
        link = SuperLink(_HOST, port, folder / "link", None)
        stack.enter_context(link.running())
        for client, helper in zip(client_names(clients), helpers, strict=True):
            node = ClientConfig(
                client_id=client,
                server=f"{_HOST}:{port}",
                store=folder,  # echoing clients open none
                private=folder / "private" / client,
                state=folder / client,
                insecure=True,
                port=helper,
            )
            env = environment(node.state / "flower")
            stack.enter_context(child(supernode_command(node), env, node.state / "supernode.log"))
        run = link.start_run(config, app)
        result = _result(link, run, folder / "result.json", limit)
    return {
        "seconds": result["seconds"],
        "parts": _medians(result["parts"]),
        "cpu": _medians(result["cpu"]),
    }


def _result(link: SuperLink, run: str, file: Path, limit: float) -> dict[str, Any]:
    end, look = time.monotonic() + limit, time.monotonic() + _LOOK
    while not file.exists():
        time.sleep(0.5)
        link.check_alive()
        now = time.monotonic()
        if now > look:
            status, details = link.status(run)
            if (status.startswith("finished") and not file.exists()) or now > end:
                raise FederationError(
                    f"the benchmark's run is {status} after {limit - end + now:.0f} s and left no result "
                    f"({details}): {' / '.join(tail(link.log, 0).splitlines()[-3:])[-400:]}"
                )
            look = now + _LOOK
    return dict(json.loads(file.read_text()))


def _medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind((_HOST, 0))
        return [item.getsockname()[1] for item in sockets]
