"""What reading one image file for a store came to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Outcome:
    """One image file, read.

    Attributes:
        face: uint8 (112, 112, 3) RGB; None if the file is skipped.
        code: why it is skipped, or what should be noted about a face that is kept; empty if
            nothing is to be said. Stable: ``undecodable``, ``no_face``, ``too_small``,
            ``misaligned``, ``wrong_size``; ``several_faces``, ``resized``.
        detail: the same for people.
    """

    face: npt.NDArray[np.uint8] | None
    code: str = ""
    detail: str = ""


class FaceReader(Protocol):
    """Turns one image file into one aligned face. It is sent to other processes, so it pickles."""

    def open(self) -> None:
        """Get ready; called in each process before it reads, and before anything is written.

        Raises:
            FedFRError: it cannot work, for example for want of a detector.
        """
        ...

    def describe(self) -> dict[str, str | int | bool]:
        """What decides its results, for the manifest and to tell whether an import can go on."""
        ...

    def read(self, path: Path) -> Outcome:
        """Read one file; what is wrong with it is an outcome, never an exception."""
        ...
