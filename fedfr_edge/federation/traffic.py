"""How many bytes a message's content is: what a round costs on the network, whichever way it runs."""

from __future__ import annotations

from flwr.app import ArrayRecord, RecordDict

BYTES_UP, BYTES_DOWN = "bytes_up", "bytes_down"
"""Names of the two counts beside a client's metrics: its reply, and the instruction that it was sent."""


def content_bytes(content: RecordDict) -> int:
    """Bytes of the arrays as they are stored (numpy's header and values) and of the other records serialised.

    The same for every engine, as nothing of the transport is in it. Flower adds names and hashes: about a
    kilobyte a message and 80 bytes for each further 5 MiB, besides its HTTP headers and its polling.
    """
    size = 0
    for record in content.values():
        if isinstance(record, ArrayRecord):
            size += sum(len(array.data) for array in record.values())
        else:
            size += len(record.deflate())
    return size
