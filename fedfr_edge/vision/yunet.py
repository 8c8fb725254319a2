"""YuNet through OpenCV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fedfr_edge.errors import MissingPartError
from fedfr_edge.types import Face, Image
from fedfr_edge.vision.opencv_log import silenced
from fedfr_edge.vision.refine import Canvas, look_twice
from fedfr_edge.vision.working import WorkingSize


class YuNet:
    """YuNet (Wu et al., 2023) through ``cv2.FaceDetectorYN``; needs no onnxruntime.

    One object serves one thread at a time: OpenCV keeps the input size in the network.

    Args:
        file: an ONNX file of YuNet's, for example OpenCV Zoo's ``face_detection_yunet_2023mar.onnx``.
        working: at which size photographs are first looked at.
        second_look: how each face is looked at again; None leaves that out.
        score: faces below this confidence are dropped.

    Raises:
        MissingPartError: the file is not there or OpenCV cannot open it.
    """

    def __init__(
        self,
        file: Path,
        *,
        working: WorkingSize = WorkingSize(least=640, most=1024),  # noqa: B008 (frozen)
        second_look: Canvas | None = Canvas(side=320, scale=2.2),  # noqa: B008
        score: float = 0.7,
    ) -> None:
        self.name = f"yunet:{file}"
        self._working = working
        self._second_look = second_look
        if not file.is_file():
            raise MissingPartError(f"no file {file}, expected YuNet's ONNX file; check the path")
        try:
            with (
                silenced()
            ):  # OpenCV 5 warns at every opening that its new engine knows no targets; none is asked for
                self._net = cv2.FaceDetectorYN.create(str(file), "", (320, 320), score, 0.3)
                self._find(np.zeros((320, 320, 3), dtype=np.uint8))
        except cv2.error as error:
            reason = " ".join(error.err.split())
            raise MissingPartError(
                f"OpenCV {cv2.__version__} cannot run {file} as YuNet ({reason}); give YuNet's ONNX file"
            ) from error

    def detect(self, image: Image) -> list[Face]:
        """Find faces; see :meth:`fedfr_edge.vision.detect.Detector.detect`."""
        return look_twice(image, self._find, self._working, self._second_look)

    def _find(self, pixels: Image) -> list[Face]:
        height, width = pixels.shape[:2]
        self._net.setInputSize((width, height))
        # OpenCV's type hints leave out that there may be no rows.
        found: Any = self._net.detect(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1]
        if found is None:
            return []
        rows = np.asarray(found, dtype=np.float32)
        rows = rows[np.argsort(-rows[:, 14], kind="stable")]
        return [
            # Box as corner and size, then the five points, then the score.
            Face(np.concatenate([row[:2], row[:2] + row[2:4]]), row[4:14].reshape(5, 2), float(row[14]))
            for row in rows
        ]
