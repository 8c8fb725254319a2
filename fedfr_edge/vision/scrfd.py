"""SCRFD through insightface."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from fedfr_edge.errors import MissingPartError
from fedfr_edge.types import Face, Image
from fedfr_edge.vision.runtime import open_file
from fedfr_edge.vision.working import WorkingSize, at_working_size

CLOSE = 0.4
"""Where no face is found, the photograph is shown once more at this part of the input size: SCRFD
does not see a face that fills its input, as in a portrait cut tightly."""


class Scrfd:
    """SCRFD (Guo et al., arXiv 2105.04714) through insightface's own class.

    insightface's files (``det_10g.onnx`` and the like) are for non-commercial research only.

    Args:
        file: an ONNX file of SCRFD's with landmarks; of a fixed square input or of any size.
        side: photographs are scaled so that their longer side has this many pixels; a file of
            fixed size overrides it.
        score: faces below this confidence are dropped.
        threads: CPU threads; None lets onnxruntime choose.

    Raises:
        MissingPartError: insightface or onnxruntime is not installed, or the file is not there
            or not SCRFD's.
    """

    def __init__(
        self, file: Path, *, side: int = 640, score: float = 0.5, threads: int | None = None
    ) -> None:
        self.name = f"insightface:{file}"
        if not file.is_file():
            raise MissingPartError(f"no file {file}, expected SCRFD's ONNX file; check the path")
        try:
            from insightface.model_zoo.scrfd import SCRFD
        except ImportError as error:
            raise MissingPartError(
                "insightface is not installed, the detector insightface:FILE needs it; "
                "run: pip install 'fedfr-edge[insightface]'"
            ) from error
        session = open_file(file, "a detector's ONNX file", threads=threads)
        # Sessions made per resolution would pile up, one for each size of photograph.
        self._net = SCRFD(model_file=str(file), session=session, static_shape_sessions=False)
        if not self._net.use_kps:
            raise MissingPartError(
                f"{file} is no SCRFD with landmarks: it has {len(session.get_outputs())} outputs, "
                "expected 9 or 15; give a file whose name says kps or det_*g"
            )
        self._net.det_thresh = score
        fixed = self._net.static_input_size
        if fixed is not None and fixed[0] != fixed[1]:
            raise MissingPartError(
                f"{file} takes {fixed[0]}×{fixed[1]} pixels, expected a square or a free size"
            )
        side = fixed[0] if fixed is not None else -(-side // 32) * 32
        close = round(side * CLOSE)
        self._sizes = (
            WorkingSize(least=side, most=side, square=side),
            WorkingSize(least=close, most=close, square=side),
        )

    def detect(self, image: Image) -> list[Face]:
        """Find faces; see :meth:`fedfr_edge.vision.detect.Detector.detect`."""
        for size in self._sizes:
            faces = self._find(image, size)
            if faces:
                break
        return faces

    def _find(self, image: Image, size: WorkingSize) -> list[Face]:
        worked = at_working_size(image, size)
        height, width = worked.pixels.shape[:2]
        # Already at the input size, so that insightface scales by 1.
        rows, points = self._net.detect(
            cv2.cvtColor(worked.pixels, cv2.COLOR_RGB2BGR), input_size=(width, height)
        )
        return [
            Face(
                worked.to_photograph(np.asarray(row[:4]).reshape(2, 2)).reshape(4),
                worked.to_photograph(np.asarray(marks)),
                float(row[4]),
            )
            for row, marks in zip(rows, points, strict=True)
        ]
