"""The benchmark of a login at toy size, and its count of operations against a closed form."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fedfr_edge.apps.bench import device
from fedfr_edge.apps.bench.device_sides import STAGES, Task
from fedfr_edge.apps.bench.network import flops, peak_flops, run_seconds
from fedfr_edge.apps.commands.bench_device import BenchDevice, _lines
from fedfr_edge.cli import main
from fedfr_edge.errors import ConfigError

MODEL = Path(__file__).resolve().parents[2] / "models" / "synthetic.onnx"


@pytest.fixture
def threads_of_opencv() -> Iterator[None]:
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


@pytest.fixture
def photos(dev_data: Path) -> list[Path]:
    people = sorted((dev_data / "faces" / "celebrity_photos").iterdir())[:2]
    return [photo for person in people for photo in sorted(person.iterdir())[:2]]


@pytest.fixture
def detector(dev_data: Path) -> str:
    return f"scrfd:{dev_data / 'models' / 'scrfd_500m_kps.onnx'}"


@pytest.mark.usefixtures("threads_of_opencv")
def test_both_sides_on_photographs(photos: list[Path], detector: str, tmp_path: Path) -> None:
    pytest.importorskip("insightface")
    task, left = device.prepare(MODEL, detector, photos, tmp_path)
    assert Task.from_json(task.to_json()) == task
    assert len(left) == len(photos) - 2
    assert np.load(task.people).shape[0] == 2
    found = device.frames(task, left, threads=1)
    assert found["frame_to_decision_ratio"] > 0
    assert found["photographs"] == len(left)
    for side in ("ours", "theirs", "theirs_auto"):
        assert set(STAGES) <= set(found["stages"][side])
        whole = found["whole"][side]
        assert 0 < whole["p50"] <= whole["p95"]
        assert whole["p50"] > found["stages"][side]["embed"]["p50"]
    seconds, held = device._start("ours", task, left[:1])
    assert seconds > 0
    assert 0 < held["resident_bytes"] <= held["peak_bytes"]
    figures = {
        "machine": {"processor": "some", "cores": 1, "load_before": 0.0},
        "threads": {"1": {**found, "networks": device.networks(task, 1, times=1)}},
        "search": device.search(40, 8, probes=4, seed=0),
        "cold_start": {"ours_seconds": [1.0], "theirs_seconds": [2.0], "cold_start_ratio": 0.5},
        "memory": {"ours": held},
    }
    shown = "\n".join(_lines(figures))
    assert "frame to decision" in shown
    assert "exact: yes" in shown


def test_search_is_compared_with_every_product() -> None:
    found = device.search(3000, 64, probes=8, seed=1)
    assert found["exact"] is True
    assert found["templates"] == 3000


def test_only_a_detector_that_both_have(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="scrfd:FILE"):
        device.prepare(MODEL, "centerface", [], tmp_path)


def test_no_photographs_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("insightface")
    options = ["--model", str(MODEL), "--photos", str(tmp_path), "--detector", "scrfd:x.onnx"]
    assert main(["bench", "device", *options]) == 1
    assert "no photographs" in capsys.readouterr().err
    assert BenchDevice(MODEL, tmp_path, "scrfd:x.onnx").threads == (1, 2)


def test_operations_are_counted_as_the_closed_form_has_them(tmp_path: Path) -> None:
    """A grouped convolution 4→6, kernel 3×5, then a product 90→7 with a turned and with a plain weight."""
    draw = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(draw.standard_normal(shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["maps"], group=2),
        helper.make_node("Flatten", ["maps"], ["flat"]),
        helper.make_node("Gemm", ["flat", "turned"], ["seven"], transB=1),
        helper.make_node("MatMul", ["seven", "plain"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 7, 7])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [weight("kernel", 6, 2, 3, 5), weight("turned", 7, 90), weight("plain", 7, 3)],
    )
    file = tmp_path / "g.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(file))
    one = 2 * (6 * 5 * 3 * 2 * 3 * 5 + 7 * 90 + 3 * 7)
    assert flops(file, (1, 4, 7, 7)) == one
    assert flops(file, (2, 4, 7, 7)) == 2 * one
    assert run_seconds(file, (1, 4, 7, 7), threads=1, times=3) > 0
    assert peak_flops() > 1e8
