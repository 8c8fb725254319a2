"""What server and clients hand each other in a round, method by method.

The plain loop and Flower's path both go by these few rules, so that they give the same bits.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable

from fedfr_edge.train.aggregate import WeightedMean
from fedfr_edge.train.checkpoint import GlobalModel
from fedfr_edge.train.client import ClientUpdate
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.gaussian_noise import RandomBytes
from fedfr_edge.train.protected_update import protect, with_sound_variances
from fedfr_edge.train.seeds import drawn, participants


def clients_asked(
    clients: Iterable[str], config: TrainConfig, seed: int, round: int, *, total: int | None = None
) -> list[str]:
    """Who takes part in a round, sorted: those drawn, or in the second stage everybody.

    Args:
        clients: the ids to draw from.
        config: hyper-parameters; ``participation`` is the share.
        seed: the run's seed.
        round: number of the round, from 1.
        total: how many clients the share is of, if some of them cannot be drawn now.
    """
    names = sorted(clients)
    # A second stage only makes personal models, one for each client, and sends no model back.
    if config.stage_of(round) != "federated" or not names:
        return names
    count = drawn(len(names) if total is None else total, config.participation)
    return participants(names, min(1.0, count / len(names)), seed, round)


def model_for_clients(model: GlobalModel, config: TrainConfig) -> GlobalModel:
    """What clients are sent of ``model``: Θ and Φ, or where the method uses no public faces Θ alone.

    Φ then has 0 rows, both ways.
    """
    if config.uses_public:
        return model
    return dataclasses.replace(model, global_proxies=model.global_proxies[:0])


WITHHELD = {"images": 1.0, "hard_negatives": 0.0, "steps": 0.0}
"""What takes the place of a client's metrics under differential privacy: they are exact figures of its
images, and noise on the update hides nothing of what stands beside it. A message must hold these three."""


def what_leaves(
    update: ClientUpdate | None,
    metrics: dict[str, float],
    sent: GlobalModel,
    config: TrainConfig,
    random_bytes: RandomBytes = os.urandom,
) -> tuple[ClientUpdate | None, dict[str, float]]:
    """What of a round's outcome leaves the client: all of it, or what differential privacy makes of it.

    Args:
        update: of :func:`.client.client_round`; None in a second stage.
        metrics: likewise.
        sent: the global model that the client was sent.
        config: hyper-parameters.
        random_bytes: see :func:`.protected_update.protect`.

    Raises:
        TrainingError, NonFiniteError: as :func:`.protected_update.protect`.
    """
    if config.dp_clip is not None and update is not None:
        noise = config.dp_noise or 0.0
        update = protect(update, sent, clip=config.dp_clip, noise=noise, random_bytes=random_bytes)
    if config.dp_noise is None:
        return update, metrics
    covered = None if update is None else dataclasses.replace(update, images=int(WITHHELD["images"]))
    return covered, dict(WITHHELD)


def model_after_round(model: GlobalModel, mean: WeightedMean, config: TrainConfig) -> GlobalModel:
    """The next global model; its round is ``model.round`` + 1.

    Args:
        model: the model that the round began with, with its own Φ.
        mean: the clients' updates; empty in the second stage, where Θ_g and Φ stay as they are.
        config: hyper-parameters.

    Raises:
        TrainingError: as :meth:`.aggregate.WeightedMean.result`.
    """
    if config.stage_of(model.round + 1) != "federated":
        return dataclasses.replace(model, round=model.round + 1)
    result = mean.result(model_for_clients(model, config))
    if config.dp_noise is not None:
        result = with_sound_variances(result, model)
    if config.uses_public:
        return result
    return dataclasses.replace(result, global_proxies=model.global_proxies)
