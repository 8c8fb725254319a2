"""Exported files in the hands of those who use them: onnx's checker, onnxruntime, insightface."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from exported_model import Export

from fedfr_edge.data.split import Split
from fedfr_edge.data.store import FaceStore
from fedfr_edge.errors import ExportError
from fedfr_edge.export import insightface_package, write
from fedfr_edge.export.accuracy import Judges, choose_judges
from fedfr_edge.export.bundle import ExportReport
from fedfr_edge.export.calibration import choose_faces
from fedfr_edge.export.insightface_package import to_nchw
from fedfr_edge.export.write import export_generic, export_personal
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.train.checkpoint import PersonalModel


@pytest.fixture(scope="module", params=["generic", "personal"])
def bundle(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, store: FaceStore, split: Split
) -> ExportReport:
    """All variants and the insightface package of one model."""
    export: Export = request.getfixturevalue(request.param)
    model = export.model
    calibration = choose_faces(store, split)
    judges = choose_judges(store, split, calibration, client=getattr(model, "client", None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "to_onnx", lambda fused: export.graph())
        patch.setattr(Judges, "accuracy", lambda self, embeddings: 0.9)
        return (export_personal if isinstance(model, PersonalModel) else export_generic)(
            model,
            tmp_path_factory.mktemp("bundle") / "model.onnx",
            calibration=calibration,
            variants=("fp16", "int8"),
            judges=judges,
            insightface=True,
        )


def as_bgr(faces: np.ndarray) -> list[np.ndarray]:
    """What insightface takes: a list of BGR images."""
    return [np.ascontiguousarray(face[:, :, ::-1]) for face in faces]


def package_of(bundle: ExportReport) -> Path:
    assert bundle.package is not None
    return bundle.package


def test_every_file_is_valid_onnx(bundle: ExportReport) -> None:
    files = [file.path for file in bundle.files] + [package_of(bundle) / "recognition.onnx"]
    assert len(files) == 4
    for file in files:
        proto = onnx.load(file)
        onnx.checker.check_model(proto, full_check=True)
        assert [entry.key for entry in proto.metadata_props] == ["fedfr.manifest"]


@pytest.mark.parametrize("threads", [1, 2, None])
def test_batches_and_threads_change_nothing(
    bundle: ExportReport, faces: np.ndarray, threads: int | None
) -> None:
    for file in bundle.files:
        alone = OnnxEncoder(file.path, threads=1)
        singles = np.concatenate([alone.embed(face[None]) for face in faces])
        encoder = OnnxEncoder(file.path, threads=threads)
        np.testing.assert_allclose(encoder.embed(faces), singles, rtol=0, atol=1e-5)
        assert encoder.provider == "CPUExecutionProvider"


def test_insightface_takes_the_file(bundle: ExportReport, faces: np.ndarray) -> None:
    zoo = pytest.importorskip("insightface.model_zoo.model_zoo")
    path = package_of(bundle) / "recognition.onnx"
    model = zoo.get_model(str(path), providers=["CPUExecutionProvider"])
    assert type(model).__name__ == "ArcFaceONNX"
    assert (model.input_size, model.input_mean, model.input_std) == ((112, 112), 0.0, 1.0)
    expected = OnnxEncoder(bundle.path).embed(faces)
    np.testing.assert_allclose(model.get_feat(as_bgr(faces)), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(model.get_feat(as_bgr(faces)[0]), expected[:1], rtol=0, atol=1e-5)
    assert model.compute_sim(expected[0], expected[1]) == pytest.approx(expected[0] @ expected[1], abs=1e-5)


def test_insightface_takes_the_package(bundle: ExportReport, faces: np.ndarray) -> None:
    zoo: Any = pytest.importorskip("insightface.model_zoo.model_zoo")
    manifests = pytest.importorskip("insightface.model_zoo.package_manifest")
    folder = package_of(bundle)
    package = manifests.load_model_package(folder)
    assert package.manifest_version == 2
    assert package.display_name == bundle.manifest.name
    task = package.task("recognition")
    assert task.metadata["preprocessing"] == "embedded"
    assert task.metadata["embedding_dimension"] == bundle.manifest.dim
    model = zoo.get_model(str(folder), model_task="recognition", providers=["CPUExecutionProvider"])
    assert (model.input_mean, model.input_std) == (0.0, 1.0)
    expected = OnnxEncoder(bundle.path).embed(faces)
    np.testing.assert_allclose(model.get_feat(as_bgr(faces)), expected, rtol=0, atol=1e-5)


def test_insightface_finds_a_changed_file(bundle: ExportReport, tmp_path: Path) -> None:
    zoo: Any = pytest.importorskip("insightface.model_zoo.model_zoo")
    folder = package_of(bundle)
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    data = bytearray((tmp_path / "recognition.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "recognition.onnx").write_bytes(data)
    with pytest.raises(RuntimeError, match="SHA-256 mismatch"):
        zoo.get_model(str(tmp_path), model_task="recognition", providers=["CPUExecutionProvider"])


def test_the_package_keeps_the_login_space_alone(bundle: ExportReport) -> None:
    folder = package_of(bundle)
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "recognition.onnx"]
    proto = onnx.load(folder / "recognition.onnx")
    assert [value.name for value in proto.graph.output] == ["embedding"]
    used = {name for node in proto.graph.node for name in node.input}
    assert {tensor.name for tensor in proto.graph.initializer} <= used
    described = json.loads((folder / "manifest.json").read_text())
    assert described["model_id"].replace("-", "").isalnum()
    private = bundle.manifest.kind == "personal"
    assert {path.stat().st_mode & 0o077 == 0 for path in folder.iterdir()} == {private}


def test_a_package_that_differs_leaves_no_file(
    generic: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def altered(proto: onnx.ModelProto) -> onnx.ModelProto:
        turned = to_nchw(proto)
        (bias,) = [tensor for tensor in turned.graph.initializer if tensor.name.endswith("fc.bias")]
        values = onnx.numpy_helper.to_array(bias) + np.float32(0.01)
        bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
        return turned

    monkeypatch.setattr(write, "to_onnx", lambda fused: generic.graph())
    monkeypatch.setattr(insightface_package, "to_nchw", altered)
    with pytest.raises(ExportError, match="the insightface package differs from the exported file"):
        export_generic(generic.model, tmp_path / "m.onnx", calibration=None, insightface=True)
    assert not list(tmp_path.iterdir())
