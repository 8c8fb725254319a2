"""What an image file says about itself: format, size, and whether its end is there.

Read before decoding, so that a small file that unpacks to gigabytes is refused at no cost.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

FORMATS = "JPEG, PNG, WebP, BMP, PGM/PPM, GIF or TIFF"
"""For messages: what :func:`read_header` knows."""


@dataclass(frozen=True)
class Header:
    """An image file's own description.

    Attributes:
        format: its name, for messages.
        width: pixels, as stored (before any EXIF turn).
        height: pixels, as stored.
        complete: False when the file visibly lacks its end. True is no promise.
        most: the sample value that stands for white, where the file states one that OpenCV does
            not scale by (PGM and PPM).
    """

    format: str
    width: int
    height: int
    complete: bool = True
    most: int | None = None


def read_header(data: bytes) -> Header | None:
    """Describe an image file by its first bytes; None when it is of no known format."""
    for signature, read in _READERS:
        if signature.match(data):
            try:
                return read(data)
            except (struct.error, IndexError):
                # The signature is there, what must follow is not.
                return Header("file of a known image format", 1, 1, complete=False)
    return None


def is_heic(data: bytes) -> bool:
    """Whether this is a picture of the HEIC/AVIF family, which OpenCV may be unable to read."""
    return data[4:8] == b"ftyp" and data[8:12] in (
        *(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"),
        *(b"mif1", b"msf1", b"avif", b"avis"),
    )


def _jpeg(data: bytes) -> Header:
    at = 2
    while True:
        while data[at + 1] == 0xFF:  # fill bytes
            at += 1
        marker, (length,) = data[at + 1], struct.unpack_from(">H", data, at + 2)
        # SOF0..SOF15 carry the size; C4, C8 and CC are other segments.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            # Searched from here on, for an EXIF thumbnail before it has an end marker of its own.
            return Header("JPEG", width, height, data.find(b"\xff\xd9", at) >= 0)
        at += 2 + length


def _png(data: bytes) -> Header:
    width, height = struct.unpack_from(">II", data, 16)
    at, complete = 8, False
    while at + 12 <= len(data) and not complete:
        (length,) = struct.unpack_from(">I", data, at)
        complete = data[at + 4 : at + 8] == b"IEND"
        at += 12 + length
    return Header("PNG", width, height, complete)


def _gif(data: bytes) -> Header:
    width, height = struct.unpack_from("<HH", data, 6)
    return Header("GIF", width, height)


def _bmp(data: bytes) -> Header:
    (size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if size == 12 else "<ii", data, 18)
    return Header("BMP", width, abs(height))


def _webp(data: bytes) -> Header:
    (size,) = struct.unpack_from("<I", data, 4)
    kind = data[12:16]
    if kind == b"VP8X":
        width = 1 + int.from_bytes(_exactly(data, 24, 3), "little")
        height = 1 + int.from_bytes(_exactly(data, 27, 3), "little")
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    return Header("WebP", width, height, complete=len(data) >= size + 8)


def _pnm(data: bytes) -> Header:
    # Numbers are parted by white space; a comment runs from # to the end of its line.
    words = re.sub(rb"#[^\r\n]*", b" ", data[:4096]).split(maxsplit=4)
    kind = words[0]
    numbers = [int(word) if word.isdigit() else 0 for word in words[1:4]]
    bitmap, text = kind in (b"P1", b"P4"), kind in (b"P2", b"P3")
    most = 1 if bitmap else numbers[2]
    if not 1 <= most <= 65535:
        return Header("PGM/PPM", 0, 0)
    scaled = bitmap or most in (255, 65535) or (text and most < 256)
    return Header("PGM/PPM", numbers[0], numbers[1], most=None if scaled else most)


def _tiff(data: bytes) -> Header:
    order = "<" if data[:1] == b"I" else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, at)
    sides = {256: 0, 257: 0}
    for entry in range(at + 2, at + 2 + 12 * entries, 12):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if tag in sides:
            (sides[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, entry + 8)
    return Header("TIFF", sides[256], sides[257])


def _exactly(data: bytes, start: int, length: int) -> bytes:
    if len(data) < start + length:
        raise IndexError
    return data[start : start + length]


_READERS = (
    (re.compile(rb"\xff\xd8\xff"), _jpeg),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), _png),
    (re.compile(rb"GIF8[79]a"), _gif),
    (re.compile(rb"BM"), _bmp),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), _webp),
    (re.compile(rb"P[1-6][\s#]"), _pnm),
    (re.compile(rb"II\*\0|MM\0\*"), _tiff),
)
