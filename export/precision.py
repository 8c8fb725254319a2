"""An exported graph in half precision or in 8-bit integers; inputs and outputs stay as they are."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fedfr_edge.errors import ExportError
from fedfr_edge.recognition.manifest import INPUT_NAME
from fedfr_edge.types import AlignedFaces
from fedfr_edge.vision.runtime import import_onnxruntime

from .graph import check_valid, strip

MOST = float(np.finfo(np.float16).max)
"""The largest number of half precision."""

_QUANTIZED = ("Conv", "Gemm", "MatMul")
"""Operators that become integer ones; PReLU and additions between them stay float32."""

_CALIBRATION_BATCH = 16


def to_half(proto: Any) -> Any:
    """``proto`` with float16 weights and features; scaling to unit length stays float32.

    The sum of squares of a feature vector longer than 256 is beyond float16, so everything from the norm
    on, ``f / ‖f‖``, is done in float32. Features themselves may still overflow in networks without batch
    normalisation: the result must be checked.

    Raises:
        ExportError: a weight is too large for float16, or the result is no valid ONNX.
    """
    half = _copy(proto)
    graph = half.graph
    tail = _after(graph, "ReduceL2")
    body = [node for node in graph.node if node.name not in tail]
    used_by_body = {name for node in body for name in node.input}
    halved = set()
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name in used_by_body:
            with np.errstate(over="ignore"):
                values = numpy_helper.to_array(tensor).astype(np.float16)
            if not np.all(np.isfinite(values)):
                raise ExportError(f"{tensor.name} has weights beyond {MOST:.0f}, where half precision ends")
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
            halved.add(tensor.name)
    for node in body:
        if node.op_type == "Cast":
            _retype(node)
    _cast_between(graph, tail, halved)
    del graph.value_info[:]  # they tell the types of before
    _finish(half)
    return half


def to_int8(proto: Any, faces: AlignedFaces) -> Any:
    """``proto`` with 8-bit weights and features in its convolutions and matrix products (static QDQ).

    Weights: signed, one scale per output channel, seven bits of the eight. The eighth would saturate the
    16-bit sums of processors with AVX2 but without VNNI. Features: unsigned, between the least and the
    greatest value that ``faces`` give.

    Args:
        proto: the float32 graph.
        faces: uint8 (n, 112, 112, 3), public ones like those of the device, n ≥ 1.

    Raises:
        ExportError: onnxruntime cannot quantize it.
    """
    import_onnxruntime()  # its telemetry is off from here on
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Faces(CalibrationDataReader):  # type: ignore[misc]
        """Hands the faces out in batches."""

        def __init__(self) -> None:
            self._starts = iter(range(0, len(faces), _CALIBRATION_BATCH))

        def get_next(self) -> dict[str, Any] | None:
            start = next(self._starts, None)
            if start is None:
                return None
            return {INPUT_NAME: np.ascontiguousarray(faces[start : start + _CALIBRATION_BATCH])}

    model = _copy(proto)
    # What pre-processing would do, torch's exporter has done; this keeps onnxruntime from advising it.
    entry = model.metadata_props.add()
    entry.key, entry.value = "onnx.quant.pre_process", "onnxruntime.quant"
    with tempfile.TemporaryDirectory(prefix="fedfr-quantize-") as folder:
        file = Path(folder) / "int8.onnx"
        try:
            quantize_static(
                model,
                file,
                Faces(),
                op_types_to_quantize=list(_QUANTIZED),
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        except Exception as error:  # the quantizer's errors share no base class
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ExportError(
                f"onnxruntime cannot quantize the model: {reason}; export it without int8"
            ) from error
        quantized = onnx.load(file)
    _finish(quantized)
    return quantized


def _copy(proto: Any) -> Any:
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    return copy


def _finish(proto: Any) -> None:
    del proto.metadata_props[:]
    strip(proto)
    check_valid(proto)


def _after(graph: Any, kind: str) -> set[str]:
    """Names of the nodes of operator ``kind`` and of all that use what these give."""
    reached: set[str] = set()
    names: set[str] = set()
    for node in graph.node:  # in topological order
        if node.op_type == kind or reached.intersection(node.input):
            reached.update(node.output)
            names.add(node.name)
    return names


def _retype(cast: Any) -> None:
    for attribute in cast.attribute:
        if attribute.name == "to" and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16


def _cast_between(graph: Any, tail: set[str], halved: set[str]) -> None:
    """Put a Cast to float32 wherever the tail takes what the body computes, or a weight it shares."""
    kinds = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    body_floats = {
        name
        for node in graph.node
        if node.name not in tail
        for name in node.output
        if kinds.get(name, TensorProto.FLOAT) == TensorProto.FLOAT
    }
    nodes: list[Any] = []
    cast: dict[str, str] = {}
    for node in graph.node:
        if node.name in tail:
            for place, name in enumerate(node.input):
                if name not in body_floats and name not in halved:
                    continue
                if name not in cast:
                    cast[name] = f"{name}_float32"
                    nodes.append(helper.make_node("Cast", [name], [cast[name]], to=TensorProto.FLOAT))
                    nodes[-1].name = f"{name}_to_float32"
                node.input[place] = cast[name]
        nodes.append(node)
    copies = []
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copies.append(copy)
    del graph.node[:]
    graph.node.extend(copies)
