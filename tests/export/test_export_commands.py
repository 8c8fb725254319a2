"""``fedfr export generic`` and ``fedfr export personal``, from the command line to the file."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from exported_model import Export

from fedfr_edge.cli import main
from fedfr_edge.config import resolve
from fedfr_edge.data.split import Split
from fedfr_edge.data.store import FaceStore
from fedfr_edge.export import write
from fedfr_edge.federation.private_state import PrivateStore
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.train.checkpoint import GlobalModel, PersonalModel, save_global, save_personal
from fedfr_edge.train.private import PrivateState
from fedfr_edge.train.public import PUBLIC_CLASSES, PUBLIC_STORES


@pytest.fixture
def split_file(tmp_path: Path, split: Split) -> Path:
    split.save(tmp_path / "split.json")
    return tmp_path / "split.json"


@pytest.fixture
def run(tmp_path: Path, generic: Export, personal: Export) -> Path:
    """A run's folder with two checkpoints and one client's private folder."""
    for number in (3, 4):
        save_global(generic.model, tmp_path / "run" / "checkpoints" / f"round_{number:04d}.safetensors")
    model = personal.model
    assert isinstance(model, PersonalModel)
    state = PrivateState(
        local_proxies=torch.zeros((2, 12)),
        transform_weight=model.transform_weight,
        transform_bias=model.transform_bias,
        binary_proxies=torch.zeros((2, 12)),
        binary_bias=torch.zeros(2),
        backbone=model.backbone,
        round=9,
    )
    folder = tmp_path / "run" / "clients" / "client-01"
    with PrivateStore(folder, federation="test", client="client-01") as private:
        private.save(state, model.spec, {})
    return tmp_path / "run"


def fails(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Run a command that must fail; its one line."""
    assert main(["export", *map(str, arguments)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


def test_generic(
    tmp_path: Path,
    run: Path,
    store: FaceStore,
    split_file: Path,
    generic: Export,
    capfd: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "exported" / "model.onnx"
    arguments = ["--run", run, "--store", store.path, "--split", split_file, "--out", out]
    assert main(["export", "generic", *map(str, arguments)]) == 0
    # The same model, faces and versions: the same file, traced a second time.
    assert out.read_bytes() == generic.path.read_bytes()
    shown = capfd.readouterr()
    assert shown.err.splitlines() == ["exporting: 2/2", "calibrating: 48/48"]
    assert "generic round 4" in shown.out
    assert "at FAR 1e-1 (105 of 1056 comparisons)" in shown.out
    assert "training data: research only" in shown.out
    from fedfr_edge.apps.commands.export_generic import COMMAND

    config = resolve(COMMAND.config, COMMAND.section, out.with_suffix(".toml"))
    assert (config.run, config.out, config.calibration_faces) == (run, out, 4000)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, generic: Export, personal: Export) -> None:
    """Give out the graphs that the fixtures traced, instead of tracing them again."""
    graphs = {1: generic, 2: personal}
    monkeypatch.setattr(write, "to_onnx", lambda fused: graphs[len(fused.outputs)].graph())


@pytest.mark.usefixtures("quick")
def test_personal_from_a_run(
    tmp_path: Path, run: Path, store: FaceStore, split_file: Path, personal: Export, faces: np.ndarray
) -> None:
    out = tmp_path / "model.onnx"
    arguments = [
        "--run",
        run,
        "--client",
        "client-01",
        "--store",
        store.path,
        "--split",
        split_file,
        "-o",
        out,
    ]
    assert main(["export", "personal", *map(str, arguments)]) == 0
    encoder = OnnxEncoder(out)
    assert encoder.manifest.client == "client-01"
    assert np.array_equal(encoder.embed(faces), OnnxEncoder(personal.path).embed(faces))
    assert encoder.manifest.thresholds == personal.report.thresholds
    # The model does not say; the split ties it to this store, which does.
    assert encoder.manifest.training_data_licence == "CC0-1.0"
    assert (tmp_path / "model.toml").is_file()


@pytest.mark.usefixtures("quick")
def test_personal_from_other_places(tmp_path: Path, run: Path, store: FaceStore, personal: Export) -> None:
    model = personal.model
    assert isinstance(model, PersonalModel)
    save_personal(model, tmp_path / "personal.safetensors")
    out = tmp_path / "model.onnx"
    places: list[list[str | Path]] = [
        ["--checkpoint", tmp_path / "personal.safetensors"],
        ["--private", run / "clients" / "client-01", "--round", "9"],
    ]
    for place in places:
        assert main(["export", "personal", *map(str, place), "--store", str(store.path), "-o", str(out)]) == 0
        manifest = OnnxEncoder(out).manifest
        assert manifest.thresholds[0].source.startswith("56 faces of 14 identities")
        # Without a split nothing says that the model was trained on this store.
        assert manifest.training_data_licence == "unknown"
        out.unlink()


@pytest.mark.usefixtures("quick")
def test_uncalibrated(tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "m.onnx"
    assert (
        main(["export", "generic", "--run", str(run), "--uncalibrated", "--out", str(out), "--name", "x"])
        == 0
    )
    assert OnnxEncoder(out).manifest.thresholds == ()
    assert OnnxEncoder(out).manifest.name == "x"
    assert "not calibrated" in capsys.readouterr().err


@pytest.mark.usefixtures("quick")
def test_seen_impostors_are_remarked_on(
    tmp_path: Path, generic: Export, store: FaceStore, capsys: pytest.CaptureFixture[str]
) -> None:
    model = generic.model
    assert isinstance(model, GlobalModel)
    for names, remarked in ((store.identities, True), ((), False)):
        metadata = {PUBLIC_CLASSES: json.dumps(names), PUBLIC_STORES: json.dumps([store.digest])}
        checkpoint, out = tmp_path / "a.safetensors", tmp_path / "m.onnx"
        save_global(replace(model, metadata=metadata), checkpoint)
        arguments = ["--checkpoint", checkpoint, "--store", store.path, "--out", out]
        assert main(["export", "generic", *map(str, arguments)]) == 0
        captured = capsys.readouterr()
        assert f"training saw {len(names)} of these identities" in captured.out
        assert ("the model was trained on these impostors" in captured.err) == remarked


def test_what_generic_refuses(
    tmp_path: Path, run: Path, store: FaceStore, split_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", tmp_path / "m.onnx"]
    faces = ["--store", store.path]
    assert "'out' is not set" in fails(capsys, "generic", "--run", run)
    assert "exactly one of --checkpoint and --run" in fails(capsys, "generic", *out, *faces)
    assert "exactly one" in fails(capsys, "generic", *out, *faces, "--run", run, "--checkpoint", run)
    assert "leave it out" in fails(capsys, "generic", *out, *faces, "--checkpoint", run, "--round", "3")
    assert "ends in .onnx" in fails(capsys, "generic", "--out", tmp_path / "m.toml", "--run", run)
    assert "no --store given" in fails(capsys, "generic", *out, "--run", run)
    assert "excludes" in fails(capsys, "generic", *out, *faces, "--run", run, "--uncalibrated")
    assert "has no round 7, it has 3 to 4" in fails(
        capsys, "generic", *out, *faces, "--run", run, "--round", "7"
    )
    assert "check --run" in fails(capsys, "generic", *out, *faces, "--run", tmp_path)
    assert "cannot read checkpoint" in fails(capsys, "generic", *out, *faces, "--checkpoint", split_file)
    assert "fedfr" in fails(capsys, "generic", *out, "--run", run, "--store", tmp_path / "none")
    nowhere = tmp_path / "none.json"
    assert "cannot read split" in fails(capsys, "generic", *out, *faces, "--run", run, "--split", nowhere)
    assert not (tmp_path / "m.onnx").exists()
    assert not (tmp_path / "m.toml").exists()


def test_what_personal_refuses(
    tmp_path: Path, run: Path, store: FaceStore, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = ["--out", tmp_path / "m.onnx", "--store", store.path]
    assert "exactly one of --run" in fails(capsys, "personal", *rest)
    assert "exactly one" in fails(capsys, "personal", *rest, "--private", run, "--checkpoint", run)
    assert "belong together" in fails(capsys, "personal", *rest, "--run", run)
    assert "belong together" in fails(capsys, "personal", *rest, "--private", run, "--client", "client-01")
    assert "leave it out" in fails(capsys, "personal", *rest, "--checkpoint", run, "--round", "3")
    assert "no private state" in fails(capsys, "personal", *rest, "--run", run, "--client", "client-09")
    client = ["--run", run, "--client", "client-01"]
    assert "does not keep round 2" in fails(capsys, "personal", *rest, *client, "--round", "2")
    checkpoint = run / "checkpoints" / "round_0003.safetensors"
    assert "kind global; expected format 1, kind personal" in fails(
        capsys, "personal", *rest, "--checkpoint", checkpoint
    )
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize("package", ["torch", "onnxscript", "safetensors"])
def test_without_the_train_extra(
    tmp_path: Path,
    run: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    package: str,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    error = fails(capsys, "generic", "--run", run, "--uncalibrated", "--out", tmp_path / "m.onnx")
    assert f"{package} cannot be imported" in error
    assert "pip install fedfr-edge[cpu,train]" in error
