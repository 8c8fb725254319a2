"""Clients that answer with what they were sent: all of a client's round but training.

Reading, checking, the private folder and the guard are the product's; only ``train.client.client_round`` is
replaced. Importing this module loads neither Flower nor torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from fedfr_edge.errors import ConfigError
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.types import Progress

if TYPE_CHECKING:
    from fedfr_edge.federation.client_app import ClientSite
    from fedfr_edge.train.checkpoint import GlobalModel

ENGINES = ("in-process", "processes", "superlink")
"""The ways of running a round that are set against the plain loop."""

_CLASSES = 64  # rows of Φ: an array like the others, and small beside Θ

Engine: TypeAlias = "Callable[[GlobalModel], GlobalModel]"
"""Runs one round: the model that clients are sent, and the one that their answers make."""


@dataclass(frozen=True)
class EchoSites:
    """Where such clients are.

    Attributes:
        private: folder of their private folders.
    """

    private: Path

    def open(self, *, progress: Progress) -> Callable[[str], ClientSite]:
        """Client id -> its site; this process trains nothing from now on."""
        import numpy as np

        from fedfr_edge.federation.client_app import ClientSite
        from fedfr_edge.train import client as training
        from fedfr_edge.train.client import ClientData

        training.client_round = _echo  # type: ignore[assignment]
        one, label = np.zeros((1, 112, 112, 3), np.uint8), np.zeros(1, np.int64)

        def site(name: str) -> ClientSite:
            data = ClientData(name, one, label, one, label)
            return ClientSite(name, self.private / name, lambda model: data)

        return site


def read_spec(text: str, dim: int) -> BackboneSpec:
    """The backbone that ``NAME`` or ``NAME:WIDTH`` means.

    Raises:
        ConfigError: no such backbone, or a width that is no whole number.
    """
    name, colon, width = text.partition(":")
    if colon and not width.isdecimal():
        raise ConfigError(f"backbone is {text!r}, expected NAME or NAME:WIDTH, such as mobilefacenet:42")
    return BackboneSpec(name, dim, int(width)) if colon else BackboneSpec(name, dim)


def make_model(spec: BackboneSpec, seed: int) -> GlobalModel:
    """A model with weights from ``seed``."""
    import torch

    from fedfr_edge.train.backbones.backbone import build_backbone
    from fedfr_edge.train.checkpoint import GlobalModel, cpu_state

    return GlobalModel(spec, cpu_state(build_backbone(spec, seed=seed)), torch.ones(_CLASSES, spec.dim))


def client_names(clients: int) -> list[str]:
    """Their ids, in sorted order."""
    return [f"client-{number:03d}" for number in range(clients)]


def one_round_engine(grid: Any, names: list[str]) -> Engine:
    """The product's round on one of Flower's grids."""
    from fedfr_edge.federation.one_round import one_round
    from fedfr_edge.federation.payload import Instruction
    from fedfr_edge.federation.roster import Roster
    from fedfr_edge.federation.terms import Terms
    from fedfr_edge.train.config import TrainConfig

    terms = Terms(len(names), deadline=600.0)
    roster = Roster(grid, patience=terms.patience, poll=terms.poll)
    settings = TrainConfig(rounds=10**6).resolved()

    def run(model: GlobalModel) -> GlobalModel:
        nodes = roster.online(len(names), len(names))
        instruction = Instruction(model.round + 1, "bench", 0, settings, model)
        return one_round(grid, instruction, nodes, terms)[0]

    return run


def timed_round(engine: Engine, model: GlobalModel, number: int) -> float:
    """Seconds of round ``number``; what comes back must be what was sent.

    Raises:
        AssertionError: it is not.
    """
    from dataclasses import replace

    import torch

    started = time.perf_counter()
    result = engine(replace(model, round=number - 1))
    seconds = time.perf_counter() - started
    if not all(torch.equal(result.backbone[key], model.backbone[key]) for key in model.backbone):
        raise AssertionError("the clients' mean is not what they were sent")
    return seconds


def _echo(before: Any, model: GlobalModel, data: Any, config: Any, seed: Any, progress: Any = None) -> Any:
    import torch

    from fedfr_edge.train.client import ClientUpdate
    from fedfr_edge.train.private import PrivateState

    # The snapshot is a few bytes: how long a large one takes is the disk's matter.
    row = torch.zeros(1, 1)
    kept = PrivateState(row, row, row[0], row, row[0], {"nothing": row}, seed.round)
    update = ClientUpdate(
        {name: tensor.clone() for name, tensor in model.backbone.items()},
        model.global_proxies.clone(),
        images=1,
    )
    return kept, update, {"images": 1, "hard_negatives": 0, "steps": 1}
