"""YuNet through OpenCV."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from fedfr_edge.errors import MissingPartError
from fedfr_edge.types import Face, Image
from fedfr_edge.vision.working import WorkingSize, at_working_size


class YuNet:
    """YuNet (Wu et al., 2023) through ``cv2.FaceDetectorYN``."""

    def __init__(
        self, file: Path, *, working: WorkingSize | None = None, score: float = 0.7, overlap: float = 0.3
    ) -> None:
        self.name = f"yunet:{file}"
        self._working = working or WorkingSize()
        if not file.is_file():
            raise MissingPartError(f"no YuNet model at {file}; check the path")
        try:
            self._net = cv2.FaceDetectorYN.create(str(file), "", (320, 320), score, overlap)
        except cv2.error as error:
            raise MissingPartError(f"OpenCV cannot open {file} as YuNet: {error.err}") from error

    def detect(self, image: Image) -> list[Face]:
        """Find faces; see :class:`fedfr_edge.vision.detect.Detector`."""
        worked = at_working_size(image, self._working)
        height, width = worked.pixels.shape[:2]
        self._net.setInputSize((width, height))
        _, rows = self._net.detect(cv2.cvtColor(worked.pixels, cv2.COLOR_RGB2BGR))
        faces = []
        for row in rows if rows is not None else ():
            box = worked.to_photograph(np.stack([row[:2], row[:2] + row[2:4]]))
            faces.append(Face(box.reshape(4), worked.to_photograph(row[4:14].reshape(5, 2)), float(row[14])))
        return sorted(faces, key=lambda face: -face.score)
