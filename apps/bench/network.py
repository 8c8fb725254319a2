"""What an ONNX network costs: its floating-point operations, beside the machine's measured peak."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from fedfr_edge.vision.runtime import open_session

_SIDE = 2048
_NUMBERS = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(float16)": np.float16}


def peak_flops() -> float:
    """The best float32 matrix product of several, operations a second, with the threads that numpy has."""
    one = np.random.default_rng(0).random((_SIDE, _SIDE), dtype=np.float32)
    best = 0.0
    for _ in range(6):
        started = time.perf_counter()
        one @ one
        best = max(best, 2 * _SIDE**3 / (time.perf_counter() - started))
    return best


def flops(file: Path, shape: tuple[int, ...]) -> int:
    """Operations of one run on an input of ``shape``: two for each multiply-add of its products.

    Convolutions, ``Gemm`` and ``MatMul`` count; the sizes of what they give are those of a real run.
    """
    import onnx

    model = onnx.load(str(file))
    sizes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    # What a quantised network multiplies with, it computes too.
    wanted = dict.fromkeys(name for node in nodes for name in (node.output[0], node.input[1]))
    wanted = {name: None for name in wanted if name not in sizes}
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    session = open_session(model.SerializeToString(), provider="cpu", threads=1)
    given = session.run(list(wanted), {session.get_inputs()[0].name: _zeros(session, shape)})
    sizes.update((name, values.shape) for name, values in zip(wanted, given, strict=True))
    total = 0
    for node in nodes:
        weight = sizes[node.input[1]]
        if node.op_type == "Conv":
            depth = math.prod(weight[1:])  # channels of a group × kernel
        else:
            turned = any(a.name == "transB" and a.i for a in node.attribute)
            depth = weight[-1] if turned else weight[-2]
        total += 2 * math.prod(sizes[node.output[0]]) * depth
    return total


def run_seconds(file: Path, shape: tuple[int, ...], threads: int, times: int) -> float:
    """Median seconds of a run on an input of ``shape``."""
    session = open_session(file.read_bytes(), provider="cpu", threads=threads)
    given = {session.get_inputs()[0].name: _zeros(session, shape)}
    session.run(None, given)
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        session.run(None, given)
        spent.append(time.perf_counter() - started)
    return float(np.median(spent))


def _zeros(session: Any, shape: tuple[int, ...]) -> Any:
    return np.zeros(shape, _NUMBERS[session.get_inputs()[0].type])
