"""The people of one device: their templates, and comparing a probe with them."""

from __future__ import annotations

import secrets
import unicodedata
from dataclasses import dataclass

import numpy as np

from fedfr_edge.errors import GalleryError
from fedfr_edge.recognition.calibration import Calibration
from fedfr_edge.recognition.search import ExactSearch
from fedfr_edge.recognition.template import Template, backbone_score, require_model, score

_LONGEST_NAME = 200

_TURNS = frozenset(["LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"])


@dataclass(frozen=True)
class Person:
    """Somebody enrolled.

    Attributes:
        id: random, hexadecimal; says nothing about the person, so it may stand in a log.
        name: for display; unique within a gallery, leaves the vault only when asked for.
        images: how many faces their template is made of.
        enrolled: when, seconds since 1970; 0 before they are kept.
    """

    id: str
    name: str
    images: int
    enrolled: int = 0


@dataclass(frozen=True)
class Match:
    """The outcome of a comparison.

    Attributes:
        person: who it is; None means *unknown*: nobody scored ``threshold`` or more.
        score: cosine with the person claimed (1:1) or with the best one (1:N), see
            :func:`~fedfr_edge.recognition.template.score`; None if nobody is enrolled.
        threshold: what was needed.
    """

    person: Person | None
    score: float | None
    threshold: float


class Gallery:
    """Templates by person, all made by one model.

    Attributes:
        model_digest: sha256 of that model's file, hexadecimal.
        dim: length d of its embeddings.
        calibration: what was calibrated on this device, if anything was.
    """

    calibration: Calibration | None = None

    def __init__(self, model_digest: str, dim: int) -> None:
        self.model_digest = model_digest
        self.dim = dim
        self._people: dict[str, tuple[Person, Template]] = {}
        self._ids: dict[str, str] = {}  # by name
        # Whose each row is, and all rows, until somebody comes or goes.
        self._search: tuple[list[tuple[Person, Template]], ExactSearch] | None = None

    def __len__(self) -> int:
        return len(self._people)

    @property
    def people(self) -> tuple[Person, ...]:
        """Everybody enrolled, by name."""
        return tuple(sorted((person for person, _ in self._people.values()), key=lambda p: p.name))

    def add(
        self, name: str, template: Template, *, subject_id: str | None = None, enrolled: int = 0
    ) -> Person:
        """Enrol somebody new.

        Args:
            name: a display name that nobody else has.
            template: made by this gallery's model.
            subject_id: an id to keep (when a vault is read); default: a new random one.
            enrolled: see :class:`Person`.

        Raises:
            GalleryError: the name is taken or unusable, or the template is of another length.
            ModelMismatchError: the template was made by another model.
        """
        name = clean_name(name)
        if name in self._ids:
            raise GalleryError(
                f"{name!r} is enrolled already; replace that entry (--replace) or choose another name"
            )
        self._check(template)
        person = Person(subject_id or secrets.token_hex(8), name, template.images, enrolled)
        self._people[person.id] = (person, template)
        self._ids[name] = person.id
        self._search = None
        return person

    def replace(self, name: str, template: Template) -> Person:
        """Give somebody a new template under a new id; enrols them if they were not.

        Raises:
            GalleryError, ModelMismatchError: as :meth:`add`; the old template is kept.
        """
        name = clean_name(name)
        self._check(template)
        if name in self._ids:
            self.remove(self._ids[name])  # by id: the name may be somebody else's id
        return self.add(name, template)

    def remove(self, who: str) -> Person:
        """Forget somebody, by name or id.

        Raises:
            GalleryError: nobody of that name or id is enrolled.
        """
        person = self.find(who)
        if person is None:
            raise GalleryError(
                f"nobody called {who!r} is enrolled, so nobody was removed; 'fedfr gallery list' shows who is"
            )
        del self._people[person.id], self._ids[person.name]
        self._search = None
        return person

    def find(self, who: str) -> Person | None:
        """The person of this name or id, or None."""
        if who in self._people:
            return self._people[who][0]
        found = self._ids.get(unicodedata.normalize("NFC", who.strip()))
        return None if found is None else self._people[found][0]

    def template_of(self, person: Person) -> Template:
        """The template of somebody enrolled."""
        return self._people[person.id][1]

    def verify(self, person: Person, probe: Template, threshold: float) -> Match:
        """1:1: is the probe this person? Accepts at score ≥ ``threshold``.

        Raises:
            ModelMismatchError: another model made the probe.
        """
        self._check(probe)
        found = score(self.template_of(person), probe)
        return Match(person if found >= threshold else None, found, threshold)

    def backbone_score(self, person: Person, probe: Template) -> float | None:
        """The cosine of the two in the space of the model's backbone, where one of its own is kept.

        Returns:
            None for a generic model, for somebody enrolled by an earlier version, and for a probe that
            :func:`~fedfr_edge.recognition.spaces.probe_of` did not make.

        Raises:
            ModelMismatchError: another model made the probe.
        """
        self._check(probe)
        return backbone_score(self.template_of(person), probe)

    def identify(self, probe: Template, threshold: float) -> Match:
        """1:N: who is the probe? The best-scoring person if that score ≥ ``threshold``, else unknown.

        With N people enrolled, a stranger has N chances: the false accept rate of a search is up
        to N times the rate that the threshold was calibrated for.

        Raises:
            ModelMismatchError: another model made the probe.
        """
        self._check(probe)
        if not self._people:
            return Match(None, None, threshold)
        if self._search is None:
            entries = list(self._people.values())
            owners = [entry for entry in entries for _ in entry[1].rows]
            self._search = owners, ExactSearch(np.concatenate([template.rows for _, template in entries]))
        owners, search = self._search
        person, template = owners[search.best(probe.vector)[0]]
        # Their one number, so that 1:1 and 1:N give the same.
        found = score(template, probe)
        return Match(person if found >= threshold else None, found, threshold)

    def _check(self, template: Template) -> None:
        require_model(template.model_digest, self.model_digest)
        vectors = [template.vector, *template.rows]
        if template.backbone is not None:
            vectors.append(template.backbone)
        for vector in vectors:
            if vector.shape != (self.dim,):
                raise GalleryError(
                    f"the template has shape {vector.shape}, this gallery's model gives ({self.dim},); "
                    "make it with that model"
                )


def clean_name(name: str) -> str:
    """A display name without outer spaces, in Unicode's composed form, in any script.

    Raises:
        GalleryError: empty, longer than 200 characters, or with characters that break a line, turn the
            reading direction around or stand for nothing.
    """
    cleaned = unicodedata.normalize("NFC", name.strip())
    if not cleaned or len(cleaned) > _LONGEST_NAME or any(map(_is_unprintable, cleaned)):
        raise GalleryError(
            f"{cleaned[:40]!r} is no usable name, expected 1 to {_LONGEST_NAME} printable characters; "
            "choose another"
        )
    return cleaned


def _is_unprintable(character: str) -> bool:
    # Control characters, halves of characters, ends of lines and paragraphs; and what turns the direction of
    # the text around it, which could make one name look like another.
    kinds = ("Cc", "Cs", "Zl", "Zp")
    return unicodedata.category(character) in kinds or unicodedata.bidirectional(character) in _TURNS
