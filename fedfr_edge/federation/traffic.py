"""How many bytes a message's content is: what a round costs on the network, whichever way it runs.

Importing this module does not load Flower.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flwr.app import RecordDict

BYTES_UP, BYTES_DOWN = "bytes_up", "bytes_down"
"""Names of the two counts beside a client's metrics: its reply, and the instruction that it was sent."""

WAYS = (BYTES_UP, BYTES_DOWN)
"""Both, in the order in which they are shown."""


def content_bytes(content: RecordDict) -> int:
    """Bytes of the arrays as they are stored (numpy's header and values) and of the other records serialised.

    The same for every engine, as nothing of the transport is in it. Flower adds names and hashes: about a
    kilobyte a message and 80 bytes for each further 5 MiB, besides its HTTP headers and its polling.
    """
    from flwr.app import ArrayRecord

    size = 0
    for record in content.values():
        if isinstance(record, ArrayRecord):
            size += sum(len(array.data) for array in record.values())
        else:
            size += len(record.deflate())
    return size


def traffic_by_client(line: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """What a round cost with each client, whether it counted or not, the round's earlier attempts included.

    Args:
        line: of ``metrics.jsonl``: ``clients`` and, where somebody was left out, ``lost_traffic``.

    Returns:
        client id -> name of :data:`WAYS` -> bytes, as far as they were measured.
    """
    found: dict[str, dict[str, int]] = {}
    parts = [line["clients"], line.get("lost_traffic", {})]
    parts += [attempt.get("lost_traffic", {}) for attempt in line.get("attempts", ())]
    for part in parts:
        for client, told in part.items():
            sums = found.setdefault(client, {})
            for way in WAYS:
                if way in told:
                    sums[way] = sums.get(way, 0) + int(told[way])
    return found
