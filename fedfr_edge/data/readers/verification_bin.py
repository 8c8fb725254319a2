"""insightface's verification sets (``lfw.bin``, ``cfp_fp.bin``, ``agedb_30.bin`` …).

Such a file is a pickle of ``(images, same)``: encoded images, two for each pair, and whether the two show
one person. It does not say who they are. Images of equal bytes are one image here, and images that
the pairs tie together as one person share an identity, so that a set in which a photograph occurs in
several pairs (LFW's 12,000 are 7,701) is stored and embedded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedfr_edge.data.readers.aligned import as_face
from fedfr_edge.data.readers.folders import Skipped
from fedfr_edge.data.readers.importing import Imported, import_items
from fedfr_edge.data.readers.outcome import Outcome
from fedfr_edge.data.readers.safe_pickle import load_plain, plain
from fedfr_edge.errors import DataError, ImageError
from fedfr_edge.types import Progress, no_progress
from fedfr_edge.vision.image import decode_image

_FORM = "expected insightface's (list of encoded images, list of same or not)"


@dataclass(frozen=True)
class BinImage:
    """One image of the set; see :class:`fedfr_edge.data.readers.outcome.Item`."""

    place: int
    shown: str
    identity: str
    name: str


@dataclass(frozen=True)
class VerificationSet:
    """A ``.bin`` file's content.

    Attributes:
        path: the file.
        encoded: encoded images, two for each pair.
        same: whether a pair shows one person.
        images: the different images, named ``00012/00034``: number of the person as far as the pairs
            tell, and first place in ``encoded``.
        pairs: names of a pair's two images, and whether they are one person's, in the file's order.
    """

    path: Path
    encoded: list[bytes]
    same: list[bool]
    images: list[BinImage]
    pairs: list[tuple[str, str, bool]]


def read_bin(path: Path) -> VerificationSet:
    """Read a ``.bin`` file, running nothing that it may name.

    Raises:
        DataError: it cannot be read, is damaged or hostile, or is of another form.
    """
    content = load_plain(path)
    if not isinstance(content, tuple | list) or len(content) != 2:
        raise DataError(f"{path} holds a {type(content).__name__}, {_FORM}; give another file")
    encoded = [_encoded(path, place, value) for place, value in enumerate(_list(path, content[0]))]
    same = [_flag(path, pair, value) for pair, value in enumerate(_list(path, content[1]))]
    if len(encoded) != 2 * len(same) or not same:
        raise DataError(
            f"{path} has {len(encoded)} images and {len(same)} pairs, expected two images for each pair; "
            "copy or download it again"
        )
    first: dict[bytes, int] = {}
    places = [first.setdefault(image, place) for place, image in enumerate(encoded)]
    person = _people(places, same)
    names = {}
    images = []
    for place in first.values():
        identity = f"{person[place]:05d}"
        names[place] = f"{identity}/{place:05d}"
        images.append(BinImage(place, f"{path.name}#{place}", identity, names[place]))
    pairs = [
        (names[places[2 * pair]], names[places[2 * pair + 1]], is_same) for pair, is_same in enumerate(same)
    ]
    return VerificationSet(path, encoded, same, images, pairs)


class BinReader:
    """Reads images of a :class:`VerificationSet` by their place."""

    def __init__(self, content: VerificationSet, resize: bool = False) -> None:
        self.content, self.resize = content, resize

    def open(self) -> None:
        """Nothing to get ready: the file is in memory."""

    def describe(self) -> dict[str, str | int | bool]:
        """Kind, how many images and pairs the file has, and whether other sizes are fitted."""
        counts = {"images": len(self.content.encoded), "pairs": len(self.content.same)}
        return {"kind": "bin", **counts, "resize": self.resize}

    def read(self, place: int, /) -> Outcome:
        """Read one image; see :class:`Outcome` for the codes."""
        try:
            image = decode_image(self.content.encoded[place], f"image {place}")
        except ImageError as error:
            return Outcome(None, "undecodable", str(error))
        return as_face(image, self.resize)


def import_bin(
    path: Path,
    out: Path,
    *,
    source: str,
    licence: str,
    resize: bool = False,
    companion: str | None = None,
    progress: Progress = no_progress,
) -> tuple[Imported, list[tuple[str, str, bool]]]:
    """Import a ``.bin`` file's different images into a store at ``out``.

    It resumes as other imports do. ``companion`` is the file that the caller makes of the pairs; see
    :func:`fedfr_edge.data.readers.importing.import_items`.

    Returns:
        what it came to, and all pairs: also those with an image that could not be decoded, which the
        store lacks.

    Raises:
        DataError: as :func:`read_bin`, or no image gave a face.
        StoreError: ``out`` holds something else.
        WriteError: the disk refused; what is written stays.
    """
    content = read_bin(path)
    repeated = len(content.encoded) - len(content.images)
    detail = f"{repeated} of {len(content.encoded)} images occur before in the file and are stored once"
    done = import_items(
        content.images,
        (),
        out,
        BinReader(content, resize),
        source=source,
        licence=licence,
        notes=[Skipped(path.name, "", "repeated", detail)] if repeated else [],
        alone=False,  # whoever is in no mated pair has one
        companion=companion,
        progress=progress,
    )
    return done, content.pairs


def _people(places: Sequence[int], same: Sequence[bool]) -> dict[int, int]:
    """First place of an image -> number of its person: those that mated pairs connect are one."""
    parent = {place: place for place in places}

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for pair, is_same in enumerate(same):
        if is_same:
            one, two = sorted((root(places[2 * pair]), root(places[2 * pair + 1])))
            parent[two] = one
    numbers: dict[int, int] = {}
    return {place: numbers.setdefault(root(place), len(numbers)) for place in parent}


def _list(path: Path, value: Any) -> list[Any]:
    value = _unwrap(path, value)
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return list(value)
    if not isinstance(value, list | tuple):
        raise DataError(f"{path} holds a {type(value).__name__} where a list should be, {_FORM}")
    return list(value)


def _encoded(path: Path, place: int, value: Any) -> bytes:
    value = _unwrap(path, value)
    if isinstance(value, np.ndarray) and value.dtype == np.uint8:
        return value.tobytes()
    if not isinstance(value, bytes | bytearray):
        raise DataError(f"image {place} of {path} is a {type(value).__name__}, {_FORM}")
    return bytes(value)


def _flag(path: Path, pair: int, value: Any) -> bool:
    if not isinstance(value, bool | int | np.bool_ | np.integer) or value not in (0, 1):
        raise DataError(f"pair {pair} of {path} is marked {str(value)[:40]!r}, expected same or not; {_FORM}")
    return bool(value)


def _unwrap(path: Path, value: Any) -> Any:
    try:
        return plain(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{path} is damaged: {error}; copy or download it again") from error
