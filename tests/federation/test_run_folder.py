"""A run's folder: begun once, gone on with under the same settings only."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from small_federation import SETTINGS, World

from fedfr_edge import atomic
from fedfr_edge.errors import CheckpointError, ConfigError, FederationError, WriteError
from fedfr_edge.federation.run_folder import RunFolder
from fedfr_edge.train.checkpoint import GlobalModel
from fedfr_edge.train.config import TrainConfig

RESOLVED = SETTINGS.resolved()
SOURCES = {"store": "s" * 64, "split": "t" * 64}


def opened(
    path: Path, start: GlobalModel, settings: TrainConfig = RESOLVED, seed: int = 1, **sources: str
) -> tuple[RunFolder, GlobalModel]:
    run = RunFolder(path)
    return run, run.open(start, settings, seed, {**SOURCES, **sources})


def after(model: GlobalModel) -> GlobalModel:
    return dataclasses.replace(model, round=model.round + 1, global_proxies=model.global_proxies + 1)


def test_a_new_run_begins_at_round_0_whatever_the_models_round(world: World, tmp_path: Path) -> None:
    start = dataclasses.replace(world.model(), round=9)
    run, model = opened(tmp_path / "run", start)
    assert run.rounds() == [0]
    assert model.round == 0
    assert model.metadata == start.metadata
    assert torch.equal(model.global_proxies, start.global_proxies)
    assert len(run.federation) == 32


def test_a_run_goes_on_from_its_newest_round(world: World, tmp_path: Path) -> None:
    run, model = opened(tmp_path, world.model())
    for _ in range(2):
        model = after(model)
        run.save(model, {"round": model.round, "clients": {}, "seconds": 1.5})
    again, newest = opened(tmp_path, world.model())
    assert newest.round == 2
    assert torch.equal(newest.global_proxies, model.global_proxies)
    assert again.federation == run.federation
    assert again.rounds() == [0, 1, 2]
    assert [line["round"] for line in again.metrics()] == [1, 2]


def test_two_runs_are_two_federations(world: World, tmp_path: Path) -> None:
    assert (
        opened(tmp_path / "a", world.model())[0].federation
        != opened(tmp_path / "b", world.model())[0].federation
    )


def test_equal_runs_have_equal_checkpoints(world: World, tmp_path: Path) -> None:
    one, other = (opened(tmp_path / name, world.model())[0].checkpoint(0) for name in "ab")
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("name", "value"),
    [("learning_rate", 0.5), ("epochs", (2,)), ("flip", False), ("profile", "reference"), ("momentum", 0.9)],
)
def test_a_changed_setting_is_named(world: World, tmp_path: Path, name: str, value: object) -> None:
    opened(tmp_path, world.model())
    changed = dataclasses.replace(RESOLVED, **{name: value})
    with pytest.raises(ConfigError, match=rf"^{name} is .* begun with .* same {name}"):
        opened(tmp_path, world.model(), changed)


def test_a_changed_seed_start_or_source_is_named(world: World, tmp_path: Path) -> None:
    opened(tmp_path, world.model())
    with pytest.raises(ConfigError, match=r"^seed is 2, but .* begun with 1"):
        opened(tmp_path, world.model(), seed=2)
    with pytest.raises(ConfigError, match=r"^store is content uuuuuuuuuuuu…"):
        opened(tmp_path, world.model(), store="u" * 64)
    with pytest.raises(ConfigError, match=r"^public_store is content .* begun with not set"):
        opened(tmp_path, world.model(), public_store="v" * 64)
    other = dataclasses.replace(world.model(), global_proxies=world.model().global_proxies + 1)
    with pytest.raises(ConfigError, match=r"^pretrained is content"):
        opened(tmp_path, other)


def test_how_far_and_on_what_may_change(world: World, tmp_path: Path) -> None:
    opened(tmp_path, world.model())
    opened(tmp_path, world.model(), dataclasses.replace(RESOLVED, rounds=99, device="cuda", threads=4))


def test_metrics_of_a_round_without_checkpoint_are_written_anew(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, model = opened(tmp_path, world.model())
    model = after(model)

    def full(*_: object, **__: object) -> None:
        raise WriteError("cannot write: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("fedfr_edge.federation.run_folder.save_global", full)
        with pytest.raises(WriteError):
            run.save(model, {"round": 1, "try": 1})
    assert run.rounds() == [0]
    run.save(model, {"round": 1, "try": 2})
    assert run.metrics() == [{"round": 1, "try": 2}]
    assert run.rounds() == [0, 1]


def test_damage_is_an_error(world: World, tmp_path: Path) -> None:
    run, model = opened(tmp_path, world.model())
    run.save(after(model), {"round": 1})
    (tmp_path / "metrics.jsonl").write_text('{"round": 1}\n{"rou')
    with pytest.raises(FederationError, match=r"metrics\.jsonl"):
        run.metrics()
    newest = run.checkpoint(1)
    data = newest.read_bytes()
    atomic.write_bytes(newest, data[:-3])
    with pytest.raises(CheckpointError):
        opened(tmp_path, world.model())
    run.checkpoint(0).rename(newest)
    with pytest.raises(CheckpointError, match="says that it is of round 0"):
        opened(tmp_path, world.model())
    (tmp_path / "federation.json").write_text(json.dumps({"federation": "x"}))
    with pytest.raises(FederationError, match=r"federation\.json"):
        opened(tmp_path, world.model())
    (tmp_path / "federation.json").unlink()
    with pytest.raises(FederationError, match=r"no federation\.json"):
        opened(tmp_path, world.model())


def test_a_kill_before_the_first_checkpoint_is_no_damage(world: World, tmp_path: Path) -> None:
    run, _ = opened(tmp_path, world.model())
    run.checkpoint(0).unlink()
    again, model = opened(tmp_path, world.model())
    assert (again.federation, model.round) == (run.federation, 0)
