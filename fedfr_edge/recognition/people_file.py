"""The people of a gallery as they lie on disk: one record each, under a key of their own.

A people file is a title line and then records::

    id (8 bytes)  time of enrolment (8, big-endian seconds)  wrapped key (60)  length (4)  sealed template

The person's random key is sealed under the sub-key "wrap" of the gallery's key. The template is sealed under
the person's key: a length (2 bytes), JSON (name and the numbers of ``pack_template``), the vectors as
little-endian float32. Both seals bind the gallery's ``header.json``, their purpose, the id and the time: a
record of another person, gallery or model does not open. The gallery's state holds the hash of the file.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from fedfr_edge.errors import GalleryError, IntegrityError
from fedfr_edge.recognition.gallery import Person
from fedfr_edge.recognition.sealing import OVERHEAD, BrokenSealError, seal, unseal
from fedfr_edge.recognition.template import Template, pack_template, unpack_template

Check = Callable[["Record"], object]
"""Opens a record; raises BrokenSealError."""

_RECORD = struct.Struct(f">8sQ{32 + OVERHEAD}sI")


@dataclass(frozen=True)
class Record:
    """One person as they lie in the people file."""

    id: str
    enrolled: int
    wrapped: bytes
    sealed: bytes

    def pack(self) -> bytes:
        """The bytes in the file."""
        head = _RECORD.pack(bytes.fromhex(self.id), self.enrolled, self.wrapped, len(self.sealed))
        return head + self.sealed


def make_record(
    person: Person, template: Template, data_key: bytes, wrap_key: bytes, header: bytes
) -> Record:
    """Seal a person under ``data_key``, and that under ``wrap_key``."""
    numbers, vectors = pack_template(template)
    about = json.dumps({"name": person.name, **numbers}, ensure_ascii=False).encode()
    plain = struct.pack(">H", len(about)) + about + vectors
    return Record(
        person.id,
        person.enrolled,
        seal(wrap_key, data_key, _bound(header, "key", person.id, person.enrolled)),
        seal(data_key, plain, _bound(header, "template", person.id, person.enrolled)),
    )


def unwrap(record: Record, wrap_key: bytes, header: bytes) -> bytes:
    """The person's own key. Raises BrokenSealError."""
    return unseal(wrap_key, record.wrapped, _bound(header, "key", record.id, record.enrolled))


def rewrap(record: Record, old_key: bytes, new_key: bytes, header: bytes) -> Record:
    """The same person with their key under another wrapping key. Raises BrokenSealError."""
    bound = _bound(header, "key", record.id, record.enrolled)
    wrapped = seal(new_key, unwrap(record, old_key, header), bound)
    return Record(record.id, record.enrolled, wrapped, record.sealed)


def open_record(record: Record, wrap_key: bytes, header: bytes, model: str) -> tuple[Person, Template]:
    """Who it is and their template. Raises BrokenSealError; or ValueError, KeyError, TypeError for what no
    version of this program seals."""
    data_key = unwrap(record, wrap_key, header)
    plain = unseal(data_key, record.sealed, _bound(header, "template", record.id, record.enrolled))
    end = 2 + int.from_bytes(plain[:2], "big")
    about = json.loads(plain[2:end])
    template = unpack_template(about, plain[end:], model)
    return Person(record.id, about["name"], template.images, record.enrolled), template


def pack_people(gallery: str, generation: int, records: Iterable[Record]) -> bytes:
    """The people file."""
    title = f"fedfr-edge people of gallery {gallery}, generation {generation}\n".encode()
    return title + b"".join(record.pack() for record in records)


def unpack_people(data: bytes) -> tuple[str, int, list[Record]]:
    """``(gallery, generation, records)`` of a people file.

    Raises:
        ValueError: the bytes end within a record, or are no people file.
    """
    title, found, _ = data.partition(b"\n")
    words = title.decode("ascii").split()
    if not found or words[:4] != ["fedfr-edge", "people", "of", "gallery"] or len(words) != 7:
        raise ValueError("no people file")
    records, place = [], len(title) + 1
    while place < len(data):
        if place + _RECORD.size > len(data):
            raise ValueError("cut short")
        subject, enrolled, wrapped, length = _RECORD.unpack_from(data, place)
        place += _RECORD.size
        if place + length > len(data):
            raise ValueError("cut short")
        records.append(Record(subject.hex(), enrolled, wrapped, data[place : place + length]))
        place += length
    return words[4].rstrip(","), int(words[6]), records


def _bound(header: bytes, purpose: str, subject: str, enrolled: int) -> bytes:
    return header + f"{purpose} {subject} {enrolled}".encode()


@dataclass(frozen=True)
class Listing:
    """What the state says of the people file.

    Attributes:
        generation: of the gallery when it was written; in the file's name.
        size: its length in bytes.
        sha256: its hash, hexadecimal.
    """

    generation: int
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """Of the file."""
        return f"people-{self.generation:08d}"


def list_of(generation: int, data: bytes) -> Listing:
    """The listing of a file that is about to be written."""
    return Listing(generation, len(data), hashlib.sha256(data).hexdigest())


def read_people(folder: Path, listing: Listing, gallery: str, check: Check) -> list[Record]:
    """The records of the file that the state names.

    Args:
        folder: of the gallery.
        listing: what the state says of the file.
        gallery: the gallery's id.
        check: opens a record, to tell which one was altered.

    Raises:
        IntegrityError: it is missing, cut short, swapped, rolled back or altered; the message says which.
    """
    path = folder / listing.name
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise IntegrityError(f"{path} is missing; restore the gallery's newest copy") from error
    except OSError as error:
        raise GalleryError(f"cannot read {path}: {error.strerror}; make it readable") from error
    if hashlib.sha256(data).hexdigest() != listing.sha256:
        what = _what_happened(data, listing, gallery, check)
        raise IntegrityError(f"{path} {what}; nothing was read from it, restore the gallery's newest copy")
    return unpack_people(data)[2]


def _what_happened(data: bytes, listing: Listing, gallery: str, check: Check) -> str:
    """Names what was done to a people file, as far as the file itself tells."""
    try:
        found, generation, records = unpack_people(data)
    except ValueError:
        if len(data) < listing.size:
            return f"was cut short ({len(data)} of {listing.size} bytes)"
        return "was altered"
    if found != gallery:
        return f"was swapped: it belongs to gallery {found}, this is {gallery}"
    if generation != listing.generation:
        return f"was rolled back: it is of generation {generation}, expected {listing.generation}"
    if len(data) < listing.size:
        return f"was cut short ({len(data)} of {listing.size} bytes)"
    for record in records:
        try:
            check(record)
        except BrokenSealError:
            return f"was altered: the record of {record.id} is not what this gallery sealed for them"
    return "was altered: it holds records of another time or in another order"
