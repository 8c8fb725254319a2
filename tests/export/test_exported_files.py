"""What an exported file is: its interface, its arithmetic, its manifest, and what it must not hold."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from exported_model import Export

from fedfr_edge.data.split import Split
from fedfr_edge.data.store import FaceStore
from fedfr_edge.export.fuse import FusedModel
from fedfr_edge.export.graph import to_onnx
from fedfr_edge.export.parity import check_parity
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.train.backbones.backbone import build_backbone
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.train.checkpoint import GlobalModel, cpu_state
from fedfr_edge.train.encoder import TorchEncoder
from fedfr_edge.vision.runtime import open_session


@pytest.fixture(params=["generic", "personal"])
def export(request: pytest.FixtureRequest) -> Export:
    return request.getfixturevalue(request.param)


def real_faces(dev_data: Path) -> np.ndarray:
    files = sorted((dev_data / "faces" / "pins_aligned").rglob("*.*"))[::800]
    return np.stack([cv2.imread(str(file))[:, :, ::-1] for file in files])


def test_the_device_opens_it_and_sees_what_torch_sees(export: Export, faces: np.ndarray) -> None:
    encoder = OnnxEncoder(export.path)
    torch_encoder = TorchEncoder(export.model, name="t")
    for count in (0, 1, 3, 7):
        expected = torch_encoder.embed(faces[:count])
        np.testing.assert_allclose(encoder.embed(faces[:count]), expected, rtol=0, atol=1e-5)
    backbone = TorchEncoder(export.model, name="t", use_transform=False).embed(faces)
    np.testing.assert_allclose(encoder.embed_backbone(faces), backbone, rtol=0, atol=1e-5)
    both = encoder.embed_both(faces)
    np.testing.assert_array_equal(both[0], encoder.embed_backbone(faces))
    np.testing.assert_array_equal(both[1], encoder.embed(faces))


def test_the_two_embeddings_of_a_personal_model_differ(personal: Export, faces: np.ndarray) -> None:
    encoder = OnnxEncoder(personal.path)
    cosines = (encoder.embed(faces) * encoder.embed_backbone(faces)).sum(1)
    assert cosines.max() < 0.999


def test_real_faces(export: Export, dev_data: Path) -> None:
    parity = check_parity(
        FusedModel(export.model), open_session(export.path.read_bytes()), real_faces(dev_data)
    )
    assert parity.max_abs_difference < 1e-5
    assert parity.faces > 10


def test_interface(export: Export) -> None:
    proto = onnx.load(export.path)
    onnx.checker.check_model(proto, full_check=True)
    assert [(o.domain, o.version) for o in proto.opset_import] == [("", 20)]
    (faces,) = proto.graph.input
    shape = faces.type.tensor_type.shape.dim
    assert faces.name == "faces"
    assert faces.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert shape[0].dim_param == "batch"
    assert [d.dim_value for d in shape[1:]] == [112, 112, 3]
    names = [value.name for value in proto.graph.output]
    assert names == ["embedding", "backbone_embedding"][: len(names)]
    assert len(names) == (2 if export.report.manifest.kind == "personal" else 1)
    for value in proto.graph.output:
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
        assert value.type.tensor_type.shape.dim[1].dim_value == export.model.spec.dim


def test_manifest(generic: Export, personal: Export) -> None:
    manifest = OnnxEncoder(generic.path).manifest
    assert manifest == generic.report.manifest
    assert (manifest.kind, manifest.name, manifest.client) == ("generic", "generic round 4", None)
    assert (manifest.round, manifest.dim) == (4, 16)
    assert BackboneSpec.from_dict(manifest.backbone) == generic.model.spec
    assert manifest.training_data_licence == "research only"
    assert manifest.preprocessing.endswith("then 4x4 average pooling")
    assert manifest.versions["torch"] == torch.__version__
    manifest = OnnxEncoder(personal.path).manifest
    assert (manifest.kind, manifest.name) == ("personal", "client-01 round 9")
    assert (manifest.round, manifest.client) == (9, "client-01")
    assert manifest.training_data_licence == "unknown"  # nobody said; nothing is invented


def test_thresholds_by_brute_force(export: Export, store: FaceStore, split: Split) -> None:
    rows = split.public_rows(store)
    embeddings = OnnxEncoder(export.path).embed(store.images[rows])
    labels = store.labels[rows]
    scores = np.array(
        [embeddings[i] @ embeddings[j] for i in range(len(rows)) for j in range(i) if labels[i] != labels[j]]
    )
    assert len(scores) == 48 * 47 // 2 - 12 * 6
    # 1,056 comparisons: ten false accepts can stand behind 1e-1 (105) and 1e-2 (10), not behind 1e-3 (1).
    assert [record.far for record in export.report.thresholds] == [1e-1, 1e-2]
    for record in export.report.thresholds:
        assert record.non_mated == len(scores)
        assert record.source.startswith("48 faces of 12 public identities of store ")
        # Not exactly: a matrix product rounds differently from single ones.
        accepted = (scores >= record.threshold - 1e-6).sum(), (scores >= record.threshold + 1e-6).sum()
        assert accepted[1] <= record.false_accepts <= accepted[0]
        assert record.false_accepts <= record.far * len(scores)
        # The highest of the refused scores would be one false accept too many.
        refused = scores[scores < record.threshold - 1e-6].max()
        assert (scores >= refused - 1e-6).sum() > record.far * len(scores) - 1


def test_nothing_of_this_machine_is_in_the_file(export: Export) -> None:
    data = export.path.read_bytes()
    for trace in (
        os.getcwd(),
        sys.prefix,
        str(Path.home()),
        str(export.path.parent),
        "site-packages",
        "stack_trace",
    ):
        if len(trace) > 2:
            assert trace.encode() not in data
    assert b".py" not in data
    proto = onnx.load(export.path)
    assert [entry.key for entry in proto.metadata_props] == ["fedfr.manifest"]
    graph = proto.graph
    for part in (graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        assert not part.metadata_props
        assert not part.doc_string


def test_insightface_sees_that_normalisation_is_inside(generic: Export) -> None:
    arcface = pytest.importorskip("insightface.model_zoo.arcface_onnx")
    model = arcface.ArcFaceONNX(str(generic.path), session=open_session(generic.path.read_bytes()))
    assert (model.input_mean, model.input_std) == (0.0, 1.0)


def test_a_personal_model_is_its_owners_alone(generic: Export, personal: Export) -> None:
    assert stat.S_IMODE(personal.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(generic.path.stat().st_mode) & 0o044 == 0o044


def test_report(export: Export) -> None:
    report = export.report
    assert report.bytes == export.path.stat().st_size
    assert (report.faces_compared, report.public_faces) == (12, 8)
    assert 0 <= report.max_abs_difference < 1e-5
    assert 0.999999 < report.lowest_cosine <= 1
    assert report.seconds > 0


def test_mobilefacenet_and_quiet(capfd: pytest.CaptureFixture[str], faces: np.ndarray) -> None:
    import logging

    spec = BackboneSpec("mobilefacenet", dim=8, width=4, input_size=28)
    model = GlobalModel(spec, cpu_state(build_backbone(spec)), torch.zeros((0, 8)))
    fused = FusedModel(model)
    logging.getLogger("torch.onnx").setLevel(logging.INFO)
    try:
        proto = to_onnx(fused)
        assert logging.getLogger("torch.onnx").level == logging.INFO
    finally:
        logging.getLogger("torch.onnx").setLevel(logging.NOTSET)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
    parity = check_parity(fused, open_session(proto.SerializeToString()), faces)
    assert parity.max_abs_difference < 1e-5
