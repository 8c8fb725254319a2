"""Record files, written byte by byte after the format's description, apart from the reader.

A part: magic, then one word of a 3-bit kind and a 29-bit length, then the bytes, padded to a multiple of
four. Whatever equals the magic at a multiple of four bytes of the content is taken out and becomes the
border between two parts.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

MAGIC = bytes([0x0A, 0x23, 0xD7, 0xCE])


def encoded(pixels: npt.NDArray[np.uint8], ending: str = ".png") -> bytes:
    """``pixels``, RGB, as the bytes of an image file; OpenCV wants blue first."""
    done, buffer = cv2.imencode(ending, pixels[:, :, ::-1])
    assert done
    return bytes(buffer)


def content(labels: float | Sequence[float], image: bytes, number: int = 0) -> bytes:
    """Header, label vector if any, image."""
    if isinstance(labels, int | float):
        return struct.pack("<I", 0) + struct.pack("<f", labels) + struct.pack("<QQ", number, 0) + image
    vector = b"".join(struct.pack("<f", label) for label in labels)
    return struct.pack("<IfQQ", len(labels), 0.0, number, 0) + vector + image


def part(kind: int, data: bytes) -> bytes:
    """One part of a record."""
    word = (kind << 29) | len(data)
    return MAGIC + word.to_bytes(4, "little") + data + b"\0" * (-len(data) % 4)


def record(data: bytes) -> bytes:
    """A record as MXNet writes it: in one part, or cut wherever the magic stands at a multiple of four."""
    pieces, start = [], 0
    for at in range(0, len(data) - 3, 4):
        if data[at : at + 4] == MAGIC:
            pieces.append(data[start:at])
            start = at + 4
    pieces.append(data[start:])
    if len(pieces) == 1:
        return part(0, data)
    kinds = [1, *[2] * (len(pieces) - 2), 3]
    return b"".join(part(kind, piece) for kind, piece in zip(kinds, pieces, strict=True))


def write(path: Path, records: Sequence[tuple[int, bytes]], *, index: bool = True) -> list[int]:
    """Write ``(key, content)`` one after another, with an index if asked for; gives their offsets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data, offsets = bytearray(), []
    for _, one in records:
        offsets.append(len(data))
        data += record(one)
    path.write_bytes(data)
    if index:
        lines = [f"{key}\t{at}\n" for (key, _), at in zip(records, offsets, strict=True)]
        path.with_suffix(".idx").write_text("".join(lines))
    return offsets


def emore(folder: Path, people: Sequence[Sequence[bytes]], *, index: bool = True) -> Path:
    """insightface's layout: a header, images person by person, one record per person, a property file."""
    images = [(label, image) for label, own in enumerate(people) for image in own]
    first = len(images) + 1
    records = [(0, content([first, first + len(people)], b""))]
    records += [(key, content(float(label), image, key)) for key, (label, image) in enumerate(images, 1)]
    start = 1
    for number, own in enumerate(people):
        records.append((first + number, content([start, start + len(own)], b"", first + number)))
        start += len(own)
    write(folder / "train.rec", records, index=index)
    (folder / "property").write_text(f"{len(people)},112,112")
    return folder
