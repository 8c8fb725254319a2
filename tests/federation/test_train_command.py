"""``fedfr train`` from the command line."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_federation import CLIENTS, SETTINGS, World, assert_same_bits, plain_loop

from fedfr_edge.cli import main
from fedfr_edge.config import resolve
from fedfr_edge.federation.private_state import load_personal_from
from fedfr_edge.train.checkpoint import load_global


def arguments(world: World, out: Path, *more: str, rounds: int = 2) -> list[str]:
    return [
        "train",
        *("--pretrained", str(world.pretrained), "--store", str(world.store), "--split", str(world.split)),
        *("--public-store", str(world.public_store), "--out", str(out), "--rounds", str(rounds)),
        *("--epochs", "1", "--batch-size", "8", "--mining-threshold", "0", "--learning-rate", "0.01"),
        *("--seed", "7", "--no-plot", *more),
    ]


def test_rounds_from_the_command_line(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(arguments(world, out)) == 0
    printed, told = capsys.readouterr()
    expected, states = plain_loop(world, 2)
    newest = out / "checkpoints" / "round_0002.safetensors"
    assert_same_bits(load_global(newest), expected)

    lines = printed.splitlines()
    assert lines[0].split()[0] == "round"
    assert [line.split()[0] for line in lines[1:3]] == ["1", "2"]
    assert str(newest) in printed
    assert str(out / "clients") in printed
    assert "rounds: 2/2" in told
    assert "clients: 6/6" in told

    # Every file that the help promises, and who may read it.
    from fedfr_edge.apps.commands.train import TrainRun

    config = resolve(TrainRun, "train", out / "train.toml")
    assert config.hyper_parameters() == SETTINGS.resolved()
    assert (config.seed, config.public_store) == (7, (world.public_store,))
    for client in CLIENTS:
        folder = out / "clients" / client
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert load_personal_from(folder).round == states[client].round == 2
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [record["round"] for record in records] == [1, 2]
    assert set(records[0]["clients"]) == set(CLIENTS)
    numbers = records[1]["clients"]["client-01"]
    assert numbers["images"] == 8
    # The printed loss is the mean over the clients' images.
    weights = {client: entry["images"] for client, entry in records[1]["clients"].items()}
    total = sum(weights[client] * entry["loss"] for client, entry in records[1]["clients"].items())
    assert lines[2].split()[3] == f"{total / sum(weights.values()):.4f}"


def test_the_same_command_again_goes_on(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(world, tmp_path, rounds=1)) == 0
    assert main(arguments(world, tmp_path, rounds=2)) == 0
    assert "holds 1 rounds already; going on from there" in capsys.readouterr().out
    assert_same_bits(
        load_global(tmp_path / "checkpoints" / "round_0002.safetensors"), plain_loop(world, 2)[0]
    )
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "checkpoints").iterdir()}
    assert main(arguments(world, tmp_path, rounds=2)) == 0  # nothing is left to do
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "checkpoints").iterdir()} == before


def test_changed_settings_are_refused_in_one_line(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(world, tmp_path, rounds=1)) == 0
    recorded = (tmp_path / "train.toml").read_text()
    capsys.readouterr()
    assert main(arguments(world, tmp_path, "--no-flip")) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: flip is False, but the run in ")
    assert len(error.splitlines()) == 1
    assert (tmp_path / "train.toml").read_text() == recorded


def test_bad_input_is_one_line_and_leaves_no_run(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(wanted: str, *more: str, world: World = world) -> None:
        assert main(arguments(world, tmp_path / "run", *more)) == 1
        error = capsys.readouterr().err
        assert wanted in error
        assert len(error.splitlines()) == 1
        assert not (tmp_path / "run").exists()

    absent = tmp_path / "absent"
    fails("absent", world=World(absent, world.public_store, world.split, world.pretrained))
    fails("absent", world=World(world.store, absent, world.split, world.pretrained))
    fails("absent", world=World(world.store, world.public_store, absent, world.pretrained))
    fails("absent", world=World(world.store, world.public_store, world.split, absent))
    fails("quorum is 4 of 3", "--quorum", "4")
    fails("is also in another store", "--public-store", str(world.store))
    fails("--device is 'cuda:99'", "--device", "cuda:99")
    fails("--device is 'toaster'", "--device", "toaster")


def test_fedface_has_to_be_agreed_to(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(arguments(world, out, "--method", "fedface")) == 1
    error = capsys.readouterr().err
    assert "sends W" in error
    assert "--share-proxies" in error
    assert len(error.splitlines()) == 1
    assert not out.exists()
    assert main(arguments(world, out, "--method", "fedface", "--share-proxies")) == 0
    expected, _ = plain_loop(world, 2, dataclasses.replace(SETTINGS, method="fedface"))
    assert_same_bits(load_global(out / "checkpoints" / "round_0002.safetensors"), expected)
    assert len(list((out / "proxies").iterdir())) == 2
    # Without a word about it, no other method sends W, and nobody has to agree.
    assert main(arguments(world, tmp_path / "fedavg", "--method", "fedavg", rounds=1)) == 0
    assert not (tmp_path / "fedavg" / "proxies").exists()


def test_public_stores_are_needed_only_by_methods_that_use_them(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def without(out: Path, *more: str) -> list[str]:
        given = arguments(world, out, *more)
        place = given.index("--public-store")
        return given[:place] + given[place + 2 :]

    assert main(without(tmp_path / "fedfr")) == 1
    assert "people are public here, the model was pre-trained on" in capsys.readouterr().err
    assert main(without(tmp_path / "fedavg", "--method", "fedavg")) == 0
    expected, _ = plain_loop(world, 2, dataclasses.replace(SETTINGS, method="fedavg"))
    assert_same_bits(load_global(tmp_path / "fedavg" / "checkpoints" / "round_0002.safetensors"), expected)


def test_central_trains_one_client_of_all_images(world: World, tmp_path: Path) -> None:
    assert main(arguments(world, tmp_path, "--method", "central", rounds=1)) == 0
    (line,) = [json.loads(text) for text in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert list(line["clients"]) == ["central"]
    assert line["clients"]["central"]["images"] == 6 + 8 + 6
    assert [path.name for path in (tmp_path / "clients").iterdir()] == ["central"]


def test_a_second_stage_ends_a_run(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(world, tmp_path, "--method", "kd", rounds=1)) == 0
    assert (tmp_path / "checkpoints" / "round_0002.safetensors").exists()
    capsys.readouterr()
    assert main(arguments(world, tmp_path, "--method", "kd", rounds=2)) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "round 2 was its second stage (kd)" in error
    assert main(arguments(world, tmp_path, "--method", "kd", rounds=1)) == 0


def test_a_quorum_above_the_drawn_clients_is_refused(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(world, tmp_path / "run", "--participation", "0.5", "--quorum", "3")) == 1
    assert "quorum is 3, but a round asks 2 of the 3 clients" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_client_that_fails_is_named_with_its_reason(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    folder = out / "clients" / "client-01"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    assert main(arguments(world, out)) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "2 of 3 clients gave a usable answer in round 1" in error
    assert "client-01: PrivateStateError" in error
    assert "notes.txt" in error
    # With a quorum the others go on, and the table and the record say who was left out.
    assert main(arguments(world, out, "--quorum", "2", rounds=1)) == 0
    assert "client-01 left out: PrivateStateError" in capsys.readouterr().out
    record = json.loads((out / "metrics.jsonl").read_text())
    assert record["failed"] == {"client-01": "PrivateStateError"}
    assert set(record["clients"]) == {"client-00", "client-02"}


def test_a_killed_process_is_gone_on_with(world: World, tmp_path: Path) -> None:
    """The real thing: SIGKILL after the first checkpoint, wherever it may hit, then the same command."""
    out = tmp_path / "run"
    program = "from fedfr_edge.cli import run; run()"
    command = [sys.executable, "-c", program, *arguments(world, out, rounds=30)]
    process = subprocess.Popen(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    end = time.monotonic() + 120
    while not (out / "checkpoints" / "round_0001.safetensors").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    reached = max(int(path.stem[6:]) for path in (out / "checkpoints").glob("round_*.safetensors"))
    assert reached < 30
    assert main(arguments(world, out, rounds=reached + 1)) == 0
    newest = out / "checkpoints" / f"round_{reached + 1:04d}.safetensors"
    assert_same_bits(load_global(newest), plain_loop(world, reached + 1)[0])


def test_help_says_what_goes_in_and_comes_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    for part in ("In:", "Out:", "--pretrained", "--public-store", "--alpha-bce", "--profile", "[required]"):
        assert part in text
