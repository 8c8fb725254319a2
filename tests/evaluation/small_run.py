"""A store, a split and a finished training run, tiny and untrained, for the evaluation commands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fedfr_edge.data.split import Split, make_split
from fedfr_edge.data.store import FaceStore, StoreWriter
from fedfr_edge.federation.private_state import PrivateStore
from fedfr_edge.train.backbones.backbone import build_backbone
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.train.checkpoint import GlobalModel, cpu_state, save_global
from fedfr_edge.train.private import PrivateState

SPEC = BackboneSpec("sphereface10", dim=16, width=4, input_size=28)
ROUND = 2


@dataclass(frozen=True)
class SmallRun:
    store: FaceStore
    split: Split
    split_file: Path
    run: Path


def make_store(path: Path, people: int = 8, images: int = 7) -> FaceStore:
    """Blocks of colour for each person, noise for each image; names as LFW's."""
    rng = np.random.default_rng(3)
    with StoreWriter(path, source="drawn", licence="CC0-1.0") as writer:
        for person in range(people):
            blocks = rng.integers(0, 200, (7, 7, 3)).repeat(16, 0).repeat(16, 1)
            for image in range(1, images + 1):
                noise = rng.integers(0, 56, (112, 112, 3))
                face = (blocks + noise).astype(np.uint8)
                writer.add(face, f"P_{person}", f"P_{person}/P_{person}_{image:04d}")
        return writer.finish()


def transform(client: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(50 + client)
    weight = torch.eye(SPEC.dim) + 0.3 * torch.randn((SPEC.dim, SPEC.dim), generator=generator)
    return weight, 0.1 * torch.randn(SPEC.dim, generator=generator)


def make_run(path: Path) -> SmallRun:
    """Two clients with three people each; checkpoints of rounds 0 to 2, private folders of round 1 and 2."""
    store = make_store(path / "store")
    split = make_split(store, public=2, clients=2, per_client=3, train_images=3, test_images=4, seed=0)
    split.save(path / "split.json")
    run = path / "run"
    for number in range(ROUND + 1):
        state = cpu_state(build_backbone(SPEC, seed=number))
        model = GlobalModel(SPEC, state, torch.zeros((2, SPEC.dim)), number)
        save_global(model, run / "checkpoints" / f"round_{number:04d}.safetensors")
    (run / "metrics.jsonl").write_text(
        '{"round": 1, "seconds": 1.0, "clients": {"client-00": {"loss": 3.0, "loss_cos": 2.0}}}\n'
    )
    for place, client in enumerate(split.clients):
        with PrivateStore(run / "clients" / client, federation="test", client=client) as private:
            for number in (1, ROUND):
                weight, bias = transform(place)
                private.save(
                    PrivateState(
                        local_proxies=torch.zeros((3, SPEC.dim)),
                        transform_weight=weight,
                        transform_bias=bias,
                        binary_proxies=torch.zeros((3, SPEC.dim)),
                        binary_bias=torch.zeros(3),
                        backbone=cpu_state(build_backbone(SPEC, seed=10 * number + place)),
                        round=number,
                    ),
                    SPEC,
                    {},
                )
    return SmallRun(store, split, path / "split.json", run)
