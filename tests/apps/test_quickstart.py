"""The quickstart: small in the default tier, as users run it in the long one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fedfr_edge.cli import main
from fedfr_edge.data.store import FaceStore, StoreWriter
from fedfr_edge.data.synth.faces import render_faces

SMALL = (
    *("--clients", "2", "--per-client", "2", "--backbone", "sphereface10", "--width", "4"),
    *("--input-size", "28", "--pretrain-epochs", "2", "--rounds", "2", "--epochs", "1", "--threads", "1"),
)
"""Far too little to learn anything: what is tested is that every step does its part."""


def quickstart(out: Path, *options: object) -> int:
    return main(["quickstart", "--out", str(out), *map(str, (*SMALL, *options))])


@pytest.fixture(scope="module")
def own_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's own aligned faces."""
    path = tmp_path_factory.mktemp("own") / "store"
    with StoreWriter(path, source="a test", licence="own") as writer:
        for person in range(14):
            faces = render_faces(5, [(person, image) for image in range(10)])
            for image, face in enumerate(faces):
                writer.add(face, f"person {person}", f"person {person}/{image}")
        writer.finish()
    return path


def test_every_step_leaves_what_it_says(
    tmp_path: Path, own_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = FaceStore.open(own_store).digest
    status = quickstart(tmp_path / "q", "--data", own_store)
    out, error = capsys.readouterr()
    assert "Traceback" not in error
    # So weak a model may decide either way; the exit status must say which.
    assert status == (1 if "did not decide as it should" in error else 0), error
    for name in (
        "split.json",
        "quickstart.toml",
        "pretrained/model.safetensors",
        "run/checkpoints/round_0002.safetensors",
        "run/metrics.jsonl",
        "exported/generic.onnx",
        "exported/personal-client-00.onnx",
        "exported/personal-client-01.onnx",
        "evaluation/personalised.json",
        "evaluation-exported/personalised.json",
        "device/gallery.fedfr/state",
        "report.html",
    ):
        assert (tmp_path / "q" / name).is_file(), name
    assert FaceStore.open(own_store, verify=True).digest == before
    assert "TAR@FAR" in out
    assert "[Θ_l, Π_l]" in out
    page = (tmp_path / "q" / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    torch_result, onnx_result = (
        json.loads((tmp_path / "q" / folder / "personalised.json").read_text())
        for folder in ("evaluation", "evaluation-exported")
    )
    assert len(torch_result["results"]) == len(onnx_result["results"]) == 9

    # Again, as after an interruption: nothing is trained anew, and nothing breaks.
    model = (tmp_path / "q" / "run" / "checkpoints" / "round_0002.safetensors").read_bytes()
    assert quickstart(tmp_path / "q", "--data", own_store) == status
    assert "holds 2 rounds already" in capsys.readouterr().out
    assert (tmp_path / "q" / "run" / "checkpoints" / "round_0002.safetensors").read_bytes() == model


def test_too_few_people(tmp_path: Path, own_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert quickstart(tmp_path / "q", "--data", own_store, "--per-client", 6) == 1
    assert "leave 2 public ones, expected 8 or more" in capsys.readouterr().err


def test_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert quickstart(tmp_path / "q", "--data", tmp_path / "nowhere") == 1
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.long
def test_as_a_user_runs_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quickstart", "--out", str(tmp_path / "q")]) == 0
    results = json.loads((tmp_path / "q" / "evaluation" / "personalised.json").read_text())["results"]
    standard = {result["name"]: result for result in results if result["reading"] == "standard"}
    tar = {
        name: np.mean([client["verification"][1]["value"] for client in result["clients"]])
        for name, result in standard.items()
    }
    assert tar["[Θ_l, Π_l]"] > tar["Θ_g"]  # at FAR 1e-3
