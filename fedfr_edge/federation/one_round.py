"""One round on Flower's ``Grid``: send, collect, average.

Replies are taken as they come but added to the mean in sorted order of the client ids, since a
floating-point sum depends on its order: a reply that is early waits, packed, until all clients before it
have answered or failed. In the in-process engine none is early, so one update is held at a time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from flwr.app import Message, MessageType, RecordDict
from flwr.serverapp import Grid
from torch import Tensor

from fedfr_edge.errors import PayloadError
from fedfr_edge.federation.attempts import ShortRound
from fedfr_edge.federation.layout import Layout
from fedfr_edge.federation.payload import Instruction, make_instruction, read_reply, with_proxies
from fedfr_edge.federation.readiness import Readiness
from fedfr_edge.federation.refusal import REFUSED, said
from fedfr_edge.federation.report import Report
from fedfr_edge.federation.sending import send
from fedfr_edge.federation.terms import Terms
from fedfr_edge.federation.traffic import BYTES_DOWN, BYTES_UP, WAYS, content_bytes
from fedfr_edge.train.aggregate import WeightedMean
from fedfr_edge.train.checkpoint import GlobalModel
from fedfr_edge.train.exchange import model_after_round, model_for_clients

log = logging.getLogger(__name__)

CHECK_LIMIT = 600.0
"""Seconds for which the server waits for a client to say whether it may train, if its patience is shorter."""

_NOBODYS: Mapping[str, Tensor] = {}


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
