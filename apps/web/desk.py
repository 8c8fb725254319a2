"""What the server has opened: model, detector, gallery; and what it says about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.gallery import Gallery
from fedfr_edge.recognition.policy import LoginPolicy, OperatingPoint, operating_point
from fedfr_edge.types import Image
from fedfr_edge.vision.detect import Detector
from fedfr_edge.vision.header import read_header
from fedfr_edge.vision.image import decode_image
from fedfr_edge.vision.liveness import PassiveLiveness

from .answers import Refused
from .books import Books
from .limits import Limits
from .replies import locked
from .workshop import Workshop


@dataclass(frozen=True)
class Desk:
    """Everything that a login or an enrolment needs.

    Attributes:
        encoder: the model.
        detector: finds faces.
        books: the gallery.
        policy: when somebody is let in.
        passive: judges single frames, too; None: nothing does.
        limits: of the server.
        workshop: its threads.
    """

    encoder: OnnxEncoder
    detector: Detector
    books: Books
    policy: LoginPolicy
    passive: PassiveLiveness | None = None
    limits: Limits = field(default_factory=Limits)
    workshop: Workshop = field(default_factory=Workshop)

    def point(self, gallery: Gallery, people: int = 1) -> OperatingPoint:
        """The thresholds in effect: this device's calibration can change them."""
        return operating_point(self.policy, self.encoder, gallery.calibration, people)

    def about(self) -> dict[str, Any]:
        """What ``/api/info`` says of it. Asks the books."""
        manifest, point = self.encoder.manifest, self.point(self.books.gallery())
        return {
            "model": {
                "name": manifest.name,
                "kind": manifest.kind,
                "digest": self.encoder.digest,
                "threshold": point.threshold,
                "far": point.far,
            },
            "detector": self.detector.name,
            "liveness": self.policy.liveness,
            "frames": list(self.policy.frames),
            "limits": {"photo_bytes": self.limits.photo_bytes, "name_length": self.limits.name_length},
            "locked": locked(self.books.block()),
        }


def read_picture(data: bytes, most_pixels: int, name: str) -> Image:
    """Decode a picture that came over the network, of a size that was agreed on.

    Raises:
        ImageError: no image, a damaged one.
        Refused: more pixels than are taken; known before it is unpacked.
    """
    header = read_header(data)
    if header is not None and header.width * header.height > most_pixels:
        raise Refused(
            413,
            "too_many_pixels",
            f"The picture has {header.width}×{header.height} pixels; at most {most_pixels:,} are taken.",
        )
    return decode_image(data, name)
