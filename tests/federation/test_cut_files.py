"""A file that was cut short is never read as whole: going on is refused in one clear line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_federation import World

from fedfr_edge.cli import main


def arguments(world: World, out: Path, rounds: int) -> list[str]:
    return [
        "train",
        *("--pretrained", str(world.pretrained), "--store", str(world.store), "--split", str(world.split)),
        *("--public-store", str(world.public_store), "--out", str(out), "--rounds", str(rounds)),
        *("--epochs", "1", "--batch-size", "8", "--mining-threshold", "0", "--no-plot", "--processes", "1"),
    ]


@pytest.fixture(scope="module")
def finished(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "run"
    assert main(arguments(world, out, 2)) == 0
    return out


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("checkpoints/round_0002.safetensors", "cannot read checkpoint"),
        ("clients/client-01/round_0002.safetensors", "is damaged"),
        ("clients/client-01/owner.json", "owner.json"),
        ("metrics.jsonl", "metrics.jsonl"),
        ("federation.json", "federation.json"),
    ],
)
def test_a_cut_file_is_refused(
    world: World, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, said: str
) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    whole = (out / file).read_bytes().rstrip(b"\n")  # the last line's end is no loss
    for share in (0.0, 0.6, 0.999):
        (out / file).write_bytes(whole[: int(share * len(whole))])
        before = {path: path.read_bytes() for path in out.glob("checkpoints/*")} | {
            out / file: (out / file).read_bytes()
        }
        assert main(arguments(world, out, 3)) == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("error: ")
        assert said in error
        assert not (out / "checkpoints" / "round_0003.safetensors").exists()
        assert {path: path.read_bytes() for path in before} == before  # nothing is mended in silence
    # Put back, the run goes on.
    (out / file).write_bytes(whole)
    assert main(arguments(world, out, 3)) == 0


def test_metrics_that_lack_whole_lines_are_refused_too(
    world: World, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every line that is left is sound, so only their number tells."""
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    first, _ = (out / "metrics.jsonl").read_text().splitlines()
    (out / "metrics.jsonl").write_text(first + "\n")
    assert main(arguments(world, out, 3)) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "ends at round 1, but there is a checkpoint of round 2" in error
    (out / "metrics.jsonl").unlink()  # moved away, as the message says
    assert main(arguments(world, out, 3)) == 0
    assert (out / "metrics.jsonl").read_text().count("\n") == 1


def test_a_cut_state_of_pre_training_is_refused(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from killed_runs import Killed

    command = [
        *("pretrain", str(world.store), "--split", str(world.split), "--out", str(tmp_path), "--no-plot"),
        *("--backbone", "iresnet18", "--dim", "16", "--width", "4", "--input-size", "28", "--epochs", "2"),
    ]
    Killed(command, tmp_path).at_point("renamed", r"/metrics\.jsonl")
    state = tmp_path / "state.safetensors"
    whole = state.read_bytes()
    for share in (0.0, 0.3, 0.999):
        state.write_bytes(whole[: int(share * len(whole))])
        assert main(command) == 1
        assert "is damaged" in capsys.readouterr().err
        assert not (tmp_path / "model.safetensors").exists()
    state.write_bytes(whole)
    assert main(command) == 0
