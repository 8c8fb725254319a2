"""SCRFD, decoded here: the same answers as insightface's class, without insightface."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import MissingPartError
from fedfr_edge.types import Face, Image
from fedfr_edge.vision.onnx_wire import Value, WireError, names, with_interface
from fedfr_edge.vision.refine import Canvas, look_twice
from fedfr_edge.vision.runtime import Provider, open_file
from fedfr_edge.vision.suppress import suppress
from fedfr_edge.vision.working import WorkingSize

STRIDES = (8, 16, 32)
"""Pixels per cell of the maps: of each there is one of scores, one of boxes and one of landmarks."""

AGAIN = (WorkingSize(least=640, most=640), WorkingSize(least=256, most=256))
"""Where no face is found, the photograph is shown again, larger for faces that are far away, then smaller:
SCRFD does not see a face that fills its input, as in a portrait cut tightly."""


class Scrfd:
    """SCRFD (Guo et al., arXiv 2105.04714) through onnxruntime.

    The network is shown the photograph without padding to a square, whatever size its file fixes, and each
    face once more: that costs less than one look at 640 pixels, and the landmarks are several times steadier.
    insightface's files (``det_10g.onnx`` and the like) are for non-commercial research only.

    Args:
        file: an ONNX file of SCRFD's with landmarks.
        working: at which size photographs are first looked at.
        second_look: how each face is looked at again; None leaves that out.
        score: faces below this confidence are dropped.
        provider: see :data:`fedfr_edge.vision.runtime.Provider`.
        threads: CPU threads; None lets onnxruntime choose.

    Raises:
        MissingPartError: onnxruntime is not installed, or the file is not there or not SCRFD's.
    """

    def __init__(
        self,
        file: Path,
        *,
        working: WorkingSize = WorkingSize(least=320, most=384),  # noqa: B008 (frozen)
        second_look: Canvas | None = Canvas(side=128, scale=0.8),  # noqa: B008
        score: float = 0.5,
        provider: Provider = "auto",
        threads: int | None = None,
    ) -> None:
        self.name = f"scrfd:{file}"
        self._file = file
        self._working = working
        self._second_look = second_look
        self._score = score
        self._session = open_file(
            file, "SCRFD's ONNX file", edit=_with_free_sides, provider=provider, threads=threads
        )
        self._input = self._session.get_inputs()[0].name
        self._outputs = [put.name for put in self._session.get_outputs()]
        if len(self._outputs) != 3 * len(STRIDES):
            raise MissingPartError(
                f"{file} is no SCRFD with landmarks: it has {len(self._outputs)} outputs, expected 9; "
                "give a file whose name says kps or det_*g"
            )

    def detect(self, image: Image) -> list[Face]:
        """Find faces; see :meth:`fedfr_edge.vision.detect.Detector.detect`."""
        for size in (self._working, *AGAIN):
            faces = look_twice(image, self._find, size, self._second_look)
            if faces:
                break
        return faces

    def _find(self, pixels: Image) -> list[Face]:
        """Run the network once on an image whose sides are multiples of 32."""
        planes = cv2.dnn.blobFromImage(pixels, 1 / 128, pixels.shape[1::-1], (127.5, 127.5, 127.5))
        try:
            maps = self._session.run(self._outputs, {self._input: planes})
        except Exception as error:  # onnxruntime's own classes have no common public base
            raise MissingPartError(
                f"{self._file} takes pictures of one size only; try it as insightface:{self._file}"
            ) from error
        return decode([values.reshape(-1, values.shape[-1]) for values in maps], pixels.shape[1], self._score)


def decode(maps: list[npt.NDArray[np.float32]], width: int, score: float) -> list[Face]:
    """Turn the network's maps into faces, best score first.

    Where a cell has s pixels, each cell of a row-major grid of ``width``/s columns proposes two boxes, in
    s pixels: their distances left, above, right and below of the cell's corner, and the landmarks from
    there. Of overlapping boxes the best stays (non-maximum suppression at 0.4).

    Args:
        maps: for each of :data:`STRIDES` float32 (2·cells, 1), confidence; then for each (2·cells, 4), then
            for each (2·cells, 10).
        width: of the image shown, in pixels.
        score: least confidence of a face.
    """
    scores, boxes, points = [], [], []
    for level, stride in enumerate(STRIDES):
        confidence = maps[level][:, 0]
        rows = np.flatnonzero(confidence >= score)
        cells = rows // 2
        columns = width // stride
        corner = np.stack([cells % columns, cells // columns], axis=1) * np.float32(stride)
        reach = maps[3 + level][rows] * stride
        scores.append(confidence[rows])
        boxes.append(np.concatenate([corner - reach[:, :2], corner + reach[:, 2:]], axis=1))
        points.append(maps[6 + level][rows].reshape(-1, 5, 2) * stride + corner[:, None])
    score_of, box_of, points_of = np.concatenate(scores), np.concatenate(boxes), np.concatenate(points)
    return [
        Face(box_of[row].astype(np.float32), points_of[row].astype(np.float32), float(score_of[row]))
        for row in suppress(box_of, score_of, overlap=0.4)
    ]


def _with_free_sides(data: bytes) -> bytes:
    """The same network for any height and width; files made for one size fix theirs."""
    inputs, outputs = names(data)
    if len(inputs) != 1:
        raise WireError(f"it takes {len(inputs)} inputs, expected one")
    return with_interface(
        data,
        [Value(inputs[0], (1, 3, "height", "width"))],
        [Value(name, None) for name in outputs],
    )
