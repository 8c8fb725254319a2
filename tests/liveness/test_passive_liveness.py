"""The slot for liveness networks: what they are shown, how their answers are read, and the published ones."""

from __future__ import annotations

from pathlib import Path

import cv2
import minifas_onnx
import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import helper, numpy_helper

from fedfr_edge.errors import ConfigError, MissingPartError
from fedfr_edge.types import Face, Image
from fedfr_edge.vision.centerface import CenterFace
from fedfr_edge.vision.image import read_image
from fedfr_edge.vision.liveness import SIDE, MiniFas, cut_out
from fedfr_edge.vision.select import largest_central


def boxed(left: float, top: float, right: float, bottom: float) -> Face:
    return Face(np.array([left, top, right, bottom], np.float32), np.zeros((5, 2), np.float32), 1.0)


def numbered(width: int, height: int) -> Image:
    """Red says the column, green the row."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns, rows, np.zeros_like(rows)], axis=-1).astype(np.uint8)


@pytest.mark.parametrize(
    ("box", "scale", "left", "top", "right", "bottom"),
    [
        ((60, 50, 100, 110), 1.0, 60, 50, 100, 110),
        ((60, 50, 100, 110), 2.0, 40, 20, 120, 140),
        ((0, 50, 40, 110), 2.0, 0, 20, 80, 140),  # moved inwards
        ((170, 90, 210, 150), 2.0, 119, 29, 199, 149),  # moved inwards at both edges
        ((60, 50, 100, 110), 4.0, 30, 0, 129, 149),  # no room: 149/60 times only
    ],
)
def test_what_is_cut_out(
    box: tuple[float, ...], scale: float, left: int, top: int, right: int, bottom: int
) -> None:
    view = cut_out(numbered(200, 150), boxed(*box), scale)
    assert view.shape == (SIDE, SIDE, 3)
    seen = [
        int(v)
        for v in (view[:, 0, 0].mean(), view[0, :, 1].mean(), view[:, -1, 0].mean(), view[-1, :, 1].mean())
    ]
    assert seen == pytest.approx([left, top, right, bottom], abs=1.5)


@pytest.mark.parametrize("side", [1, 2, 7])
def test_tiny_photographs_have_a_view(side: int) -> None:
    assert cut_out(numbered(side, side), boxed(-5, -5, 50, 60), 2.7).shape == (SIDE, SIDE, 3)


def network(path: Path, weights: npt.NDArray[np.floating], side: int = SIDE) -> Path:
    """Logits are ``weights`` (3, 3) times the means of the three input channels."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, len(weights)])],
        [numpy_helper.from_array(np.asarray(weights, np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def test_the_score_is_the_mean_chance_of_class_one(tmp_path: Path) -> None:
    image = np.zeros((50, 60, 3), np.uint8)
    image[:] = (200, 100, 50)  # red, green, blue
    first = np.array([[0.01, 0, 0], [0, 0, 0.02], [0, 0.03, 0]])
    second = np.array([[0, 0, 0], [0.04, 0, 0], [0, 0, 0]])
    bgr = np.array([50.0, 100.0, 200.0])
    expected = np.mean([(np.exp(w @ bgr) / np.exp(w @ bgr).sum())[1] for w in (first, second)])
    files = [(network(tmp_path / f"{i}.onnx", w), 1.0 + i) for i, w in enumerate((first, second))]
    assert MiniFas(files, threads=1).score(image, boxed(5, 5, 40, 40)) == pytest.approx(expected, rel=1e-5)


def test_files_that_are_no_liveness_network(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match="no file"):
        MiniFas([(tmp_path / "absent.onnx", 2.7)])
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(MissingPartError, match="cannot run"):
        MiniFas([(tmp_path / "text.onnx", 2.7)])
    for file in (
        network(tmp_path / "a.onnx", np.eye(3), side=64),
        network(tmp_path / "b.onnx", np.ones((2, 3))),
    ):
        with pytest.raises(MissingPartError, match="three logits"):
            MiniFas([(file, 2.7)])
    for networks in ([], [(tmp_path / "a.onnx", 0.5)], [(tmp_path / "a.onnx", float("nan"))]):
        with pytest.raises(ConfigError, match="crop scale"):
            MiniFas(networks)


def test_the_published_networks_tell_their_own_samples_apart(
    dev_data: Path, tmp_path: Path, centerface: CenterFace
) -> None:
    liveness = MiniFas(minifas_onnx.published(dev_data / "models", tmp_path), threads=1)
    samples = dev_data / "photos" / "minivision" / "images" / "sample"
    scores = {}
    for file in sorted(samples.iterdir()):
        image = read_image(file)
        scores[file.name] = liveness.score(image, largest_central(centerface.detect(image), image.shape))
    # What the project that trained them says of its three samples: two fakes and a true one.
    assert scores["image_T1.jpg"] > 0.99
    assert max(scores["image_F1.jpg"], scores["image_F2.jpg"]) < 0.5
    film = cv2.VideoCapture(str(dev_data / "photos" / "minivision" / "demo.gif"))
    read, picture = film.read()
    assert read
    live = np.ascontiguousarray(picture[:, :, ::-1])
    assert liveness.score(live, largest_central(centerface.detect(live), live.shape)) > 0.5
