"""SCRFD through insightface."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from fedfr_edge.errors import MissingPartError
from fedfr_edge.types import Face, Image
from fedfr_edge.vision.runtime import open_session
from fedfr_edge.vision.working import WorkingSize, at_working_size


class Scrfd:
    """SCRFD (Guo et al., 2021) through insightface's own class."""

    def __init__(
        self, file: Path, *, working: WorkingSize | None = None, score: float = 0.5, overlap: float = 0.4, threads: int | None = None
    ) -> None:
        self.name = f"insightface:{file}"
        self._working = working or WorkingSize()
        try:
            from insightface.model_zoo.scrfd import SCRFD
        except ImportError as error:
            raise MissingPartError("insightface is not installed; run: pip install 'fedfr-edge[insightface]'") from error
        if not file.is_file():
            raise MissingPartError(f"no SCRFD model at {file}; check the path")
        self._net = SCRFD(model_file=str(file), session=open_session(str(file), threads=threads))
        self._net.nms_thresh = overlap
        self._net.det_thresh = score

    def detect(self, image: Image) -> list[Face]:
        """Find faces; see :class:`fedfr_edge.vision.detect.Detector`."""
        worked = at_working_size(image, self._working)
        height, width = worked.pixels.shape[:2]
        bgr = cv2.cvtColor(worked.pixels, cv2.COLOR_RGB2BGR)
        rows, points = self._net.detect(bgr, input_size=(width, height))
        faces = [
            Face(
                worked.to_photograph(row[:4].reshape(2, 2)).reshape(4),
                worked.to_photograph(mark),
                float(row[4]),
            )
            for row, mark in zip(rows, points, strict=True)
        ]
        return sorted(faces, key=lambda face: -face.score)
