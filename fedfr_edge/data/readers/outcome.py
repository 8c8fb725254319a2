"""What is read for a store, one image after another, and what reading it came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Outcome:
    """One image, read.

    Attributes:
        face: uint8 (112, 112, 3) RGB; None if the image is skipped.
        code: why it is skipped, or what should be noted about a face that is kept; empty if
            nothing is to be said. Stable: ``undecodable``, ``no_face``, ``too_small``,
            ``misaligned``, ``wrong_size``, ``bad_record``; ``several_faces``, ``resized``.
        detail: the same for people.
    """

    face: npt.NDArray[np.uint8] | None
    code: str = ""
    detail: str = ""


class Item(Protocol):
    """One image to be read."""

    @property
    def place(self) -> Any:
        """Where it is, as its reader understands it: a path, a place in a record file. Pickles."""
        ...

    @property
    def shown(self) -> str:
        """How lists name it, unique."""
        ...

    @property
    def identity(self) -> str:
        """Whose image it is."""
        ...

    @property
    def name(self) -> str:
        """Its name in the store, unique."""
        ...


class FaceReader(Protocol):
    """Turns one image into one aligned face. It is sent to other processes, so it pickles."""

    def open(self) -> None:
        """Get ready; called in each process before it reads, and before anything is written.

        Raises:
            FedFRError: it cannot work, for example for want of a detector.
        """
        ...

    def describe(self) -> dict[str, str | int | bool]:
        """What decides its results, for the manifest and to tell whether an import can go on."""
        ...

    def read(self, place: Any, /) -> Outcome:
        """Read the image at an item's ``place``; what is wrong with it is an outcome, never an exception."""
        ...
