"""``fedfr pretrain`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from fedfr_edge.apps.runs import plot
from fedfr_edge.cli import main
from fedfr_edge.data.split import make_split
from fedfr_edge.data.store import FaceStore, StoreWriter
from fedfr_edge.train.checkpoint import load_global
from fedfr_edge.train.public import held_out_classes, public_classes

SMALL = ["--backbone", "sphereface10", "--dim", "16", "--width", "4", "--input-size", "28", "--epochs", "2"]


def make_store(path: Path, prefix: str, identities: int) -> FaceStore:
    rng = np.random.default_rng(identities)
    with StoreWriter(path, source="noise", licence="CC0") as writer:
        for identity in range(identities):
            for image in range(4):
                face = rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)
                writer.add(face, f"{prefix}{identity}", f"{prefix}{identity}/{image}")
        return writer.finish()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrain")
    store = make_store(folder / "a", "a", 6)
    make_store(folder / "b", "b", 3)
    split = make_split(store, public=4, clients=1, per_client=2, train_images=2, test_images=2, seed=0)
    split.save(folder / "split.json")
    return folder


def test_stores_and_split_become_a_model_whose_phi_has_public_people_only(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "out"
    stores = [str(folder / "a"), str(folder / "b")]
    command = ["pretrain", *stores, "--split", str(folder / "split.json"), "-o", str(out), *SMALL]
    assert main([*command, "--validation", "2"]) == 0
    printed = capsys.readouterr().out
    assert "12 mated and 16 non-mated pairs (rests on 0 false accepts)" in printed
    assert "5 public identities, 20 images an epoch" in printed
    model = load_global(out / "model.safetensors")
    trained, held_out = public_classes(model), held_out_classes(model)
    split = json.loads((folder / "split.json").read_text())
    assert {*trained, *held_out} == {*split["public"], "b0", "b1", "b2"}
    assert (len(trained), len(held_out)) == (5, 2)
    assert {*held_out} <= {*split["public"]}  # from the first store
    assert 'backbone = "sphereface10"' in (out / "pretrain.toml").read_text()
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 2

    assert main([*command, "--validation", "2"]) == 0
    assert "finished result" in capsys.readouterr().out
    assert main([*command, "--validation", "0"]) == 1
    error = capsys.readouterr().err
    assert "validation = 2, now it is 0" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "make a store"),
        (["b", "--split", "split.json"], "not among those given"),
        (["a", "a"], "also in another store"),
        (["a", "--backbone", "resnet"], "resnet"),
        (["a", "--validation", "5"], "leave 2 or more"),
        ([], "'store' is not set"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    arguments: list[str],
    message: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    assert main(["pretrain", *arguments[:1], "-o", "bad", *SMALL, *arguments[1:]]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (folder / "bad").exists()


def test_the_plot_and_the_event_files_hold_every_epoch_once(folder: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = folder / "watched"
    command = ["pretrain", str(folder / "a"), "-o", str(out), *SMALL, "--validation", "2", "--tensorboard"]
    assert main(command) == 0
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    for name, values in {
        "pretrain/loss": [record["loss"] for record in records],
        "pretrain/accuracy": [record["accuracy"] for record in records],
        "pretrain/TAR@FAR 0.001": [record["validation"]["value"] for record in records],
    }.items():
        found = events.Scalars(name)
        assert [event.step for event in found] == [1, 2]
        assert [event.value for event in found] == pytest.approx(values, rel=1e-6)

    drawn: list[plot.Panel] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plot, "_grid", lambda *arguments: drawn.extend(arguments[3]))
        plot.pretrain_figure("title", records)
    panels = {panel.title: panel.lines[0] for panel in drawn}
    assert panels["CosFace (Eq. 1)"].points == [(r["epoch"], r["loss"]) for r in records]
    held_out = panels["held out: TAR at FAR 1e-3, %"]
    assert held_out.points == [(r["epoch"], 100 * r["validation"]["value"]) for r in records]
    assert held_out.hollow == {1, 2}  # they rest on no false accept
    ElementTree.parse(out / "pretrain.svg")

    plain = ["pretrain", str(folder / "a"), "-o", str(folder / "plain"), *SMALL, "--no-plot"]
    assert main(plain) == 0
    assert not list((folder / "plain").glob("pretrain.[sp]*g"))
