"""Exporting when something is wrong: no file is left, an earlier one stays; the faces to calibrate with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from exported_model import Export
from onnx import numpy_helper

from fedfr_edge.data.split import Split
from fedfr_edge.data.store import FaceStore
from fedfr_edge.errors import CheckpointError, DataError, ExportError, SplitError, WriteError
from fedfr_edge.export import write
from fedfr_edge.export.calibration import Calibration, choose_faces
from fedfr_edge.export.write import export_generic
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.train.checkpoint import GlobalModel
from fedfr_edge.train.public import PUBLIC_CLASSES, PUBLIC_STORES


@pytest.fixture
def traced(generic: Export, monkeypatch: pytest.MonkeyPatch) -> onnx.ModelProto:
    """The generic model's graph, given out instead of tracing it again."""
    proto = generic.graph()
    monkeypatch.setattr(write, "to_onnx", lambda fused: proto)
    return proto


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"an earlier model")
    return path


def untouched(path: Path) -> bool:
    return path.read_bytes() == b"an earlier model" and list(path.parent.iterdir()) == [path]


def test_a_graph_that_computes_something_else(
    generic: Export, traced: onnx.ModelProto, earlier: Path
) -> None:
    (weights,) = [t for t in traced.graph.initializer if t.name.endswith("fc.weight")]
    values = numpy_helper.to_array(weights).copy()
    values[0, 0] += 0.02 * np.abs(values).max()
    weights.CopyFrom(numpy_helper.from_array(values, weights.name))
    with pytest.raises(ExportError, match="differs from torch"):
        export_generic(generic.model, earlier, calibration=None)
    assert untouched(earlier)


@pytest.mark.parametrize("value", [float("nan"), 0.0])
def test_weights_that_give_no_direction(
    generic: Export, traced: onnx.ModelProto, earlier: Path, value: float
) -> None:
    broken = dict(generic.model.backbone)
    broken["net.fc.weight"] = torch.full_like(broken["net.fc.weight"], value)
    broken["net.fc.bias"] = torch.zeros_like(broken["net.fc.bias"])
    with pytest.raises(ExportError, match="torch gives embedding vectors of length"):
        export_generic(replace(generic.model, backbone=broken), earlier, calibration=None)
    assert untouched(earlier)


def test_weights_that_do_not_fit(generic: Export, earlier: Path) -> None:
    with pytest.raises(CheckpointError, match="do not fit"):
        export_generic(replace(generic.model, backbone={}), earlier, calibration=None)
    assert untouched(earlier)


def test_a_graph_that_onnxruntime_cannot_load(
    generic: Export, traced: onnx.ModelProto, earlier: Path
) -> None:
    traced.graph.node[3].op_type = "NoSuchOperator"
    with pytest.raises(ExportError, match="cannot load the exported graph"):
        export_generic(generic.model, earlier, calibration=None)
    assert untouched(earlier)


@pytest.mark.parametrize("people", [0, 1, 3])
def test_too_few_comparisons(
    generic: Export, traced: onnx.ModelProto, earlier: Path, faces: np.ndarray, people: int
) -> None:
    few = Calibration(faces[:people], np.arange(people), "few")
    with pytest.raises(DataError, match=r"too few for a threshold at any of 0\.1, 0\.01"):
        export_generic(generic.model, earlier, calibration=few)
    assert untouched(earlier)


def test_a_full_disk(
    generic: Export, traced: onnx.ModelProto, earlier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WriteError, match="No space left"):
        export_generic(generic.model, earlier, calibration=None)
    assert untouched(earlier)


def test_uncalibrated(generic: Export, traced: onnx.ModelProto, earlier: Path) -> None:
    report = export_generic(generic.model, earlier, calibration=None, name="bare", licence="MIT")
    manifest = OnnxEncoder(earlier).manifest
    assert (manifest.thresholds, manifest.name, manifest.training_data_licence) == ((), "bare", "MIT")
    assert report.faces_compared == 4
    # The weights' hash does not depend on what else the file says.
    assert manifest.weights_sha256 == generic.report.manifest.weights_sha256


def test_progress(generic: Export, traced: onnx.ModelProto, tmp_path: Path, faces: np.ndarray) -> None:
    many = Calibration(np.repeat(faces, 10, axis=0), np.arange(70), "many")
    seen: list[tuple[str, int, int]] = []
    export_generic(
        generic.model, tmp_path / "m.onnx", calibration=many, progress=lambda *step: seen.append(step)
    )
    assert seen == [
        *(("exporting", done, 2) for done in range(3)),
        ("calibrating", 64, 70),
        ("calibrating", 70, 70),
    ]


def test_calibration_uses_public_faces_alone(store: FaceStore, split: Split) -> None:
    calibration = choose_faces(store, split)
    public = {store.identities.index(name) for name in split.public}
    assert set(calibration.labels.tolist()) == public
    assert np.array_equal(calibration.faces, store.images[split.public_rows(store)])
    assert calibration.source.endswith("public identities of store " + store.digest[:12] + ", split seed 5")


def test_calibration_draws_by_seed(store: FaceStore, split: Split) -> None:
    one, two, other = (choose_faces(store, split, limit=20, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.faces, two.faces)
    assert not np.array_equal(one.faces, other.faces)
    assert len(one.faces) == len(one.labels) == 20
    assert one.source.startswith("20 faces drawn from 48 with seed 1 of ")
    rows = [np.flatnonzero((store.images == face).all((1, 2, 3))) for face in one.faces]
    assert len(set(np.concatenate(rows).tolist())) == 20
    assert np.array_equal(store.labels[np.concatenate(rows)], one.labels)


def test_calibration_without_a_split_takes_all(store: FaceStore) -> None:
    calibration = choose_faces(store, None)
    assert len(calibration.faces) == 56
    assert calibration.source == f"56 faces of 14 identities of store {store.digest[:12]}"


def test_impostors_are_people_that_training_did_not_see(store: FaceStore, split: Split) -> None:
    stores = json.dumps(["0" * 64, store.digest])
    seen = split.public[:5]
    metadata = {PUBLIC_CLASSES: json.dumps([*seen, "somebody else"]), PUBLIC_STORES: stores}
    calibration = choose_faces(store, split, metadata=metadata)
    people = {store.identities[label] for label in calibration.labels}
    assert people == set(split.public[5:])
    assert calibration.identities_seen == 0
    assert calibration.source.endswith("; training saw 0 of these identities")


def test_whether_training_saw_the_impostors(store: FaceStore, split: Split) -> None:
    names = [*split.public[:-1], "somebody else"]  # one stranger alone makes no impostor pair
    metadata = {PUBLIC_CLASSES: json.dumps(names), PUBLIC_STORES: json.dumps(["0" * 64, store.digest])}
    calibration = choose_faces(store, split, metadata=metadata)
    assert calibration.identities_seen == len(split.public) - 1
    assert calibration.source.endswith(f"; training saw {len(split.public) - 1} of these identities")
    metadata[PUBLIC_STORES] = json.dumps(["0" * 64])  # equal names in another store are other people
    assert choose_faces(store, split, metadata=metadata).identities_seen == 0
    assert choose_faces(store, split, metadata={PUBLIC_STORES: "["}).identities_seen is None
    assert choose_faces(store, split).identities_seen is None


def test_calibration_of_another_store(store: FaceStore, split: Split) -> None:
    with pytest.raises(SplitError, match="was made for store"):
        choose_faces(store, replace(split, store_digest="0" * 64))
    with pytest.raises(DataError, match="expected at least 2"):
        choose_faces(store, split, limit=1)


def test_a_model_is_not_changed_by_its_export(
    generic: Export, traced: onnx.ModelProto, tmp_path: Path
) -> None:
    model = generic.model
    assert isinstance(model, GlobalModel)
    before = {name: value.clone() for name, value in model.backbone.items()}
    export_generic(model, tmp_path / "m.onnx", calibration=None)
    assert all(torch.equal(before[name], value) for name, value in model.backbone.items())
