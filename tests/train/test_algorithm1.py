"""ClientTraining against a second telling of Algorithm 1.

Written anew from the paper: features image by image, no caches, every loss spelled out, SGD by hand.
Only the order of images and their flips are taken from the code under test.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from tiny_training import client, config, model

from fedfr_edge.train import batches
from fedfr_edge.train.backbones.backbone import normalise
from fedfr_edge.train.client import client_round
from fedfr_edge.train.seeds import RoundSeed

SEED = RoundSeed(7, 1, "client-00")


def test_the_second_round_equals_a_plain_restatement_of_algorithm_1() -> None:
    settings = config(mining_threshold=1.0, learning_rate=0.05, weight_decay=0.01, batch_size=6)
    data, rng = client(), RoundSeed(7, 2, "client-00")
    start = model()
    private, _, _ = client_round(None, start, data, settings, SEED)
    middle = dataclasses.replace(start, backbone={k: 0.95 * v for k, v in private.backbone.items()}, round=1)

    def features(net: torch.nn.Module, images: np.ndarray) -> torch.Tensor:  # type: ignore[type-arg]
        with torch.no_grad():
            rows = [net(normalise(torch.from_numpy(image[None].copy())))[0] for image in images]
        return torch.stack([row / row.norm() for row in rows])

    theta_g = middle.build()
    theta_prev = dataclasses.replace(middle, backbone=private.backbone).build()
    similarity = features(theta_g, data.public_images) @ features(theta_g, data.images).T
    # A threshold halfway between two images, so that five public images are hard negatives.
    ranked = similarity.amax(dim=1).sort(descending=True).values
    threshold = float(ranked[4] + ranked[5]) / 2
    hard = [row for row in range(12) if similarity[row].max() > threshold]
    assert len(hard) == 5
    settings = dataclasses.replace(settings, mining_threshold=threshold)
    got_private, got_update, got = client_round(private, middle, data, settings, rng)
    images = np.concatenate([data.images, data.public_images[hard]])
    labels = torch.from_numpy(np.concatenate([data.labels, 2 + data.public_labels[hard]]))

    net = middle.build().train().requires_grad_(True)
    head = {
        name: getattr(private, name).clone().requires_grad_()
        for name in ("local_proxies", "transform_weight", "transform_bias", "binary_proxies", "binary_bias")
    }
    phi = middle.global_proxies.clone().requires_grad_()
    parameters = [*net.parameters(), *head.values(), phi]
    source, sums, seen = rng.generator("batches"), dict.fromkeys(("cos", "con", "bce"), 0.0), 0
    for rows, flipped in (b for _ in range(2) for b in batches.epoch(len(images), 6, source)):
        batch = np.stack([images[r][:, ::-1] if f else images[r] for r, f in zip(rows, flipped, strict=True)])
        f, y = net(normalise(torch.from_numpy(batch))), labels[rows]
        f_glob, f_prev = features(theta_g, batch), features(theta_prev, batch)
        columns = torch.cat([head["local_proxies"], phi])
        unit = f / f.norm(dim=1, keepdim=True)
        logits = 30 * (unit @ (columns / columns.norm(dim=1, keepdim=True)).T)
        logits[torch.arange(len(y)), y] -= 30 * 0.4
        cos = (torch.logsumexp(logits, 1) - logits[torch.arange(len(y)), y]).mean()
        near, far = ((unit * f_glob).sum(1) / 0.5).exp(), ((unit * f_prev).sum(1) / 0.5).exp()
        con = -(near / (near + far)).log().mean()
        moved = f @ head["transform_weight"].T + head["transform_bias"]
        moved = moved / moved.norm(dim=1, keepdim=True)
        bce = torch.zeros(())
        for k in range(2):
            omega = head["binary_proxies"][k]
            g = 2 * ((moved @ (omega / omega.norm()) + 1) / 2) ** 3 - 1
            b = head["binary_bias"][k]
            for i in range(len(y)):
                own = bool(y[i] == k)
                logit = -30 * (g[i] - 0.4) - b if own else 30 * (g[i] + 0.4) + b
                bce = bce + (0.7 if own else 0.3) / 30 * torch.log(1 + torch.exp(logit)) / len(y)
        for tensor, slope in zip(
            parameters, torch.autograd.grad(cos + 5 * con + 10 * bce, parameters), strict=True
        ):
            with torch.no_grad():
                tensor -= 0.05 * (slope + 0.01 * tensor)
        for name, value in (("cos", cos), ("con", con), ("bce", bce)):
            sums[name] += value.item() * len(y)
        seen += len(y)

    assert got["hard_negatives"] == len(hard)
    close = {"atol": 2e-5, "rtol": 2e-4}
    for name, value in sums.items():
        assert got[f"loss_{name}"] == pytest.approx(value / seen, rel=1e-4)
    total = sums["cos"] + 5 * sums["con"] + 10 * sums["bce"]
    assert got["loss"] == pytest.approx(total / seen, rel=1e-4)
    for name, value in net.state_dict().items():
        torch.testing.assert_close(got_update.backbone[name], value, **close)
        assert not torch.allclose(
            value, middle.backbone[name], **close
        )  # it did move, so this says something
    torch.testing.assert_close(got_update.global_proxies, phi.detach(), **close)
    for name, value in head.items():
        torch.testing.assert_close(getattr(got_private, name), value.detach(), **close)
