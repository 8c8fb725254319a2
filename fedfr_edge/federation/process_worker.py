"""A worker process: runs the real ClientApp on the messages that the parent sends it.

Parent and worker speak through a pipe. An instruction's arrays are the same bytes for every client of a
round, so they pass through a worker's pipe once a round: see :class:`Sender`. Importing this module loads
neither Flower nor torch, so that a new process can still set the number of threads.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Protocol

from fedfr_edge.federation.telemetry import switch_off_telemetry
from fedfr_edge.types import Progress

if TYPE_CHECKING:
    from flwr.app import Message

    from fedfr_edge.federation.client_app import ClientSite

_LARGE = 4096
"""Bytes from which an array passes outside of the pickled message."""

_QUIET = 0.1
"""Seconds between two reports of the same progress."""

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Sites(Protocol):
    """What a worker is sent to find its clients with; :class:`.sites.LocalSites` is one."""

    def open(self, *, progress: Progress) -> Callable[[str], ClientSite]:
        """Client id -> its site; called once in each worker."""
        ...


@dataclass(frozen=True)
class Progressed:
    """A worker's progress: the arguments of :data:`fedfr_edge.types.Progress`."""

    what: str
    done: int
    total: int


@dataclass(frozen=True)
class Answer:
    """A worker's answer to one message.

    Attributes:
        reply: the client's reply, or an error reply.
        failure: name of the class and text of what went wrong; a network would keep the text back.
        trace: the traceback, for the log.
    """

    reply: Message
    failure: tuple[str, str] | None = None
    trace: str = ""


class Sender:
    """Sends objects through a pipe; a large ``bytes`` that the last object held too is not sent again.

    Args:
        connection: the pipe's end.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._held: dict[int, tuple[int, bytes]] = {}  # id -> number and, to keep the id, the bytes
        self._next = 0

    def send(self, item: object, *, keep: bool = True) -> None:
        """Send ``item``; with ``keep`` both sides hold its large ``bytes`` until the next item.

        Raises:
            OSError: the other side has gone.
        """
        buffer = io.BytesIO()
        pickler = _Pickler(buffer, self._held, self._next)
        pickler.dump(item)
        fresh = pickler.fresh
        numbers = [self._next + index for index in range(len(fresh))]
        self._next += len(fresh)
        self._held = pickler.used if keep else {}
        self._connection.send((numbers, keep))
        self._connection.send_bytes(buffer.getbuffer())
        for value in fresh:
            self._connection.send_bytes(value)


class _Pickler(pickle.Pickler):
    """Writes a number in the place of each large ``bytes``.

    Args:
        file: written to.
        held: id -> number and bytes that the other side has.
        first: number of the first that it does not have.
    """

    def __init__(self, file: io.BytesIO, held: Mapping[int, tuple[int, bytes]], first: int) -> None:
        super().__init__(file, protocol=5)
        self.used: dict[int, tuple[int, bytes]] = {}
        self.fresh: list[bytes] = []
        self._held, self._first = held, first

    def persistent_id(self, item: Any) -> int | None:
        """The number of a large ``bytes``; None for everything else."""
        if type(item) is not bytes or len(item) < _LARGE:
            return None
        key = id(item)
        if key not in self.used:
            self.used[key] = self._held.get(key) or (self._first + len(self.fresh), item)
            if key not in self._held:
                self.fresh.append(item)
        return self.used[key][0]


class _Unpickler(pickle.Unpickler):
    def __init__(self, text: bytes, held: Mapping[int, bytes]) -> None:
        super().__init__(io.BytesIO(text))
        self.used: dict[int, bytes] = {}
        self._held = held

    def persistent_load(self, key: Any) -> bytes:
        self.used[key] = self._held[key]
        return self.used[key]


class Receiver:
    """The other end of a :class:`Sender`.

    Args:
        connection: the pipe's end.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._held: dict[int, bytes] = {}

    def receive(self) -> Any:
        """The next object.

        Raises:
            EOFError, OSError: the other side has gone.
        """
        numbers, keep = self._connection.recv()
        text = self._connection.recv_bytes()
        for key in numbers:
            self._held[key] = self._connection.recv_bytes()
        unpickler = _Unpickler(text, self._held)
        item = unpickler.load()
        self._held = unpickler.used if keep else {}
        return item


def work(connection: Connection, sites: Sites, threads: int) -> None:
    """Answer messages until the parent closes the pipe or ends; what a worker process runs.

    Each message is a pair of Flower's ``Message`` and ``Context``; see :class:`Answer`.

    Args:
        connection: this side of the pipe.
        sites: where the clients are.
        threads: CPU threads of this process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent decides what it means
    _end_with_the_parent()
    for name in _THREAD_VARIABLES:
        os.environ[name] = str(threads)
    switch_off_telemetry()
    from fedfr_edge.federation.client_app import make_client_app
    from fedfr_edge.federation.flower_private import task_identity
    from fedfr_edge.train.threads import set_threads

    set_threads(threads)
    find_site: Callable[[str], ClientSite] | None = None
    sender, receiver = Sender(connection), Receiver(connection)

    def site(context: Any) -> ClientSite:
        # Opened at the first message, so that what is wrong with a store is that message's error.
        nonlocal find_site
        if find_site is None:
            find_site = sites.open(progress=_forward(sender))
        return find_site(str(context.node_config["client-id"]))

    app = make_client_app(site)
    while True:
        try:
            message, context = receiver.receive()
        except (EOFError, OSError):
            return
        with task_identity(message.metadata.run_id):
            answer = _answer(app, message, context)
        del message
        try:
            sender.send(answer, keep=False)
        except OSError:
            return
        del answer


def _answer(app: Any, message: Message, context: Any) -> Answer:
    from flwr.app import Error, Message

    from fedfr_edge.federation.flower_private import EXCEPTION

    try:
        return Answer(app(message, context))
    except Exception as error:
        cause = error.__cause__ or error
        # The wording of Flower's own runtime.
        reply = Message(Error(EXCEPTION, f"{type(error)}:<'{error}'>"), reply_to=message)
        return Answer(reply, (type(cause).__name__, str(cause)), traceback.format_exc())


def _forward(sender: Sender) -> Progress:
    """A progress callback that tells the parent, not more often than anybody can see."""
    last: dict[str, float] = {}

    def progress(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done < total and now - last.get(what, 0.0) < _QUIET:
            return
        last[what] = now
        if done >= total:
            del last[what]
        sender.send(Progressed(what, done, total), keep=False)

    return progress


def _end_with_the_parent() -> None:
    """End this process as soon as its parent has ended, even if that was killed."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        # Not sys.exit: the main thread is in the middle of a round. What it writes is atomic.
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent watch").start()
