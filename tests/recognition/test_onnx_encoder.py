from __future__ import annotations

import hashlib
import struct
import types
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tiny_model
from onnx import TensorProto, helper, numpy_helper

from fedfr_edge.errors import ForeignModelError, ImageError, MissingPartError, ModelError
from fedfr_edge.recognition.encoder import OnnxEncoder, weights_sha256
from fedfr_edge.vision import runtime


def independent(faces: np.ndarray, model: onnx.ModelProto, output: str) -> np.ndarray:
    """The tiny model in float64 loops over its own weights."""
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    rows = []
    for face in faces.astype(np.float64):
        planes = face.transpose(2, 0, 1) - 127.5
        steps = range(0, 112, 8)
        pooled = np.array([[[p[r : r + 8, c : c + 8].mean() for c in steps] for r in steps] for p in planes])
        pooled -= pooled.mean(axis=(1, 2), keepdims=True)
        feature = pooled.reshape(-1) @ weights["projection"].astype(np.float64)
        if output == "turned":
            feature = feature @ weights["rotation"].astype(np.float64)
        rows.append(feature / np.sqrt((feature**2).sum()))
    return np.array(rows)


def test_embeds_what_the_graph_says(tmp_path: Path) -> None:
    model = tiny_model.build(personal=True)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    encoder = OnnxEncoder(path, threads=1, batch=2)
    faces = tiny_model.faces(5)
    assert encoder.embed(faces) == pytest.approx(independent(faces, model, "turned"), abs=1e-5)
    assert encoder.embed_backbone(faces) == pytest.approx(independent(faces, model, "features"), abs=1e-5)
    assert encoder.embed(faces).dtype == np.float32


def test_describes_itself(tmp_path: Path) -> None:
    path = tiny_model.write(tmp_path / "m.onnx")
    encoder = OnnxEncoder(path)
    assert encoder.name == "tiny 0"
    assert encoder.dim == 32
    assert encoder.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert encoder.provider == "CPUExecutionProvider"
    assert encoder.manifest.kind == "generic"
    faces = tiny_model.faces(2)
    assert np.array_equal(encoder.embed(faces), encoder.embed_backbone(faces))


def test_no_faces_give_no_rows(tmp_path: Path) -> None:
    encoder = OnnxEncoder(tiny_model.write(tmp_path / "m.onnx"))
    empty = encoder.embed(np.empty((0, 112, 112, 3), np.uint8))
    assert empty.shape == (0, 32)
    assert empty.dtype == np.float32


@pytest.mark.parametrize("batch", [1, 3, 7, 64])
def test_batches_do_not_change_the_result(tmp_path: Path, batch: int) -> None:
    path = tiny_model.write(tmp_path / "m.onnx")
    faces = tiny_model.faces(7)
    # Products of other sizes are summed in another order.
    assert OnnxEncoder(path, batch=batch).embed(faces) == pytest.approx(
        OnnxEncoder(path).embed(faces), abs=1e-6
    )


def test_a_view_that_is_not_contiguous_is_embedded_right(tmp_path: Path) -> None:
    encoder = OnnxEncoder(tiny_model.write(tmp_path / "m.onnx"))
    faces = tiny_model.faces(3)
    assert np.array_equal(encoder.embed(faces[:, :, ::-1]), encoder.embed(faces[:, :, ::-1].copy()))


@pytest.mark.parametrize(
    "faces",
    [
        np.zeros((1, 112, 112, 3), np.float32),
        np.zeros((112, 112, 3), np.uint8),
        np.zeros((1, 3, 112, 112), np.uint8),
        np.zeros((1, 128, 128, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, faces: Any) -> None:
    encoder = OnnxEncoder(tiny_model.write(tmp_path / "m.onnx"))
    with pytest.raises(ImageError, match=r"expected uint8 \(n, 112, 112, 3\)"):
        encoder.embed(faces)


def test_weights_hash_is_the_one_written_down() -> None:
    """The definition, byte by byte, so that no refactoring changes it unnoticed."""
    values = np.array([[1.5, -2.0]], np.float32)
    graph = helper.make_graph(
        [],
        "g",
        [],
        [],
        [
            numpy_helper.from_array(np.array(7, np.int64), "b"),
            helper.make_tensor("a", TensorProto.FLOAT, [1, 2], values.ravel()),  # not as raw bytes
        ],
    )
    expected = hashlib.sha256(
        b"a float32 1,2\n" + struct.pack("<ff", 1.5, -2.0) + b"b int64 \n" + struct.pack("<q", 7)
    ).hexdigest()
    assert weights_sha256(helper.make_model(graph).SerializeToString()) == expected


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x09" * 50, b"\x89PNG\r\n\x1a\n" + bytes(99)])
def test_something_else_is_foreign(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ForeignModelError, match=r"m\.onnx"):
        OnnxEncoder(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_model_cut_short_is_foreign(tmp_path: Path, share: float) -> None:
    path = tiny_model.write(tmp_path / "m.onnx")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ForeignModelError):
        OnnxEncoder(path)


def test_an_altered_weight_is_found(tmp_path: Path) -> None:
    model = tiny_model.build()
    path = tmp_path / "m.onnx"
    raw = model.graph.initializer[0].raw_data
    data = model.SerializeToString()
    spot = data.index(raw) + len(raw) // 2
    path.write_bytes(data[:spot] + bytes([data[spot] ^ 1]) + data[spot + 1 :])
    with pytest.raises(ForeignModelError, match="weights hash to"):
        OnnxEncoder(path)
    # Unchecked, onnxruntime loads it without complaint: the check is needed.
    OnnxEncoder(path, verify_weights=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"manifest": None}, "did not export it"),
        ({"manifest": "{}"}, "format None"),
        ({"manifest": "no json"}, "no JSON"),
        ({"input_name": "images"}, "expected one, 'faces'"),
    ],
)
def test_a_model_that_is_not_ours_is_foreign(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    path = tiny_model.write(tmp_path / "m.onnx", **settings)
    with pytest.raises(ForeignModelError, match=message):
        OnnxEncoder(path)


def test_a_manifest_that_promises_another_length_is_foreign(tmp_path: Path) -> None:
    model, other = tiny_model.build(dim=32), tiny_model.build(dim=16)
    helper.set_model_props(model, {entry.key: entry.value for entry in other.metadata_props})
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ForeignModelError, match=r"float32 \(n, 16\)"):
        OnnxEncoder(path)


def test_a_personal_manifest_needs_both_outputs(tmp_path: Path) -> None:
    model, other = tiny_model.build(), tiny_model.build(personal=True)
    helper.set_model_props(model, {entry.key: entry.value for entry in other.metadata_props})
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ForeignModelError, match="'backbone_embedding' is missing"):
        OnnxEncoder(path)


def test_a_fixed_batch_is_foreign(tmp_path: Path) -> None:
    model = tiny_model.build()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ForeignModelError, match="n dynamic"):
        OnnxEncoder(path)


def test_embeddings_that_are_no_unit_vectors_are_refused(tmp_path: Path) -> None:
    encoder = OnnxEncoder(tiny_model.write(tmp_path / "m.onnx", unit=False))
    with pytest.raises(ForeignModelError, match="expected 1"):
        encoder.embed(tiny_model.faces(1))


def test_a_nan_embedding_is_refused(tmp_path: Path) -> None:
    encoder = OnnxEncoder(tiny_model.write(tmp_path / "m.onnx"))
    grey = np.full((1, 112, 112, 3), 90, np.uint8)  # no detail: 0 / 0 in this model
    with pytest.raises(ForeignModelError, match="length nan"):
        encoder.embed(grey)


def test_a_missing_file_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.onnx: No such file.*fedfr export"):
        OnnxEncoder(tmp_path / "gone.onnx")


def test_the_provider_in_effect_is_told_and_cuda_required_is_refused(tmp_path: Path) -> None:
    """The cases with a GPU stand in tests/vision/test_providers.py."""
    path = tiny_model.write(tmp_path / "m.onnx")
    assert OnnxEncoder(path, provider="cpu").provider == "CPUExecutionProvider"
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime may really have CUDA")
    assert OnnxEncoder(path).provider == "CPUExecutionProvider"
    with pytest.raises(MissingPartError, match=r"CUDAExecutionProvider is not in effect.*\[gpu\]"):
        OnnxEncoder(path, provider="cuda!")


def test_no_onnxruntime_names_both_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(runtime.importlib, "import_module", absent)
    with pytest.raises(MissingPartError, match=r"fedfr-edge\[cpu\].*fedfr-edge\[gpu\]"):
        runtime.import_onnxruntime()


def test_the_remains_of_onnxruntime_are_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.importlib, "import_module", lambda name: types.ModuleType(name))
    with pytest.raises(MissingPartError, match="pip uninstall -y onnxruntime onnxruntime-gpu"):
        runtime.import_onnxruntime()


def test_both_distributions_at_once_are_a_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"onnxruntime": "1.32.0"}

    def version(name: str) -> str:
        if name not in versions:
            raise runtime.importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(runtime.importlib.metadata, "version", version)
    assert runtime.conflict() is None
    versions["onnxruntime-gpu"] = "1.31.1"
    warning = runtime.conflict()
    assert warning is not None
    assert "onnxruntime 1.32.0 and onnxruntime-gpu 1.31.1" in warning
