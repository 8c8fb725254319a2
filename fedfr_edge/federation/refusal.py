"""Stable codes for why a client does not take part: what a server may learn of a fault on a client.

The text of a client's error may name people and paths and stays in the client's own log. The server is told
one of these codes, or the name of the error's class.
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, TypeVar

from fedfr_edge.errors import FedFRError

if TYPE_CHECKING:
    from flwr.app import Message

CODES = {
    "other-version": "the two sides run different versions of fedfr-edge; update both",
    "other-backbone": "the client agreed to another backbone, or its private state is of another one",
    "other-settings": "a setting differs from what the client agreed to",
    "no-consent": "the method sends W, and the client has not agreed to that",
    "public-among-own": "people are public and the client's own",
    "other-public": "the client's public people are not those that the model was pre-trained on",
    "model": "the server's model does not name its public people, one for each row of its Φ",
    "no-images": "the client has no image to train on",
    "store": "a store of the client is missing or damaged",
    "split": "the client's split does not fit its store, or contradicts itself",
    "private-state": "the client's private folder belongs to another client or federation, or is damaged",
    "node-config": "the client's node config is wrong",
    "limit-reached": "the client has given as many updates as it is willing to (max-updates)",
}
"""Code of a refusal -> what it says, for people."""

OUT_OF_MEMORY = "out-of-memory"
"""Code of a failure that another attempt may be spared."""

REFUSED = "refused before training: "
"""What a refusal's reason begins with in a round's report."""

_BY_CLASS = {
    "CheckpointError": "model",
    "StoreError": "store",
    "SplitError": "split",
    "PrivateStateError": "private-state",
    "ConfigError": "node-config",
}
# A fault that would be the same in a second attempt, since a round follows from its inputs alone. Not memory,
# disk, dead processes or lost messages, which a second attempt may be spared.
_LASTING = (
    "CheckpointError",
    "ConfigError",
    "NonFiniteError",
    "PayloadError",
    "SplitError",
    "StoreError",
    "TrainingError",
)

# What torch says on a CPU and on a GPU, where it does not raise a class of its own.
_NO_MEMORY = re.compile(
    r"DefaultCPUAllocator|(can't|cannot) allocate memory|out of memory|bad_alloc|STATUS_ALLOC_FAILED", re.I
)

# How Flower words an exception of ours: only one word stands between the marks.
_FAILURE = re.compile(r"<class '[\w.]*ClientFailure'>:<'([\w-]+)'>")

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")

E = TypeVar("E", bound=FedFRError)


def coded(code: str, error: E) -> E:
    """The same error with one of :data:`CODES` on it."""
    assert code in CODES
    error.__dict__["refusal_code"] = code
    return error


def code_of(error: BaseException, *, checking: bool) -> str:
    """The one word that the server is told of an error.

    Args:
        error: the error.
        checking: it was found before training; then its class may stand for a code.
    """
    if _ran_out_of_memory(error):
        return OUT_OF_MEMORY
    name = type(error).__name__
    return str(getattr(error, "refusal_code", _BY_CLASS.get(name, name) if checking else name))


def said(reply: Message) -> str:
    """An error reply's reason: the word that a client of ours gave, or Flower's text."""
    reason = str(reply.error.reason or f"Flower error {reply.error.code}")
    ours = _FAILURE.search(reason)
    return reason_of(ours[1]) if ours else reason


def reason_of(word: str) -> str:
    """A client's word as a reason in a round's report: marked if it is the code of a refusal."""
    return REFUSED + word if word in CODES else word


def lasting(reason: str) -> bool:
    """Whether a client that failed for ``reason`` in a round would fail of the same in another attempt."""
    return reason.startswith(REFUSED) or reason.partition(":")[0] in _LASTING


def is_code(text: object) -> bool:
    """Whether it can be a code or the name of a class: one word, no path and no sentence."""
    return isinstance(text, str) and _WORD.fullmatch(text) is not None


def _ran_out_of_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return True
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return True
        if isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)):
            return True
        error = error.__cause__
    return False
