"""The losses of FedFR (arXiv 2112.12496), each beside its equation's number.

Shapes: ``n`` images of a batch, ``d`` the embedding's length, ``Kl`` local and ``Kg`` public
identities. Everything is a floating tensor except labels (int64); all losses are scalars, means
over the batch. Embeddings need not be of unit length: only their directions count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor


def cosines(embeddings: Tensor, proxies: Tensor) -> Tensor:
    """cosθ_j between each embedding (n, d) and each proxy (K, d): (n, K)."""
    return F.normalize(embeddings) @ F.normalize(proxies).T


def cosface(cosine: Tensor, labels: Tensor, *, scale: float, margin: float) -> Tensor:
    """CosFace, Eq. 1 and 3: mean of −log softmax_y( s·(cosθ_j − m·1[j = y]) ).

    For Eq. 3 the proxies are the columns of [W_l ; Φ]: ``cosines(f, torch.cat([W, Φ]))``.

    Args:
        cosine: cosθ, (n, K).
        labels: the true class of each row, int64 (n,).
        scale: s.
        margin: m.
    """
    target = F.one_hot(labels, cosine.shape[1]).to(cosine.dtype)
    return F.cross_entropy(scale * (cosine - margin * target), labels)


def positive_cosine(cosine: Tensor, *, margin: float) -> Tensor:
    """FedFace's loss for a client that knows one class: mean of max(0, margin − cosθ_y)².

    A softmax over one class is constant; this pulls an image to its proxy and knows no others
    (Aggarwal et al., IJCB 2021, after Yu et al., ICML 2020; margin 0.9 there).

    Args:
        cosine: cosθ_y of each image with its own proxy, (n,).
        margin: the cosine that is close enough.
    """
    return (margin - cosine).clamp_min(0).square().mean()


def distillation(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Mean over the batch of T²·KL( softmax(teacher/T) ‖ softmax(student/T) ), Hinton et al. 2015.

    Args:
        student: logits (n, K) of the model in training.
        teacher: logits (n, K) of the frozen one.
        temperature: T; T² keeps the gradient's size the same for every T.
    """
    divergence = F.kl_div(
        F.log_softmax(student / temperature, dim=1),
        F.log_softmax(teacher / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return temperature**2 * divergence


def contrastive(embeddings: Tensor, f_global: Tensor, f_previous: Tensor, *, temperature: float) -> Tensor:
    """Contrastive loss, Eq. 5: −log( e^{sim(f, f_glob)/τ} / (e^{sim(f, f_glob)/τ} + e^{sim(f, f_prev)/τ}) ).

    Written as softplus( (sim(f, f_prev) − sim(f, f_glob)) / τ ), which is the same and cannot
    overflow. Where both models agree it is exactly log 2 and its gradient exactly 0.

    Args:
        embeddings: f of the model in training, (n, d).
        f_global: of Θ_g^t, unit rows (n, d), frozen.
        f_previous: of the client's own Θ_l^{t−1}, unit rows (n, d), frozen.
        temperature: τ.
    """
    difference = (F.normalize(embeddings) * (f_previous - f_global)).sum(dim=1)
    return F.softplus(difference / temperature).mean()


CONSTANT_CONTRASTIVE = math.log(2)
"""Eq. 5 where f_prev equals f_glob: a constant, so it need not be computed."""


def stretch(cosine: Tensor, power: float) -> Tensor:
    """g(z) = 2·((z + 1)/2)^{t'} − 1 of Eq. 6: maps [−1, 1] onto itself, lower in between."""
    # Rounding can put a cosine a hair below −1, and a fractional power of that would be NaN.
    return 2 * ((cosine + 1) / 2).clamp_min(0).pow(power) - 1


def customization(
    cosine: Tensor,
    bias: Tensor,
    labels: Tensor,
    *,
    scale: float,
    margin: float,
    positive: float,
    power: float,
) -> Tensor:
    """Decoupled feature customization, Eq. 6: a binary problem for each local identity k.

    An image of k costs λ/s' · log(1 + exp(−s'·(g(cosθ_k) − m') − b_k)), any other image
    (1 − λ)/s' · log(1 + exp(s'·(g(cosθ_k) + m') + b_k)); summed over k, averaged over the batch.
    log(1 + exp(x)) is computed as softplus, which stays finite for every x.

    Args:
        cosine: cosθ_k between Π(f) and Ω_k, (n, Kl).
        bias: b, (Kl,).
        labels: int64 (n,); a label of Kl or more (a hard negative) is a negative of every k.
        scale: s'.
        margin: m'.
        positive: λ.
        power: t'.
    """
    stretched = stretch(cosine, power)
    is_k = labels[:, None] == torch.arange(cosine.shape[1], device=labels.device)
    positives = positive / scale * F.softplus(-scale * (stretched - margin) - bias)
    negatives = (1 - positive) / scale * F.softplus(scale * (stretched + margin) + bias)
    return torch.where(is_k, positives, negatives).sum(dim=1).mean()


def total(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Eq. 7: L = α1·L_cos + α2·L_con + α3·L_BCE, over the terms that are given."""
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()
