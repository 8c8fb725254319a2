"""Pre-training that is killed with SIGKILL ends, after the same command, with the same bits."""

from __future__ import annotations

import random
from pathlib import Path

from killed_runs import Killed, assert_same_run
from small_federation import World

from fedfr_edge.cli import main


def arguments(world: World, out: Path) -> list[str]:
    return [
        *("pretrain", str(world.store), "--split", str(world.split), "--out", str(out), "--no-plot"),
        *("--backbone", "iresnet18", "--dim", "16", "--width", "4", "--input-size", "28"),
        *("--epochs", "8", "--batch-size", "4", "--learning-rate", "0.05", "--seed", "3"),
    ]


def test_a_killed_pre_training_is_gone_on_with(world: World, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "killed"
    assert main(arguments(world, whole)) == 0
    runs = Killed(arguments(world, out), out)
    runs.at_point("half", r"state\.safetensors")  # nothing is kept yet
    runs.at_point("step", "13")  # in the third epoch
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    runs.after(random.Random(seed).uniform(0, 8), from_start=True)  # it may have ended by then
    assert main(arguments(world, out)) == 0
    assert_same_run(out, whole)
    # The model is there, and what it was to be made from is not yet removed.
    late = tmp_path / "late"
    Killed(arguments(world, late), late).at_point("renamed", r"/model\.safetensors")
    assert (late / "state.safetensors").exists()
    assert main(arguments(world, late)) == 0
    assert_same_run(late, whole)


def test_a_kill_after_the_last_epoch_loses_no_metrics(world: World, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "killed"
    command = [*arguments(world, out), "--epochs", "1"]
    assert main([*arguments(world, whole), "--epochs", "1"]) == 0
    Killed(command, out).at_point("half", r"metrics\.jsonl")
    assert (out / "state.safetensors").exists()
    assert not (out / "metrics.jsonl").exists()
    assert main(command) == 0
    assert_same_run(out, whole)
