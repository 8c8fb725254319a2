"""A Grid that runs the real ClientApp in this process, one client after another.

The transport is ours; ServerApp, ClientApp, messages and records are Flower's. Clients share the process
and so the device: a GPU holds one model at a time, and nothing is started for a message.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable, Mapping
from uuid import uuid4

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from fedfr_edge.federation import flower_private as private

log = logging.getLogger(__name__)

RUN_ID = 1


class InProcessGrid(Grid):  # type: ignore[misc]  # flwr is not followed by mypy
    """Flower's abstract ``Grid`` without a network.

    A message waits until it is asked for: each :meth:`pull_messages` runs the next client that is
    waiting and returns its reply, so that the server holds one update at a time.

    Args:
        client_app: the app, the same object that a SuperNode would run.
        contexts: node id -> the node's context; nodes are run in the order in which messages were pushed.
        wire: pass every message through Flower's own serialisation, both ways.

    Attributes:
        causes: node id -> the exception of its last failed message, which a network would keep back.
    """

    def __init__(self, client_app: ClientApp, contexts: Mapping[int, Context], *, wire: bool = False) -> None:
        self.causes: dict[int, Exception] = {}
        self._app, self._contexts, self._wire = client_app, dict(contexts), wire
        self._waiting: deque[Message] = deque()

    def set_run(self, run: object) -> None:
        """Do nothing: there is one run."""

    @property
    def run(self) -> object:
        """An empty description of the run."""
        return private.empty_run(RUN_ID)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """A new message; Flower prefers ``Message(...)`` today."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def client_of(self, node: int) -> str:
        """The client that the node's configuration names."""
        return str(self._contexts[node].node_config["client-id"])

    def get_node_ids(self) -> Iterable[int]:
        """The ids of all nodes."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Put messages into the queue and return their ids."""
        ids = []
        for message in messages:
            ids.append(uuid4().hex)
            private.set_message_id(message, ids[-1])
            self._waiting.append(message)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Run the first waiting client among ``message_ids``; its reply, or nothing if none is waiting."""
        wanted = set(message_ids)
        for message in self._waiting:
            if message.metadata.message_id in wanted:
                self._waiting.remove(message)
                reply = self._deliver(message)
                private.set_message_id(reply, uuid4().hex)
                return [reply]
        return []

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Push messages and return the replies that came within ``timeout`` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        ids = list(self.push_messages(messages))
        replies: list[Message] = []
        for message_id in ids:
            if end is not None and time.monotonic() >= end:
                break
            replies.extend(self.pull_messages([message_id]))
        return replies

    def _deliver(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        if expired(message):
            # As the SuperLink does: a message that outlived its round is not delivered.
            return Message(Error(private.UNAVAILABLE, "the message expired"), reply_to=message)
        try:
            arrived = private.through_the_wire(message) if self._wire else _isolated(message)
            reply = self._app(arrived, self._contexts[node])
            return private.through_the_wire(reply) if self._wire else reply
        except Exception as error:
            log.debug("the client of node %d failed", node, exc_info=True)
            self.causes[node] = error
            # The wording of Flower's own runtime.
            return Message(Error(private.EXCEPTION, f"{type(error)}:<'{error}'>"), reply_to=message)


def expired(message: Message) -> bool:
    """Whether the message has outlived its time to live."""
    return bool(time.time() > message.metadata.created_at + message.metadata.ttl)


def _isolated(message: Message) -> Message:
    """A message with records of its own, so that a client cannot change what others receive.

    The arrays inside are shared: Flower holds them as ``bytes``, which nobody can change.
    """
    content = RecordDict({name: type(record)(dict(record)) for name, record in message.content.items()})
    return private.with_content(message, content)
