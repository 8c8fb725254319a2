"""The local epochs of a round: SGD on Eq. 7 over D_l ∪ D_HN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from fedfr_edge.train import batches, losses
from fedfr_edge.train.backbones.backbone import normalise
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.local_model import LocalModel
from fedfr_edge.train.loss_log import LossLog
from fedfr_edge.train.pool import Pool
from fedfr_edge.train.seeds import RoundSeed
from fedfr_edge.types import Progress


def draw_epochs(size: int, config: TrainConfig, rng: RoundSeed) -> list[list[batches.Batch]]:
    """The order and the flips of all epochs of a round over ``size`` images."""
    generator = rng.generator("batches")
    return [
        batches.epoch(size, config.batch_size, generator, drop_last=bool(config.drop_last), flip=config.flip)
        for _ in range(config.epochs_of(rng.round))
    ]


def train_locally(
    model: LocalModel,
    pool: Pool,
    epochs: Sequence[Sequence[batches.Batch]],
    terms: Mapping[str, float],
    progress: Progress,
    who: str,
) -> LossLog:
    """Train ``model`` in place on ``pool``.

    The optimiser starts afresh in each round. Raises :class:`NonFiniteError` at the end of the epoch
    in which a loss stopped being finite.

    Args:
        model: what is trained.
        pool: its images, labels and anchors.
        epochs: the batches of each epoch.
        terms: the terms of the loss and how much each weighs.
        progress: told after each step and after each epoch.
        who: names this client and round.

    Returns:
        The losses of all steps: each term, and ``loss``.
    """
    config, device = model.config, pool.labels.device
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=config.learning_rate,
        momentum=config.momentum or 0.0,
        weight_decay=config.weight_decay,
        fused=device.type in ("cpu", "cuda"),  # one pass over the parameters; where torch has it
    )
    # float16 has too small a range for gradients: they are scaled up, and steps that overflow are left out.
    # From 2**10 and not from 2**16, as is usual: a round is short, and each step that is left out is missed.
    scaler = torch.amp.GradScaler(device.type, init_scale=2.0**10, enabled=config.precision == "fp16")
    if len(pool.labels) == 1:
        # The statistics of an image and its mirror image say nothing; those that came with Θ_g stay.
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
    steps = sum(map(len, epochs))
    log = LossLog((*terms, "loss"), steps, device, who)
    for epoch, cut in enumerate(epochs):
        if config.lr_schedule == "step" and epoch == int(0.75 * len(epochs)) > 0:
            for group in optimizer.param_groups:
                group["lr"] *= 0.1
        for batch in cut:
            faces = normalise(batches.mirrored(pool.images[batch.rows.numpy()], batch.flipped.to(device)))
            labels = pool.labels[batch.rows.to(device)]
            values = model.losses(faces, labels, pool.anchors_of(batch), terms)
            loss = losses.total(values, terms)
            optimizer.zero_grad()
            if loss.requires_grad:  # not where a constant is all that is switched on
                scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
                scaler.step(optimizer)
                scaler.update()
            log.add({**values, "loss": loss}, len(batch.rows))
            progress(f"steps {who}", log.step, steps)
        log.check()
        progress(f"epochs {who}", epoch + 1, len(epochs))
    return log
