"""Reading photographs: bytes to RGB pixels, upright, with one clear error for whatever is no photograph."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import ImageError
from fedfr_edge.types import Image
from fedfr_edge.vision.header import FORMATS, Header, is_heic, read_header

MOST_PIXELS = 100_000_000
"""Larger photographs are refused before they are decoded: 100 million pixels take 300 MB as RGB."""

MOST_BYTES = 8 * MOST_PIXELS
"""Larger files are refused before they are read; no photograph within :data:`MOST_PIXELS` is larger."""


def read_image(path: Path) -> Image:
    """Read a photograph.

    See :func:`decode_image` for what is understood.

    Args:
        path: an ordinary file; any name the system allows.

    Returns:
        uint8 (height, width, 3), RGB, upright.

    Raises:
        ImageError: the file cannot be read or is no photograph that can be decoded.
    """
    name = _printable(str(path))
    try:
        # A device or a pipe could be read for ever.
        if path.exists() and not path.is_file():
            raise ImageError(f"{name} is not an ordinary file, expected a photograph")
        if path.stat().st_size > MOST_BYTES:
            raise ImageError(
                f"{name} has {path.stat().st_size:,} bytes, expected a photograph of at most {MOST_BYTES:,}"
            )
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot read {name}: {error.strerror or error}; check the path") from error
    except ValueError as error:
        raise ImageError(f"cannot read {name}: {error}; check the path") from error
    return decode_image(data, name)


def decode_image(data: bytes, name: str) -> Image:
    """Decode a photograph.

    JPEG, PNG, WebP, BMP, PGM/PPM, TIFF and, from OpenCV 4.11, GIF (its first picture). EXIF
    orientation is applied; grey becomes three equal channels; more than 8 bits per sample are
    scaled down by the format's own maximum. An alpha channel is dropped, not composited: that is
    what OpenCV's reader gave to the networks whose weights are in use, and around a face cut out
    it concerns the corners only.

    Args:
        data: the file's content.
        name: what to call it in messages.

    Returns:
        uint8 (height, width, 3), RGB, upright.

    Raises:
        ImageError: empty, another format, cut short, damaged, or above :data:`MOST_PIXELS`.
    """
    name = _printable(name)
    if not data:
        raise ImageError(f"{name} is empty, expected a photograph ({FORMATS})")
    header = read_header(data)
    if header is None:
        if is_heic(data):
            raise ImageError(f"{name} is a HEIC or AVIF picture, expected {FORMATS}; save it as JPEG")
        raise ImageError(f"{name} is no image that can be read, expected {FORMATS}")
    if header.width < 1 or header.height < 1:
        raise ImageError(f"{name} is a {header.format} without pixels, expected a photograph")
    if header.width * header.height > MOST_PIXELS:
        raise ImageError(
            f"{name} has {header.width}×{header.height} pixels, expected at most {MOST_PIXELS:,} in all; "
            "reduce it first"
        )
    # Some decoders fill what is missing with grey, and a grey face must not be enrolled.
    if not header.complete:
        raise ImageError(f"{name} is a {header.format} cut short; copy or download it again")
    pixels = _decode(data, header)
    if pixels is None:
        raise ImageError(
            f"{name} is a {header.format} that is damaged or of a kind OpenCV cannot decode; "
            "get it again or save it as JPEG"
        )
    return pixels


def _decode(data: bytes, header: Header) -> Image | None:
    buffer = np.frombuffer(data, dtype=np.uint8)
    flags = cv2.IMREAD_COLOR | (0 if header.most is None else cv2.IMREAD_ANYDEPTH)
    try:
        decoded: npt.NDArray[np.generic] | None = cv2.imdecode(buffer, flags)
    except cv2.error:
        return None
    if decoded is None or decoded.size == 0:
        return None
    if header.most is not None:
        decoded = np.minimum(np.rint(decoded.astype(np.float32) * (255 / header.most)), 255)
    return np.asarray(cv2.cvtColor(decoded.astype(np.uint8), cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _printable(name: str) -> str:
    """``name`` on one line, also where a file's name holds line breaks or undecodable bytes."""
    return name if name.isprintable() else ascii(name)
