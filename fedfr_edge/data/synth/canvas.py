"""The skin as a picture on the head's surface coordinates: what the features are painted on."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fedfr_edge.data.synth.identity import Identities
from fedfr_edge.data.synth.nuisance import Nuisances
from fedfr_edge.data.synth.shapes import NOISE_SIDE, Array, noise
from fedfr_edge.data.synth.skull import Skull

GRAIN_SIDE = 160
"""Pixels of a noise picture that span the canvas."""


@dataclass
class Canvas:
    """Paintings of a batch of faces.

    Attributes:
        people, shots: n rows each.
        s, y: coordinates of pixel centres, (1, 1, side) and (1, side, 1).
        colour: linear RGB, (n, 3, side, side).
        gloss: strength of the mirror-like reflection, (n, side, side).
        softness: width of the thinnest edge that does not alias, head units.
    """

    people: Identities
    shots: Nuisances
    s: Array
    y: Array
    colour: Array
    gloss: Array
    softness: float

    @classmethod
    def blank(cls, people: Identities, shots: Nuisances, side: int) -> Canvas:
        """A canvas of bare skin colour."""
        s, y = Skull.axes(side)
        colour = np.empty((len(people), 3, side, side), np.float32)
        colour[:] = people.skin[:, :, None, None]
        gloss = np.empty((len(people), side, side), np.float32)
        gloss[:] = people.gloss[:, None, None]
        return cls(people, shots, s, y, colour, gloss, 1.5 * Skull.SPAN / side)

    def window(self, left: float, right: float, top: float, bottom: float) -> Canvas:
        """The part between those coordinates, as a canvas of its own (its planes are views)."""
        columns = slice(*np.searchsorted(self.s.ravel(), [left, right]))
        rows = slice(*np.searchsorted(self.y.ravel(), [top, bottom]))
        return Canvas(
            self.people,
            self.shots,
            self.s[:, :, columns],
            self.y[:, rows],
            self.colour[:, :, rows, columns],
            self.gloss[:, rows, columns],
            self.softness,
        )

    def grain(self, kind: str, turn: int = 0) -> Array:
        """Each person's own piece of a noise picture over the whole canvas, (n, side, side).

        ``turn`` picks another piece, for a use that must not coincide with the first.
        """
        side = self.colour.shape[-1]
        picture = noise(kind)
        pieces = []
        for x, y in self.people.grain_shift:
            left, top = int(x * NOISE_SIDE) + 71 * turn, int(y * NOISE_SIDE) + 29 * turn
            piece = np.roll(picture, (-top, -left), axis=(0, 1))[:GRAIN_SIDE, :GRAIN_SIDE]
            pieces.append(cv2.resize(piece, (side, side), interpolation=cv2.INTER_LINEAR))
        return np.stack(pieces)
