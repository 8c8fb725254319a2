"""A slot for networks that tell from one photograph whether a face is live or a picture of one.

No such network comes with the installation. :class:`MiniFas` runs those of the Silent-Face-Anti-Spoofing
project (Apache-2.0) from ONNX files made of its weights, and any that reads and answers alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import ConfigError, MissingPartError
from fedfr_edge.types import Face, Image
from fedfr_edge.vision.runtime import open_file

SIDE = 80
"""Side in pixels of what MiniFASNet looks at."""

LIVE = 1
"""The class of MiniFASNet that means a live face; 0 and 2 are pictures of one."""


class PassiveLiveness(Protocol):
    """Anything that gives a face of a photograph a probability of being live."""

    def score(self, image: Image, face: Face) -> float:
        """Probability, 0 to 1, that ``face`` in the RGB ``uint8 (h, w, 3)`` photograph is live."""
        ...


class MiniFas:
    """MiniFASNet: the mean of the softmax over networks that see the face at different scales.

    Args:
        networks: (ONNX file, crop scale) of each: one input float32 (1, 3, 80, 80), BGR 0 to 255, one
            output of three logits. The published weights are meant for 2.7 (V2) and 4.0 (V1SE).
        threads: CPU threads; None lets onnxruntime choose.

    Raises:
        ConfigError: no network, or a scale below 1.
        MissingPartError: onnxruntime or a file is not there, or a file is of another shape.
    """

    def __init__(self, networks: Sequence[tuple[Path, float]], *, threads: int | None = None) -> None:
        if not networks or any(not scale >= 1 for _, scale in networks):
            raise ConfigError(
                f"liveness networks {[(str(file), scale) for file, scale in networks]}, expected at least "
                "one, each with a crop scale of 1 or more"
            )
        self._networks = [(_open(file, threads), scale) for file, scale in networks]

    def score(self, image: Image, face: Face) -> float:
        """See :class:`PassiveLiveness`."""
        chances = []
        for session, scale in self._networks:
            view = cut_out(image, face, scale)[:, :, ::-1].transpose(2, 0, 1).astype(np.float32)
            (logits,) = session.run(None, {session.get_inputs()[0].name: view[None]})
            logits = np.asarray(logits, np.float64).reshape(-1)
            powers = np.exp(logits - logits.max())
            chances.append(powers[LIVE] / powers.sum())
        return float(np.mean(chances))


def cut_out(image: Image, face: Face, scale: float) -> npt.NDArray[np.uint8]:
    """The face's box enlarged ``scale`` times about its middle, as far as the photograph has room.

    A box that would not fit is enlarged less, one that would reach past an edge is moved inwards: nothing is
    filled in. Width and height are brought to 80 pixels each.

    Args:
        image: uint8 (h, w, 3).
        face: its box is taken.
        scale: 1 is the box itself.

    Returns:
        uint8 (80, 80, 3), in the image's colour order.
    """
    size = np.array([image.shape[1], image.shape[0]], np.float64)
    low, high = face.box[:2].astype(np.float64), face.box[2:].astype(np.float64)
    side = np.maximum(high - low, 1.0)
    side = side * min(scale, float(((size - 1) / side).min()))
    start = np.clip((low + high - side) / 2, 0, size - 1 - side)
    left, top = (int(v) for v in start)
    right, bottom = (int(v) + 1 for v in start + side)
    return np.asarray(cv2.resize(image[top:bottom, left:right], (SIDE, SIDE)), dtype=np.uint8)


def _open(file: Path, threads: int | None) -> Any:
    session = open_file(file, "a liveness network's ONNX file", threads=threads)
    takes = [list(put.shape) for put in session.get_inputs()]
    gives = [list(put.shape) for put in session.get_outputs()]
    if len(takes) != 1 or takes[0][1:] != [3, SIDE, SIDE] or len(gives) != 1 or gives[0][-1] != 3:
        raise MissingPartError(
            f"{file} takes {takes} and gives {gives}, expected one input (1, 3, {SIDE}, {SIDE}) and three "
            "logits"
        )
    return session
