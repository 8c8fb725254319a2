"""MiniFASNet's published weights as ONNX files, for tests only.

The files are torch state dicts. Their names and shapes say what the network is: convolution, batch
normalisation and PReLU, first plain, then bottlenecks (1×1, 3×3 per channel, 1×1 without activation) of which
those called ``model`` add their input, some after squeeze and excitation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

STRIDE_2 = ("conv1", "conv_23.conv_dw", "conv_34.conv_dw", "conv_45.conv_dw")
"""Layers that halve the sides: 80, 40, 20, 10, 5."""


class Graph:
    """ONNX nodes over the arrays of a state dict."""

    def __init__(self, weights: dict[str, Any]) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.used: set[str] = set()

    def add(self, kind: str, *inputs: str, **settings: Any) -> str:
        name = f"n{len(self.nodes)}"
        self.used.update(each for each in inputs if each in self.weights)
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **settings))
        return name

    def convolve(self, x: str, layer: str) -> str:
        out, _, side, _ = self.weights[f"{layer}.conv.weight"].shape
        # One input channel per filter where there are more filters than one: a convolution per channel.
        groups = out if self.weights[f"{layer}.conv.weight"].shape[1] == 1 else 1
        stride = 2 if layer in STRIDE_2 else 1
        pad = 1 if side == 3 else 0
        x = self.add("Conv", x, f"{layer}.conv.weight", group=groups, strides=[stride] * 2, pads=[pad] * 4)
        x = self.normalise(x, f"{layer}.bn")
        if f"{layer}.prelu.weight" in self.weights:
            slope = f"{layer}.prelu.weight"
            self.weights[slope] = self.weights[slope].reshape(-1, 1, 1)
            x = self.add("PRelu", x, slope)
        return x

    def normalise(self, x: str, layer: str) -> str:
        names = [f"{layer}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        return self.add("BatchNormalization", x, *names, epsilon=1e-5)

    def bottleneck(self, x: str, layer: str) -> str:
        y = x
        for part in ("conv", "conv_dw", "project"):
            y = self.convolve(y, f"{layer}.{part}")
        if f"{layer}.se_module.fc1.weight" in self.weights:
            part = f"{layer}.se_module"
            gate = self.add("GlobalAveragePool", y)
            gate = self.normalise(self.add("Conv", gate, f"{part}.fc1.weight"), f"{part}.bn1")
            gate = self.add("Relu", gate)
            gate = self.normalise(self.add("Conv", gate, f"{part}.fc2.weight"), f"{part}.bn2")
            y = self.add("Mul", y, self.add("Sigmoid", gate))
        return self.add("Add", x, y) if ".model." in layer else y


def write(weights_file: Path, target: Path) -> Path:
    """Read the state dict and write the network as an ONNX file; every weight must be used."""
    import torch

    stored = torch.load(weights_file, map_location="cpu", weights_only=True)
    weights = {
        name.removeprefix("module."): value.numpy().astype(np.float32)
        for name, value in stored.items()
        if not name.endswith("num_batches_tracked")
    }
    graph = Graph(weights)
    x = graph.convolve(graph.convolve("faces", "conv1"), "conv2_dw")
    for first, rest in (("conv_23", "conv_3"), ("conv_34", "conv_4"), ("conv_45", "conv_5")):
        x = graph.bottleneck(x, first)
        blocks = {name.split(".")[2] for name in weights if name.startswith(f"{rest}.model.")}
        for number in range(len(blocks)):
            x = graph.bottleneck(x, f"{rest}.model.{number}")
    x = graph.convolve(graph.convolve(x, "conv_6_sep"), "conv_6_dw")
    x = graph.add("Gemm", graph.add("Flatten", x), "linear.weight", transB=1)
    x = graph.add("Gemm", graph.normalise(x, "bn"), "prob.weight", transB=1)
    assert graph.used == set(weights), set(weights) - graph.used
    faces = helper.make_tensor_value_info("faces", onnx.TensorProto.FLOAT, [1, 3, 80, 80])
    logits = helper.make_tensor_value_info(x, onnx.TensorProto.FLOAT, [1, 3])
    constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "minifasnet", [faces], [logits], constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    target.write_bytes(model.SerializeToString())
    return target


def published(models: Path, folder: Path) -> list[tuple[Path, float]]:
    """Both published networks as ONNX files in ``folder``, each with the crop scale it is meant for."""
    return [
        (write(models / name, folder / f"{name}.onnx"), scale)
        for name, scale in (("2.7_80x80_MiniFASNetV2.pth", 2.7), ("4_0_0_80x80_MiniFASNetV1SE.pth", 4.0))
    ]
