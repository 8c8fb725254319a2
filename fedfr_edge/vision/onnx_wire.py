"""ONNX files read and rewritten as protobuf bytes, without the package onnx.

Importing ``onnx`` costs a login more time than its photograph does, and tens of megabytes. What the device
needs of a file is little: its weights, and what a graph takes and gives. Every field that is not asked for
stays as it is, byte for byte. The field numbers are those of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_MODEL_GRAPH = 7
_GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_VALUE_INFO = 5, 11, 12, 13
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TENSOR_DIMS, _TENSOR_DATA_TYPE, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 8, 9
_FLOAT = 1

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class WireError(ValueError):
    """These bytes are no protobuf message of the kind expected."""


@dataclass(frozen=True)
class Tensor:
    """One initialiser of a graph.

    Attributes:
        name: its name.
        data_type: ONNX's number of its type.
        dims: its shape.
        raw: its values as little-endian C-order bytes; None where the file keeps them in another way.
        message: the whole TensorProto.
    """

    name: str
    data_type: int
    dims: tuple[int, ...]
    raw: memoryview | None
    message: memoryview


@dataclass(frozen=True)
class Value:
    """What a graph takes or gives.

    Attributes:
        name: as the graph has it.
        dims: numbers for what is fixed, names for the rest; None: any shape.
    """

    name: str
    dims: tuple[int | str, ...] | None


def tensors(model: bytes) -> list[Tensor]:
    """The initialisers of a model's graph, in the file's order; their values are not copied.

    Raises:
        WireError: no ONNX file.
    """
    return [_tensor(part) for number, part in _graph_parts(model) if number == _GRAPH_INITIALIZER]


def names(model: bytes) -> tuple[list[str], list[str]]:
    """The names of what a model's graph takes, without its weights, and of what it gives.

    Raises:
        WireError: no ONNX file.
    """
    name_of = {_GRAPH_INITIALIZER: _TENSOR_NAME, _GRAPH_INPUT: _VALUE_NAME, _GRAPH_OUTPUT: _VALUE_NAME}
    found: dict[int, list[str]] = {number: [] for number in name_of}
    for number, part in _graph_parts(model):
        if number in found:
            found[number].append(_name(part, name_of[number]))
    weights = set(found[_GRAPH_INITIALIZER])
    return [name for name in found[_GRAPH_INPUT] if name not in weights], found[_GRAPH_OUTPUT]


def with_interface(model: bytes, inputs: Sequence[Value], outputs: Sequence[Value]) -> bytes:
    """The same model, taking and giving float32 values of other shapes.

    Weights that the file also lists as inputs are so no longer: a caller could replace them, so that
    onnxruntime may neither fold nor repack them. Shapes noted for inner values go.

    Args:
        model: an ONNX file.
        inputs: every input, by the names that the graph uses.
        outputs: every output, likewise.

    Raises:
        WireError: no ONNX file.
    """
    replaced = (_GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_VALUE_INFO)
    graph: list[bytes | memoryview] = [
        whole for number, _, whole in _fields(_graph(model)) if number not in replaced
    ]
    graph += [_field(_GRAPH_INPUT, _value(value)) for value in inputs]
    graph += [_field(_GRAPH_OUTPUT, _value(value)) for value in outputs]
    rest = [whole for number, _, whole in _fields(memoryview(model)) if number != _MODEL_GRAPH]
    head = _key(_MODEL_GRAPH, _BYTES) + _varint(sum(map(len, graph)))
    return b"".join([*rest, head, *graph])  # the weights are copied once


def _graph(model: bytes) -> memoryview:
    found = [value for number, value, _ in _fields(memoryview(model)) if number == _MODEL_GRAPH]
    if len(found) != 1 or not isinstance(found[0], memoryview):
        raise WireError("no ONNX file: it holds no graph")
    return found[0]


def _graph_parts(model: bytes) -> Iterator[tuple[int, memoryview]]:
    for number, value, _ in _fields(_graph(model)):
        if isinstance(value, memoryview):
            yield number, value


def _tensor(message: memoryview) -> Tensor:
    name, data_type, raw = "", 0, None
    dims: list[int] = []
    for number, value, _ in _fields(message):
        if number == _TENSOR_DIMS:
            dims += [value] if isinstance(value, int) else _packed(value)
        elif number == _TENSOR_DATA_TYPE and isinstance(value, int):
            data_type = value
        elif number == _TENSOR_NAME and isinstance(value, memoryview):
            name = _text(value)
        elif number == _TENSOR_RAW and isinstance(value, memoryview):
            raw = value
    return Tensor(name, data_type, tuple(dims), raw, message)


def _name(message: memoryview, field: int) -> str:
    for number, value, _ in _fields(message):
        if number == field and isinstance(value, memoryview):
            return _text(value)
    return ""


def _value(value: Value) -> bytes:
    """A ValueInfoProto: its name; a TypeProto with a tensor type: element type 1, shape 2."""
    tensor = _key(1, _VARINT) + _varint(_FLOAT)
    if value.dims is not None:
        dims = [
            _key(1, _VARINT) + _varint(dim) if isinstance(dim, int) else _field(2, dim.encode())
            for dim in value.dims
        ]
        tensor += _field(2, b"".join(_field(1, dim) for dim in dims))
    return _field(_VALUE_NAME, value.name.encode()) + _field(_VALUE_TYPE, _field(1, tensor))


def _text(value: memoryview) -> str:
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError as error:
        raise WireError("no ONNX file: a name is no UTF-8") from error


def _packed(values: memoryview) -> list[int]:
    found, place = [], 0
    while place < len(values):
        value, place = _read_varint(values, place)
        found.append(value)
    return found


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview, memoryview]]:
    """A message's fields: number, value, and the bytes of key and value together."""
    place = 0
    while place < len(message):
        start = place
        key, place = _read_varint(message, place)
        value: int | memoryview
        kind = key & 7
        if kind == _VARINT:
            value, place = _read_varint(message, place)
        else:
            if kind == _BYTES:
                length, place = _read_varint(message, place)
            elif kind in (_FIXED64, _FIXED32):
                length = 8 if kind == _FIXED64 else 4
            else:
                raise WireError(f"no ONNX file: wire type {kind} at byte {start}")
            if place + length > len(message):
                raise WireError("no ONNX file, or one that was cut off")
            value, place = message[place : place + length], place + length
        yield key >> 3, value, message[start:place]


def _read_varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(message) and shift < 70:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
    raise WireError("no ONNX file, or one that was cut off")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _key(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _field(number: int, payload: bytes) -> bytes:
    return _key(number, _BYTES) + _varint(len(payload)) + payload
