"""``--plan``: what a target will cost, by arithmetic from its recipe (:mod:`.cost`), assumptions and all."""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedfr_edge.evaluation.tables import Table

from ..study.plan import PRETRAINED, Recipe, Row
from .cost import IMAGE_BYTES, KEPT_SNAPSHOTS, TRAINING_STEP, Cost, Sizes, pretraining_cost, row_cost
from .network import Network, measure_network
from .scale import Gpu, Settings
from .target import TARGETS

if TYPE_CHECKING:
    from fedfr_edge.train.config import TrainConfig

    from ..commands.data_split import SplitConfig
    from ..commands.pretrain import PretrainRun
    from ..commands.reproduce import ReproduceConfig

PEAKS: dict[Gpu, dict[str, float]] = {
    # Dense tensor-core peaks of the SXM parts by their data sheets; float32 convolutions run in TF32.
    "h100": {"float32": 494.7e12, "bf16": 989.4e12, "fp16": 989.4e12},
    "h200": {"float32": 494.7e12, "bf16": 989.4e12, "fp16": 989.4e12},
    "a100": {"float32": 156e12, "bf16": 312e12, "fp16": 312e12},
    # One core of the machine of docs/results.md ("Training speed"): measured, not looked up.
    "cpu": {"float32": 101e9},
}
"""Floating-point operations a second; a multiplication and an addition are two."""

REACHED: dict[Gpu, float] = {"h100": 0.25, "h200": 0.25, "a100": 0.35, "cpu": 0.6}
"""Share of the peak that training is taken to reach: a guess on a GPU; on the CPU between what MobileFaceNet
(40 %) and SphereFace-20 (88 %) reach."""


@dataclass(frozen=True)
class Plan:
    """What ``--plan`` shows.

    Attributes:
        time: a row per method.
        space: (what, how much, made of).
        assumptions: (about what, which).
    """

    time: Table
    space: list[tuple[str, str, str]]
    assumptions: list[tuple[str, str]]


def plan(config: ReproduceConfig, settings: Settings) -> Plan:
    """Estimate a target.

    Raises:
        ConfigError, DataError: the recipe does not hold together, or a store cannot be read.
    """
    target, shown, guesses = TARGETS[config.target], settings.shown, settings.guesses
    with tempfile.TemporaryDirectory() as folder:  # nothing of a plan is left behind
        recipe_file = Path(folder) / "recipe.toml"
        Settings(settings.scale, settings.table, recipe_file).write()
        recipe = Recipe(recipe_file)
        nowhere = Path(folder)
        pretrain = recipe.pretrain(store=(nowhere,), out=nowhere)
        split = recipe.split(store=nowhere, out=nowhere)
        threshold = _train(recipe, Row("fedfr"), nowhere).mining_threshold
        rows = target.rows(shown, threshold, share_proxies=True)
        trains = {row.name: _train(recipe, row, nowhere) for row in rows if row.method != PRETRAINED}
    network = measure_network(pretrain)
    sizes = _sizes(config, settings, split)
    costs: dict[str, Cost] = {"pre-training": pretraining_cost(pretrain, sizes, network)}
    for people in shown.grid_people if target.name == "figure4" else (None,):
        for name, train in trains.items():
            label, of_row = name.replace("fedfr,mining_threshold=", "fedfr, t_HN "), sizes
            if people is not None:
                label = f"{name}, {people} each"
                of_row = dataclasses.replace(sizes, clients=shown.grid_clients, people=people)
            costs[label] = row_cost(train, of_row, network, guesses.hard_share)
    seeds = len(config.seed) or config.seeds or shown.seeds
    any_train = next(iter(trains.values()))
    speed, basis = _speed(config, network, any_train.precision)
    return Plan(
        _time(costs, seeds, network, speed),
        _space(costs, seeds, sizes, network, any_train, guesses.hard_share),
        _assumptions(config, settings, sizes, network, pretrain, basis),
    )


def _train(recipe: Recipe, row: Row, nowhere: Path) -> TrainConfig:
    return recipe.train(row, pretrained=nowhere, store=nowhere, split=nowhere, out=nowhere)


def _sizes(config: ReproduceConfig, settings: Settings, split: SplitConfig) -> Sizes:
    """From the store where there is one, else from the recipe's guesses."""
    guesses, unseen_most = settings.guesses, settings.shown.unseen
    public, clients, people = split.public or 0, split.clients or 1, split.per_client or 1
    each_public, each_unseen = guesses.public_images, guesses.unseen_images
    unseen = guesses.unseen_people if unseen_most is None else unseen_most
    synth = settings.section("data.synth")
    total: int | None = int(synth["identities"]) if "identities" in synth else None
    if config.store is not None:
        from fedfr_edge.data.store import FaceStore

        store = FaceStore.open(config.store)
        total = len(store.identities)
        each_public = each_unseen = len(store) / max(total, 1)
    if total is not None:
        left = max(total - public - clients * people, 0)
        unseen = left if unseen_most is None else min(left, unseen_most)
    pair_images = 0
    if config.pairs_store is not None:
        from fedfr_edge.data.store import FaceStore

        pair_images = len(FaceStore.open(config.pairs_store))
    return Sizes(
        public_people=public,
        public_images=round(public * each_public),
        clients=clients,
        people=people,
        training=split.train_images,
        test=split.test_images,
        unseen_images=round(unseen * each_unseen),
        pair_images=pair_images,
        ijbc_images=guesses.ijbc_images,
    )


def _speed(config: ReproduceConfig, network: Network, precision: str) -> tuple[float, str]:
    """Forward passes a second, and what that rests on."""
    if config.images_per_second is not None:
        return (
            TRAINING_STEP * config.images_per_second,
            f"{config.images_per_second:g} images of training a second, as measured by you",
        )
    peak = PEAKS[config.gpu].get(precision, PEAKS[config.gpu]["float32"])
    reached = REACHED[config.gpu]
    speed = peak * reached / (2 * network.macs)
    return speed, (
        f"one {config.gpu}, {precision}: {reached:.0%} of a peak of {peak / 1e12:g} TFLOP/s, "
        f"which is {speed / TRAINING_STEP:,.0f} images of training a second; give a measured rate with "
        "--images-per-second"
    )


def _time(costs: dict[str, Cost], seeds: int, network: Network, speed: float) -> Table:
    rows = []
    hours = 0.0
    for name, cost in costs.items():
        seconds = cost.passes / speed + cost.products / (speed * network.macs)
        hours += seconds / 3600
        rows.append(
            (
                name,
                *(_count(value) for value in (cost.training, cost.frozen, cost.evaluation)),
                f"{2e-15 * (cost.passes * network.macs + cost.products):,.3g}",
                _hours(seconds / 3600),
            )
        )
    rows.append(("all, one seed", "", "", "", "", _hours(hours)))
    rows.append((f"all, {seeds} seed{'s' if seeds > 1 else ''}", "", "", "", "", _hours(hours * seeds)))
    header = ("", "training", "frozen", "evaluation", "PFLOP", "time")
    notes = (
        "Forward passes of one image: three for each image of a training step, one for a frozen model. What "
        "another target of the same OUT has trained is not trained again.",
    )
    return Table("Time", header, tuple(rows), notes)


def _space(
    costs: dict[str, Cost],
    seeds: int,
    sizes: Sizes,
    network: Network,
    train: TrainConfig,
    hard_share: float,
) -> list[tuple[str, str, str]]:
    trained = [cost for name, cost in costs.items() if name != "pre-training"]
    up, down = (sum(getattr(cost, key) for cost in trained) for key in ("bytes_up", "bytes_down"))
    disk = sum(cost.disk for cost in costs.values()) * seeds
    images = sizes.public_images + sizes.clients * sizes.people * (sizes.training + sizes.test)
    faces = (images + sizes.unseen_images) * IMAGE_BYTES
    features = 4.0 * sizes.public_images * network.dim
    copies = 3 if train.resolved().momentum else 2
    weights = 4.0 * copies * network.parameters
    activations = 4.0 * network.activations * train.batch_size
    pool = min((sizes.local + hard_share * sizes.public_images) * IMAGE_BYTES, train.image_budget * 2**30)
    return [
        (
            "memory of the device",
            _bytes(weights + activations + pool + features),
            "weights, gradients"
            f"{' and momentum' if copies > 2 else ''} {_bytes(weights)}; activations of a batch of "
            f"{train.batch_size} {_bytes(activations)}; a round's images {_bytes(pool)}; embeddings of D_g "
            f"{_bytes(features)}",
        ),
        (
            "memory of the server",
            _bytes(4.0 * 3.1 * network.parameters),
            "3.1 models: float64 sums and one update",
        ),
        ("disk: faces", _bytes(faces), f"{images + sizes.unseen_images:,} images, uncompressed"),
        (
            "disk: runs",
            _bytes(disk),
            f"every round's Θ_g and Φ, the last {KEPT_SNAPSHOTS} private states of each "
            f"client; {seeds} seed{'s' if seeds > 1 else ''}",
        ),
        ("traffic up", _bytes(up), "of all clients, rounds and rows, one seed"),
        ("traffic down", _bytes(down), "likewise"),
        (
            "a client's round",
            _bytes(4.0 * (network.parameters + sizes.public_people * network.dim)),
            "each way: Θ and Φ in float32",
        ),
    ]


def _assumptions(
    config: ReproduceConfig,
    settings: Settings,
    sizes: Sizes,
    network: Network,
    pretrain: PretrainRun,
    basis: str,
) -> list[tuple[str, str]]:
    guesses = settings.guesses
    from_store = config.store is not None
    return [
        ("speed", basis),
        (
            "backbone",
            f"{pretrain.backbone}, width {pretrain.width}, {pretrain.input_size} px: {network.parameters:,} "
            f"parameters, {network.macs / 1e9:.3g} GMAC a forward pass (counted on the network itself)",
        ),
        (
            "D_g",
            f"{sizes.public_people:,} people with {sizes.public_images:,} images"
            + (" (as many each as the store has on average)" if from_store else " (guess: [estimate])"),
        ),
        (
            "clients",
            f"{sizes.clients} with {sizes.people} people of {sizes.training} + {sizes.test} images",
        ),
        ("hard negatives", f"{guesses.hard_share:.1%} of D_g in each client's round (guess: [estimate])"),
        (
            "generic sets",
            f"{sizes.unseen_images:,} images of unseen people, {sizes.pair_images:,} of pairs, "
            f"{sizes.ijbc_images:,} of IJB-C (each also mirrored)",
        ),
        ("left out", "reading and augmenting images, losses, optimiser, messages; several processes"),
    ]


def _count(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"


def _bytes(value: float) -> str:
    for size, unit in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB")):
        if value >= size:
            return f"{value / size:,.3g} {unit}"
    return f"{value / 1024:.0f} KiB"


def _hours(value: float) -> str:
    if value >= 1:
        return f"{value:,.1f} h"
    return f"{60 * value:.1f} min" if value >= 1 / 60 else f"{3600 * value:.0f} s"
