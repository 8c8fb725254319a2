"""From a torch module to an ONNX graph that holds what is needed to run it, and nothing else."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnx
import torch

import fedfr_edge
from fedfr_edge.errors import ExportError
from fedfr_edge.recognition.manifest import INPUT_NAME
from fedfr_edge.types import FACE_SIZE

from .fuse import FusedModel

OPSET = 20
"""The ONNX operator set of exported models."""

_NOISY = ("torch.onnx", "torch.export", "torch._dynamo", "torch.fx", "onnxscript", "onnx_ir")


def to_onnx(model: FusedModel) -> Any:
    """Trace ``model`` into an ``onnx.ModelProto`` with weights inside and a dynamic batch.

    Raises:
        ExportError: torch cannot trace it, or the result is no valid ONNX.
    """
    # With one example the tracer would take the batch for a constant 1.
    example = torch.zeros((2, FACE_SIZE, FACE_SIZE, 3), dtype=torch.uint8)
    with _quiet():
        try:
            program = torch.onnx.export(
                model,
                (example,),
                input_names=[INPUT_NAME],
                output_names=list(model.outputs),
                dynamic_shapes={INPUT_NAME: {0: torch.export.Dim("batch")}},
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # the exporter's errors share no base class
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ExportError(
                f"torch {torch.__version__} cannot export {model.backbone.spec}: {reason}; "
                "report it with this line"
            ) from error
        assert program is not None
        proto = program.model_proto
    strip(proto)
    _name_normalisation(proto.graph)
    check_valid(proto)
    return proto


def check_valid(proto: Any) -> None:
    """Raise ExportError unless ``proto`` is valid ONNX, with shapes that fit together."""
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(
            f"the exported graph is not valid ONNX: {error}; report it with this line"
        ) from error


def strip(proto: Any) -> None:
    """Remove what tools note down in ``proto``: torch's writes local paths and stack traces into the file."""
    del proto.metadata_props[:]
    proto.doc_string = ""
    proto.producer_name, proto.producer_version = "fedfr-edge", fedfr_edge.__version__
    for function in proto.functions:
        _strip_nodes(function)
    _strip_graph(proto.graph)


def _strip_graph(graph: Any) -> None:
    graph.name, graph.doc_string = "fedfr-edge", ""
    del graph.metadata_props[:]
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.doc_string = ""
        del value.metadata_props[:]
    _strip_nodes(graph)


def _strip_nodes(holder: Any) -> None:
    holder.doc_string = ""
    del holder.metadata_props[:]
    for node in holder.node:
        node.doc_string = ""
        del node.metadata_props[:]
        for attribute in node.attribute:
            attribute.doc_string = ""
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    _strip_graph(inner)


def _name_normalisation(graph: Any) -> None:
    """Name the first Sub and Mul as insightface looks for them.

    It reads from these names, among the first eight nodes, that normalisation happens inside.
    """
    for kind in ("Sub", "Mul"):
        node = next((node for node in graph.node[:8] if node.op_type == kind), None)
        if node is None:
            raise ExportError(
                f"the exported graph has no {kind} among its first nodes, expected normalisation there"
            )
        node.name = f"{kind}_normalise"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's loggers and warnings off the user's screen while it works."""
    loggers = [logging.getLogger(name) for name in _NOISY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
