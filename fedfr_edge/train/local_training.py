"""The local epochs of a round: SGD on Eq. 7 over D_l ∪ D_HN."""

from __future__ import annotations

import torch

from fedfr_edge.train import batches, losses
from fedfr_edge.train.backbones.backbone import normalise
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.local_model import LocalModel
from fedfr_edge.train.loss_log import LossLog
from fedfr_edge.train.pool import Pool
from fedfr_edge.train.seeds import RoundSeed
from fedfr_edge.types import Progress


def train_locally(
    model: LocalModel, pool: Pool, config: TrainConfig, rng: RoundSeed, progress: Progress, who: str
) -> LossLog:
    """Train ``model`` in place on ``pool`` for the epochs of this round.

    The optimiser starts afresh in each round. Raises :class:`NonFiniteError` at the end of the epoch
    in which a loss stopped being finite.

    Args:
        model: what is trained.
        pool: its images, labels and anchors.
        config: resolved hyper-parameters.
        rng: for the order of images and their flips.
        progress: told after each step.
        who: names this client and round.

    Returns:
        The losses of all steps: the terms that are switched on, and ``loss``.
    """
    device, weights = pool.images.device, _weights(config)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=config.learning_rate,
        momentum=config.momentum or 0.0,
        weight_decay=config.weight_decay,
    )
    generator = rng.generator("batches")
    epochs = [
        batches.epoch(
            len(pool.labels),
            config.batch_size,
            generator,
            drop_last=bool(config.drop_last),
            flip=config.flip,
        )
        for _ in range(config.epochs_of(rng.round))
    ]
    steps = sum(map(len, epochs))
    log = LossLog((*weights, "loss"), steps, device, who)
    for epoch, cut in enumerate(epochs):
        if config.lr_schedule == "step" and epoch == int(0.75 * len(epochs)) > 0:
            for group in optimizer.param_groups:
                group["lr"] *= 0.1
        for rows, flipped in cut:
            batch = batches.Batch(rows.to(device), flipped.to(device))
            faces = normalise(batches.mirrored(pool.images[batch.rows], batch.flipped))
            terms = model.losses(faces, pool.labels[batch.rows], pool.anchors_of(batch), config)
            if config.alpha_con > 0 and pool.anchors is None:
                terms["loss_con"] = torch.tensor(losses.CONSTANT_CONTRASTIVE, device=device)
            loss = losses.total(terms, weights)
            optimizer.zero_grad()
            if loss.requires_grad:  # not where the constant is all that is switched on
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            log.add({**terms, "loss": loss}, len(rows))
            progress(f"training {who}", log.step, steps)
        log.check()
    return log


def _weights(config: TrainConfig) -> dict[str, float]:
    """The α of each term that is switched on."""
    every = {"loss_cos": config.alpha_cos, "loss_con": config.alpha_con, "loss_bce": config.alpha_bce}
    return {name: weight for name, weight in every.items() if weight > 0}
