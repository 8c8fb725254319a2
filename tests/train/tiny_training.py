"""A federation small enough for tests: a thin network, three clients, blobs for faces."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from fedfr_edge.train.backbones.backbone import build_backbone
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.train.checkpoint import GlobalModel, cpu_state
from fedfr_edge.train.client import ClientData
from fedfr_edge.train.config import TrainConfig

SPEC = BackboneSpec(name="sphereface10", dim=16, width=4, input_size=28)
SPEC_BN = BackboneSpec(name="mobilefacenet", dim=16, width=4, input_size=28)


def faces(identities: int, images: int, seed: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """A coarse random pattern for each identity, with noise for each image."""
    rng = np.random.default_rng(seed)
    patterns = rng.integers(40, 215, (identities, 1, 7, 7, 3))
    blocks = patterns + rng.normal(0, 25, (identities, images, 7, 7, 3))
    grown = blocks.repeat(16, axis=2).repeat(16, axis=3).clip(0, 255).astype(np.uint8)
    return grown.reshape(-1, 112, 112, 3), np.repeat(np.arange(identities), images)


def model(spec: BackboneSpec = SPEC, public: int = 4, seed: int = 0) -> GlobalModel:
    proxies = torch.randn((public, spec.dim), generator=torch.Generator().manual_seed(seed + 1))
    return GlobalModel(spec, cpu_state(build_backbone(spec, seed=seed)), proxies, metadata={"made": "here"})


def client(name: str = "client-00", identities: int = 2, images: int = 5, seed: int = 10) -> ClientData:
    own, labels = faces(identities, images, seed)
    public, public_labels = faces(4, 3, 99)
    return ClientData(name, own, labels, public, public_labels)


def clients() -> dict[str, ClientData]:
    sizes = {"client-00": (2, 5), "client-01": (3, 4), "client-02": (2, 3)}
    return {name: client(name, *size, seed=10 + number) for number, (name, size) in enumerate(sizes.items())}


def config(**changes: object) -> TrainConfig:
    """Fast settings; a high rate so that a few steps move things visibly."""
    settings: dict[str, object] = {"batch_size": 8, "epochs": (2,), "learning_rate": 0.02, "embed_batch": 5}
    return TrainConfig(**{**settings, **changes})  # type: ignore[arg-type]
