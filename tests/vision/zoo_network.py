"""A small ONNX detector with the output layout of insightface's RetinaFace and SCRFD files.

At each stride it looks for cells of one colour; there it gives a fixed box and five fixed landmarks, as
distances from the cell's corner in strides, as those networks do. So a picture with coloured squares has
faces at known places, and wrong scaling, colour order, stride or anchor order moves or loses them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 255, 255), (255, 0, 255))
"""RGB that the levels look for, from stride 8 upwards."""

BOX = np.array([1.5, 2.0, 2.5, 3.0], np.float32)
"""Distances from the cell's corner to the left, top, right and bottom, in strides."""

POINTS = np.array([[-0.5, -0.75], [1.25, -0.5], [0.25, 0.5], [-0.25, 1.5], [1.0, 1.75]], np.float32)
"""Landmarks from the cell's corner, in strides."""

SECOND = 0.75
"""Score of a cell's second anchor, whose box is the same: one face, not two."""


def weights_for(colour: tuple[int, int, int]) -> np.ndarray:
    """Weights (3,) that give about 1 for this pure colour, 0 for grey, at most 0.45 for the others."""
    bright = np.array(colour) > 0
    weights = np.where(bright, 0.5 / bright.sum(), -0.5 / (~bright).sum())
    return (weights * (0.9 if bright.sum() == 2 else 1.0)).astype(np.float32)


def write(path: Path, *, strides: tuple[int, ...], anchors: int, batched: bool, parts: int = 3) -> Path:
    """Write the network: ``parts`` outputs a stride, (n·anchors, 1), (…, 4), (…, 10).

    Args:
        path: the file.
        strides: 8, 16, 32 or 8 to 128.
        anchors: boxes a cell.
        batched: outputs with a leading 1, as newer exports have them.
        parts: 3, or 2 for a network without landmarks.
    """
    nodes, values = [], {}
    outputs: list[list[str]] = [[], [], []]
    for stride, colour in zip(strides, COLOURS, strict=False):
        pooled = f"pooled_{stride}"
        nodes.append(
            helper.make_node(
                "AveragePool", ["input"], [pooled], kernel_shape=[stride, stride], strides=[stride, stride]
            )
        )
        scores = np.stack([weights_for(colour) * (1.0, SECOND)[anchor] for anchor in range(anchors)])
        distances = np.tile(BOX, anchors), np.tile(POINTS.reshape(-1), anchors)
        for part, (width, weight, bias) in enumerate(
            (
                (1, scores, np.zeros(anchors, np.float32)),
                (4, np.zeros((4 * anchors, 3), np.float32), distances[0]),
                (10, np.zeros((10 * anchors, 3), np.float32), distances[1]),
            )[:parts]
        ):
            name = f"{('score', 'bbox', 'kps')[part]}_{stride}"
            values[f"{name}_w"] = weight.astype(np.float32)[:, :, None, None]
            values[f"{name}_b"] = bias.astype(np.float32)
            values[f"{name}_shape"] = np.array([1, -1, width] if batched else [-1, width], np.int64)
            nodes += [
                helper.make_node("Conv", [pooled, f"{name}_w", f"{name}_b"], [f"{name}_map"]),
                helper.make_node("Transpose", [f"{name}_map"], [f"{name}_cells"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"{name}_cells", f"{name}_shape"], [name]),
            ]
            outputs[part].append(name)
    infos = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, width] if batched else [None, width])
        for part, width in zip(outputs, (1, 4, 10), strict=True)
        for name in part
    ]
    graph = helper.make_graph(
        nodes,
        "zoo",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "height", "width"])],
        infos,
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    return path
