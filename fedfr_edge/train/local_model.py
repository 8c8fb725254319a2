"""What one client trains in a round: Θ, W, Φ, Π, Ω and b as one module, and its losses."""

from __future__ import annotations

from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedfr_edge.train import losses
from fedfr_edge.train.backbones.backbone import Backbone
from fedfr_edge.train.checkpoint import GlobalModel, cpu_state
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.private import PrivateState
from fedfr_edge.train.seeds import RoundSeed


class LocalModel(nn.Module):
    """Copies of the global and the private parameters, on the device, in training mode.

    Args:
        global_model: Θ_g and Φ, where the round starts from.
        private: W, Π, Ω and b; its Θ_l is not used.
        config: resolved hyper-parameters; without public images Φ is no part of the classifier.
        device: where to train.
    """

    def __init__(
        self, global_model: GlobalModel, private: PrivateState, config: TrainConfig, device: torch.device
    ) -> None:
        super().__init__()
        self.config = config
        self.backbone: Backbone = global_model.build(device).requires_grad_(True)
        self.backbone.precision = config.precision
        if config.compile:
            self.backbone.net.compile()
        self.global_proxies = _parameter(global_model.global_proxies, device)
        self.local_proxies = _parameter(private.local_proxies, device)
        self.transform_weight = _parameter(private.transform_weight, device)
        self.transform_bias = _parameter(private.transform_bias, device)
        self.binary_proxies = _parameter(private.binary_proxies, device)
        self.binary_bias = _parameter(private.binary_bias, device)
        # What a frozen teacher (KD) compares its embeddings with.
        self.first_proxies = F.normalize(self.proxies().detach()).T
        self.train()

    def proxies(self) -> Tensor:
        """The classifier's columns: [W ; Φ], or W alone where no public images are used; (K, d)."""
        return self._with_public(self.local_proxies, self.global_proxies)

    def losses(
        self,
        faces: Tensor,
        labels: Tensor,
        anchors: tuple[Tensor, ...],
        terms: Collection[str],
    ) -> dict[str, Tensor]:
        """The named terms of the loss, as scalars.

        ============  ==========================================================================
        loss_cos      CosFace over the columns (Eq. 3); over one column the positive-cosine loss
        loss_con      contrastive (Eq. 5); the constant log 2 where Θ_l^{t−1} is Θ_g
        loss_bce      the branch's binary problems (Eq. 6)
        loss_branch   the branch's multi-class CosFace over [Ω ; Φ] (Table 2)
        loss_kd       divergence from the global model's logits (Table 2)
        ============  ==========================================================================

        Args:
            faces: float32 (n, 3, 112, 112), see ``normalise``.
            labels: int64 (n,): local identities from 0, then the rows of Φ after them.
            anchors: unit embeddings (n, d) of these faces under Θ_g, and then under the client's
                previous Θ_l, as far as the terms need them.
            terms: which ones.
        """
        config, found = self.config, dict[str, Tensor]()
        embeddings = self.backbone(faces)
        if "loss_cos" in terms or "loss_kd" in terms:
            cosine = losses.cosines(embeddings, self.proxies())
            if cosine.shape[1] == 1:
                found["loss_cos"] = losses.positive_cosine(cosine[:, 0], margin=config.positive_margin)
            else:
                found["loss_cos"] = losses.cosface(cosine, labels, scale=config.scale, margin=config.margin)
            if "loss_kd" in terms:
                teacher = config.scale * (anchors[0] @ self.first_proxies)
                found["loss_kd"] = losses.distillation(
                    config.scale * cosine, teacher, temperature=config.kd_temperature
                )
        if "loss_con" in terms and len(anchors) == 2:
            found["loss_con"] = losses.contrastive(embeddings, *anchors, temperature=config.temperature)
        elif "loss_con" in terms:
            found["loss_con"] = torch.tensor(losses.CONSTANT_CONTRASTIVE, device=faces.device)
        if "loss_bce" in terms or "loss_branch" in terms:
            transformed = F.linear(embeddings, self.transform_weight, self.transform_bias)
            if "loss_branch" in terms:
                # Hard negatives keep their classes here too; but Φ itself learns from Eq. 3 alone.
                columns = self._with_public(self.binary_proxies, self.global_proxies.detach())
                found["loss_branch"] = losses.cosface(
                    losses.cosines(transformed, columns), labels, scale=config.scale, margin=config.margin
                )
            else:
                found["loss_bce"] = losses.customization(
                    losses.cosines(transformed, self.binary_proxies),
                    self.binary_bias,
                    labels,
                    scale=config.bce_scale,
                    margin=config.bce_margin,
                    positive=config.bce_positive,
                    power=config.bce_power,
                )
        return {name: found[name] for name in terms}

    def _with_public(self, own: Tensor, public: Tensor) -> Tensor:
        return torch.cat([own, public]) if self.config.uses_public else own

    def private_state(self, round: int) -> PrivateState:
        """Copies on the CPU of all that the client keeps, as the end of ``round``."""
        return PrivateState(
            local_proxies=_copy(self.local_proxies),
            transform_weight=_copy(self.transform_weight),
            transform_bias=_copy(self.transform_bias),
            binary_proxies=_copy(self.binary_proxies),
            binary_bias=_copy(self.binary_bias),
            backbone=cpu_state(self.backbone),
            round=round,
        )


def first_private(
    classes: int,
    embeddings: Tensor,
    labels: Tensor,
    global_model: GlobalModel,
    config: TrainConfig,
    rng: RoundSeed,
) -> PrivateState:
    """The private state before a client's first round: Π the identity, b zero, Ω a copy of W.

    Args:
        classes: Kl.
        embeddings: unit embeddings of D_l under Θ_g, (n, d).
        labels: int64 (n,), every class present.
        global_model: its Θ_g stands in for Θ_l.
        config: how W starts.
        rng: for W ~ N(0, 0.01).
    """
    dim = embeddings.shape[1]
    if config.local_proxies == "means":
        members = F.one_hot(labels.cpu(), classes).T.double()
        proxies = (members @ embeddings.cpu().double() / members.sum(dim=1, keepdim=True)).float()
    else:
        proxies = torch.randn((classes, dim), generator=rng.generator("local_proxies")) * 0.01
    return PrivateState(
        local_proxies=proxies,
        transform_weight=torch.eye(dim),
        transform_bias=torch.zeros(dim),
        binary_proxies=proxies.clone(),
        binary_bias=torch.zeros(classes),
        backbone=global_model.backbone,
        round=0,
    )


def _parameter(tensor: Tensor, device: torch.device) -> nn.Parameter:
    return nn.Parameter(tensor.detach().to(device, copy=True))


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)
