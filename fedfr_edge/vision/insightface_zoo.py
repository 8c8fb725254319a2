"""The detectors of insightface's model zoo: SCRFD and RetinaFace, through insightface's own class."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from fedfr_edge.errors import MissingPartError
from fedfr_edge.types import Face, Image
from fedfr_edge.vision.runtime import Provider, import_onnxruntime, open_file
from fedfr_edge.vision.working import WorkingSize, at_working_size

COARSEST = {9: 32, 15: 128}
"""Outputs of a network with landmarks (scores, boxes and landmarks at each stride) -> its largest stride."""

CLOSE = 0.4
"""Where no face is found, the photograph is shown once more at this part of the input size: these networks
do not see a face that fills their input, as in a portrait cut tightly."""


class InsightFaceZoo:
    """SCRFD (Guo et al., arXiv 2105.04714) and RetinaFace (Deng et al., arXiv 1905.00641) as insightface
    exports them (``det_10g.onnx``, ``det_500m.onnx`` and the like).

    insightface tells both by their number of outputs and decodes them with one class: 9 with landmarks at
    strides 8, 16 and 32, two anchors a cell; 15 at strides 8 to 128, one anchor. Its model files are for
    non-commercial research only.

    Args:
        file: the ONNX file; of a fixed square input or of any size.
        side: photographs are scaled so that their longer side has this many pixels; a file of
            fixed size overrides it.
        score: faces below this confidence are dropped.
        provider: see :data:`fedfr_edge.vision.runtime.Provider`.
        threads: CPU threads; None lets onnxruntime choose.

    Raises:
        MissingPartError: insightface or onnxruntime is not installed, the provider is "cuda!" and not in
            effect, or the file is not there or no such detector.
    """

    def __init__(
        self,
        file: Path,
        *,
        side: int = 640,
        score: float = 0.5,
        provider: Provider = "auto",
        threads: int | None = None,
    ) -> None:
        self.name = f"insightface:{file}"
        if not file.is_file():
            raise MissingPartError(f"no file {file}, expected a detector's ONNX file; check the path")
        import_onnxruntime()  # before insightface does, with its telemetry on
        try:
            from insightface.model_zoo.scrfd import SCRFD
        except ImportError as error:
            raise MissingPartError(
                "insightface is not installed, the detector insightface:FILE needs it; "
                "run: pip install 'fedfr-edge[insightface]'"
            ) from error
        session = open_file(file, "a detector's ONNX file", provider=provider, threads=threads)
        outputs = len(session.get_outputs())
        if outputs not in COARSEST:
            raise MissingPartError(
                f"{file} is no SCRFD or RetinaFace with landmarks: it has {outputs} outputs, expected 9 or "
                "15; give a file whose name says kps or det_*g"
            )
        # What insightface.model_zoo.get_model makes of such a file, but over our quiet session. Sessions made
        # per resolution would pile up, one for each size of photograph.
        self._net = SCRFD(model_file=str(file), session=session, static_shape_sessions=False)
        self._net.det_thresh = score
        fixed = self._net.static_input_size
        if fixed is not None and fixed[0] != fixed[1]:
            raise MissingPartError(
                f"{file} takes {fixed[0]}×{fixed[1]} pixels, expected a square or a free size"
            )
        side = fixed[0] if fixed is not None else -(-side // COARSEST[outputs]) * COARSEST[outputs]
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
        found = [
            Face(np.asarray(row[:4]), np.asarray(marks), float(row[4]))
            for row, marks in zip(rows, points, strict=True)
        ]
        return [worked.in_photograph(face) for face in found]
