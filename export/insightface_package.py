"""The float32 model as insightface's own loaders want it: NCHW float input, one output, manifest V2.

insightface puts faces in as float32 (n, 3, 112, 112) RGB with values 0 to 255. Its ``model_zoo.get_model``
takes the ONNX file by its path (it reads from the names of the first nodes that normalisation is inside)
or the folder by its ``manifest.json``, whose sha256 it checks.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from fedfr_edge.errors import ExportError
from fedfr_edge.recognition.manifest import EMBEDDING, INPUT_NAME, MANIFEST_KEY, Manifest
from fedfr_edge.types import FACE_SIZE, AlignedFaces, Embeddings

from .graph import check_valid

MODEL_FILE = "recognition.onnx"
MANIFEST_FILE = "manifest.json"


def to_nchw(proto: Any) -> Any:
    """The graph from float32 (n, 3, 112, 112) to ``embedding`` alone.

    Args:
        proto: an exported float32 graph, uint8 (n, 112, 112, 3) in.

    Raises:
        ExportError: the graph does not begin as exported ones do, or the result is no valid ONNX.
    """
    graph = helper.make_graph([], "fedfr-edge", [], [])
    graph.CopyFrom(proto.graph)
    transpose = next((node for node in graph.node if node.op_type == "Transpose"), None)
    cast = next((node for node in graph.node if transpose and transpose.output[0] in node.input), None)
    if transpose is None or cast is None or transpose.input[0] != INPUT_NAME or cast.op_type != "Cast":
        raise ExportError(
            "the exported graph does not begin with Transpose and Cast, so it cannot be turned to NCHW; "
            "report it with this line"
        )
    for node in graph.node:
        node.input[:] = [INPUT_NAME if name == cast.output[0] else name for name in node.input]
    batch = graph.input[0].type.tensor_type.shape.dim[0].dim_param
    del graph.input[:]
    shape = [batch, 3, FACE_SIZE, FACE_SIZE]
    graph.input.append(helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, shape))
    outputs = [value for value in graph.output if value.name == EMBEDDING]
    del graph.output[:]
    graph.output.extend(outputs)
    _keep_needed(graph)
    del graph.value_info[:]
    turned = onnx.ModelProto()
    turned.CopyFrom(proto)
    turned.graph.CopyFrom(graph)
    check_valid(turned)
    return turned


def package_files(proto: Any, manifest: Manifest) -> dict[str, bytes]:
    """Name -> bytes of the package's files.

    Args:
        proto: the exported float32 graph.
        manifest: the model's, which goes into the package's ONNX file too.

    Raises:
        ExportError: see :func:`to_nchw`.
    """
    turned = to_nchw(proto)
    del turned.metadata_props[:]
    entry = turned.metadata_props.add()
    entry.key, entry.value = MANIFEST_KEY, manifest.to_json()
    data: bytes = turned.SerializeToString()
    task = {
        "file": MODEL_FILE,
        "sha256": hashlib.sha256(data).hexdigest(),
        "preprocessing": "embedded",
        "input_size": [FACE_SIZE, FACE_SIZE],
        "embedding_dimension": manifest.dim,
    }
    described = {
        "manifest_version": 2,
        "model_id": re.sub(r"[^A-Za-z0-9._-]+", "-", manifest.name).strip("-._") or "model",
        "display_name": manifest.name,
        # The field must be there. The file itself is one that insightface's makers sign: there is none.
        "license": "MODEL.LICENSE",
        "tasks": {"recognition": task},
    }
    text = json.dumps(described, ensure_ascii=False, indent=2) + "\n"
    return {MODEL_FILE: data, MANIFEST_FILE: text.encode()}


def check_same(session: Any, faces: AlignedFaces, expected: Embeddings) -> None:
    """Raise ExportError unless the NCHW ``session`` embeds ``faces`` as the exported file does.

    Args:
        session: of the package's ONNX file.
        faces: uint8 (n, 112, 112, 3), n ≥ 1.
        expected: float32 (n, d), the exported file's.
    """
    planes = np.ascontiguousarray(faces.transpose(0, 3, 1, 2).astype(np.float32))
    found = session.run([EMBEDDING], {INPUT_NAME: planes})[0]
    worst = float(np.abs(found - expected).max())
    if not worst <= 1e-5:
        raise ExportError(
            f"the insightface package differs from the exported file by {worst:.1e}, expected at most 1e-5; "
            "nothing was written, report it with the versions that 'fedfr doctor' lists"
        )


def _keep_needed(graph: Any) -> None:
    """Leave only nodes and weights that the outputs need."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    nodes = []
    for node in reversed(kept):
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        nodes.append(copy)
    del graph.node[:]
    graph.node.extend(nodes)
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in needed]:
        graph.initializer.remove(tensor)
