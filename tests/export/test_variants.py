"""Half precision and integers: what they compute, when they are kept, and bundles whole or absent."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from exported_model import Export

from fedfr_edge.data.split import Split
from fedfr_edge.data.store import FaceStore
from fedfr_edge.errors import DataError, WriteError
from fedfr_edge.export import write
from fedfr_edge.export.accuracy import Judges, choose_judges
from fedfr_edge.export.bundle import ExportReport
from fedfr_edge.export.calibration import NOT_CALIBRATED, choose_faces
from fedfr_edge.export.latency import Latency, in_turns
from fedfr_edge.export.parity import Parity
from fedfr_edge.export.precision import to_half, to_int8
from fedfr_edge.export.variants import Variant, decide, only
from fedfr_edge.export.write import export_generic, export_personal
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.manifest import Manifest, Precision
from fedfr_edge.train.checkpoint import GlobalModel, PersonalModel
from fedfr_edge.vision.runtime import open_session


@pytest.fixture(params=["generic", "personal"])
def export(request: pytest.FixtureRequest) -> Export:
    return request.getfixturevalue(request.param)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, generic: Export, personal: Export) -> None:
    """Give out the graphs that the fixtures traced, instead of tracing them again."""
    graphs = {1: generic, 2: personal}
    monkeypatch.setattr(write, "to_onnx", lambda fused: graphs[len(fused.outputs)].graph())


def run(data: bytes, faces: np.ndarray, outputs: list[str]) -> list[np.ndarray]:
    return open_session(data, threads=1).run(outputs, {"faces": faces})


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_other_precisions_compute_nearly_the_same(
    export: Export, store: FaceStore, precision: str, capfd: pytest.CaptureFixture[str]
) -> None:
    faces = np.array(store.images[::4])
    graph = export.graph()
    before = graph.SerializeToString()
    made = to_half(graph) if precision == "fp16" else to_int8(graph, faces)
    assert graph.SerializeToString() == before
    onnx.checker.check_model(made, full_check=True)
    assert capfd.readouterr().err == ""  # the quantizer's advice stays off the user's screen
    assert not made.metadata_props
    assert b"onnxruntime" not in made.SerializeToString()
    names = [value.name for value in made.graph.output]
    assert {value.type.tensor_type.elem_type for value in made.graph.output} == {onnx.TensorProto.FLOAT}
    for one, other in zip(
        run(before, faces, names), run(made.SerializeToString(), faces, names), strict=True
    ):
        assert np.abs(np.linalg.norm(other, axis=1) - 1).max() < 1e-5
        cosines = (one * other).sum(1)
        assert cosines.min() > (0.99999 if precision == "fp16" else 0.9)
        assert not np.array_equal(one, other)
    kinds = {
        tensor.data_type for tensor in made.graph.initializer if len(tensor.dims) == 4 and tensor.dims[0] > 1
    }
    assert kinds == {onnx.TensorProto.FLOAT16 if precision == "fp16" else onnx.TensorProto.INT8}


def test_squares_beyond_half_precision_do_not_overflow(generic: Export, faces: np.ndarray) -> None:
    """Features of length 1,000 have a sum of squares of 1e6, which float16 cannot hold."""
    graph = generic.graph()
    for tensor in graph.graph.initializer:
        if tensor.name.endswith(("fc.weight", "fc.bias")):
            values = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values * np.float32(1000), tensor.name))
    (expected,) = run(graph.SerializeToString(), faces, ["embedding"])
    (found,) = run(to_half(graph).SerializeToString(), faces, ["embedding"])
    assert (expected * found).sum(1).min() > 0.9999


def variant(precision: Precision, size: int, ratio: float, accuracy: float) -> Variant:
    parity = Parity(0.0, 1.0, 1)
    return Variant(precision, bytes(size), parity, NOT_CALIBRATED, accuracy, Latency(10 * ratio, ratio))


PLAIN = variant("fp32", 1000, 1.0, 0.9)


@pytest.mark.parametrize(
    ("size", "ratio", "accuracy", "kept", "why"),
    [
        (250, 0.6, 0.9, True, "25% of fp32's size, 0.60 of its time, TAR +0.00"),
        (250, 1.4, 0.895, True, "TAR -0.50 points"),  # half a point exactly, slower, but smaller
        (250, 0.6, 0.8949, False, "too inaccurate"),
        (1000, 0.9, 0.9, True, "0.90 of its time"),
        (950, 0.97, 0.95, False, "neither faster nor smaller"),
        (250, 0.6, math.nan, False, "no two images of one person"),
    ],
)
def test_what_is_kept(size: int, ratio: float, accuracy: float, kept: bool, why: str) -> None:
    (plain, other), _ = decide([PLAIN, variant("int8", size, ratio, accuracy)])
    assert plain.kept
    assert other.kept == kept
    assert why in other.why


@pytest.mark.parametrize(
    ("half", "integers", "best"),
    [
        ((500, 1.02, 0.9), (250, 1.5, 0.9), "fp16"),  # as fast as fp32 and smaller; int8 is slower
        ((500, 1.02, 0.9), (250, 0.6, 0.9), "int8"),
        ((500, 1.02, 0.9), (250, 0.6, 0.5), "fp16"),  # the fastest is too inaccurate
        ((500, 1.2, 0.9), (250, 1.5, 0.9), "fp32"),
    ],
)
def test_what_is_recommended(half: tuple, integers: tuple, best: str) -> None:
    variants, recommended = decide([PLAIN, variant("fp16", *half), variant("int8", *integers)])
    assert recommended == best
    assert [one.precision for one in only(variants, recommended) if one.kept] == [best]


def test_a_variant_that_could_not_be_made_is_not_measured() -> None:
    variants, recommended = decide([PLAIN, Variant("fp16", b"", None, kept=False, why="not kept: overflow")])
    assert recommended == "fp32"
    assert (variants[1].kept, variants[1].why) == (False, "not kept: overflow")


class Sleeper:
    def __init__(self, seconds: float) -> None:
        self.seconds, self.runs = seconds, 0

    def run(self, outputs: list[str], feed: dict[str, np.ndarray]) -> None:
        assert (outputs, list(feed)) == (["embedding"], ["faces"])
        self.runs += 1
        time.sleep(self.seconds)


def test_times_are_taken_in_turns(faces: np.ndarray) -> None:
    sessions = {"fp32": Sleeper(0.002), "int8": Sleeper(0.006)}
    found = in_turns(sessions, faces[:1])
    assert sessions["fp32"].runs == sessions["int8"].runs
    assert found["fp32"].ratio == 1
    assert 1.2 < found["int8"].ratio < 3.5
    assert found["fp32"].milliseconds >= 2


def test_accuracy_by_brute_force() -> None:
    rng = np.random.default_rng(4)
    labels = np.repeat(np.arange(12), 4)
    embeddings = rng.normal(size=(12, 1, 8)) + 0.9 * rng.normal(size=(12, 4, 8))
    embeddings = embeddings.reshape(48, 8).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    clients = {"a": labels < 4, "b": (labels >= 4) & (labels < 9)}
    judges = Judges(np.zeros((48, 112, 112, 3), np.uint8), labels, clients, "drawn")
    assert judges.far == 1e-1  # some 600 impostors carry ten false accepts at 1e-1 alone
    rates = []
    for own in clients.values():
        mated, impostors = [], []
        for i in range(48):
            for j in range(48):
                # Pairs within the client once, pairs with others from the client's side.
                if own[i] and (not own[j] or i < j):
                    score = float(embeddings[i] @ embeddings[j])
                    (mated if labels[i] == labels[j] else impostors).append(score)
        allowed = math.floor(0.1 * len(impostors))
        limit = sorted(impostors, reverse=True)[allowed]
        rates.append(np.mean([score > limit + 1e-6 for score in mated]))
    assert judges.accuracy(embeddings) == pytest.approx(np.mean(rates))
    assert 0.3 < judges.accuracy(embeddings) < 1


def test_judges_are_test_images_of_clients(store: FaceStore, split: Split) -> None:
    calibration = choose_faces(store, split)
    judges = choose_judges(store, split, calibration, client=None)
    expected = np.concatenate([split.client_rows(store, client, "test") for client in split.clients])
    assert np.array_equal(judges.faces, store.images[np.sort(expected)])
    assert set(judges.clients) == set(split.clients)
    assert "4 test images of 2 people of 2 clients" in judges.source
    assert "2 mated pairs" in judges.source
    mine = choose_judges(store, split, calibration, client="client-01")
    assert list(mine.clients) == ["client-01"]
    own = split.client_rows(store, "client-01", "test")
    assert np.array_equal(mine.faces[mine.clients["client-01"]], store.images[own])
    for other in (
        choose_judges(store, None, calibration, client=None),
        choose_judges(store, split, calibration, client="client-77"),
    ):
        assert "no client's test images at hand" in other.source
        assert len(other.faces) == len(calibration.faces)


def test_judges_are_drawn_person_by_person(store: FaceStore, split: Split) -> None:
    calibration = choose_faces(store, None)
    drawn = choose_judges(store, None, calibration, client=None, limit=13, seed=3)
    _, counts = np.unique(drawn.labels, return_counts=True)
    assert counts.tolist() == [4, 4, 4]  # whole people; a fourth would be 16 images
    again = choose_judges(store, None, calibration, client=None, limit=13, seed=3)
    assert np.array_equal(drawn.labels, again.labels)


def export_all(
    model: GlobalModel | PersonalModel, path: Path, store: FaceStore, split: Split, **more
) -> ExportReport:
    calibration = choose_faces(store, split)
    judges = choose_judges(store, split, calibration, client=getattr(model, "client", None))
    export = export_personal if isinstance(model, PersonalModel) else export_generic
    options = {"variants": ("fp32", "fp16", "int8"), **more}
    return export(model, path, calibration=calibration, judges=judges, **options)


def always_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """The drawn faces cannot tell a good variant from a bad one; here the writing is at stake."""
    monkeypatch.setattr(Judges, "accuracy", lambda self, embeddings: 0.9)


@pytest.mark.usefixtures("quick")
def test_a_bundle(
    export: Export, store: FaceStore, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    always_good(monkeypatch)
    report = export_all(export.model, tmp_path / "m.onnx", store, split)
    assert [file.path.name for file in report.files] == ["m.onnx", "m.fp16.onnx", "m.int8.onnx"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f.path.name for f in report.files)
    assert report.rejected == ()
    sizes = [file.bytes for file in report.files]
    assert sizes[1] < 0.7 * sizes[0]
    assert sizes[2] < 0.6 * sizes[0]
    modes = {file.path.stat().st_mode & 0o777 for file in report.files}
    assert modes == {0o600 if isinstance(export.model, PersonalModel) else 0o644}
    digests = set()
    for file, precision in zip(report.files, ("fp32", "fp16", "int8"), strict=True):
        encoder = OnnxEncoder(file.path)
        assert encoder.manifest == file.manifest
        assert (encoder.manifest.precision, encoder.digest) == (precision, file.sha256)
        digests.add(encoder.manifest.weights_sha256)
        # Its own thresholds: the rate that they state is the rate that this very file has.
        rows = split.public_rows(store)
        embeddings, labels = encoder.embed(store.images[rows]), store.labels[rows]
        scores = (embeddings @ embeddings.T)[np.triu(labels[:, None] != labels[None, :], 1)]
        for record in encoder.manifest.thresholds:
            assert abs(int((scores >= record.threshold).sum()) - record.false_accepts) <= 1
    assert len(digests) == 3
    assert report.files[0].path.read_bytes() == export.path.read_bytes()  # as without variants
    assert report.recommended in ("fp32", "fp16", "int8")


@pytest.mark.usefixtures("quick")
def test_only_the_recommended_file(
    generic: Export, store: FaceStore, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    always_good(monkeypatch)
    (tmp_path / "m.int8.onnx").write_bytes(b"of an earlier bundle")
    report = export_all(generic.model, tmp_path / "m.onnx", store, split, only_recommended=True)
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
    assert report.removed == (tmp_path / "m.int8.onnx",)
    assert OnnxEncoder(tmp_path / "m.onnx").manifest.precision == report.recommended
    assert len(report.rejected) == 2


@pytest.mark.parametrize(
    ("factors", "why"),
    [
        ({"layer4.0.weight": 1e3, "fc.weight": 1e4}, "features reach "),
        ({"layer4.0.weight": 1e-4, "fc.weight": 1e7}, "has weights beyond 65504, where half precision ends"),
    ],
)
def test_what_overflows_is_dropped_and_the_rest_written(
    generic: Export,
    store: FaceStore,
    split: Split,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    factors: dict[str, float],
    why: str,
) -> None:
    always_good(monkeypatch)
    big, graph = dict(generic.model.backbone), generic.graph()
    for name, factor in factors.items():
        big[f"net.{name}"] = big[f"net.{name}"] * factor
        (tensor,) = [one for one in graph.graph.initializer if one.name.endswith(name)]
        values = onnx.numpy_helper.to_array(tensor) * np.float32(factor)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    monkeypatch.setattr(write, "to_onnx", lambda fused: graph)
    model = replace(generic.model, backbone=big)
    report = export_all(model, tmp_path / "m.onnx", store, split, variants=("fp16",))
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
    (dropped,) = report.rejected
    assert dropped.precision == "fp16"
    assert why in dropped.why
    assert report.recommended == "fp32"


@pytest.mark.usefixtures("quick")
def test_an_inaccurate_variant_leaves_no_file(
    generic: Export, store: FaceStore, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter([0.9, 0.89])
    monkeypatch.setattr(Judges, "accuracy", lambda self, embeddings: next(found))
    report = export_all(generic.model, tmp_path / "m.onnx", store, split, variants=("int8",))
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
    assert "too inaccurate" in report.rejected[0].why
    assert "TAR -1.00 points" in report.rejected[0].why


@pytest.mark.usefixtures("quick")
def test_a_disk_that_fills_up_in_the_middle_leaves_the_earlier_bundle(
    generic: Export, store: FaceStore, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    always_good(monkeypatch)
    earlier = {f"m{part}.onnx": part.encode() + b"earlier" for part in ("", ".fp16", ".int8")}
    for name, data in earlier.items():
        (tmp_path / name).write_bytes(data)
    calls = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WriteError, match="No space left"):
        export_all(generic.model, tmp_path / "m.onnx", store, split)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == earlier


@pytest.mark.usefixtures("quick")
def test_variants_need_faces(generic: Export, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="int8 asked for without faces"):
        export_generic(generic.model, tmp_path / "m.onnx", calibration=None, variants=("int8",))
    assert not list(tmp_path.iterdir())


def test_a_manifest_without_precision_is_of_float32(generic: Export) -> None:
    text = generic.report.manifest.to_json()
    assert '"precision": "fp32"' in text
    old = Manifest.from_json(text.replace(', "precision": "fp32"', ""))
    assert old == generic.report.manifest


def test_torch_is_not_touched(generic: Export) -> None:
    assert all(value.dtype == torch.float32 for value in generic.model.backbone.values())
