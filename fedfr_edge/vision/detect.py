"""What a face detector is, and opening one by name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from fedfr_edge.errors import ConfigError, MissingPartError
from fedfr_edge.types import Face, Image
from fedfr_edge.vision.runtime import Provider

DETECTORS = ("centerface", "yunet:FILE.onnx", "scrfd:FILE.onnx", "insightface:FILE.onnx")
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


def open_detector(
    spec: str = "centerface", *, provider: Provider = "auto", threads: int | None = None
) -> Detector:
    """Open the detector that ``spec`` names.

    Args:
        spec: ``"centerface"`` (comes with the installation), ``"yunet:FILE.onnx"`` (OpenCV's
            FaceDetectorYN), ``"scrfd:FILE.onnx"`` (SCRFD) or ``"insightface:FILE.onnx"`` (RetinaFace and
            what else insightface's own classes run; needs the insightface extra).
        provider: see :data:`fedfr_edge.vision.runtime.Provider`. YuNet runs on the CPU whatever is asked
            for, but for "cuda!", which it refuses.
        threads: CPU threads a detection may use; None lets the runtime choose. Ignored by YuNet,
            which follows ``cv2.setNumThreads``.

    Raises:
        ConfigError: an unknown name, or one that lacks its file.
        MissingPartError: a package or file that the detector needs is not there or not the one
            expected, or the provider is "cuda!" and CUDA is not in effect.
    """
    # Each detector is imported only when asked for: they need different packages.
    kind, _, file = spec.partition(":")
    if kind == "centerface" and not file:
        from fedfr_edge.vision.centerface import CenterFace

        return CenterFace(provider=provider, threads=threads)
    if kind == "yunet" and file:
        if provider == "cuda!":
            raise MissingPartError(
                f"{spec} runs on the CPU only and the provider is 'cuda!'; choose another of the two"
            )
        from fedfr_edge.vision.yunet import YuNet

        return YuNet(Path(file))
    if kind == "scrfd" and file:
        from fedfr_edge.vision.scrfd import Scrfd

        return Scrfd(Path(file), provider=provider, threads=threads)
    if kind == "insightface" and file:
        from fedfr_edge.vision.insightface_zoo import InsightFaceZoo

        return InsightFaceZoo(Path(file), provider=provider, threads=threads)
    raise ConfigError(f"unknown detector {spec!r}, expected one of {', '.join(DETECTORS)}")
