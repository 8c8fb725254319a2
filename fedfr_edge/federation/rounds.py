"""The server's round loop on Flower's ``Grid``: draw clients, run a round, keep what came of it.

Our own, because the stock FedAvg cannot resume, goes on silently when every client has failed, and holds
every reply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from flwr.serverapp import Grid
from torch import Tensor

from fedfr_edge.federation.attempts import until_it_counts
from fedfr_edge.federation.one_round import one_round
from fedfr_edge.federation.payload import Instruction
from fedfr_edge.federation.privacy_account import PrivacyAccount
from fedfr_edge.federation.proxy_store import ProxyStore
from fedfr_edge.federation.readiness import Readiness
from fedfr_edge.federation.report import Report
from fedfr_edge.federation.roster import Roster
from fedfr_edge.federation.run_folder import RunFolder
from fedfr_edge.federation.terms import Terms
from fedfr_edge.train.checkpoint import GlobalModel
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.exchange import clients_asked
from fedfr_edge.train.spread_out import spread_out
from fedfr_edge.types import Progress, no_progress


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

    def attempt(
        instruction: Instruction, proxies: Mapping[str, Tensor], done: int, before: int
    ) -> tuple[GlobalModel, Report]:
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
