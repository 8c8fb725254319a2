"""The plain loop that a round is measured against, as a reader of the paper would write it.

Three forward passes and a backward one in every step: Θ_g and Θ_l^{t−1} are frozen, yet see every batch
of every epoch again. Every JPEG is decoded anew in each epoch, all N_l × N_g similarities are held at
once, images are contiguous (n, 3, 112, 112), the activations PyTorch's own, the optimiser SGD as it comes,
and each step reads its losses.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedfr_edge.train import losses
from fedfr_edge.train.backbones.backbone import Backbone, normalise
from fedfr_edge.train.local_training import draw_epochs

from .task import RoundInput, RoundTask, decode

TERMS = ("loss_cos", "loss_con", "loss_bce", "loss")
"""The losses of a step, in order."""


def plain_round(
    task: RoundTask, given: RoundInput, threshold: float, *, our_layers: bool = False
) -> tuple[list[int], list[list[float]]]:
    """One client round.

    Args:
        task: its settings.
        given: its weights and images.
        threshold: t_HN.
        our_layers: take our layers and channels-last images instead of PyTorch's and contiguous ones. The
            loop stays plain; so it must give the losses of ours, step by step. With other layers a last
            bit can turn an activation's sign, and a deep network's next steps go apart from there.

    Returns:
        Rows of the hard negatives, and of each step its :data:`TERMS`.
    """
    config, device = task.config(threshold), torch.device(task.device)
    network = _our_network if our_layers else _plain_network
    layout = torch.channels_last if our_layers else torch.contiguous_format

    def load(jpegs: list[bytes], flipped: npt.NDArray[np.bool_] | None = None) -> Tensor:
        return _load(jpegs, device, flipped).contiguous(memory_format=layout)

    frozen_global = network(given, given.model.backbone, device).eval()
    frozen_previous = network(given, given.private.backbone, device).eval()

    with torch.no_grad():
        batches = range(0, len(given.public_jpegs), config.embed_batch)
        public = [
            F.normalize(frozen_global(load(given.public_jpegs[at : at + config.embed_batch])))
            for at in batches
        ]
        local = F.normalize(frozen_global(load(given.local_jpegs)))
        similarity = local @ torch.cat(public).T
    hard = torch.nonzero(similarity.amax(dim=0) > threshold).flatten().tolist()

    jpegs = given.local_jpegs + [given.public_jpegs[row] for row in hard]
    people = len(given.private.local_proxies)
    labels = torch.from_numpy(np.concatenate([given.local_labels, people + given.public_labels[hard]]))
    net = network(given, given.model.backbone, device).train()
    local_proxies = _parameter(given.private.local_proxies, device)
    global_proxies = _parameter(given.model.global_proxies, device)
    weight, bias = (
        _parameter(given.private.transform_weight, device),
        _parameter(given.private.transform_bias, device),
    )
    binary_proxies = _parameter(given.private.binary_proxies, device)
    binary_bias = _parameter(given.private.binary_bias, device)
    private = [local_proxies, global_proxies, weight, bias, binary_proxies, binary_bias]
    optimizer = torch.optim.SGD(
        [*net.parameters(), *private],
        lr=config.learning_rate,
        momentum=config.momentum or 0.0,
        weight_decay=config.weight_decay,
    )

    steps = []
    for epoch in draw_epochs(len(labels), config, task.rng):
        for batch in epoch:
            faces = load([jpegs[row] for row in batch.rows], batch.flipped.numpy())
            target = labels[batch.rows].to(device)
            features = net(faces)
            with torch.no_grad():
                f_global, f_previous = (
                    F.normalize(frozen_global(faces)),
                    F.normalize(frozen_previous(faces)),
                )
            cosine = losses.cosines(features, torch.cat([local_proxies, global_proxies]))
            cos = losses.cosface(cosine, target, scale=config.scale, margin=config.margin)
            con = losses.contrastive(features, f_global, f_previous, temperature=config.temperature)
            bce = losses.customization(
                losses.cosines(F.linear(features, weight, bias), binary_proxies),
                binary_bias,
                target,
                scale=config.bce_scale,
                margin=config.bce_margin,
                positive=config.bce_positive,
                power=config.bce_power,
            )
            loss = config.alpha_cos * cos + (config.alpha_con or 0.0) * con + (config.alpha_bce or 0.0) * bce
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            steps.append([cos.item(), con.item(), bce.item(), loss.item()])
    return hard, steps


def _load(jpegs: list[bytes], device: torch.device, flipped: npt.NDArray[np.bool_] | None = None) -> Tensor:
    images = [decode(jpeg) for jpeg in jpegs]
    if flipped is not None:
        images = [image[:, ::-1] if flip else image for image, flip in zip(images, flipped, strict=True)]
    return normalise(torch.from_numpy(np.stack(images)).to(device))


def _our_network(given: RoundInput, state: dict[str, Tensor], device: torch.device) -> Backbone:
    net = Backbone(given.model.spec)
    net.load_state_dict(state)
    return net.to(device)


def _plain_network(given: RoundInput, state: dict[str, Tensor], device: torch.device) -> Backbone:
    """The published network of nothing but PyTorch's own layers."""
    net = Backbone(given.model.spec)
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.PReLU):
                setattr(module, name, nn.PReLU(child.num_parameters))
            elif isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.BatchNorm2d(child.num_features, child.eps, child.momentum))
    net.load_state_dict(state)
    return net.to(device)


def _parameter(value: Tensor, device: torch.device) -> nn.Parameter:
    return nn.Parameter(value.to(device, copy=True))
