"""The server's round loop on Flower's ``Grid``: send, collect, average, keep.

Our own, because the stock FedAvg cannot resume, goes on silently when every client has failed, and holds
every reply. Replies are taken as they come but added to the mean in sorted order of the client ids, since
a floating-point sum depends on its order: a reply that is early waits, packed, until all clients before
it have answered or failed. In the in-process engine none is early, so one update is held at a time.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flwr.app import Message, MessageType, RecordDict
from flwr.serverapp import Grid

from fedfr_edge.errors import ConfigError, PayloadError, QuorumError
from fedfr_edge.federation.layout import Layout
from fedfr_edge.federation.payload import Instruction, make_instruction, read_reply
from fedfr_edge.federation.roster import Roster
from fedfr_edge.federation.run_folder import RunFolder
from fedfr_edge.train.aggregate import WeightedMean
from fedfr_edge.train.checkpoint import GlobalModel
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.types import Progress, no_progress

log = logging.getLogger(__name__)

# How Flower words an exception of ours: only the name of the error's class stands between the marks.
_FAILURE = re.compile(r"<class '[\w.]*ClientFailure'>:<'(\w+)'>")


@dataclass(frozen=True)
class Terms:
    """When a round counts.

    Attributes:
        clients: how many clients to wait for before the first round.
        quorum: how many must answer in a round; 0 means all ``clients``.
        deadline: seconds that a round may take; a message lives no longer.
        patience: seconds to wait for clients to come online.
        poll: seconds between two looks for replies.
    """

    clients: int
    quorum: int = 0
    deadline: float = 12 * 3600.0
    patience: float = 120.0
    poll: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.quorum <= self.clients or self.clients < 1:
            raise ConfigError(
                f"quorum is {self.quorum} of {self.clients} clients, expected 0 (all) to {self.clients}"
            )
        if self.deadline <= 0 or self.patience <= 0 or self.poll <= 0:
            raise ConfigError("deadline, patience and poll are seconds, expected more than 0")

    @property
    def least(self) -> int:
        """The quorum as a number of clients."""
        return self.quorum or self.clients


@dataclass
class Report:
    """What a round was like.

    Attributes:
        round: its number.
        clients: metrics of the clients that count, by client id.
        failed: why the others do not, by client id.
        seconds: how long it took.
    """

    round: int
    clients: dict[str, dict[str, float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """As a line of ``metrics.jsonl``."""
        line = {"round": self.round, "clients": self.clients, "seconds": self.seconds}
        return line | ({"failed": self.failed} if self.failed else {})


def run_rounds(
    grid: Grid,
    run: RunFolder,
    model: GlobalModel,
    settings: TrainConfig,
    seed: int,
    terms: Terms,
    *,
    progress: Progress = no_progress,
    on_round: Callable[[Report], None] = lambda report: None,
) -> GlobalModel:
    """Run the rounds that ``run`` still lacks; after each, its metrics and checkpoint are on disk.

    Args:
        grid: Flower's connection to the clients.
        run: the run's folder, opened.
        model: Θ_g and Φ to go on from; its round says where the run stands.
        settings: resolved hyper-parameters; ``settings.rounds`` is the number of the last round.
        seed: the run's seed.
        terms: when a round counts.
        progress: told about ``rounds`` and, over all rounds, ``clients``.
        on_round: called with the report of each round.

    Returns:
        the global model after the last round.

    Raises:
        QuorumError: too few clients are online, or too few gave a usable answer; the rounds before
            are on disk, and the same command goes on from there.
        WriteError: the disk refused.
    """
    total = settings.rounds or 0
    roster = Roster(grid, patience=terms.patience, poll=terms.poll)
    first = model.round + 1
    for number in range(first, total + 1):
        nodes = roster.online(terms.clients if number == first else terms.least, terms.least)
        done = (number - first) * len(nodes)

        def told(count: int, done: int = done, nodes: Mapping[str, int] = nodes) -> None:
            progress("clients", done + count, (total - first + 1) * len(nodes))

        instruction = Instruction(number, run.federation, seed, settings, model)
        model, report = one_round(grid, instruction, nodes, terms, told)
        run.save(model, report.to_dict())
        on_round(report)
        progress("rounds", number, total)
    return model


def one_round(
    grid: Grid,
    instruction: Instruction,
    nodes: Mapping[str, int],
    terms: Terms,
    told: Callable[[int], None] = lambda count: None,
) -> tuple[GlobalModel, Report]:
    """Send one round's instruction to ``nodes`` and average what comes back in time (Eq. 2 and 4).

    A client that fails, answers with something the guard refuses, or misses the deadline is left out and
    reported. Replies to other messages, and second replies to the same one, are ignored.

    Args:
        grid: Flower's connection to the clients.
        instruction: what to ask for.
        nodes: client id -> node id.
        terms: quorum, deadline and poll.
        told: called with the number of clients that have answered or failed.

    Returns:
        the next global model and the round's report.

    Raises:
        QuorumError: fewer usable answers than the quorum.
    """
    started = time.monotonic()
    settings, model = instruction.settings, instruction.model
    layout = Layout.of(model.spec, model.global_proxies.shape[0])
    report = Report(instruction.round)
    mean = WeightedMean(average_global_proxies=bool(settings.average_global_proxies))
    order = sorted(nodes)
    early: dict[str, RecordDict] = {}
    turn = 0

    def take_turns() -> None:
        """Average every reply whose turn has come: all clients before it are settled."""
        nonlocal turn
        while turn < len(order) and (order[turn] in early or order[turn] in report.failed):
            client, turn = order[turn], turn + 1
            if client in report.failed:
                continue
            try:
                update, metrics = read_reply(early.pop(client), layout)
            except PayloadError as error:
                report.failed[client] = f"PayloadError: {error}"
                continue
            mean.add(update, settings.weight_of(metrics))
            report.clients[client] = metrics

    open_questions = _push(grid, instruction, nodes, terms.deadline, report)
    while True:
        take_turns()
        told(len(order) - len(open_questions))
        left = terms.deadline - (time.monotonic() - started)
        if not open_questions or left <= 0:
            break
        heard = False
        for reply in grid.pull_messages(list(open_questions)):
            # Not by the source node: an error that the SuperLink makes carries the SuperLink's own id.
            client = open_questions.pop(reply.metadata.reply_to_message_id, None)
            if client is None:
                log.info("a reply that nobody waits for is ignored")
                continue
            heard = True
            if reply.has_error():
                report.failed[client] = _reason(reply)
            else:
                early[client] = reply.content
        if not heard:
            time.sleep(min(terms.poll, max(left, 0)))
    report.failed |= dict.fromkeys(open_questions.values(), f"no answer within {terms.deadline:g} s")
    take_turns()
    report.failed = dict(sorted(report.failed.items()))
    report.seconds = time.monotonic() - started
    if len(report.clients) < terms.least:
        reasons = "; ".join(f"{client}: {reason}" for client, reason in report.failed.items())
        raise QuorumError(
            f"{len(report.clients)} of {len(order)} clients gave a usable answer in round "
            f"{instruction.round}, expected at least {terms.least} ({reasons}); what was reached before is "
            "kept, mend the cause and run the same command again"
        )
    return mean.result(model), report


def _push(
    grid: Grid, instruction: Instruction, nodes: Mapping[str, int], deadline: float, report: Report
) -> dict[str, str]:
    """Send the instruction to every node: message id -> client id."""
    content, order = make_instruction(instruction), sorted(nodes)
    group = str(instruction.round)
    ids = list(
        grid.push_messages(
            [Message(content, nodes[name], MessageType.TRAIN, ttl=deadline, group_id=group) for name in order]
        )
    )
    # The transport answers None for a message that it could not send, and nothing if it sent none.
    ids += [None] * (len(order) - len(ids))
    report.failed |= {
        name: "the message could not be sent" for name, key in zip(order, ids, strict=True) if not key
    }
    return {key: name for name, key in zip(order, ids, strict=True) if key}


def _reason(reply: Message) -> str:
    reason = str(reply.error.reason or f"Flower error {reply.error.code}")
    ours = _FAILURE.search(reason)
    return ours[1] if ours else reason
