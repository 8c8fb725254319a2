"""Rounds in one process, without Flower: the plainest reading of Algorithm 1.

``fedfr train`` runs the same :func:`client_round` and the same :class:`WeightedMean` through Flower;
tests hold that both give equal bits.
"""

from __future__ import annotations

from collections.abc import Mapping

from fedfr_edge.train.aggregate import WeightedMean
from fedfr_edge.train.checkpoint import GlobalModel
from fedfr_edge.train.client import ClientData, client_round
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.private import PrivateState
from fedfr_edge.train.seeds import RoundSeed
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
        clients: data by client id; all of them take part in each round, in sorted order.
        config: hyper-parameters.
        seed: the run's seed.
        rounds: how many rounds to run.
        states: private states by client id where there are any; not changed.
        progress: as for :func:`client_round`.

    Returns:
        The new global model, the private states, and for each round the metrics by client.
    """
    config = config.resolved()
    states = dict(states or {})
    metrics: list[dict[str, dict[str, float]]] = []
    for _ in range(rounds):
        mean = WeightedMean(average_global_proxies=bool(config.average_global_proxies))
        metrics.append({})
        for client in sorted(clients):
            rng = RoundSeed(seed, global_model.round + 1, client)
            states[client], update, numbers = client_round(
                states.get(client), global_model, clients[client], config, rng, progress
            )
            mean.add(update, config.weight_of(numbers))
            metrics[-1][client] = numbers
        global_model = mean.result(global_model)
    return global_model, states, metrics
