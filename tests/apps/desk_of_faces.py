"""A server's desk whose camera shows faces of random squares: what it sees is told by the picture itself."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fedfr_edge.apps.web.books import Books
from fedfr_edge.apps.web.desk import Desk
from fedfr_edge.apps.web.limits import Limits
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.keys import KeyFile
from fedfr_edge.recognition.policy import LoginPolicy
from fedfr_edge.types import Face, Image
from fedfr_edge.vision.align import TEMPLATE

tiny_model = runpy.run_path(str(Path(__file__).parents[1] / "recognition" / "tiny_model.py"))

SIDE = 448
PEOPLE = tiny_model["faces"](6)


def picture(person: int | None, *, other: float = 0.0) -> bytes:
    """A frame that shows one of :data:`PEOPLE`, or nobody (black), as a JPEG.

    Args:
        person: who.
        other: share of the last of them, so that two frames of one person differ.
    """
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    if person is not None:
        mixed = ((1 - other) * PEOPLE[person] + other * PEOPLE[-1]).astype(np.uint8)
        image = cv2.resize(mixed, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    encoded: bytes = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    return encoded


class WholePicture:
    """A detector that takes the picture for a face, unless it is black."""

    name = "whole picture"

    def detect(self, image: Image) -> list[Face]:
        if image.max() < 40:
            return []
        side = float(image.shape[0])
        box = np.array([0, 0, side, side], np.float32)
        return [Face(box, (TEMPLATE * side / 112).astype(np.float32), 0.9)]


class Steady:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def start(self) -> str:
        return "this start"

    def seconds(self) -> float:
        return self.now


def make_desk(folder: Path, *, policy: LoginPolicy | None = None, limits: Limits | None = None) -> Desk:
    """A desk over a new gallery in ``folder``."""
    policy = policy or LoginPolicy(frames=(1, 1))
    encoder = OnnxEncoder(tiny_model["write"](folder / "m.onnx"), threads=1)
    books = Books(
        folder / "g.vault",
        KeyFile(folder / "g.vault.key"),
        model_digest=encoder.digest,
        dim=encoder.dim,
        lockout=policy.lockout,
        clock=Steady(),
    )
    books.prepare()
    detector: Any = WholePicture()
    return Desk(encoder, detector, books, policy, limits=limits or Limits())
