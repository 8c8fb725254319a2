"""Photographs: find the face each is about, and align it."""

from __future__ import annotations

from pathlib import Path

from fedfr_edge.data.readers.outcome import Outcome
from fedfr_edge.errors import AlignmentError, ImageError
from fedfr_edge.vision.align import align
from fedfr_edge.vision.detect import Detector, open_detector
from fedfr_edge.vision.image import read_image
from fedfr_edge.vision.select import largest_central


class PhotoReader:
    """Keeps the largest, most central face of each photograph.

    Args:
        detector: what :func:`fedfr_edge.vision.detect.open_detector` understands.
        min_face: least side of the face's box in pixels; smaller faces are skipped, since
            enlarging them to 112×112 invents what they lack.
    """

    def __init__(self, detector: str = "centerface", min_face: int = 32) -> None:
        self.spec = detector
        self.min_face = min_face
        self._detector: Detector | None = None

    def open(self) -> None:
        """Open the detector.

        Raises:
            ConfigError: the specification is not understood.
            MissingPartError: the detector's package or file is not there.
        """
        self._opened()

    def describe(self) -> dict[str, str | int | bool]:
        """Kind, detector (without the folder of its file) and least face."""
        kind, colon, file = self.spec.partition(":")
        return {"kind": "photos", "detector": kind + colon + Path(file).name, "min_face": self.min_face}

    def read(self, path: Path, /) -> Outcome:
        """Read, detect and align; see :class:`Outcome` for the codes."""
        detector = self._opened()
        try:
            image = read_image(path)
            faces = detector.detect(image)
        except ImageError as error:
            return Outcome(None, "undecodable", str(error))
        if not faces:
            height, width = image.shape[:2]
            return Outcome(None, "no_face", f"no face was found in {width}×{height} pixels")
        face = largest_central(faces, image.shape)
        left, top, right, bottom = map(float, face.box)
        side = min(right - left, bottom - top)
        if side < self.min_face:
            detail = f"the face is {side:.0f} pixels wide, expected {self.min_face} or more"
            return Outcome(None, "too_small", detail)
        try:
            aligned = align(image, face.landmarks)
        except AlignmentError as error:
            return Outcome(None, "misaligned", str(error))
        if len(faces) > 1:
            return Outcome(aligned, "several_faces", f"{len(faces)} faces, kept the largest central one")
        return Outcome(aligned)

    def _opened(self) -> Detector:
        if self._detector is None:
            # One thread: files are read side by side instead, and results depend on no core count.
            self._detector = open_detector(self.spec, threads=1)
        return self._detector

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_detector": None}  # each process opens its own
