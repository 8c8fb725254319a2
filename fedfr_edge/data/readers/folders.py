"""Finding the images of an import: one folder per identity, and a unique name for each image."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fedfr_edge.data.store_format import storable
from fedfr_edge.errors import DataError

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".dib", ".webp", ".jp2", ".tif", ".tiff", ".gif"}
    | {".pgm", ".ppm", ".pnm", ".pbm", ".avif", ".heic", ".heif"}
)
"""Files with other endings are listed as skipped without being opened."""


@dataclass(frozen=True)
class ImageFile:
    """One image of an import.

    Attributes:
        path: where it lies.
        shown: how lists name it: input folder, identity folder, file.
        identity: whose image it is.
        name: its name in the store, unique: ``identity/stem``, or with the file's ending or the
            input's number where stems are equal.
    """

    path: Path
    shown: str
    identity: str
    name: str

    @property
    def place(self) -> Path:
        """What its reader reads."""
        return self.path


@dataclass(frozen=True)
class Skipped:
    """Something that is not imported: ``code`` is stable, ``detail`` is for people."""

    shown: str
    identity: str
    code: str
    detail: str


def find_images(inputs: Sequence[Path], *, merge: bool = False) -> tuple[list[ImageFile], list[Skipped]]:
    """The images under ``inputs``, sorted by identity and name, and what is no image.

    Each input holds one folder per identity (folders inside one are followed). Hidden files and
    folders are passed over in silence.

    Args:
        inputs: folders.
        merge: an identity found in several inputs is one person; otherwise that is an error.

    Raises:
        DataError: an input is absent, is given twice or holds no identity folder, or inputs share
            identities and ``merge`` is off.
    """
    skipped: list[Skipped] = []
    found: dict[str, list[_Candidate]] = {}
    origin: dict[str, str] = {}
    shared: dict[str, tuple[str, str]] = {}
    for number, (folder, label) in enumerate(zip(inputs, labels_of(inputs), strict=True), start=1):
        for person in _identity_folders(folder, label, skipped):
            if person.name in origin:
                shared[person.name] = (origin[person.name], label)
            origin.setdefault(person.name, label)
            shown = f"{label}/{person.name}"
            found.setdefault(person.name, []).extend(
                _Candidate(file, f"{shown}/{relative}", relative, number)
                for file, relative in _image_files(person, shown, skipped)
            )
    if shared and not merge:
        name, (first, second) = min(shared.items())
        raise DataError(
            f"{len(shared)} identities are in several inputs, first {name!r} (in {first} and {second}); "
            "if equal names are the same people, merge them (--merge), otherwise rename the folders"
        )
    images = [image for identity in sorted(found) for image in _named(identity, found[identity])]
    return images, skipped


@dataclass
class _Candidate:
    path: Path
    shown: str
    relative: str
    number: int
    level: int = 0

    def name(self, identity: str) -> str:
        inside = PurePosixPath(self.relative)
        tail = (str(inside.with_suffix("")), str(inside), f"{self.number}/{inside}")[self.level]
        return f"{identity}/{tail}"


def _named(identity: str, candidates: list[_Candidate]) -> list[ImageFile]:
    """Give each file the shortest kind of name that no other has."""
    while True:
        count = Counter(candidate.name(identity) for candidate in candidates)
        clashing = [item for item in candidates if count[item.name(identity)] > 1 and item.level < 2]
        if not clashing:
            break
        for candidate in clashing:
            candidate.level += 1
    images = [ImageFile(item.path, item.shown, identity, item.name(identity)) for item in candidates]
    return sorted(images, key=lambda image: image.name)


def labels_of(inputs: Sequence[Path]) -> list[str]:
    """A short name for each input folder or file, unique.

    Raises:
        DataError: there is none, or one is given twice.
    """
    if not inputs:
        raise DataError("no input folder was given; name one or more folders with one folder per identity")
    resolved = [folder.resolve() for folder in inputs]
    if len(set(resolved)) < len(resolved):
        raise DataError("the same input is given twice; give it once")
    labels: list[str] = []
    for folder in resolved:
        used = sum(label.rpartition("~")[0] == folder.name or label == folder.name for label in labels)
        labels.append(folder.name if not used else f"{folder.name}~{used + 1}")
    return labels


def _identity_folders(folder: Path, label: str, skipped: list[Skipped]) -> list[Path]:
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "is not there"
        raise DataError(f"input {folder} {found}, expected a folder of identity folders; check the path")
    people = []
    for entry in sorted(_visible(folder)):
        if not entry.is_dir():
            skipped.append(
                Skipped(f"{label}/{entry.name}", "", "no_identity", "lies in no identity's folder")
            )
        elif not storable(entry.name):
            detail = "the folder's name has control characters or is no valid text"
            skipped.append(Skipped(f"{label}/{entry.name}", "", "bad_name", detail))
        else:
            people.append(entry)
    if not people:
        raise DataError(f"{folder} holds no folder, expected one folder per identity; check the path")
    return people


def _image_files(person: Path, shown: str, skipped: list[Skipped]) -> Iterator[tuple[Path, str]]:
    """``(path, path inside the identity's folder)`` of each image file, sorted."""
    files = []
    for folder, inner, names in os.walk(person):
        inner[:] = [name for name in inner if not name.startswith(".")]
        files += [Path(folder, name) for name in names if not name.startswith(".")]
    files.sort()
    if not files:
        skipped.append(Skipped(shown, person.name, "empty", "the folder holds no file"))
    for file in files:
        relative = file.relative_to(person).as_posix()
        if file.suffix.lower() not in SUFFIXES:
            skipped.append(Skipped(f"{shown}/{relative}", person.name, "not_an_image", "by its ending"))
        elif not storable(relative):
            detail = "the name has control characters or is no valid text"
            skipped.append(Skipped(f"{shown}/{relative}", person.name, "bad_name", detail))
        else:
            yield file, relative


def _visible(folder: Path) -> Iterator[Path]:
    return (entry for entry in folder.iterdir() if not entry.name.startswith("."))
