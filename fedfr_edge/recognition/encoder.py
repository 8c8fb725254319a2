"""Exported models on the device: aligned faces in, unit embeddings out, through onnxruntime."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import ForeignModelError, ImageError, MissingPartError, ModelError
from fedfr_edge.recognition.manifest import (
    BACKBONE_EMBEDDING,
    EMBEDDING,
    INPUT_NAME,
    MANIFEST_KEY,
    Manifest,
)
from fedfr_edge.types import FACE_SIZE, AlignedFaces, Embeddings
from fedfr_edge.vision.onnx_wire import Tensor, tensors
from fedfr_edge.vision.runtime import Provider, open_session

_UNIT_TOLERANCE = 1e-3


_DTYPES = {
    **{1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64"},
    **{9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64"},
}
"""numpy's names of ONNX's element types; of those left out the package onnx knows more."""


def weights_sha256(model: bytes) -> str:
    """The hash that names a model's weights, whatever else its file says.

    SHA-256 over the graph's initialisers in order of their names; of each: its name, its numpy
    dtype and its dims as one line of text, then its values as little-endian C-order bytes. A
    manifest can therefore be written into the file that it describes.

    Args:
        model: the bytes of an ONNX file whose weights are inside.

    Raises:
        ValueError: no ONNX file.
    """
    digest = hashlib.sha256()
    for tensor in sorted(tensors(model), key=lambda tensor: tensor.name):
        dtype, values = _DTYPES.get(tensor.data_type), tensor.raw
        if dtype is None or values is None:
            dtype, values = _decoded(tensor)
        digest.update(f"{tensor.name} {dtype} {','.join(map(str, tensor.dims))}\n".encode())
        digest.update(values)
    return digest.hexdigest()


def _decoded(tensor: Tensor) -> tuple[str, memoryview]:
    """dtype and little-endian bytes of a tensor whose values the file does not keep as such."""
    import onnx

    proto = onnx.TensorProto.FromString(bytes(tensor.message))
    values = np.ascontiguousarray(onnx.numpy_helper.to_array(proto))
    if sys.byteorder == "big":
        values = values.byteswap()
    return values.dtype.name, values.reshape(-1).view(np.uint8).data


class OnnxEncoder:
    """A model that ``fedfr export`` wrote; a :class:`fedfr_edge.types.Encoder`.

    Attributes:
        manifest: what the file says about itself.
        digest: sha256 of the file, hexadecimal; templates are bound to it.
        provider: the execution provider really in effect, by onnxruntime's name:
            ``"CPUExecutionProvider"`` or ``"CUDAExecutionProvider"``.
    """

    manifest: Manifest
    digest: str
    provider: str

    def __init__(
        self,
        path: Path,
        *,
        provider: Provider = "auto",
        threads: int | None = None,
        batch: int = 64,
        verify_weights: bool = True,
    ) -> None:
        """Open and check ``path``.

        Args:
            path: the ONNX file. It is read once, so that hash and session are of the same bytes.
            provider: see :data:`fedfr_edge.vision.runtime.Provider`.
            threads: CPU threads within one operator; None lets onnxruntime choose.
            batch: most faces per run.
            verify_weights: compare the weights with the hash in the manifest, which finds
                damage that onnxruntime loads without complaint.

        Raises:
            ForeignModelError: not an ONNX file, not one of ours, or damaged.
            ModelError: the file cannot be read.
            MissingPartError: no onnxruntime, or ``provider`` is "cuda!" and CUDA is not in effect.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ModelError(
                f"cannot read model {path}: {error.strerror}; give the path of a .onnx file that "
                "'fedfr export' wrote"
            ) from error
        self.path = path
        self.digest = hashlib.sha256(data).hexdigest()
        self._batch = batch
        self._session = _open(data, path, provider, threads)
        self.provider = str(self._session.get_providers()[0])
        self.manifest = _read_manifest(self._session, path)
        _check_interface(self._session, self.manifest, path)
        if verify_weights:
            _check_weights(data, self.manifest, path)

    @property
    def name(self) -> str:
        """What the model calls itself."""
        return self.manifest.name

    @property
    def dim(self) -> int:
        """Length d of an embedding."""
        return self.manifest.dim

    def embed(self, faces: AlignedFaces) -> Embeddings:
        """Embed faces; for a personal model this is the space of Π, in which it decides.

        Args:
            faces: uint8 (n, 112, 112, 3), RGB; n may be 0.

        Returns:
            float32 (n, d), unit rows.

        Raises:
            ImageError: ``faces`` has another dtype or shape.
            ForeignModelError: the model gives something else than unit vectors.
        """
        return self._run(faces, EMBEDDING)[0]

    def embed_backbone(self, faces: AlignedFaces) -> Embeddings:
        """Embed faces with the backbone alone: Θ_l without Π_l; as :meth:`embed` for a generic model."""
        return self._run(faces, self._backbone_output)[0]

    def embed_both(self, faces: AlignedFaces) -> tuple[Embeddings, Embeddings]:
        """``(embed_backbone(faces), embed(faces))`` of a personal model, from one pass."""
        backbone, personal = self._run(faces, self._backbone_output, EMBEDDING)
        return backbone, personal

    @property
    def _backbone_output(self) -> str:
        return BACKBONE_EMBEDDING if BACKBONE_EMBEDDING in self.manifest.outputs else EMBEDDING

    def _run(self, faces: AlignedFaces, *outputs: str) -> list[Embeddings]:
        side = FACE_SIZE
        if faces.dtype != np.uint8 or faces.ndim != 4 or faces.shape[1:] != (side, side, 3):
            raise ImageError(
                f"faces are {faces.dtype} {faces.shape}, expected uint8 (n, {side}, {side}, 3) RGB; "
                "align them with fedfr_edge.vision.align first"
            )
        results = [np.empty((len(faces), self.dim), np.float32) for _ in outputs]
        for start in range(0, len(faces), self._batch):
            block = np.ascontiguousarray(faces[start : start + self._batch])
            values = self._session.run(list(outputs), {INPUT_NAME: block})
            for result, of_block in zip(results, values, strict=True):
                result[start : start + len(block)] = self._checked(of_block, len(block))
        return results

    def _checked(self, values: npt.NDArray[Any], count: int) -> Embeddings:
        if values.dtype != np.float32 or values.shape != (count, self.dim):
            raise ForeignModelError(
                f"{self.path}: gives {values.dtype} {values.shape} for {count} faces, its manifest says "
                f"float32 ({count}, {self.dim}); export it again"
            )
        norms = np.linalg.norm(values, axis=1)
        # "not (… <= …)" so that a NaN counts as wrong: half precision overflows to it.
        if not np.all(np.abs(norms - 1) <= _UNIT_TOLERANCE):
            worst = float(norms[np.argmax(np.abs(norms - 1))])
            raise ForeignModelError(
                f"{self.path}: gives an embedding of length {worst:.4g}, expected 1; the model is damaged "
                "or its precision overflows, export it again as float32"
            )
        return values


def _open(data: bytes, path: Path, provider: Provider, threads: int | None) -> Any:
    try:
        return open_session(data, provider=provider, threads=threads)
    except (MissingPartError, MemoryError):
        raise
    except Exception as error:  # onnxruntime's exceptions share no base class
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ForeignModelError(
            f"{path} ({len(data)} bytes) is no ONNX model that onnxruntime can load ({reason}); it is "
            "damaged or something else, export or copy it again"
        ) from error


def _read_manifest(session: Any, path: Path) -> Manifest:
    text = session.get_modelmeta().custom_metadata_map.get(MANIFEST_KEY)
    if text is None:
        raise ForeignModelError(
            f"{path} is an ONNX model without a {MANIFEST_KEY!r} entry, so fedfr-edge did not export it; "
            "make one with 'fedfr export generic' or 'fedfr export personal'"
        )
    return Manifest.from_json(text, where=str(path))


def _check_interface(session: Any, manifest: Manifest, path: Path) -> None:
    side = FACE_SIZE
    inputs = [(value.name, value.type, list(value.shape)) for value in session.get_inputs()]
    # A dynamic dimension comes as its name or as None, a fixed one as a number.
    fits = (
        len(inputs) == 1
        and inputs[0][:2] == (INPUT_NAME, "tensor(uint8)")
        and inputs[0][2][1:] == [side, side, 3]
        and not isinstance(inputs[0][2][0], int)
    )
    if not fits:
        raise ForeignModelError(
            f"{path}: inputs are {inputs}, expected one, {INPUT_NAME!r} uint8 (n, {side}, {side}, 3) with "
            "n dynamic; export it again"
        )
    outputs = {value.name: (value.type, list(value.shape)) for value in session.get_outputs()}
    for name in manifest.outputs:
        kind, shape = outputs.get(name, ("missing", []))
        if (
            kind != "tensor(float)"
            or len(shape) != 2
            or (
                # An exporter may leave the last dimension open; then the first run checks it.
                isinstance(shape[1], int) and shape[1] != manifest.dim
            )
        ):
            raise ForeignModelError(
                f"{path}: output {name!r} is {kind} {shape}, its manifest says float32 (n, {manifest.dim}); "
                "export it again"
            )


def _check_weights(data: bytes, manifest: Manifest, path: Path) -> None:
    found = weights_sha256(data)
    if found != manifest.weights_sha256:
        raise ForeignModelError(
            f"{path}: its weights hash to {found[:12]}…, its manifest says "
            f"{manifest.weights_sha256[:12]}…; the file is damaged or altered, export or copy it again"
        )
