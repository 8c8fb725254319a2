"""A small federation on disk, and how its results are compared."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fedfr_edge.data.split import Split
from fedfr_edge.data.store import FaceStore, StoreWriter
from fedfr_edge.federation.client_app import ClientSite
from fedfr_edge.federation.data import Faces
from fedfr_edge.federation.engine import run_in_process
from fedfr_edge.federation.report import Report
from fedfr_edge.federation.run_folder import RunFolder
from fedfr_edge.federation.server_app import Job
from fedfr_edge.federation.terms import Terms
from fedfr_edge.train.backbones.backbone import build_backbone
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.train.checkpoint import GlobalModel, cpu_state, load_global, save_global
from fedfr_edge.train.client import ClientData
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.loop import run_rounds
from fedfr_edge.train.private import PrivateState

# iresnet has BatchNorm, so its state has int64 entries too.
SPEC = BackboneSpec("iresnet18", dim=16, width=4, input_size=28)
CLIENTS = ("client-00", "client-01", "client-02")
SETTINGS = TrainConfig(rounds=2, epochs=(1,), batch_size=8, mining_threshold=0.0, learning_rate=0.01)


@dataclass(frozen=True)
class World:
    """Where the parts of a small federation lie: three public people in the store, two in a further
    one; three clients of two people each."""

    store: Path
    public_store: Path
    split: Path
    pretrained: Path

    def model(self) -> GlobalModel:
        """The pre-trained model."""
        return load_global(self.pretrained)


def make_store(path: Path, identities: list[str], images: int, seed: int) -> FaceStore:
    rng = np.random.default_rng(seed)
    with StoreWriter(path, source="noise", licence="none") as writer:
        for identity in identities:
            colour = rng.integers(0, 200, 3)
            for index in range(images):
                face = (colour + rng.integers(0, 56, (112, 112, 3))).astype(np.uint8)
                writer.add(face, identity, f"{identity}/{index}")
        return writer.finish()


def make_world(folder: Path) -> World:
    public = ["zoe", "yan", "xue"]
    own = {client: (f"{client}-a", f"{client}-b") for client in CLIENTS}
    people = [*public, *(name for names in own.values() for name in names)]
    store = make_store(folder / "store", people, 6, seed=1)
    make_store(folder / "further", ["vik", "uma"], 4, seed=2)
    members = [name for names in own.values() for name in names]
    Split(
        seed=0,
        store_digest=store.digest,
        public=tuple(public),
        clients=own,
        # Clients of different sizes, so that a wrong weight shows.
        train={name: tuple(f"{name}/{i}" for i in range(3 + int(name[7:9]) % 2)) for name in members},
        test={name: tuple(f"{name}/{i}" for i in range(4, 6)) for name in members},
    ).save(folder / "split.json")
    generator = torch.Generator().manual_seed(3)
    # In an order of its own: only the names say which row is whose.
    names = ["uma", "xue", "vik", "zoe", "yan"]
    model = GlobalModel(
        SPEC,
        cpu_state(build_backbone(SPEC, seed=4)),
        torch.randn(len(names), SPEC.dim, generator=generator),
        metadata={"public_classes": json.dumps(names), "training_data_licence": "noise"},
    )
    save_global(model, folder / "pretrained.safetensors")
    return World(
        folder / "store", folder / "further", folder / "split.json", folder / "pretrained.safetensors"
    )


def in_process(
    world: World,
    out: Path,
    settings: TrainConfig = SETTINGS,
    *,
    seed: int = 7,
    wire: bool = False,
    faces_of: Callable[[str, GlobalModel], ClientData] | None = None,
    on_round: Callable[[Report], None] = lambda report: None,
    terms: Terms | None = None,
) -> GlobalModel:
    """Run through Flower's apps in this process; the newest checkpoint."""
    faces = Faces.open(world.store, world.split, [world.public_store])
    clients = faces.clients(settings)
    job = Job(
        out=out,
        pretrained=world.pretrained,
        settings=settings,
        seed=seed,
        terms=terms or Terms(len(clients), patience=1.0),
        on_round=on_round,
    )

    def site(client: str) -> ClientSite:
        give = faces_of or faces.of_client
        return ClientSite(
            client,
            out / "clients" / client,
            lambda model: give(client, model),
            share_proxies=settings.shares_proxies,
        )

    run_in_process(job, clients, site, wire=wire)
    run = RunFolder(out)
    return load_global(run.checkpoint(run.rounds()[-1]))


@functools.cache
def plain_loop(
    world: World, rounds: int, settings: TrainConfig = SETTINGS, seed: int = 7
) -> tuple[GlobalModel, dict[str, PrivateState]]:
    """The same rounds without Flower; computed once for all tests, which only read it."""
    faces = Faces.open(world.store, world.split, [world.public_store])
    model = world.model()
    data = {client: faces.of_client(client, model) for client in faces.clients(settings)}
    model, states, _ = run_rounds(model, data, settings, seed, rounds)
    return model, states


def assert_same_state(one: PrivateState, other: PrivateState) -> None:
    mine, theirs = one.to_arrays(), other.to_arrays()
    assert mine.keys() == theirs.keys()
    for name, array in mine.items():
        assert array.tobytes() == theirs[name].tobytes(), name


def assert_same_bits(one: GlobalModel, other: GlobalModel) -> None:
    assert one.backbone.keys() == other.backbone.keys()
    for name, tensor in one.backbone.items():
        assert tensor.dtype == other.backbone[name].dtype
        assert torch.equal(tensor, other.backbone[name]), name
    assert torch.equal(one.global_proxies, other.global_proxies)
    assert one.round == other.round
