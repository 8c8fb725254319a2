"""What a face detector is, and opening one by name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from fedfr_edge.errors import ConfigError
from fedfr_edge.types import Face, Image

DETECTORS = ("centerface", "yunet:FILE.onnx", "insightface:FILE.onnx")
"""What :func:`open_detector` understands."""


class Detector(Protocol):
    """Anything that finds faces with five landmarks in a photograph.

    Attributes:
        name: the specification that opens it again.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 (above)

    def detect(self, image: Image) -> list[Face]:
        """Find faces in an RGB ``uint8 (h, w, 3)`` photograph, best score first.

        Boxes and landmarks are in pixels of ``image``.

        Raises:
            ImageError: the array is no RGB photograph.
        """
        ...


def open_detector(spec: str = "centerface", *, threads: int | None = None) -> Detector:
    """Open the detector that ``spec`` names.

    Args:
        spec: ``"centerface"`` (comes with the installation), ``"yunet:FILE.onnx"`` (OpenCV's
            FaceDetectorYN) or ``"insightface:FILE.onnx"`` (SCRFD; needs the insightface extra).
        threads: CPU threads a detection may use; None lets the runtime choose. Ignored by YuNet,
            which follows ``cv2.setNumThreads``.

    Raises:
        ConfigError: an unknown name, or one that lacks its file.
        MissingPartError: a package or file that the detector needs is not there, or is not the
            one expected.
    """
    # Each detector is imported only when asked for: they need different packages.
    kind, _, file = spec.partition(":")
    if kind == "centerface" and not file:
        from fedfr_edge.vision.centerface import CenterFace

        return CenterFace(threads=threads)
    if kind == "yunet" and file:
        from fedfr_edge.vision.yunet import YuNet

        return YuNet(Path(file))
    if kind == "insightface" and file:
        from fedfr_edge.vision.scrfd import Scrfd

        return Scrfd(Path(file), threads=threads)
    raise ConfigError(f"unknown detector {spec!r}, expected one of {', '.join(DETECTORS)}")
