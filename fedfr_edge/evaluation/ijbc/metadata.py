"""IJB-C's metadata in the layout that insightface distributes.

::

    ROOT/loose_crop/NAME                    one image per face, cut out with a margin
    ROOT/meta/ijbc_name_5pts_score.txt      NAME x1 y1 … x5 y5 SCORE   landmarks in the crop, detector's score
    ROOT/meta/ijbc_face_tid_mid.txt         NAME TEMPLATE MEDIA        frames of one video share a medium
    ROOT/meta/ijbc_template_pair_label.txt  TEMPLATE TEMPLATE LABEL    1:1; 1: one subject, 0: two
    ROOT/meta/ijbc_1N_gallery_G1.csv        TEMPLATE_ID,SUBJECT_ID,…   1:N; a line per image, and a header
    ROOT/meta/ijbc_1N_gallery_G2.csv        likewise, other subjects
    ROOT/meta/ijbc_1N_probe_mixed.csv       likewise, subjects of both

At full size: 469,375 faces, 23,124 templates, 15,658,489 pairs, 3,531 subjects enrolled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import DataError
from fedfr_edge.evaluation.ijbc.pair_list import PairList, read_pair_list
from fedfr_edge.evaluation.ijbc.text import read_columns, read_rows, whole_number, wrong_line
from fedfr_edge.types import Labels

IMAGES = "loose_crop"
FACES = "meta/ijbc_name_5pts_score.txt"
MEDIA = "meta/ijbc_face_tid_mid.txt"
PAIRS = "meta/ijbc_template_pair_label.txt"
GALLERIES = {"G1": "meta/ijbc_1N_gallery_G1.csv", "G2": "meta/ijbc_1N_gallery_G2.csv"}
PROBES = "meta/ijbc_1N_probe_mixed.csv"

UNKNOWN = -1
"""Subject of a template that no 1:N list names."""

_FACE_FORM = ("name", *(f"{axis}{point}" for point in range(1, 6) for axis in "xy"), "score")


@dataclass(frozen=True)
class FaceList:
    """The faces that the data set names.

    Attributes:
        names: file names inside ``loose_crop``, unique.
        landmarks: float32 (n, 5, 2), (x, y) in pixels of the crop.
        scores: float32 (n,), the detector's confidence.
    """

    names: tuple[str, ...]
    landmarks: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]


@dataclass(frozen=True)
class MediaList:
    """Which face belongs to which template, and to which medium there; r rows.

    Attributes:
        face: int64 (r,), place in the face list.
        template: int64 (r,), place among the templates.
        media: int64 (r,), the medium's number: a still image or a video.
    """

    face: npt.NDArray[np.int64]
    template: npt.NDArray[np.int64]
    media: npt.NDArray[np.int64]


@dataclass(frozen=True)
class SubjectList:
    """A gallery or the probes: each template once, with its subject.

    Attributes:
        template: int64 (k,), places among the templates.
        subject: int64 (k,), subject numbers.
    """

    template: npt.NDArray[np.int64]
    subject: Labels


@dataclass(frozen=True)
class Metadata:
    """What the files say, checked against each other.

    Attributes:
        faces: every face.
        template_ids: int64 (t,), the templates' numbers in the files, rising.
        media: how faces make templates.
        subjects: int64 (t,), each template's subject; :data:`UNKNOWN` where no 1:N list names it.
        pairs: the 1:1 comparisons; None if they were not asked for.
        galleries: "G1" and "G2"; empty if 1:N was not asked for.
        probes: the mixed probes; None likewise.
    """

    faces: FaceList
    template_ids: npt.NDArray[np.int64]
    media: MediaList
    subjects: Labels
    pairs: PairList | None
    galleries: Mapping[str, SubjectList]
    probes: SubjectList | None

    @property
    def unused_faces(self) -> int:
        """Faces that belong to no template."""
        return len(self.faces.names) - len(np.unique(self.media.face))

    def identities(self) -> list[str]:
        """A name for the person on each face: the subject's number where it is known, or the template's."""
        template_of = np.full(len(self.faces.names), -1, dtype=np.int64)
        template_of[self.media.face[::-1]] = self.media.template[::-1]  # the first one named stays
        names = [
            f"template-{template}" if subject == UNKNOWN else f"subject-{subject}"
            for template, subject in zip(self.template_ids.tolist(), self.subjects.tolist(), strict=True)
        ]
        return ["in-no-template" if place < 0 else names[place] for place in template_of.tolist()]


def read_metadata(root: Path, *, verification: bool = True, identification: bool = True) -> Metadata:
    """Read and check the files under ``root``.

    Args:
        root: folder that holds ``meta``.
        verification: read the list of pairs.
        identification: galleries and probes must be there; otherwise they are read for the subjects
            only, if they are.

    Raises:
        DataError: a file is missing, empty or malformed; a face without landmarks; landmarks that are not
            finite; a pair, gallery or probe whose template has no face; a subject in both galleries or
            with two templates in one; a template with two subjects; probes of another set.
    """
    faces = read_faces(root / FACES)
    template_ids, media = _read_media(root / MEDIA, {name: row for row, name in enumerate(faces.names)})
    places = {template: place for place, template in enumerate(template_ids.tolist())}
    subjects = np.full(len(template_ids), UNKNOWN, dtype=np.int64)
    lists: dict[str, SubjectList] = {}
    files = {**GALLERIES, "probes": PROBES}
    if identification or all((root / file).is_file() for file in files.values()):
        for name, file in files.items():
            lists[name] = _read_subjects(root / file, places, subjects, one_each=name in GALLERIES)
        _check_apart(root, lists, template_ids)
    return Metadata(
        faces=faces,
        template_ids=template_ids,
        media=media,
        subjects=subjects,
        pairs=read_pair_list(root / PAIRS, template_ids) if verification else None,
        galleries={name: lists[name] for name in GALLERIES} if identification else {},
        probes=lists["probes"] if identification else None,
    )


def read_faces(path: Path) -> FaceList:
    """Read names, landmarks and scores.

    Raises:
        DataError: a value that is no finite number, a name that comes twice; see :func:`.text.read_rows`.
    """
    line_of: dict[str, int] = {}
    values: list[list[float]] = []
    for line, (name, *fields) in read_rows(path, _FACE_FORM):
        if name in line_of:
            raise wrong_line(
                path, line, f"names {name!r} again, after line {line_of[name]}", "each face once"
            )
        line_of[name] = line
        try:
            values.append(list(map(float, fields)))
        except ValueError:
            values.append([_number(field) for field in fields])
    names, table = tuple(line_of), np.array(values, dtype=np.float32)
    faults = np.argwhere(~np.isfinite(table))
    if len(faults):
        face, place = faults[0].tolist()
        name = names[face]
        raise wrong_line(
            path, line_of[name], f"has no finite {_FACE_FORM[1 + place]} for {name!r}", "a finite number"
        )
    return FaceList(names, table[:, :10].reshape(-1, 5, 2), table[:, 10])


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _read_media(path: Path, face_of: Mapping[str, int]) -> tuple[npt.NDArray[np.int64], MediaList]:
    rows: list[tuple[int, int, int]] = []
    seen: set[tuple[int, int]] = set()
    for line, (name, template_text, media_text) in read_rows(path, ("name", "template", "media")):
        face = face_of.get(name)
        if face is None:
            raise wrong_line(path, line, f"names {name!r}", f"a face of {FACES}, which has none of that name")
        template = whole_number(path, line, "template", template_text)
        if (face, template) in seen:
            raise wrong_line(path, line, f"puts {name!r} into template {template} again", "each face once")
        seen.add((face, template))
        rows.append((face, template, whole_number(path, line, "media", media_text)))
    table = np.array(rows, dtype=np.int64)
    template_ids = np.unique(table[:, 1])
    return template_ids, MediaList(table[:, 0], np.searchsorted(template_ids, table[:, 1]), table[:, 2])


def _read_subjects(path: Path, places: Mapping[int, int], subjects: Labels, *, one_each: bool) -> SubjectList:
    """Read a gallery or the probes, and enter its subjects into ``subjects``."""
    found: dict[int, int] = {}  # place of a template -> its subject
    template_of: dict[int, int] = {}
    for line, (template_text, subject_text) in read_columns(path, ("TEMPLATE_ID", "SUBJECT_ID")):
        template = whole_number(path, line, "template", template_text)
        subject = whole_number(path, line, "subject", subject_text)
        place = places.get(template)
        if place is None:
            raise wrong_line(
                path, line, f"names template {template}, which has no face in {MEDIA}", "the same set's lists"
            )
        known = int(subjects[place])
        if known not in (UNKNOWN, subject):
            raise wrong_line(
                path, line, f"gives template {template} subject {subject}", f"{known}, which it had before"
            )
        if one_each and template_of.setdefault(subject, template) != template:
            raise wrong_line(
                path,
                line,
                f"gives subject {subject} template {template} beside {template_of[subject]}",
                "one template of a subject in a gallery",
            )
        subjects[place] = found[place] = subject
    return SubjectList(
        np.fromiter(found.keys(), np.int64, len(found)), np.fromiter(found.values(), np.int64, len(found))
    )


def _check_apart(root: Path, lists: Mapping[str, SubjectList], template_ids: npt.NDArray[np.int64]) -> None:
    first, second = (lists[name] for name in GALLERIES)
    both = np.intersect1d(first.subject, second.subject)
    if both.size:
        raise DataError(
            f"{both.size} subjects are in both galleries, the first is {both[0]}; {root / GALLERIES['G1']} "
            f"and {root / GALLERIES['G2']} must share none: give the two files of one set"
        )
    enrolled = np.concatenate([first.template, second.template])
    again = np.intersect1d(lists["probes"].template, enrolled)
    if again.size:
        raise DataError(
            f"{again.size} templates of {root / PROBES} are enrolled in a gallery too, the first is "
            f"{template_ids[again[0]]}; a template must not be searched for itself: give the set's own lists"
        )
    for name in GALLERIES:
        if not np.isin(lists["probes"].subject, lists[name].subject).any():
            raise DataError(
                f"no probe of {root / PROBES} is of a subject in {root / GALLERIES[name]}; these "
                "lists are of different sets, give those of one"
            )
