"""A small ONNX model that looks like an exported one: pooled pixels, fixed projection, unit length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fedfr_edge.recognition.encoder import weights_sha256
from fedfr_edge.recognition.manifest import MANIFEST_KEY, Manifest, Threshold

THRESHOLDS = (
    Threshold(1e-2, 0.80, 100_000, 1_000, "test faces"),
    Threshold(1e-3, 0.90, 100_000, 100, "test faces"),
    Threshold(1e-4, 0.95, 100_000, 5, "test faces"),
)


def build(
    *,
    dim: int = 32,
    seed: int = 0,
    personal: bool = False,
    manifest: Any = "ours",
    unit: bool = True,
    input_name: str = "faces",
    thresholds: tuple[Threshold, ...] = THRESHOLDS,
) -> onnx.ModelProto:
    """Average over 8×8 pixels, take the channel means away, project, normalise.

    ``manifest``: "ours" writes a fitting one, None none at all, a text that text.
    """
    rng = np.random.default_rng(seed)
    weights = {
        "projection": rng.normal(size=(3 * 14 * 14, dim)).astype(np.float32),
        "rotation": np.linalg.qr(rng.normal(size=(dim, dim)))[0].astype(np.float32),
        "axes": np.array([1], np.int64),
        "half": np.array(127.5, np.float32),
    }
    nodes = [
        helper.make_node("Cast", [input_name], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["real", "half"], ["centred"]),
        helper.make_node("Transpose", ["centred"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("GlobalAveragePool", ["pooled"], ["mean"]),
        helper.make_node("Sub", ["pooled", "mean"], ["detail"]),
        helper.make_node("Flatten", ["detail"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "projection"], ["features"]),
        helper.make_node("MatMul", ["features", "rotation"], ["turned"]),
    ]
    outputs = (
        {"embedding": "turned", "backbone_embedding": "features"} if personal else {"embedding": "features"}
    )
    for output, source in outputs.items():
        nodes.append(helper.make_node("ReduceL2", [source, "axes"], [f"{output}_length"], keepdims=1))
        nodes.append(helper.make_node("Div" if unit else "Mul", [source, f"{output}_length"], [output]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(input_name, TensorProto.UINT8, ["n", 112, 112, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", dim]) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    if manifest == "ours":
        manifest = Manifest(
            kind="personal" if personal else "generic",
            name=f"tiny {seed}",
            round=0,
            dim=dim,
            backbone={"name": "tiny"},
            preprocessing="x - 127.5, 8x8 means",
            weights_sha256=weights_sha256(model.SerializeToString()),
            client="client-00" if personal else None,
            thresholds=thresholds,
        ).to_json()
    if manifest is not None:
        helper.set_model_props(model, {MANIFEST_KEY: manifest})
    return model


def write(path: Path, **settings: Any) -> Path:
    """Build a model and write it to ``path``."""
    path.write_bytes(build(**settings).SerializeToString())
    return path


def faces(count: int, seed: int = 1) -> np.ndarray:
    """Smooth random pictures, uint8 (n, 112, 112, 3): each unlike the others."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 14, 14, 3), np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, axis=1).repeat(8, axis=2))
