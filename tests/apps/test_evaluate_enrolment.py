"""``fedfr evaluate enrolment`` with small models, and what ``fedfr enrol`` says of its figures."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from fedfr_edge.cli import main
from fedfr_edge.data.split import Split, make_split
from fedfr_edge.data.store import StoreWriter
from fedfr_edge.errors import ModelError
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.known_rates import known_of_new_people, rates_file, read_known_rates

tiny_model = runpy.run_path(str(Path(__file__).parents[1] / "recognition" / "tiny_model.py"))
KEY = "fedfr.manifest"


def write_model(path: Path, seed: int, client: str | None) -> None:
    model = tiny_model["build"](seed=seed, personal=client is not None)
    if client is not None:
        values = json.loads(next(prop.value for prop in model.metadata_props if prop.key == KEY))
        onnx.helper.set_model_props(model, {KEY: json.dumps({**values, "client": client})})
    path.write_bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of noisy blocks, a split of two clients with three people, and three models."""
    folder = tmp_path_factory.mktemp("enrolment")
    rng = np.random.default_rng(0)
    with StoreWriter(folder / "store", source="drawn", licence="CC0-1.0") as writer:
        for person in range(8):
            blocks = rng.integers(0, 256, (14, 14, 3))
            for image in range(14):
                grain = rng.integers(-90, 91, (14, 14, 3))
                face = np.clip(blocks + grain, 0, 255).astype(np.uint8).repeat(8, 0).repeat(8, 1)
                writer.add(face, f"P_{person}", f"P_{person}/{image:02d}")
        store = writer.finish()
    split = make_split(store, public=2, clients=2, per_client=3, train_images=2, test_images=12, seed=0)
    split.save(folder / "split.json")
    exported = folder / "exported"
    exported.mkdir()
    for seed, client in enumerate(("client-00", "client-01", None)):
        write_model(exported / f"{'generic' if client is None else f'personal-{client}'}.onnx", seed, client)
    return folder


def evaluate(made: Path, out: Path, *more: str) -> int:
    given = ["--store", made / "store", "--split", made / "split.json", "--out", out]
    settings = ["--draws", "2", "--images", "3", "--fars", "0.1", "--intervals", "20", "--exported"]
    exported = [] if "--exported" in more else [str(made / "exported")]
    return main(
        [
            "evaluate",
            "enrolment",
            *map(str, given),
            *(settings if exported else settings[:-1]),
            *exported,
            *more,
        ]
    )


def test_the_figures_are_written_and_enrol_says_them(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert evaluate(made, tmp_path / "out") == 0
    printed = capsys.readouterr().out
    assert "trained on by others" in printed
    record = json.loads((tmp_path / "out" / "enrolment.json").read_text())
    ways = {
        (each["model"], each["combine"], each["drop_outliers"], each["wrong"]) for each in record["results"]
    }
    assert len(ways) == 12 + 12 + 6  # the backbone's space has no limit to leave out by
    assert len(record["results"]) == 2 * len(ways)
    for result in record["results"]:
        new = result["group"] == "trained on by others"
        assert result["people"] == {"client-00": 3, "client-01": 3}
        # Two models, two draws, three templates; nine probes each of three people, or of the other two.
        assert result["trials"] == {"mated": 108, "non_mated": 216 if new else 324}
        assert (result["rates"]["tar"]["value"] is None) == (result["model"] == "Θ_l")
    assert "| trained on by others | robust | left out |" in (tmp_path / "out" / "enrolment.md").read_text()
    assert (tmp_path / "out" / "enrolment.toml").exists()
    values = {
        (each["model"], each["combine"], each["drop_outliers"], each["wrong"], each["group"]): each["rates"][
            "tar_at"
        ][0]["value"]
        for each in record["results"]
    }
    (change,) = (
        each
        for each in record["differences"]
        if (each["group"], each["change"]) == ("trained on", "left out − kept, 1 wrong")
    )
    assert change["value"] == pytest.approx(
        values["[Θ_l, Π_l]", "mean", True, 1, "trained on"]
        - values["[Θ_l, Π_l]", "mean", False, 1, "trained on"]
    )
    assert len(record["differences"]) == 2 * (2 + 6)

    model = tmp_path / "personal-client-00.onnx"
    model.write_bytes((made / "exported" / "personal-client-00.onnx").read_bytes())
    face = tmp_path / "face.png"
    import cv2

    cv2.imwrite(str(face), tiny_model["faces"](1)[0])
    enrol = ["enrol", "--aligned", "--model", str(model), "--gallery", str(tmp_path / "g"), str(face)]
    assert main([*enrol, "--name", "Ana"]) == 0
    assert "not trained on was not measured" in " ".join(capsys.readouterr().out.split())
    beside = tmp_path / "out" / "personal-client-00.enrolment.json"
    rates_file(model).write_text(beside.read_text())
    assert main([*enrol, "--name", "Ben", "--combine", "all", "--no-drop-outliers"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    (of_file,) = (
        rate
        for rate in json.loads(beside.read_text())["rates"]
        if (rate["combine"], rate["drop_outliers"]) == ("all", False)
    )
    assert (
        f"somebody whom the model was not trained on: {100 * of_file['new']['tar']:.1f} "
        f"[{100 * of_file['new']['tar_interval'][0]:.1f} …" in said
    )
    (of_record,) = (
        result["clients"]["client-00"]
        for result in record["results"]
        if (result["model"], result["combine"], result["drop_outliers"], result["wrong"], result["group"])
        == ("[Θ_l, Π_l]", "all", False, 0, "trained on by others")
    )
    assert of_file["new"]["tar"] == of_record["tar"]["value"]
    assert of_file["new"]["fmr"] == of_record["fmr"]["value"]


def test_people_whom_no_training_saw_are_a_group_of_their_own(made: Path, tmp_path: Path) -> None:
    import torch

    from fedfr_edge.train.backbones.backbone import build_backbone
    from fedfr_edge.train.backbones.spec import BackboneSpec
    from fedfr_edge.train.checkpoint import GlobalModel, cpu_state, save_global
    from fedfr_edge.train.public import HELD_OUT_CLASSES

    spec = BackboneSpec("sphereface10", dim=16, width=4, input_size=28)
    public = list(Split.load(made / "split.json").public)
    for name, held_out in (("held", public), ("none", []), ("gone", ["Q_1", "Q_2"])):
        model = GlobalModel(spec, cpu_state(build_backbone(spec, seed=0)), torch.zeros((2, spec.dim)), 0)
        model.metadata[HELD_OUT_CLASSES] = json.dumps(held_out)
        save_global(model, tmp_path / f"{name}.safetensors")
    assert evaluate(made, tmp_path / "out", "--checkpoint", str(tmp_path / "held.safetensors")) == 0
    record = json.loads((tmp_path / "out" / "enrolment.json").read_text())
    unseen = [each for each in record["results"] if each["group"] == "seen by no training"]
    assert len(unseen) == len(record["results"]) / 3
    # Two models, two draws, two people, nine probes each of them; strangers: the other one and three more.
    assert unseen[0]["trials"] == {"mated": 72, "non_mated": 288}
    assert unseen[0]["people"] == {"client-00": 2, "client-01": 2}
    known = json.loads((tmp_path / "out" / "personal-client-00.enrolment.json").read_text())
    assert [rate["new"]["people"] for rate in known["rates"]] == [2] * 6  # what enrol says is of these
    for name in ("none", "gone"):
        assert evaluate(made, tmp_path / "more", "--checkpoint", str(tmp_path / f"{name}.safetensors")) == 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--wrong", "3"], "too many for a majority"),
        (["--images", "12"], "leave no probe"),
        (["--exported", "nowhere"], "lacks personal-client-00.onnx, personal-client-01.onnx"),
    ],
)
def test_bad_input_is_one_line(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert evaluate(made, tmp_path / "out", *more) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "out").exists()


def test_another_clients_model_is_refused(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for client in ("client-00", "client-01"):
        write_model(tmp_path / f"personal-{client}.onnx", 0, "client-00")
    assert evaluate(made, tmp_path / "out", "--exported", str(tmp_path)) == 1
    assert "is the model of client-00, expected that of client-01" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        {"model": "b" * 64},
        {"format": 2},
        {"rates": [{"combine": "mean"}]},
        {"rates": 3},
        {"images": None},
    ],
)
def test_figures_of_another_model_or_none_at_all_are_refused(
    made: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    model = tmp_path / "m.onnx"
    write_model(model, 0, "client-00")
    encoder = OnnxEncoder(model, threads=1)
    assert read_known_rates(model, encoder.digest) is None
    right = {
        **{"format": 1, "model": encoder.digest, "measured": "2026-01-02T00:00:00+00:00", "images": 5},
        **{"far": 1e-3, "threshold": 0.5, "rates": []},
    }
    rates_file(model).write_text(json.dumps(right))
    assert read_known_rates(model, encoder.digest) is not None
    text = known_of_new_people(model, encoder.manifest, encoder.digest, "mean", True)
    assert text is not None
    assert "was not measured" in text
    rates_file(model).write_text(json.dumps({**right, **change}))
    with pytest.raises(ModelError, match="fedfr evaluate enrolment"):
        known_of_new_people(model, encoder.manifest, encoder.digest, "mean", True)


def test_of_a_generic_model_nothing_is_said(made: Path) -> None:
    path = made / "exported" / "generic.onnx"
    encoder = OnnxEncoder(path, threads=1)
    assert known_of_new_people(path, encoder.manifest, encoder.digest, "mean", True) is None
