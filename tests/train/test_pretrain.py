"""Pre-training: it learns, it repeats, it goes on after a kill, and Φ fits its names."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_training import faces

from fedfr_edge.config import resolve
from fedfr_edge.errors import CheckpointError, ConfigError, NonFiniteError
from fedfr_edge.train import pretrain as recipe
from fedfr_edge.train.backbones.backbone import normalise
from fedfr_edge.train.checkpoint import GlobalModel, load_global
from fedfr_edge.train.config import PretrainConfig
from fedfr_edge.train.pretrain import hold_out, learning_rate, pretrain
from fedfr_edge.train.public import PublicSet, held_out_classes, public_classes
from fedfr_edge.types import Embeddings, Labels


def public_set(identities: int = 6, images: int = 8) -> PublicSet:
    pixels, labels = faces(identities, images, seed=3)
    names = tuple(f"p{number}" for number in range(identities))
    return PublicSet(pixels, labels, names, ("digest",), ("own",), identities)


def config(**changes: object) -> PretrainConfig:
    settings: dict[str, object] = {
        "backbone": "sphereface10",
        "dim": 16,
        "width": 4,
        "input_size": 28,
        "epochs": 3,
        "batch_size": 8,
        "learning_rate": 0.05,
    }
    return PretrainConfig(**{**settings, **changes})  # type: ignore[arg-type]


def bits(model: GlobalModel) -> list[bytes]:
    return [value.numpy().tobytes() for value in [*model.backbone.values(), model.global_proxies]]


def separation(embeddings: Embeddings, labels: Labels) -> Mapping[str, Any]:
    """Mean mated minus mean non-mated cosine: a stand-in for the evaluator, which is handed in too."""
    cosines = embeddings @ embeddings.T
    same = labels[:, None] == labels[None]
    return {"value": float(cosines[same].mean() - cosines[~same].mean()), "people": len(set(labels.tolist()))}


class Killed(Exception):
    pass


def killed_after(epoch: int) -> Any:
    def on_epoch(record: dict[str, Any]) -> None:
        if record["epoch"] == epoch:
            raise Killed

    return on_epoch


def test_it_learns_to_tell_the_public_identities_apart(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = []
    model = pretrain(public_set(), config(epochs=12), tmp_path, on_epoch=records.append)
    assert records[-1]["accuracy"] > 0.9
    assert records[-1]["loss"] < 0.5 * records[0]["loss"]
    images, labels = faces(6, 8, seed=3)
    with torch.no_grad():
        embeddings = model.build()(normalise(torch.from_numpy(images)))
    cosine = torch.nn.functional.normalize(embeddings) @ torch.nn.functional.normalize(model.global_proxies).T
    assert (cosine.argmax(dim=1).numpy() == labels).mean() > 0.9  # row k of Φ is identity k
    assert public_classes(model) == ("p0", "p1", "p2", "p3", "p4", "p5")
    assert model.round == 0


def test_what_is_written_can_be_read_back(tmp_path: Path) -> None:
    settings = config(light=0.1)
    model = pretrain(public_set(), settings, tmp_path)
    assert bits(load_global(tmp_path / "model.safetensors")) == bits(model)
    assert resolve(PretrainConfig, "pretrain", tmp_path / "pretrain.toml") == settings
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2, 3]
    assert not (tmp_path / "state.safetensors").exists()


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tmp_path: Path) -> None:
    settings = config(shift=0.05, light=0.2, erase=0.5)
    a, b = (pretrain(public_set(), settings, tmp_path / name) for name in "ab")
    other = pretrain(public_set(), config(shift=0.05, light=0.2, erase=0.5, seed=1), tmp_path / "c")
    assert bits(a) == bits(b) != bits(other)


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_killed_run_goes_on_and_ends_with_the_same_bits(epoch: int, tmp_path: Path) -> None:
    settings = config(validation=2, shift=0.05)
    whole = pretrain(public_set(), settings, tmp_path / "whole", validate=separation)
    with pytest.raises(Killed):
        pretrain(public_set(), settings, tmp_path / "cut", validate=separation, on_epoch=killed_after(epoch))
    told: list[int] = []
    again = pretrain(
        public_set(),
        settings,
        tmp_path / "cut",
        validate=separation,
        on_epoch=lambda record: told.append(record["epoch"]),
    )
    assert bits(again) == bits(whole)
    assert told == [1, 2, 3]

    def without_time(folder: str) -> list[dict[str, Any]]:
        lines = (tmp_path / folder / "metrics.jsonl").read_text().splitlines()
        return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]

    assert without_time("cut") == without_time("whole")


def test_a_finished_run_is_given_back_and_other_settings_are_refused(tmp_path: Path) -> None:
    first = pretrain(public_set(), config(), tmp_path)
    told: list[dict[str, Any]] = []
    again = pretrain(public_set(), config(threads=2), tmp_path, on_epoch=told.append)
    assert bits(again) == bits(first)
    assert told == []
    with pytest.raises(ConfigError, match="epochs = 3, now it is 4; choose another --out"):
        pretrain(public_set(), config(epochs=4), tmp_path)
    with pytest.raises(ConfigError, match="public set"):
        pretrain(public_set(identities=5), config(), tmp_path)


def test_an_unfinished_run_with_other_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        pretrain(public_set(), config(), tmp_path, on_epoch=killed_after(1))
    before = (tmp_path / "pretrain.toml").read_bytes()
    with pytest.raises(ConfigError, match=r"margin = 0\.4, now it is 0\.2"):
        pretrain(public_set(), config(margin=0.2), tmp_path)
    assert (tmp_path / "pretrain.toml").read_bytes() == before


def test_a_damaged_state_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "state.safetensors").write_bytes(b"not a state")
    with pytest.raises(CheckpointError, match="delete it"):
        pretrain(public_set(), config(), tmp_path)


def test_held_out_people_are_no_part_of_the_model(tmp_path: Path) -> None:
    public, settings = public_set(), config(validation=2, seed=4)
    strangers = hold_out(public, 2, seed=4)
    measured: list[tuple[Embeddings, Labels]] = []

    def validate(embeddings: Embeddings, labels: Labels) -> Mapping[str, Any]:
        measured.append((embeddings, labels))
        return {"value": float(len(measured))}

    records: list[dict[str, Any]] = []
    model = pretrain(public, settings, tmp_path, validate=validate, on_epoch=records.append)
    assert len(measured) == 3
    for embeddings, labels in measured:
        assert set(labels.tolist()) == set(strangers.tolist())
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    assert records[0]["images"] == 4 * 8
    assert model.global_proxies.shape == (4, 16)
    names = [public.identities[number] for number in strangers]
    assert public_classes(model) == tuple(name for name in public.identities if name not in names)
    assert held_out_classes(model) == tuple(names)


def test_pixels_of_held_out_people_do_not_matter(tmp_path: Path) -> None:
    public = public_set()
    strangers = hold_out(public, 2, seed=0)
    altered = np.array(public.images[:])
    altered[np.isin(public.labels, strangers)] ^= 255
    other = PublicSet(altered, public.labels, public.identities, public.stores, public.licences, public.first)
    a = pretrain(public, config(validation=2, keep="last"), tmp_path / "a", validate=separation)
    b = pretrain(other, config(validation=2, keep="last"), tmp_path / "b", validate=separation)
    assert all(torch.equal(value, b.backbone[name]) for name, value in a.backbone.items())


@pytest.mark.parametrize(("keep", "epoch"), [("best", 2), ("last", 4)])
def test_the_epoch_that_is_kept(keep: str, epoch: int, tmp_path: Path) -> None:
    values = iter([0.1, 0.9, 0.9, 0.3])
    snapshots: list[bytes] = []

    def validate(embeddings: Embeddings, labels: Labels) -> Mapping[str, Any]:
        snapshots.append(embeddings.tobytes())
        return {"value": next(values)}

    public, settings = public_set(), config(validation=2, epochs=4, keep=keep)
    model = pretrain(public, settings, tmp_path, validate=validate)
    rows = np.isin(public.labels, hold_out(public, 2, seed=0))
    with torch.no_grad():
        embeddings = model.build()(normalise(torch.from_numpy(public.images[rows])))
    found = torch.nn.functional.normalize(embeddings).numpy()
    kept = np.frombuffer(snapshots[epoch - 1], np.float32).reshape(found.shape)
    np.testing.assert_allclose(found, kept, atol=1e-6)
    assert not np.allclose(found, np.frombuffer(snapshots[0], np.float32).reshape(found.shape), atol=1e-3)


@pytest.mark.parametrize("cut", [None, 3])
def test_patience_stops_after_so_many_measurements_without_a_better_one(
    cut: int | None, tmp_path: Path
) -> None:
    values = {1: 0.5, 2: 0.6, 3: 0.6, 4: 0.1, 5: 0.9}
    epoch = [0]

    def validate(embeddings: Embeddings, labels: Labels) -> Mapping[str, Any]:
        epoch[0] += 1
        return {"value": values[epoch[0]]}

    settings = config(validation=2, epochs=9, patience=2)
    if cut is not None:
        with pytest.raises(Killed):
            pretrain(public_set(), settings, tmp_path, validate=validate, on_epoch=killed_after(cut))
    told: list[tuple[int, int]] = []
    pretrain(
        public_set(), settings, tmp_path, validate=validate, progress=lambda _, *report: told.append(report)
    )
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 4
    assert [done == total for done, total in told].count(True) == 1
    assert told[-1][0] == told[-1][1]


def test_measurements_come_every_so_many_epochs_and_after_the_last(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = []
    settings = config(validation=2, epochs=5, validation_every=2)
    pretrain(public_set(), settings, tmp_path, validate=separation, on_epoch=records.append)
    assert [record["epoch"] for record in records if "validation" in record] == [2, 4, 5]
    assert all(record["validation"]["people"] == 2 for record in records if "validation" in record)


def test_a_loss_that_is_not_finite_stops_it_and_keeps_the_epoch_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Killed):
        pretrain(public_set(), config(), tmp_path, on_epoch=killed_after(1))
    kept = (tmp_path / "state.safetensors").read_bytes()
    real = recipe.losses.cosface
    monkeypatch.setattr(recipe.losses, "cosface", lambda *a, **k: real(*a, **k) * torch.nan)
    with pytest.raises(NonFiniteError, match=r"pre-training, epoch 2: loss is nan at step 1\b"):
        pretrain(public_set(), config(), tmp_path)
    assert (tmp_path / "state.safetensors").read_bytes() == kept
    assert not (tmp_path / "model.safetensors").exists()


def test_the_rate_rises_straight_and_falls_along_a_cosine() -> None:
    rates = [learning_rate(step, 100, 20, 0.4) for step in range(100)]
    assert rates[:20] == pytest.approx([0.4 * (step + 1) / 20 for step in range(20)])
    assert rates[20] == pytest.approx(0.4)
    assert rates[60] == pytest.approx(0.2)
    assert rates[40] == pytest.approx(0.4 * (1 + math.sqrt(0.5)) / 2)
    assert 0 < rates[99] < 0.001
    assert learning_rate(0, 5, 10, 1.0) == pytest.approx(0.1)


def test_gradients_are_shortened(tmp_path: Path) -> None:
    """With a tiny limit, momentum 0 and no decay a step is at most rate × limit long."""
    settings = config(epochs=1, batch_size=64, clip=1e-3, momentum=0.0, weight_decay=0.0, warmup=0.0)
    model = pretrain(public_set(), settings, tmp_path)
    start = recipe.build_backbone(model.spec, seed=0).state_dict()
    squares = sum(float((value - start[name]).square().sum()) for name, value in model.backbone.items())
    assert 0 < math.sqrt(squares) <= 0.05 * 1e-3 * 1.01


def test_training_can_start_from_given_weights(tmp_path: Path) -> None:
    first = pretrain(public_set(), config(seed=5), tmp_path / "first")
    weights = tmp_path / "first" / "model.safetensors"
    settings = config(weights=weights, learning_rate=0.0, weight_decay=0.0)
    second = pretrain(public_set(), settings, tmp_path / "second")
    assert all(torch.equal(value, second.backbone[name]) for name, value in first.backbone.items())
    with pytest.raises(ConfigError, match="cannot read weights"):
        pretrain(public_set(), config(weights=tmp_path / "none"), tmp_path / "third")


@pytest.mark.parametrize(
    ("people", "first", "count", "message"),
    [
        (6, 6, 1, "hold out 2 or more"),
        (6, 6, 5, "leave 2 or more"),
        (6, 3, 4, "first store has 3"),
        (1, 1, 0, "2 or more to tell apart"),
    ],
)
def test_holding_out_too_many_or_too_few_is_refused(
    people: int, first: int, count: int, message: str
) -> None:
    public = public_set(people, 2)
    public = PublicSet(public.images, public.labels, public.identities, ("digest",), ("own",), first)
    with pytest.raises(ConfigError, match=message):
        hold_out(public, count, seed=0)


def test_only_people_of_the_first_store_are_held_out_and_the_seed_decides() -> None:
    public = public_set(12, 2)
    public = PublicSet(public.images, public.labels, public.identities, ("digest",), ("own",), 8)
    draws = {tuple(hold_out(public, 4, seed).tolist()) for seed in range(20)}
    assert len(draws) > 10
    assert all(max(draw) < 8 and len(set(draw)) == 4 for draw in draws)
    assert hold_out(public, 4, 3).tolist() == hold_out(public, 4, 3).tolist()


def test_held_out_people_with_one_image_each_cannot_be_measured() -> None:
    with pytest.raises(ConfigError, match="two images to compare"):
        hold_out(public_set(6, 1), 3, seed=0)


def test_a_validation_without_an_evaluator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing measures it"):
        pretrain(public_set(), config(validation=2), tmp_path)
