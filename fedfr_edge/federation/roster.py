"""Which Flower node is which client.

A client's identity is the id in its own node configuration, never Flower's node id: without node
authentication a SuperNode gets a new one each time it starts. The server therefore asks each node that
it has not met, once, and averages in sorted order of the answers.
"""

from __future__ import annotations

import logging
import time

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from fedfr_edge.errors import PayloadError
from fedfr_edge.federation.attempts import ShortRound

log = logging.getLogger(__name__)

HELLO = "query.hello"
"""Message type of the question."""


def hello_reply(client: str) -> RecordDict:
    """A client's answer: its id and nothing else."""
    return RecordDict({"hello": ConfigRecord({"client-id": client})})


def read_hello(content: RecordDict) -> str:
    """The client id out of :func:`hello_reply`.

    Raises:
        PayloadError: anything else in it.
    """
    record = content.get("hello")
    if set(content) != {"hello"} or not isinstance(record, ConfigRecord) or set(record) != {"client-id"}:
        raise PayloadError(f"a client introduced itself with {sorted(content)}, expected its client-id alone")
    client = record["client-id"]
    if not isinstance(client, str) or not client:
        raise PayloadError(f"a client introduced itself as {client!r}, expected its client-id")
    return client


class Roster:
    """The nodes that are online and the clients behind them.

    A node that says later that it is some client takes the place of an earlier one: without node
    authentication a restarted SuperNode is a new node, and its old entry stays online for a minute.

    Args:
        grid: where the nodes are.
        patience: how many seconds to wait for clients to come online and to say who they are.
        poll: seconds between two looks.
    """

    def __init__(self, grid: Grid, *, patience: float, poll: float) -> None:
        self._grid, self._patience, self._poll = grid, patience, poll
        self._asked: dict[str, int] = {}
        self._met: set[int] = set()
        self._node_of: dict[str, int] = {}
        self._silent: set[int] = set()
        self._twice: set[str] = set()

    def online(self, wanted: int, least: int) -> dict[str, int]:
        """Client id -> node id of the clients that are online, in sorted order of the client ids.

        Waits until ``wanted`` of them have said who they are, but not longer than the patience allows.

        Raises:
            ShortRound: fewer than ``least`` are there then.
        """
        end = time.monotonic() + self._patience
        self._met -= self._silent  # a fault there may have been mended since the last round
        self._silent.clear()
        while True:
            nodes = set(self._grid.get_node_ids())
            self._ask(nodes - self._met)
            heard = self._listen()
            present = {client: node for client, node in sorted(self._node_of.items()) if node in nodes}
            if len(present) >= wanted or time.monotonic() >= end:
                break
            if not heard:
                time.sleep(self._poll)
        if len(present) < least:
            twice = (
                f" (several nodes say that they are {', '.join(sorted(self._twice))})" if self._twice else ""
            )
            raise ShortRound(
                f"{len(present)} clients are online ({', '.join(present) or 'none'}) after "
                f"{self._patience:g} s{twice}, expected at least {least}; start the missing ones, each with "
                "a client-id of its own, and run again",
                asked=0,
                answered=0,
                least=least,
                failed={},
                seconds=self._patience,
            )
        return present

    def _ask(self, nodes: set[int]) -> None:
        order = sorted(nodes)
        if order:
            questions = [Message(RecordDict(), node, HELLO, ttl=self._patience) for node in order]
            ids = self._grid.push_messages(questions)
            self._asked |= {key: node for key, node in zip(ids, order, strict=False) if key}
            self._met |= set(self._asked.values())

    def _listen(self) -> bool:
        """Take in what answers there are; whether there was one."""
        heard = False
        for reply in self._grid.pull_messages(list(self._asked)) if self._asked else ():
            node = self._asked.pop(reply.metadata.reply_to_message_id, None)
            if node is None:
                continue
            heard = True
            if reply.has_error():
                log.warning("node %d did not say who it is: %s", node, reply.error.reason)
                self._silent.add(node)
                continue
            client = read_hello(reply.content)
            if client in self._node_of:
                self._twice.add(client)
                log.warning("node %d takes the place of node %d as %s", node, self._node_of[client], client)
            self._node_of[client] = node
        return heard
