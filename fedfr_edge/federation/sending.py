"""Sending one message to each of several clients."""

from __future__ import annotations

from collections.abc import Mapping

from flwr.app import Message
from flwr.serverapp import Grid


def send(grid: Grid, messages: Mapping[str, Message]) -> tuple[dict[str, str], dict[str, str]]:
    """Push the clients' messages, in sorted order of the client ids.

    Args:
        grid: Flower's connection to the clients.
        messages: client id -> its message.

    Returns:
        message id -> client id of those that were sent, and client id -> why not of the others.
    """
    order = sorted(messages)
    keys = list(grid.push_messages([messages[name] for name in order]))
    # The transport answers None for a message that it could not send, and nothing if it sent none.
    keys += [None] * (len(order) - len(keys))
    sent = {key: name for name, key in zip(order, keys, strict=True) if key}
    failed = {name: "the message could not be sent" for name, key in zip(order, keys, strict=True) if not key}
    return sent, failed
