"""A run that is killed with SIGKILL anywhere ends, after the same command, as if nothing had happened."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from killed_runs import ROUNDS, Killed, arguments, assert_same_run, content, kill_often
from small_federation import World

from fedfr_edge.cli import main

POINTS = {
    "the record is half written": ("half", r"/\.federation\.json"),
    "the start is half written": ("half", r"checkpoints/\.round_0000"),
    "a client is in the middle of an epoch": ("step", "11"),
    "a checkpoint is half written": ("half", r"checkpoints/\.round_0002"),
    "all clients have kept their state, the server nothing": ("half", r"/\.metrics\.jsonl"),
    "a snapshot is half written": ("half", r"client-0[01]/\.round_0003"),
    "a client has kept its state, the server nothing": ("renamed", r"client-0[01]/round_0004"),
    "metrics are there, the checkpoint is not": ("renamed", r"/metrics\.jsonl"),
    "a checkpoint is there": ("renamed", r"checkpoints/round_0005"),
}


@pytest.fixture(scope="module")
def whole(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody killed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert main(arguments(world, out)) == 0
    return out


@pytest.mark.parametrize("processes", [1, 2])
def test_two_kills(world: World, whole: Path, tmp_path: Path, processes: int) -> None:
    """One while a checkpoint is half written, one at a random moment."""
    out = tmp_path / "run"
    command = arguments(world, out, processes=processes)
    runs = Killed(command, out)
    runs.at_point("half", r"checkpoints/\.round_0003")
    assert list((out / "checkpoints").glob(".round_0003.safetensors.*.tmp"))
    assert not (out / "checkpoints" / "round_0003.safetensors").exists()
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    runs.after(random.Random(seed).uniform(0, 0.5))
    assert main(command) == 0
    assert_same_run(out, whole)


def test_what_the_comparison_holds(world: World, whole: Path) -> None:
    """It holds every file, and the run is of the kind that it is meant to be."""
    found = content(whole)
    assert {f"checkpoints/round_{number:04d}.safetensors" for number in range(ROUNDS + 1)} <= found.keys()
    snapshots = [name for name in found if re.match(r"clients/client-0\d/round_\d{4}\.safetensors", name)]
    assert len(snapshots) == 9  # three clients, the last three snapshots of each
    lines = found["metrics.jsonl"]
    taking_part = [tuple(line["clients"]) for line in lines]
    assert {len(names) for names in taking_part} == {2}
    assert len(set(taking_part)) > 1  # not always the same two
    settings = (whole / "train.toml").read_text()
    assert 'profile = "reference"' in settings
    assert "momentum = 0.9" in settings
    assert 'lr_schedule = "step"' in settings


@pytest.mark.long
@pytest.mark.parametrize("processes", [1, 2])
def test_ten_kills_at_random_moments(world: World, tmp_path: Path, processes: int) -> None:
    whole, out = tmp_path / "whole", tmp_path / "killed"
    assert main(arguments(world, whole, rounds=24)) == 0
    lines = (whole / "metrics.jsonl").read_text().splitlines()
    work = sum(json.loads(line)["seconds"] for line in lines)
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}, {work:.1f} s of work")
    command = arguments(world, out, processes=processes, rounds=24)
    # An eighth of the work at most between two kills, so that ten of them do not reach the end.
    hit = kill_often(command, out, kills=10, within=work / processes / 8, seed=seed)
    assert hit >= 8
    assert_same_run(out, whole)


@pytest.mark.long
@pytest.mark.parametrize("processes", [1, 2])
def test_kills_at_every_kind_of_moment(world: World, whole: Path, tmp_path: Path, processes: int) -> None:
    out = tmp_path / "run"
    command = arguments(world, out, processes=processes)
    runs = Killed(command, out)
    for kind, what in POINTS.values():
        runs.at_point(kind, what)
    if processes > 1:
        runs.at_point("step", "5", whom="self")  # a client's process alone, as when memory runs out
    runs.to_the_end()
    assert_same_run(out, whole)
