"""The model card: every figure in it comes from a record, and what no record says is not claimed."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from exported_model import Export

from fedfr_edge.apps.export_origin import command_of
from fedfr_edge.apps.known_models import shipped_models
from fedfr_edge.cli import main
from fedfr_edge.data.split import Split
from fedfr_edge.data.store import FaceStore
from fedfr_edge.data.synth.generate import synthesize_store
from fedfr_edge.export import write
from fedfr_edge.export.accuracy import Judges
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.train.checkpoint import GlobalModel, PersonalModel, save_global, save_personal


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, generic: Export, personal: Export) -> None:
    """Give out the graphs that the fixtures traced, instead of tracing them again."""
    graphs = {1: generic, 2: personal}
    monkeypatch.setattr(write, "to_onnx", lambda fused: graphs[len(fused.outputs)].graph())


@pytest.fixture
def arguments(tmp_path: Path, generic: Export, store: FaceStore, split: Split) -> list[str]:
    """Of ``fedfr export generic``, run in ``tmp_path``."""
    model = generic.model
    assert isinstance(model, GlobalModel)
    save_global(model, tmp_path / "model.safetensors")
    split.save(tmp_path / "split.json")
    text = '[pretrain]\nstore = ["faces"]\nout = "pre"\nepochs = 3\nwidth = 4\nplot = false\nseed = 0\n'
    (tmp_path / "pretrain.toml").write_text(text)
    paths = {"--checkpoint": tmp_path / "model.safetensors", "--store": store.path}
    paths |= {"--split": tmp_path / "split.json", "--out": tmp_path / "m.onnx"}
    return ["export", "generic", *(str(word) for pair in paths.items() for word in pair)]


def test_a_card_without_results_says_so(arguments: list[str], tmp_path: Path, generic: Export) -> None:
    assert main(arguments) == 0
    card = (tmp_path / "m.md").read_text()
    assert card.startswith("# generic round 4\n")
    assert "| training data, terms | research only |" in card
    assert "| federated rounds | 4 |" in card
    assert "Not measured." in card
    assert f"`m.onnx`: sha256 {hashlib.sha256((tmp_path / 'm.onnx').read_bytes()).hexdigest()}" in card
    for record in generic.report.thresholds:
        row = f"| {record.threshold:.4f} | {record.false_accepts:,} | {record.non_mated:,} |"
        assert row in card
    assert "Whether it was trained on the identities behind its thresholds is not recorded." in card
    assert "rendered faces" not in card
    # The commands as one would type them; defaults are left out.
    assert "fedfr pretrain --store faces --out pre --no-plot --width 4 --epochs 3\n" in card
    assert f"--out {tmp_path}/m.onnx" in card
    assert "--calibration-faces" not in card


def test_a_card_shows_the_variants(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Judges, "accuracy", lambda self, embeddings: 0.876)
    assert main([*arguments, "--variants", "int8, fp16", "--package", "insightface"]) == 0
    card, shown = (tmp_path / "m.md").read_text(), capsys.readouterr().out
    for name, precision in (("m.onnx", "fp32"), ("m.fp16.onnx", "fp16"), ("m.int8.onnx", "int8")):
        size = (tmp_path / name).stat().st_size
        row = re.search(
            rf"\| {precision} \| {name} \| {size / 1e6:.2f} \| [\d.]+ \| [\d.]+ \| 87.60 \|", card
        )
        assert row, card
        assert card.count(f"| {name} | 1e-1 |") == 1
    assert "Recommended here: " in card
    assert "Recommended here: " in shown
    assert "for insightface" in shown
    assert (tmp_path / "m.insightface" / "manifest.json").is_file()


@pytest.fixture
def results(arguments: list[str], tmp_path: Path, store: FaceStore) -> Path:
    """Of the checkpoint on the split's clients."""
    out = tmp_path / "results"
    where = ["--store", str(store.path), "--split", str(tmp_path / "split.json"), "--out", str(out)]
    generic = ["--generic", str(tmp_path / "model.safetensors"), "--intervals", "20", "--reading", "standard"]
    generic += ["--fars", "0.5"]  # two test images of each client carry no stricter rate
    assert main(["evaluate", "personalised", *where, *generic]) == 0
    return out


def test_a_card_shows_results(arguments: list[str], results: Path, tmp_path: Path) -> None:
    assert main([*arguments, "--evaluation", str(results)]) == 0
    card = (tmp_path / "m.md").read_text()
    record = json.loads((results / "personalised.json").read_text())
    (standard,) = [one for one in record["results"] if one["reading"] == "standard"]
    assert card.count("### Personalised protocol, standard reading: Θ_g") == 1
    rate = standard["verification"][0]
    assert f"| TAR@FAR 5e-1 | {100 * rate['value']:.2f} † | " in card
    assert "| 1 | 4 |" in card  # trials
    assert "Mean over 2 clients" in card
    assert "measured on model.safetensors" in card
    assert "fedfr evaluate personalised --store" in card


def test_results_of_another_model_are_refused(
    arguments: list[str], results: Path, tmp_path: Path, generic: Export, capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(generic.model, GlobalModel)
    save_global(replace(generic.model, round=5), tmp_path / "model.safetensors")
    assert main([*arguments, "--evaluation", str(results)]) == 1
    assert "is of other models than" in capsys.readouterr().err
    assert main([*arguments, "--evaluation", str(tmp_path)]) == 1
    assert "holds no results" in capsys.readouterr().err
    (results / "personalised.json").write_text('{"models": 3}')
    assert main([*arguments, "--evaluation", str(results)]) == 1
    assert "run it again" in capsys.readouterr().err
    assert not list(tmp_path.glob("m.*"))


def test_an_unknown_variant(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--variants", "fp32,int4"]) == 1
    assert "--variants names 'int4', expected some of fp32, fp16, int8" in capsys.readouterr().err
    assert not (tmp_path / "m.onnx").exists()


def test_a_personal_models_card(tmp_path: Path, personal: Export, store: FaceStore) -> None:
    assert isinstance(personal.model, PersonalModel)
    save_personal(personal.model, tmp_path / "p.safetensors")
    where = ["--checkpoint", str(tmp_path / "p.safetensors"), "--store", str(store.path)]
    assert main(["export", "personal", *where, "--out", str(tmp_path / "p.onnx")]) == 0
    card = (tmp_path / "p.md").read_text()
    assert "A personal model of client-01" in card
    assert "keep the file private" in card
    assert "| outputs | embedding, backbone_embedding:" in card
    assert "The terms of its training data are not recorded" in card


def test_commands_from_their_records(tmp_path: Path) -> None:
    record = tmp_path / "synth.toml"
    record.write_text('[data.synth]\nout = "two words"\nidentities = 60\nimages = 7\ncheck = true\n')
    assert command_of(record) == "fedfr data synth --out 'two words' --images 7 --check"
    for text in ("[nonsense]\na = 1\n", "not TOML", ""):
        record.write_text(text)
        assert command_of(record) is None
    assert command_of(tmp_path / "none.toml") is None


def test_the_shipped_model_is_what_its_card_says(tmp_path: Path) -> None:
    (path,) = shipped_models()
    card = path.with_suffix(".md").read_text()
    data = path.read_bytes()
    assert len(data) < 1e6
    assert f"sha256 {hashlib.sha256(data).hexdigest()}" in card
    encoder = OnnxEncoder(path)
    assert "synthetic" in encoder.manifest.training_data_licence
    assert "fedfr pretrain " in card
    for record in encoder.manifest.thresholds:
        assert f"| {record.threshold:.4f} |" in card
    # It knows rendered people whom it has never seen, at the threshold of a login.
    store = synthesize_store(tmp_path / "people", identities=6, images=4, seed=987)
    embeddings = encoder.embed(store.images)
    scores = embeddings @ embeddings.T
    same = store.labels[:, None] == store.labels[None, :]
    pairs = np.triu(np.ones_like(same), 1)
    threshold = encoder.manifest.thresholds[1].threshold
    assert (scores[same & pairs] >= threshold).mean() > 0.8
    assert (scores[~same & pairs] >= threshold).mean() < 0.1
