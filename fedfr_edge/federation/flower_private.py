"""The one module that touches names that Flower does not promise to keep (flwr 1.41 and 1.42).

The in-process engine stands in for Flower's transport, so it has to do three things that the transport
does: say which task this process is, give messages their ids, and (in wire mode) serialise them.
``tests/federation/test_flower_private.py`` holds each of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flwr.app import Message
from flwr.app.message import make_message
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, no_object_id_recompute
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

SERVER_NODE = 1
"""Node id that Flower gives to the server's side."""

EXCEPTION, UNAVAILABLE = 2, 3
"""Flower's error codes: the ClientApp raised an exception; the message was not delivered in time."""

_IDENTITY = ("_task_id", "_run_id", "_node_id")


@contextmanager
def task_identity(run_id: int) -> Iterator[None]:
    """Let ``Message(...)`` be called in this process, as the server of run ``run_id``.

    ``Message`` reads the ids from a class of Flower's that the runtime fills in; on leaving, what stood
    there before stands there again.
    """
    before = {name: getattr(TaskIdentity, name) for name in _IDENTITY}
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = run_id, run_id, SERVER_NODE
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(TaskIdentity, name, value)


def empty_run(run_id: int) -> Run:
    """What ``Grid.run`` returns where there is no SuperLink."""
    return Run.create_empty(run_id=run_id)


def set_message_id(message: Message, message_id: str) -> None:
    """Give a message the id that the SuperLink would give it."""
    message.metadata.__dict__["_message_id"] = message_id


def with_content(message: Message, content: object) -> Message:
    """The same message (same metadata) around other content."""
    return make_message(metadata=message.metadata, content=content)


def to_bytes(message: Message) -> dict[str, bytes]:
    """The message as Flower's transport sends it: object id -> bytes."""
    with no_object_id_recompute():
        return {key: item.deflate() for key, item in get_all_nested_objects(message).items()}


def through_the_wire(message: Message) -> Message:
    """The message as it arrives after Flower's own serialisation."""
    message_id = message.metadata.message_id
    with no_object_id_recompute():
        arrived = inflate_object_from_contents(message.object_id, to_bytes(message))
    set_message_id(arrived, message_id)
    return arrived
