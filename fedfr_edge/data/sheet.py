"""A contact sheet: some images of some identities on one picture, for a person to look at."""

from __future__ import annotations

import textwrap
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from fedfr_edge import atomic
from fedfr_edge.data.store import FaceStore
from fedfr_edge.types import FACE_SIZE, Image

_GAP, _MARGIN = 4, 176
_PAPER, _INK = 250, (40, 40, 40)


def contact_sheet(store: FaceStore, *, identities: int = 12, images: int = 10) -> Image:
    """Draw the first ``images`` images of the first ``identities`` people, one row each.

    Returns:
        uint8 (height, width, 3) RGB: names and image counts at the left, faces at full size.
    """
    people = store.identities[:identities]
    columns = min(images, max(len(store.rows_of(person)) for person in people))
    step = FACE_SIZE + _GAP
    shape = (len(people) * step + _GAP, _MARGIN + columns * step + _GAP, 3)
    sheet = np.full(shape, _PAPER, dtype=np.uint8)
    for line, person in enumerate(people):
        rows = store.rows_of(person)
        top = _GAP + line * step
        _write(sheet, top, person, len(rows))
        for column, row in enumerate(rows[:columns]):
            left = _MARGIN + column * step
            sheet[top : top + FACE_SIZE, left : left + FACE_SIZE] = store.images[row]
    return sheet


def save_png(picture: Image, path: Path) -> None:
    """Write an RGB picture, uint8 (height, width, 3), as PNG, atomically.

    Raises:
        WriteError: the disk refused.
    """
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    atomic.write_bytes(path, data.tobytes())


def _write(sheet: npt.NDArray[np.uint8], top: int, person: str, count: int) -> None:
    # OpenCV's own letters are ASCII; a person still recognises the row by its count and order.
    name = person.encode("ascii", "replace").decode()
    wrapped = textwrap.wrap(name.replace("_", " "), 20)[:3]
    lines = [*wrapped, f"{count} images" if count > 1 else "1 image"]
    for number, line in enumerate(lines):
        place = (8, top + 30 + 18 * number)
        cv2.putText(sheet, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)
