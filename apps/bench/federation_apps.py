"""The two apps of the benchmark that Flower's own programs start: echoing clients, and a server that times.

Loaded by name, from the app folder that :mod:`.federation_superlink` writes. Both say when things happened,
by the one clock of the machine, so that a round falls into parts.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from fedfr_edge import atomic
from fedfr_edge.federation.client_app import make_client_app
from fedfr_edge.types import no_progress

from .federation_echo import (
    EchoSites,
    client_names,
    make_model,
    one_round_engine,
    read_spec,
    timed_round,
)


def product_client(context: Context) -> ClientApp:
    """The product's ClientApp, without training."""
    find = EchoSites(_root(context) / "private").open(progress=no_progress)
    return make_client_app(lambda context: find(str(context.node_config["client-id"])))


def hello(message: Message, context: Context) -> Message:
    """Say who this client is."""
    return product_client(context)(message, context)


def train(message: Message, context: Context) -> Message:
    """One round; when it began and ended is written beside the private folders."""
    times = {"process": process_start(), "called": time.time(), "cpu_called": time.process_time()}
    import torch  # noqa: F401 (the product's round imports it: how long does that take?)

    times |= {"torch": time.time(), "cpu_torch": time.process_time()}
    reply = product_client(context)(message, context)
    times |= {"done": time.time(), "cpu_done": time.process_time()}
    name = f"{context.node_id}-{message.metadata.group_id}.json"
    atomic.write_text(_root(context) / "times" / name, json.dumps(times))
    return reply


class TimedGrid(Grid):  # type: ignore[misc]  # flwr is not followed by mypy
    """Another grid, that notes when messages went and when their replies had come.

    Args:
        grid: the other.

    Attributes:
        pushed: node id -> when the sending of the last message to it began.
        pulled: node id -> when the reply had come in.
    """

    def __init__(self, grid: Grid) -> None:
        self.pushed: dict[int, float] = {}
        self.pulled: dict[int, float] = {}
        self._grid = grid
        self._to: dict[str, int] = {}

    def set_run(self, run: Any) -> None:
        """See Flower's."""
        self._grid.set_run(run)

    @property
    def run(self) -> Any:
        """See Flower's."""
        return self._grid.run

    def create_message(self, *args: Any, **more: Any) -> Message:
        """See Flower's."""
        return self._grid.create_message(*args, **more)

    def get_node_ids(self) -> Iterable[int]:
        """See Flower's."""
        return list(self._grid.get_node_ids())

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """See Flower's."""
        given = list(messages)
        nodes = [message.metadata.dst_node_id for message in given]
        self.pushed |= dict.fromkeys(nodes, time.time())
        keys = list(self._grid.push_messages(given))
        self._to |= {key: node for key, node in zip(keys, nodes, strict=False) if key}
        return keys

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """See Flower's."""
        replies = list(self._grid.pull_messages(message_ids))
        for reply in replies:
            self.pulled[self._to[reply.metadata.reply_to_message_id]] = time.time()
        return replies

    def send_and_receive(self, *args: Any, **more: Any) -> Iterable[Message]:
        """See Flower's."""
        return list(self._grid.send_and_receive(*args, **more))


def main(grid: Grid, context: Context) -> None:
    """All rounds, the first of which warms up; seconds, parts and CPU time go to ``result.json``."""
    config = context.run_config
    root = _root(context)
    model = make_model(read_spec(str(config["backbone"]), int(config["dim"])), int(config["seed"]))
    timed = TimedGrid(grid)
    engine = one_round_engine(timed, client_names(int(config["clients"])))
    result: dict[str, list[Any]] = {"seconds": [], "parts": [], "cpu": []}
    for number in range(1, int(config["rounds"]) + 2):
        begin, cpu = time.time(), time.process_time()
        taken = timed_round(engine, model, number)
        if number > 1:
            node = max(timed.pulled, key=lambda node: timed.pulled[node])
            times = json.loads((root / "times" / f"{node}-{number}.json").read_text())
            result["seconds"].append(taken)
            result["parts"].append(_parts(timed, node, times, begin, begin + taken))
            result["cpu"].append(
                {
                    "process_starts_and_receives": times["cpu_called"],
                    "imports_torch": times["cpu_torch"] - times["cpu_called"],
                    "client_app": times["cpu_done"] - times["cpu_torch"],
                    "server_app": time.process_time() - cpu,
                }
            )
    atomic.write_text(root / "result.json", json.dumps(result))


def process_start() -> float:
    """When this process was started, as :func:`time.time` has it; on Linux within a hundredth of a second."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError):
        return time.time()
    return time.time() - age


def _parts(
    timed: TimedGrid, node: int, times: dict[str, float], begin: float, end: float
) -> dict[str, float]:
    """Where the round's seconds went, along the client whose reply came last.

    A SuperNode learns of a message before all of it has been sent, so sending is no part of its own.
    """
    marks = {
        "server_prepares": timed.pushed[node],
        "reaches_client_process": times["process"],
        "process_starts_and_receives": times["called"],
        "imports_torch": times["torch"],
        "client_app": times["done"],
        "reply_comes_back": timed.pulled[node],
        "server_averages": end,
    }
    lengths = (later - earlier for earlier, later in itertools.pairwise([begin, *marks.values()]))
    return dict(zip(marks, lengths, strict=True))


def _root(context: Context) -> Path:
    return Path(str(context.run_config["folder"]))


client = ClientApp()
client.query("hello")(hello)
client.train()(train)
server = ServerApp()
server.main()(main)
