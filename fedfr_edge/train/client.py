"""ClientTraining of Algorithm 1 as one pure function, :func:`client_round`."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from fedfr_edge.errors import NonFiniteError, TrainingError
from fedfr_edge.train.backbones.backbone import Backbone, build_backbone
from fedfr_edge.train.checkpoint import GlobalModel, tensors_sha256
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.embed import embed, embed_blocks
from fedfr_edge.train.images import ImageRows, ImageSource, JoinedImages
from fedfr_edge.train.local_model import LocalModel, first_private
from fedfr_edge.train.local_training import draw_epochs, train_locally
from fedfr_edge.train.mining import HardNegatives, SharedEmbeddings, mine
from fedfr_edge.train.pool import Pool, PoolImages, embed_views, views_of
from fedfr_edge.train.precision import require_fit
from fedfr_edge.train.private import PrivateState
from fedfr_edge.train.seeds import RoundSeed
from fedfr_edge.types import Labels, Progress, no_progress

METRICS = (
    "images",
    "hard_negatives",
    "loss",
    "loss_cos",
    "loss_con",
    "loss_bce",
    "loss_branch",
    "loss_kd",
    "seconds",
    "steps",
)
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
        local_proxies: W, float32 (Kl, d), in the one method that shares it (FedFace); otherwise None.
    """

    backbone: dict[str, Tensor]
    global_proxies: Tensor
    images: int
    local_proxies: Tensor | None = None


def client_round(
    private: PrivateState | None,
    global_model: GlobalModel,
    data: ClientData,
    config: TrainConfig,
    rng: RoundSeed,
    progress: Progress = no_progress,
) -> tuple[PrivateState, ClientUpdate | None, dict[str, float]]:
    """One round of one client: find its public images, train by Eq. 7, give back what stays and what leaves.

    Pure: no argument is changed, and equal arguments give equal bits on one kind of CPU.

    Args:
        private: what this client kept of its newest earlier round; None before its first.
        global_model: Θ_g^t and Φ^t. Where ``config.public`` is "none", Φ is handed back as it came.
        data: D_l and D_g.
        config: hyper-parameters.
        rng: names the round (from 1) and the client, and seeds all chance.
        progress: told after each block of embedding and mining, each step and each epoch.

    Returns:
        ``(private, update, metrics)``. ``private`` holds W, Π, Ω, b and Θ_l after training;
        ``update`` holds Θ_l and Φ, and is None in a second stage, which ends at the client.
        ``metrics`` (names: :data:`METRICS`): ``images`` is N_l, ``hard_negatives`` the number of
        public images in the pool, ``loss…`` the means over all images of all steps, ``loss`` their
        sum by Eq. 7; a term that is switched off is left out.

    Raises:
        TrainingError: data, private state and model do not fit together.
        ConfigError: a precision that the device is not made for.
        NonFiniteError: a loss or a parameter became NaN or infinite; names client, step and term.
    """
    started = time.perf_counter()
    config = config.resolved()
    classes = _check(private, global_model, data, config)
    device = torch.device(config.device)
    require_fit(config.precision, device)
    who = f"{data.client}, round {rng.round}"
    terms = config.terms_of(rng.round)
    federated = config.stage_of(rng.round) == "federated"
    public = config.public if federated else "none"  # a second stage is about D_l alone

    # Θ_g, frozen: embeddings of D_l, and of those public faces that it takes for local ones.
    net = global_model.build(device)
    net.precision = config.precision
    batch = config.embed_batch
    local = embed(net, data.images, batch=batch, device=device, progress=progress, what=f"embedding {who}")
    known: Tensor | None = local
    rows = np.arange(len(data.public_images) if public == "all" else 0)
    if public == "mined":
        hard = _mine(net, global_model, data, local, config, progress, who)
        rows, known = hard.rows, torch.cat([local, hard.embeddings])
    elif public == "all":
        known = None

    source = JoinedImages([data.images, ImageRows(data.public_images, rows)])
    labels = torch.from_numpy(np.concatenate([data.labels, classes + data.public_labels[rows]]))
    pool = Pool(PoolImages(source, device, budget=config.image_budget * 2**30), labels.to(device))
    epochs = draw_epochs(len(labels), config, rng)
    previous = _previous(private, global_model, config, rng) if "loss_con" in terms else None
    if previous is not None or "loss_kd" in terms:
        shown = views_of(epochs, len(labels))
        told = partial(progress, f"anchors {who}")
        pool.anchors = (embed_views(net, pool.images, shown, batch=batch, known=known, told=told),)
    if previous is not None:
        previous.to(device).precision = config.precision
        told = partial(progress, f"previous {who}")
        pool.anchors += (embed_views(previous, pool.images, shown, batch=batch, told=told),)
    del net, previous

    if private is None:
        private = first_private(classes, local, pool.labels[: len(local)], global_model, config, rng)
    model = LocalModel(global_model, private, config, device)
    log = train_locally(model, pool, epochs, terms, progress, who)

    new_private = model.private_state(rng.round)
    phi = model.global_proxies.detach().to("cpu", copy=True)
    _check_finite(new_private, phi, who)
    update = ClientUpdate(
        backbone={name: tensor.clone() for name, tensor in new_private.backbone.items()},
        global_proxies=phi,
        images=len(data.images),
        local_proxies=new_private.local_proxies.clone() if config.shares_proxies else None,
    )
    metrics = {
        "images": float(len(data.images)),
        "hard_negatives": float(len(rows)),
        **log.means(),
        "steps": float(log.step),
        "seconds": time.perf_counter() - started,
    }
    return new_private, update if federated else None, metrics


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


def _check(
    private: PrivateState | None, global_model: GlobalModel, data: ClientData, config: TrainConfig
) -> int:
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
    # Where no public face is used, the model comes without Φ, and none of them belongs to a row of it.
    used = config.uses_public and len(data.public_labels)
    if used and not 0 <= data.public_labels.min() <= data.public_labels.max() < proxies:
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
