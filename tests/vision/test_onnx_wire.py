"""ONNX files as bytes: what is read and rewritten is what the package onnx reads and writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fedfr_edge.vision.onnx_wire import Value, WireError, names, tensors, with_interface


@pytest.fixture
def model() -> onnx.ModelProto:
    """A weight that is also an input, a note on an inner value, a double and metadata beside."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["inner"]), helper.make_node("Relu", ["inner"], ["y"])],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8]),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 1, 1]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 8, 8])],
        [
            numpy_helper.from_array(np.arange(3, dtype=np.float32).reshape(3, 1, 1), "w"),
            helper.make_tensor("typed", TensorProto.INT64, [2], [5, 300]),
            numpy_helper.from_array(np.array(2.5), "scalar"),
        ],
        value_info=[helper.make_tensor_value_info("inner", TensorProto.FLOAT, [1, 3, 8, 8])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(made, {"key": "ü" * 200})
    return made


def test_names_and_tensors(model: onnx.ModelProto) -> None:
    data = model.SerializeToString()
    assert names(data) == (["x"], ["y"])
    found = tensors(data)
    assert [tensor.name for tensor in found] == ["w", "typed", "scalar"]
    assert [tensor.dims for tensor in found] == [(3, 1, 1), (2,), ()]
    for tensor, kept in zip(found, model.graph.initializer, strict=True):
        assert tensor.data_type == kept.data_type
        assert onnx.TensorProto.FromString(bytes(tensor.message)) == kept
    assert found[1].raw is None  # its values stand in a typed field
    assert bytes(found[2].raw or b"") == np.array(2.5).tobytes()


def test_another_interface_and_nothing_else(model: onnx.ModelProto) -> None:
    data = with_interface(
        model.SerializeToString(),
        [Value("x", ("n", 3, "height", 300))],
        [Value("y", None)],
    )
    changed = onnx.load_from_string(data)
    (given,) = changed.graph.input
    assert given == helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "height", 300])
    (made,) = changed.graph.output
    assert made.type.tensor_type.elem_type == TensorProto.FLOAT
    assert not made.type.tensor_type.HasField("shape")
    for field in ("input", "output", "value_info"):
        for graph in (changed.graph, model.graph):
            graph.ClearField(field)
    assert changed == model


@pytest.mark.parametrize(
    "content", [b"", b"not a model", b"\x08\x09" * 50, b"\x3a\xff\xff", b"\x3b", b"\x08\xff"]
)
def test_something_else_is_told(content: bytes) -> None:
    with pytest.raises(WireError, match="no ONNX file"):
        names(content)


def test_a_file_that_was_cut_off(model: onnx.ModelProto) -> None:
    data = model.SerializeToString()
    graph = len(data) - 300  # within the graph or its metadata
    for length in range(1, graph, 17):
        with pytest.raises(WireError):
            tensors(data[:length])


def test_real_files(dev_data: Path) -> None:
    for file in sorted((dev_data / "models").glob("*.onnx")):
        data, whole = file.read_bytes(), onnx.load(str(file))
        weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in whole.graph.initializer}
        for tensor in tensors(data):
            if tensor.raw is not None:
                assert bytes(tensor.raw) == weights[tensor.name].tobytes()
        assert names(data)[1] == [value.name for value in whole.graph.output]
