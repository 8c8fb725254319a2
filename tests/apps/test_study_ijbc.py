"""A study's generic models on IJB-C, by a small set in its file layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from fedfr_edge.apps.models_for_evaluation import Backend
from fedfr_edge.apps.study.measure import measure_ijbc
from fedfr_edge.apps.study.scores import values_of
from fedfr_edge.train.backbones.backbone import build_backbone
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.train.checkpoint import GlobalModel, cpu_state, save_global

SPEC = BackboneSpec("sphereface10", dim=16, width=4, input_size=28)


def test_ijbc_figures_are_those_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "evaluation"))
    from ijbc_set import make_set

    made = make_set(tmp_path / "set", subjects=8, probes=24, images=True)
    model, out = tmp_path / "model.safetensors", tmp_path / "out"
    start = GlobalModel(SPEC, cpu_state(build_backbone(SPEC, seed=3)), torch.zeros((2, SPEC.dim)), 1)
    save_global(start, model)
    found = measure_ijbc(model, made.root, out, Backend())
    (result,) = json.loads((out / "ijbc.json").read_text())["results"]
    assert not (out / "embeddings").exists()  # faces as numbers, of no more use
    record = {"strangers": None, "pairs": None, "personalised": [], "inputs": {"train": None}, "ijbc": found}
    values = values_of(record)
    for rate in result["verification"]["rates"]:
        if rate["far_target"] == 1e-1:
            assert values["generic", "IJB-C TAR@FAR 1e-1"].value == rate["value"]
            assert values["generic", "IJB-C TAR@FAR 1e-1"].false_accepts == rate["false_accepts"]
    (standard,) = result["identification"]
    assert standard["reading"] == "standard"
    assert values["generic", "IJB-C TPIR@FPIR 1e-1"].value == standard["rates"][0]["value"]
    assert values_of(record | {"ijbc": None}) == {}
