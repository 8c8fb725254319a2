"""ClientTraining of Algorithm 1 as one pure function, :func:`client_round`."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedfr_edge.errors import NonFiniteError, TrainingError
from fedfr_edge.train.backbones.backbone import Backbone, build_backbone
from fedfr_edge.train.checkpoint import GlobalModel, tensors_sha256
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.embed import as_tensor, embed, embed_blocks
from fedfr_edge.train.images import ImageRows, ImageSource
from fedfr_edge.train.local_model import LocalModel, first_private
from fedfr_edge.train.local_training import train_locally
from fedfr_edge.train.mining import HardNegatives, SharedEmbeddings, mine
from fedfr_edge.train.pool import Pool, embed_views
from fedfr_edge.train.private import PrivateState
from fedfr_edge.train.seeds import RoundSeed
from fedfr_edge.types import Labels, Progress, no_progress

METRICS = ("images", "hard_negatives", "loss", "loss_cos", "loss_con", "loss_bce", "seconds", "steps")
"""All that a client may say about its round besides Θ and Φ."""


@dataclass
class ClientData:
    """The faces of one client, and the public ones that every client has.

    Attributes:
        client: its own id.
        images: D_l, uint8 (n, 112, 112, 3) RGB; an array or anything that is indexed like one.
        labels: int64 (n,), 0 … Kl-1, every one of them present.
        public_images: D_g, uint8 (Ng, 112, 112, 3), likewise; Ng may be 0.
        public_labels: int64 (Ng,), 0 … Kg-1: the row of Φ.
        public_embeddings: where clients of one process share their embeddings of D_g; changes no result.
    """

    client: str
    images: ImageSource
    labels: Labels
    public_images: ImageSource
    public_labels: Labels
    public_embeddings: SharedEmbeddings | None = None


@dataclass
class ClientUpdate:
    """What leaves a client: Θ_l and Φ after its local training, and its image count.

    Attributes:
        backbone: state dict of Θ_l, on the CPU.
        global_proxies: Φ, float32 (Kg, d).
        images: N_l.
    """

    backbone: dict[str, Tensor]
    global_proxies: Tensor
    images: int


def client_round(
    private: PrivateState | None,
    global_model: GlobalModel,
    data: ClientData,
    config: TrainConfig,
    rng: RoundSeed,
    progress: Progress = no_progress,
) -> tuple[PrivateState, ClientUpdate, dict[str, float]]:
    """One round of one client: mine D_HN, train by Eq. 7, give back what stays and what leaves.

    Pure: no argument is changed, and equal arguments give equal bits on one kind of CPU.

    Args:
        private: what this client kept of its newest earlier round; None before its first.
        global_model: Θ_g^t and Φ^t.
        data: D_l and D_g.
        config: hyper-parameters.
        rng: names the round (from 1) and the client, and seeds all chance.
        progress: told after each block of mining and after each step.

    Returns:
        ``(private, update, metrics)``. ``private`` holds W, Π, Ω, b and Θ_l after training;
        ``update`` holds Θ_l and Φ. ``metrics`` (names: :data:`METRICS`): ``images`` is N_l,
        ``hard_negatives`` |D_HN|, ``loss…`` the means over all images of all steps, ``loss`` their
        sum by Eq. 7; a term that is switched off is left out.

    Raises:
        TrainingError: data, private state and model do not fit together.
        NonFiniteError: a loss or a parameter became NaN or infinite; names client, step and term.
    """
    started = time.perf_counter()
    config = config.resolved()
    classes = _check(private, global_model, data)
    device = torch.device(config.device)
    who = f"{data.client}, round {rng.round}"

    # Θ_g, frozen: embeddings of D_l, and of those public faces that it takes for local ones.
    net = global_model.build(device)
    local = embed(net, data.images, batch=config.embed_batch, device=device)
    hard = _mine(net, global_model, data, local, config, progress, who)

    negatives = ImageRows(data.public_images, hard.rows)
    images = torch.cat([as_tensor(source, slice(None), device) for source in (data.images, negatives)])
    labels = np.concatenate([data.labels, classes + data.public_labels[hard.rows]])
    pool = Pool(images, torch.from_numpy(labels).to(device))
    previous = _previous(private, global_model, config, rng) if config.alpha_con > 0 else None
    if previous is not None:
        pool.anchors = (
            embed_views(net, images, batch=config.embed_batch, unflipped=torch.cat([local, hard.embeddings])),
            embed_views(previous.to(device), images, batch=config.embed_batch),
        )
    del net, previous

    if private is None:
        private = first_private(classes, local, pool.labels[: len(local)], global_model, config, rng)
    model = LocalModel(global_model, private, device)
    log = train_locally(model, pool, config, rng, progress, who)

    new_private = model.private_state(rng.round)
    phi = model.global_proxies.detach().to("cpu", copy=True)
    _check_finite(new_private, phi, who)
    update = ClientUpdate(
        backbone={name: tensor.clone() for name, tensor in new_private.backbone.items()},
        global_proxies=phi,
        images=len(data.images),
    )
    metrics = {
        "images": float(len(data.images)),
        "hard_negatives": float(len(hard.rows)),
        **log.means(),
        "steps": float(log.step),
        "seconds": time.perf_counter() - started,
    }
    return new_private, update, metrics


def _mine(
    net: Backbone,
    global_model: GlobalModel,
    data: ClientData,
    local: Tensor,
    config: TrainConfig,
    progress: Progress,
    who: str,
) -> HardNegatives:
    blocks = embed_blocks(net, data.public_images, batch=config.embed_batch, device=local.device)
    threshold = config.mining_threshold
    shared = data.public_embeddings
    return mine(
        shared.blocks(tensors_sha256(global_model.backbone), lambda: blocks)
        if shared is not None and threshold < 1
        else blocks,
        local,
        threshold=threshold,
        total=len(data.public_images),
        progress=progress,
        what=f"mining {who}",
    )


def _previous(
    private: PrivateState | None, global_model: GlobalModel, config: TrainConfig, rng: RoundSeed
) -> Backbone | None:
    """Θ_l^{t−1}, frozen; None where it is Θ_g, because then Eq. 5 is the constant log 2."""
    if private is not None:
        return dataclasses.replace(global_model, backbone=private.backbone).build()
    if config.first_previous == "random":
        return build_backbone(global_model.spec, seed=rng.integer("first_previous")).eval()
    return None


def _check(private: PrivateState | None, global_model: GlobalModel, data: ClientData) -> int:
    """Kl, after making sure that everything fits together."""
    if len(data.images) == 0 or len(data.images) != len(data.labels):
        raise TrainingError(
            f"{data.client} has {len(data.images)} images and {len(data.labels)} labels, expected equally "
            "many and at least one; check its store and split"
        )
    present = np.unique(data.labels)
    classes = len(present)
    if not np.array_equal(present, np.arange(classes)):
        raise TrainingError(
            f"{data.client} has labels from {present[0]} to {present[-1]} for {classes} identities, expected "
            f"0 to {classes - 1}; number its identities without gaps"
        )
    proxies, dim = global_model.global_proxies.shape
    if len(data.public_images) != len(data.public_labels):
        raise TrainingError(
            f"{data.client} has {len(data.public_images)} public images and {len(data.public_labels)} public "
            "labels; check the public store"
        )
    if len(data.public_labels) and not 0 <= data.public_labels.min() <= data.public_labels.max() < proxies:
        raise TrainingError(
            f"public labels reach from {data.public_labels.min()} to {data.public_labels.max()}, but the "
            f"model has {proxies} public identities; use the public set that the model was pre-trained on"
        )
    if private is not None and private.local_proxies.shape != (classes, dim):
        raise TrainingError(
            f"{data.client} kept proxies of shape {tuple(private.local_proxies.shape)}, its data and the "
            f"model ask for {(classes, dim)}; start it anew after a change of its identities or of the model"
        )
    return classes


def _check_finite(private: PrivateState, phi: Tensor, who: str) -> None:
    arrays = {**vars(private), **private.backbone, "global_proxies": phi}
    for name, value in arrays.items():
        if isinstance(value, Tensor) and not bool(torch.isfinite(value).all()):
            raise NonFiniteError(
                f"{who}: {name} is not finite after the last step; nothing of this round was kept; "
                "lower learning_rate"
            )
