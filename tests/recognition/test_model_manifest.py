from __future__ import annotations

import json
from typing import Any

import pytest

from fedfr_edge.errors import ForeignModelError
from fedfr_edge.recognition.manifest import Manifest, Threshold, far_key

MANIFEST = Manifest(
    kind="personal",
    name="client-00 round 3",
    client="client-00",
    round=3,
    dim=512,
    backbone={"name": "sphereface20", "width": 64},
    preprocessing="(x / 255 - 0.5) / 0.5",
    thresholds=(Threshold(1e-2, 0.25, 5000, 50, "pub"), Threshold(1e-4, 0.4000000059604645, 5000, 0, "pub")),
    training_data_licence="none",
    weights_sha256="ab" * 32,
    versions={"fedfr-edge": "0.1.0"},
)


def test_round_trip_keeps_every_value() -> None:
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST


def test_json_has_the_agreed_keys() -> None:
    values = json.loads(MANIFEST.to_json())
    assert values["format"] == 1
    assert values["outputs"] == ["embedding", "backbone_embedding"]
    assert values["thresholds"]["1e-2"] == {
        "threshold": 0.25,
        "non_mated": 5000,
        "false_accepts": 50,
        "source": "pub",
    }
    assert set(values) == {
        *("format", "kind", "name", "client", "round", "dim", "backbone", "preprocessing", "outputs"),
        *("thresholds", "training_data_licence", "weights_sha256", "versions", "precision"),
    }


@pytest.mark.parametrize(
    ("far", "key"),
    [(1e-3, "1e-3"), (0.025, "2.5e-2"), (5e-4, "5e-4"), (1e-6, "1e-6"), (0.1, "1e-1"), (1 / 3, "3.33333e-1")],
)
def test_far_keys(far: float, key: str) -> None:
    assert far_key(far) == key
    assert float(key) == pytest.approx(far, rel=1e-5)


def test_a_threshold_is_found_by_its_rate() -> None:
    found = MANIFEST.threshold_at(0.0001)
    assert found is not None
    assert found.threshold == 0.4000000059604645
    assert not found.supported
    assert MANIFEST.thresholds[0].supported
    assert MANIFEST.threshold_at(1e-3) is None


def test_unknown_keys_are_ignored() -> None:
    values = json.loads(MANIFEST.to_json())
    values["added_later"] = [1]
    assert Manifest.from_json(json.dumps(values)) == MANIFEST


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2, this version reads 1"),
        ({"format": None}, "format None"),
        ({"kind": "other"}, "'kind'"),
        ({"client": None}, "'client'"),
        ({"client": ""}, "'client'"),
        ({"kind": "generic", "outputs": ["embedding"]}, "'client'"),
        ({"outputs": ["embedding"]}, "'outputs'"),
        ({"dim": 0}, "'dim'"),
        ({"dim": "512"}, "'dim'"),
        ({"round": -1}, "'round'"),
        ({"round": True}, "'round'"),
        ({"weights_sha256": "AB" * 32}, "'weights_sha256'"),
        ({"thresholds": {"2": {}}}, "'thresholds'"),
        ({"thresholds": {"abc": {}}}, "'thresholds'"),
        ({"thresholds": {"1e-3": 0.4}}, "'thresholds'"),
        (
            {"thresholds": {"1e-3": {"threshold": 3, "non_mated": 1, "false_accepts": 0, "source": ""}}},
            "cosine",
        ),
        (
            {"thresholds": {"1e-3": {"threshold": 0.3, "non_mated": 5, "false_accepts": 6, "source": ""}}},
            "up to 5",
        ),
        ({"backbone": "sphereface20"}, "'backbone'"),
        ({"name": ""}, "'name'"),
        ({"versions": None}, "'versions'"),
    ],
)
def test_what_does_not_fit_is_foreign(change: dict[str, Any], message: str) -> None:
    values = {**json.loads(MANIFEST.to_json()), **change}
    with pytest.raises(ForeignModelError, match=message) as caught:
        Manifest.from_json(json.dumps(values), where="m.onnx")
    assert str(caught.value).startswith("m.onnx: ")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3"])
def test_no_json_object_is_foreign(text: str) -> None:
    with pytest.raises(ForeignModelError):
        Manifest.from_json(text)


def test_a_writer_cannot_write_what_no_reader_accepts() -> None:
    with pytest.raises(ForeignModelError, match="'threshold'"):
        Manifest(
            kind="generic",
            name="x",
            round=0,
            dim=4,
            backbone={},
            preprocessing="",
            weights_sha256="0" * 64,
            thresholds=(Threshold(0.1, float("nan"), 5, 1, ""),),
        ).to_json()
