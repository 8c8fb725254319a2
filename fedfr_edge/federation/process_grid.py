"""A Grid that runs the real ClientApp in several processes of this machine, one client in each at a time.

For CPUs, where one client's steps are too small to fill several cores. The results are those of
:class:`.grid.InProcessGrid`, bit for bit: a client's round is a pure function, and the server averages in
sorted order whatever the order of the answers.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Iterable, Mapping
from multiprocessing.connection import wait
from uuid import uuid4

from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp

from fedfr_edge import errors
from fedfr_edge.federation import flower_private as private
from fedfr_edge.federation.grid import InProcessGrid, expired
from fedfr_edge.federation.process_worker import Answer, Progressed, Receiver, Sender, Sites, work
from fedfr_edge.federation.roster import HELLO
from fedfr_edge.types import Progress, no_progress

log = logging.getLogger(__name__)

_LOOK = 1.0
"""Seconds for which a look for replies waits at most."""


class ProcessGrid(InProcessGrid):
    """Flower's abstract ``Grid`` over worker processes; close it when done.

    Workers are started with the first message that trains, by ``spawn``: torch's threads do not survive a
    fork. A worker keeps its opened stores, the shared public embeddings and the instruction's arrays from
    one message to the next. One that dies takes its message's client with it and nothing else: the reply
    says why, and the next message gets a new worker. A client whose message has expired is stopped.

    Clients are started in the order in which messages were pushed, and none so early that its reply would
    have to wait for long: the replies of at most ``2 * processes - 1`` clients lie here or with the server
    while an earlier client is still training.

    Args:
        client_app: answers messages that do not train (who are you), here.
        contexts: node id -> the node's context.
        sites: where the clients are; sent to each worker.
        processes: how many clients train at a time.
        threads: CPU threads of each worker.
        progress: told about the clients' rounds.

    Attributes:
        causes: node id -> what its last failed message failed of.
    """

    def __init__(
        self,
        client_app: ClientApp,
        contexts: Mapping[int, Context],
        sites: Sites,
        *,
        processes: int,
        threads: int = 1,
        progress: Progress = no_progress,
    ) -> None:
        super().__init__(client_app, contexts)
        self._sites, self._threads, self._progress = sites, threads, progress
        self._size = processes
        self._workers: list[_Worker] = []
        self._ready: dict[str, Message] = {}
        # Training messages from the oldest that has no reply yet; the ones behind it may have one.
        self._unsettled: deque[str] = deque()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Put messages into the queue and return their ids."""
        pushed = list(messages)
        ids = list(super().push_messages(pushed))
        self._unsettled.extend(key for key, message in zip(ids, pushed, strict=True) if _trains(message))
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Replies to ``message_ids`` that are there; waits a moment for one if some client is at work."""
        wanted = set(message_ids)
        here = [message.metadata.message_id for message in self._waiting if not _trains(message)]
        if wanted & set(here):
            return super().pull_messages(wanted & set(here))
        end = time.monotonic() + _LOOK
        while True:
            self._settle_expired()
            self._start_waiting()
            found = [self._ready.pop(key) for key in wanted & self._ready.keys()]
            left = end - time.monotonic()
            if found or left <= 0 or wanted.isdisjoint(self._unsettled):
                return found
            self._listen(left)

    def close(self) -> None:
        """End all workers. What they write is atomic, so they may be stopped anywhere."""
        for worker in self._workers:
            worker.kill()
        self._workers.clear()

    def _start_waiting(self) -> None:
        """Give waiting messages to idle workers, as far as the backlog allows."""
        while True:
            waiting = [message for message in self._waiting if _trains(message)]
            # They start in order, so the first that waits stands behind all that were started.
            ahead = len(self._unsettled) - len(waiting)
            busy = sum(worker.message is not None for worker in self._workers)
            if not waiting or busy >= self._size or ahead >= 2 * self._size:
                return
            # All are started before one is given anything: until it has started it takes nothing in.
            while len(self._workers) < min(self._size, busy + len(waiting)):
                self._workers.append(_Worker(self._sites, self._threads))
            message = waiting[0]
            self._waiting.remove(message)
            worker = self._idle_worker()
            try:
                worker.give(message, self._contexts[message.metadata.dst_node_id])
            except OSError:
                self._bury(worker)

    def _idle_worker(self) -> _Worker:
        for worker in list(self._workers):
            if worker.message is None:
                if worker.process.is_alive():
                    return worker
                self._workers.remove(worker)
                worker.kill()
        worker = _Worker(self._sites, self._threads)
        self._workers.append(worker)
        return worker

    def _listen(self, timeout: float) -> None:
        """Take in what workers say within ``timeout`` seconds, and notice which of them have ended."""
        busy = [worker for worker in self._workers if worker.message is not None]
        handles = [worker.connection for worker in busy] + [worker.process.sentinel for worker in busy]
        heard = wait(handles, timeout)
        for worker in busy:
            if worker.connection in heard:
                self._hear(worker)
            elif worker.process.sentinel in heard:
                self._bury(worker)

    def _hear(self, worker: _Worker) -> None:
        try:
            said = worker.receiver.receive()
        except (EOFError, OSError):
            self._bury(worker)
            return
        if isinstance(said, Progressed):
            self._progress(said.what, said.done, said.total)
            return
        assert isinstance(said, Answer)
        assert worker.message is not None
        message, worker.message = worker.message, None
        if said.failure is not None:
            log.debug("the client of node %d failed\n%s", message.metadata.dst_node_id, said.trace)
            self.causes[message.metadata.dst_node_id] = _as_error(*said.failure)
        self._settle(message, said.reply)

    def _bury(self, worker: _Worker) -> None:
        """A worker has ended by itself: its message gets an error, and a new worker takes its place."""
        assert worker.message is not None
        message, how = worker.message, worker.how_it_ended()
        self._workers.remove(worker)
        cause = errors.FederationError(f"the client's process {how}")
        self.causes[message.metadata.dst_node_id] = cause
        self._settle(message, Message(Error(private.EXCEPTION, str(cause)), reply_to=message))

    def _settle_expired(self) -> None:
        """As the SuperLink does: a message that outlived its round is not delivered, nor worked on."""
        for message in [message for message in self._waiting if _trains(message) and expired(message)]:
            self._waiting.remove(message)
            error = Error(private.UNAVAILABLE, "the message expired")
            self._settle(message, Message(error, reply_to=message))
        for worker in list(self._workers):
            message = worker.message
            if message is not None and expired(message):
                self._workers.remove(worker)
                worker.kill()
                error = Error(private.UNAVAILABLE, "the message expired while the client was training")
                self._settle(message, Message(error, reply_to=message))

    def _settle(self, message: Message, reply: Message) -> None:
        private.set_message_id(reply, uuid4().hex)
        self._ready[message.metadata.message_id] = reply
        messages = [*self._waiting, *(worker.message for worker in self._workers if worker.message)]
        open_questions = {message.metadata.message_id for message in messages}
        while self._unsettled and self._unsettled[0] not in open_questions:
            self._unsettled.popleft()


class _Worker:
    """A worker process and this side of its pipe."""

    def __init__(self, sites: Sites, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        # A daemon, so that it ends also where close() is not reached.
        self.process = context.Process(
            target=work, args=(theirs, sites, threads), name="fedfr client", daemon=True
        )
        self.process.start()
        theirs.close()  # or the end of the worker would not end the pipe
        self.sender, self.receiver = Sender(self.connection), Receiver(self.connection)
        self.message: Message | None = None

    def give(self, message: Message, context: Context) -> None:
        """Send it a message to answer.

        Raises:
            OSError: it has ended.
        """
        self.message = message
        self.sender.send((message, context))

    def kill(self) -> None:
        """End it."""
        self.process.kill()
        self.process.join()
        self.connection.close()

    def how_it_ended(self) -> str:
        """In words; waits for the end, which has begun."""
        self.process.join(5)
        code = self.process.exitcode
        self.kill()
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            memory = ", as the system does when memory runs out" if name == "SIGKILL" else ""
            return f"was ended by {name}{memory}"
        return f"ended with status {code} in the middle of its work"


def _trains(message: Message) -> bool:
    """Whether it needs the client's own things: all but the question who it is."""
    return bool(message.metadata.message_type != HELLO)


def _as_error(name: str, text: str) -> Exception:
    """The error of a worker, as one of ours where it was one."""
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, errors.FedFRError):
        return kind(text)
    return errors.FederationError(f"{name}: {text}" if text else name)
