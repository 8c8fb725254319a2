"""What an enrolment finds amiss: images left out although their face is good, and people who are too like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fedfr_edge.recognition.gallery import Person

DropCode = Literal["unlike_the_others", "unlike_the_enrolled", "repeated"]
"""Why an image with a good face is not in the template. The codes are stable."""


@dataclass(frozen=True)
class Dropped:
    """An image left out although its face is good.

    Attributes:
        label: which.
        code: why.
        score: the cosine that it was judged by.
        limit: the limit that it missed, or reached if it is a repeat.
        other: the image that it repeats.
    """

    label: str
    code: DropCode
    score: float
    limit: float
    other: str | None = None

    @property
    def text(self) -> str:
        """The same in words."""
        if self.code == "repeated":
            return f"is {self.other} again (cosine {self.score:.3f}, from {self.limit:.3f} on); counted once"
        whom = "the others" if self.code == "unlike_the_others" else "the person enrolled"
        return f"is unlike {whom} (cosine {self.score:.3f}, below {self.limit:.3f})"


@dataclass(frozen=True)
class TooLike:
    """Somebody enrolled who is hard to tell from the new person.

    Attributes:
        person: the one enrolled.
        accepted: how many of the new images would be accepted as them.
        images: of how many.
        as_them: the highest score of a new image against their template.
        as_new: the score of their template (or the best of their images kept) against the new one.
        threshold: of a login, by which both were judged.
    """

    person: Person
    accepted: int
    images: int
    as_them: float
    as_new: float
    threshold: float

    @property
    def text(self) -> str:
        """The same in words."""
        name = self.person.name
        return (
            f"hard to tell from {name!r}, who is enrolled: {self.accepted} of {self.images} images would be "
            f"accepted as {name!r} (highest score {self.as_them:.3f}), whose template scores "
            f"{self.as_new:.3f} against the new one; threshold {self.threshold:.3f}"
        )
