"""The server's round loop on Flower's ``Grid``: draw clients, send, collect, average, keep.

Our own, because the stock FedAvg cannot resume, goes on silently when every client has failed, and holds
every reply. Replies are taken as they come but added to the mean in sorted order of the client ids, since
a floating-point sum depends on its order: a reply that is early waits, packed, until all clients before
it have answered or failed. In the in-process engine none is early, so one update is held at a time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

from flwr.app import Message, MessageType, RecordDict
from flwr.serverapp import Grid
from torch import Tensor

from fedfr_edge.errors import ConfigError, PayloadError
from fedfr_edge.federation.attempts import ShortRound, until_it_counts
from fedfr_edge.federation.layout import Layout
from fedfr_edge.federation.payload import Instruction, make_instruction, read_reply, with_proxies
from fedfr_edge.federation.privacy_account import PrivacyAccount
from fedfr_edge.federation.proxy_store import ProxyStore
from fedfr_edge.federation.readiness import Readiness
from fedfr_edge.federation.refusal import REFUSED, said
from fedfr_edge.federation.roster import Roster
from fedfr_edge.federation.run_folder import RunFolder
from fedfr_edge.federation.sending import send
from fedfr_edge.federation.traffic import BYTES_DOWN, BYTES_UP, WAYS, content_bytes
from fedfr_edge.train.aggregate import WeightedMean
from fedfr_edge.train.checkpoint import GlobalModel
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.exchange import clients_asked, model_after_round, model_for_clients
from fedfr_edge.train.seeds import drawn
from fedfr_edge.train.spread_out import spread_out
from fedfr_edge.types import Progress, no_progress

log = logging.getLogger(__name__)

CHECK_LIMIT = 600.0
"""Seconds for which the server waits for a client to say whether it may train, if its patience is shorter."""

_NOBODYS: Mapping[str, Tensor] = {}


@dataclass(frozen=True)
class Terms:
    """When a round counts.

    Attributes:
        clients: how many clients to wait for before the first round; a share of the clients is one of these.
        quorum: how many of those asked must answer in a round; 0 means all of them.
        deadline: seconds that a round may take; a message lives no longer.
        patience: seconds to wait for clients to come online.
        poll: seconds between two looks for replies.
        repeats: how often a round below the quorum is tried again.
        pause: seconds before each of these attempts.
    """

    clients: int
    quorum: int = 0
    deadline: float = 12 * 3600.0
    patience: float = 120.0
    poll: float = 0.1
    repeats: int = 0
    pause: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.quorum <= self.clients or self.clients < 1:
            raise ConfigError(
                f"quorum is {self.quorum} of {self.clients} clients, expected 0 (all) to {self.clients}"
            )
        if self.deadline <= 0 or self.patience <= 0 or self.poll <= 0:
            raise ConfigError("deadline, patience and poll are seconds, expected more than 0")
        if self.repeats < 0 or self.pause < 0:
            raise ConfigError(f"repeats is {self.repeats} and pause {self.pause:g} s, expected 0 or more")

    def asked(self, settings: TrainConfig, round: int) -> int:
        """How many clients a round asks when all are online."""
        federated = settings.stage_of(round) == "federated"
        return drawn(self.clients, settings.participation) if federated else self.clients

    def least(self, asked: int) -> int:
        """The quorum as a number of clients, in a round that asks ``asked`` of them."""
        return self.quorum or asked

    def check(self, settings: TrainConfig) -> None:
        """Stop a run before it begins if its rounds can never count.

        Raises:
            ConfigError: the quorum is larger than the number of clients that a round asks, or there is more
                than the one client of method central.
        """
        asked = self.asked(settings, 1)
        if self.quorum > asked:
            raise ConfigError(
                f"quorum is {self.quorum}, but a round asks {asked} of the {self.clients} clients "
                f"(participation {settings.participation:g}); lower the quorum, or raise participation"
            )
        if settings.method == "central" and self.clients != 1:
            raise ConfigError(
                f"method central trains one client that holds everybody's images, found {self.clients} "
                "clients; choose another method, such as shared"
            )


@dataclass
class Report:
    """What a round was like.

    Attributes:
        round: its number.
        stage: ``federated``, or the second stage that it was: ``fine-tune`` or ``kd``.
        clients: metrics of the clients that count, by client id, and with them the bytes of the
            instruction and of the reply, see :mod:`.traffic`.
        failed: why the others do not, by client id.
        lost_traffic: the same bytes of those others, by client id. Whether a client that never answered has
            fetched its instruction, nobody tells the server: it is counted as if it had.
        seconds: how long it took.
        attempts: records of the attempts before, which did not count; see :class:`.attempts.ShortRound`.
        privacy: ε for δ after this round, see :meth:`.privacy_account.PrivacyAccount.spent`; empty without
            differential privacy.
        proxies: the W that clients gave, by client id (FedFace; otherwise empty). Not part of the record.
    """

    round: int
    stage: str = "federated"
    clients: dict[str, dict[str, float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    lost_traffic: dict[str, dict[str, int]] = field(default_factory=dict)
    seconds: float = 0.0
    attempts: list[dict[str, Any]] = field(default_factory=list)
    privacy: dict[str, float] = field(default_factory=dict)
    proxies: dict[str, Tensor] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As a line of ``metrics.jsonl``; ``stage`` only if it is a second one, ``failed``, ``lost_traffic``
        and ``attempts`` only if there are any."""
        line: dict[str, Any] = {"round": self.round, "clients": self.clients, "seconds": self.seconds}
        line |= {"stage": self.stage} if self.stage != "federated" else {}
        line |= {"attempts": self.attempts} if self.attempts else {}
        line |= {"lost_traffic": self.lost_traffic} if self.lost_traffic else {}
        line |= self.privacy
        return line | ({"failed": self.failed} if self.failed else {})


Result: TypeAlias = tuple[GlobalModel, Report]
"""The next global model and the round's report."""


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
        settings: resolved hyper-parameters; ``settings.last_round`` is the number of the last round.
        seed: the run's seed.
        terms: when a round counts.
        progress: told about ``rounds`` and, over all rounds, ``clients``.
        on_round: called with the report of each round.

    Returns:
        the global model after the last round.

    Raises:
        QuorumError: too few clients are online, or too few gave a usable answer, and so it was in the
            last attempt at the round; the rounds before are on disk, and the same command goes on from there.
        WriteError: the disk refused.
    """
    total = settings.last_round
    roster = Roster(grid, patience=terms.patience, poll=terms.poll)
    readiness = Readiness(grid, poll=terms.poll)
    account = PrivacyAccount(run, settings)
    store = ProxyStore(run.path / "proxies", run.federation)
    proxies = store.load(model.round) if settings.shares_proxies else {}
    first = model.round + 1
    share = {number: terms.asked(settings, number) for number in range(first, total + 1)}
    done = 0

    def attempt(instruction: Instruction, proxies: Mapping[str, Tensor], done: int, before: int) -> Result:
        number = instruction.round
        least = terms.least(share[number])
        # In a repetition too it pays to wait for all: who was missing may be back.
        online = roster.online(terms.clients if number == first or before else least, least)
        asked = clients_asked(online, settings, seed, number, total=terms.clients)

        def told(count: int) -> None:
            progress("clients", done + count, sum(share.values()))

        nodes = {client: online[client] for client in asked}
        account.spend(number, asked)  # before anybody answers: a kill must not lose it
        return one_round(grid, instruction, nodes, terms, told, proxies=proxies, readiness=readiness)

    for number in share:
        instruction = Instruction(number, run.federation, seed, settings, model)
        model, report = until_it_counts(
            partial(attempt, instruction, proxies, done),
            number,
            repeats=terms.repeats,
            pause=terms.pause,
            note=partial(run.note_attempt, number),
        )
        report.attempts = run.attempts(number)
        if settings.dp_noise is not None:
            earlier = [line for line in run.metrics() if line["round"] < number]
            report.privacy = account.spent([*earlier, report.to_dict()])
        if settings.shares_proxies:
            # Of clients that were not asked, the server knows what they gave before.
            proxies = spread_out(
                proxies | report.proxies,
                margin=settings.spread_margin,
                rate=settings.spread_rate,
                steps=settings.spread_steps,
            )
            store.save(number, proxies)
        run.save(model, report.to_dict())
        done += share[number]
        on_round(report)
        progress("rounds", number, total)
    return model


def one_round(
    grid: Grid,
    instruction: Instruction,
    nodes: Mapping[str, int],
    terms: Terms,
    told: Callable[[int], None] = lambda count: None,
    *,
    proxies: Mapping[str, Tensor] = _NOBODYS,
    readiness: Readiness | None = None,
) -> tuple[GlobalModel, Report]:
    """Send one round's instruction to ``nodes`` and average what comes back in time (Eq. 2 and 4).

    A client that fails, answers with something the guard refuses, or misses the deadline is left out and
    reported. Replies to other messages, and second replies to the same one, are ignored.

    Args:
        grid: Flower's connection to the clients.
        instruction: what to ask for; its model is the server's own, of which only that part is sent that
            the method needs.
        nodes: client id -> node id of those to ask.
        terms: quorum, deadline and poll.
        told: called with the number of clients that have answered or failed.
        proxies: client id -> W, which that client is sent.
        readiness: asks clients first whether they may train; if it is not given, nobody is asked. It has a
            limit of its own, so that what starts up at the first question costs nobody the round.

    Returns:
        the next global model and the round's report.

    Raises:
        ShortRound: fewer usable answers than the quorum, or so many clients refuse that there will be.
    """
    started = time.monotonic()
    settings, model = instruction.settings, instruction.model
    stage = settings.stage_of(instruction.round)
    sent = model_for_clients(model, settings)
    layout = None  # of what clients may send back: in a second stage nothing but metrics
    if stage == "federated":
        layout = Layout.of(model.spec, len(sent.global_proxies), floats=settings.update_dtype)
    report = Report(instruction.round, stage)
    mean = WeightedMean(average_global_proxies=bool(settings.average_global_proxies))
    order = sorted(nodes)
    least = terms.least(len(order))
    if readiness is not None:
        report.failed = readiness.failures(instruction, nodes, max(terms.patience, CHECK_LIMIT))
        if len(order) - len(report.failed) < least:
            report.seconds = time.monotonic() - started
            may = len(order) - len(report.failed)
            raise _short(report, f"{may} of {len(order)} clients may train", len(order), least)
    early: dict[str, RecordDict] = {}
    turn = 0

    def take_turns() -> None:
        """Average every reply whose turn has come: all clients before it are settled."""
        nonlocal turn
        while turn < len(order) and (order[turn] in early or order[turn] in report.failed):
            client, turn = order[turn], turn + 1
            if client in report.failed:
                continue
            reply = early.pop(client)
            try:
                update, metrics = read_reply(
                    reply, layout, shares_proxies=settings.shares_proxies, start=sent
                )
            except PayloadError as error:
                report.failed[client] = f"PayloadError: {error}"
                continue
            if update is not None:
                mean.add(update, settings.weight_of(metrics))
                if update.local_proxies is not None:
                    report.proxies[client] = update.local_proxies
            report.clients[client] = metrics | traffic.pop(client)

    content = make_instruction(replace(instruction, model=sent))
    contents = {
        client: with_proxies(content, proxies[client]) if client in proxies else content
        for client in order
        if client not in report.failed
    }
    asked_at = time.monotonic()
    group = str(instruction.round)
    open_questions, unsent = send(
        grid,
        {
            client: Message(part, nodes[client], MessageType.TRAIN, ttl=terms.deadline, group_id=group)
            for client, part in contents.items()
        },
    )
    report.failed |= unsent
    traffic = {name: {BYTES_DOWN: content_bytes(contents[name])} for name in open_questions.values()}
    while True:
        take_turns()
        told(len(order) - len(open_questions))
        left = terms.deadline - (time.monotonic() - asked_at)
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
                report.failed[client] = said(reply)
            else:
                early[client] = reply.content
                traffic[client][BYTES_UP] = content_bytes(reply.content)
        if not heard:
            time.sleep(min(terms.poll, max(left, 0)))
    report.failed |= dict.fromkeys(open_questions.values(), f"no answer within {terms.deadline:g} s")
    take_turns()
    report.failed = dict(sorted(report.failed.items()))
    if readiness is not None:
        refused = [name for name, why in report.failed.items() if why.startswith(REFUSED)]
        readiness.ask_again({name: nodes[name] for name in refused})
    report.lost_traffic = dict(sorted(traffic.items()))
    report.seconds = time.monotonic() - started
    if len(report.clients) < least:
        found = f"{len(report.clients)} of {len(order)} clients gave a usable answer"
        raise _short(report, found, len(order), least)
    return model_after_round(model, mean, settings), report


def _short(report: Report, found: str, asked: int, least: int) -> ShortRound:
    reasons = "; ".join(f"{client}: {reason}" for client, reason in sorted(report.failed.items()))
    # Of an attempt that does not count, nobody's traffic has led to anything.
    lost = {client: {way: int(told[way]) for way in WAYS} for client, told in report.clients.items()}
    return ShortRound(
        f"{found} in round {report.round}, expected at least {least} ({reasons}); what was reached before is "
        "kept, mend the cause and run the same command again",
        asked=asked,
        answered=len(report.clients),
        least=least,
        failed=report.failed,
        lost_traffic=report.lost_traffic | lost,
        seconds=report.seconds,
    )
