"""Rounds in one process, without Flower: the plainest reading of Algorithm 1.

``fedfr train`` runs the same :func:`client_round` and the same :class:`WeightedMean` through Flower;
tests hold that both give equal bits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from fedfr_edge.train.aggregate import WeightedMean
from fedfr_edge.train.checkpoint import GlobalModel
from fedfr_edge.train.client import ClientData, client_round
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.exchange import clients_asked, model_after_round, model_for_clients, what_leaves
from fedfr_edge.train.half_precision import as_it_arrives
from fedfr_edge.train.private import PrivateState
from fedfr_edge.train.seeds import RoundSeed
from fedfr_edge.train.spread_out import spread_out
from fedfr_edge.types import Progress, no_progress


def run_rounds(
    global_model: GlobalModel,
    clients: Mapping[str, ClientData],
    config: TrainConfig,
    seed: int,
    rounds: int,
    states: Mapping[str, PrivateState] | None = None,
    progress: Progress = no_progress,
) -> tuple[GlobalModel, dict[str, PrivateState], list[dict[str, dict[str, float]]]]:
    """Run ``rounds`` more rounds from ``global_model``; its own round number says where it stands.

    Args:
        global_model: Θ_g and Φ to start from; not changed.
        clients: data by client id; the round's share of them takes part, in sorted order.
        config: hyper-parameters.
        seed: the run's seed.
        rounds: how many rounds to run.
        states: private states by client id where there are any; not changed.
        progress: as for :func:`client_round`.

    Returns:
        The new global model, the private states, and for each round the metrics by client. With FedFace,
        whose server spreads W out after each round, the states hold W as it is then.
    """
    config = config.resolved()
    states = dict(states or {})
    metrics: list[dict[str, dict[str, float]]] = []
    for number in range(global_model.round + 1, global_model.round + 1 + rounds):
        mean = WeightedMean(average_global_proxies=bool(config.average_global_proxies))
        sent = model_for_clients(global_model, config)
        metrics.append({})
        for client in clients_asked(clients, config, seed, number):
            states[client], update, numbers = client_round(
                states.get(client), sent, clients[client], config, RoundSeed(seed, number, client), progress
            )
            update, numbers = what_leaves(update, numbers, sent, config)
            if update is not None:
                mean.add(as_it_arrives(update, sent, config), config.weight_of(numbers))
            metrics[-1][client] = numbers
        global_model = model_after_round(global_model, mean, config)
        if config.shares_proxies:
            states |= _spread(states, config)
    return global_model, states, metrics


def _spread(states: Mapping[str, PrivateState], config: TrainConfig) -> dict[str, PrivateState]:
    spread = spread_out(
        {client: state.local_proxies for client, state in states.items()},
        margin=config.spread_margin,
        rate=config.spread_rate,
        steps=config.spread_steps,
    )
    return {
        client: dataclasses.replace(state, local_proxies=spread[client]) for client, state in states.items()
    }
