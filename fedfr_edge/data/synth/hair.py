"""Hair on the head: a shell over the skull, cut along a line round the head, and the mass behind."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .identity import Identities
from .layers import Layers, slopes_of
from .nuisance import Nuisances
from .shapes import NOISE_SIDE, Array, column, hill, inside, noise, ramp
from .skull import Hits, Skull

_TABLE = 384


def cut_line(people: Identities, shots: Nuisances) -> Array:
    """Height of the hair's lower edge round the head, (n, 384).

    Column j belongs to t = −1 … 1 with turn/(2 + |turn|) = t, so that φ = 2·atan(turn/2) runs from
    the back over one ear, the face and the other ear to the back again.
    """
    t = np.linspace(-0.96, 0.96, _TABLE, dtype=np.float32)[None]
    phi = 2 * np.arctan(t / (1 - np.abs(t)))
    around = np.abs(phi)

    def p(values: Array) -> Array:
        return values[:, None]

    ruffle = p(shots.hair_ruffle)
    line = -p(people.hair_line) + 0.10 * around**2 - p(people.recede) * hill(around, 0.62, 0.22)
    line = line + p(people.peak) * hill(phi, 0, 0.13)
    line = line - (p(people.parting) + 0.06 * ruffle) * 0.25 * phi
    fringe_x = p(people.fringe_x) + 0.12 * ruffle
    line = line + p(people.fringe) * (1 + 0.15 * ruffle) * hill(phi, fringe_x, p(people.fringe_wide)) * (
        1 - ramp(around, 0.9, 1.2)
    )
    start = p(people.side_start)
    line = line + (np.where(p(people.long_hair) > 0, p(people.long_hair), p(people.side_line)) - line) * ramp(around, start - 0.10, start + 0.16)
    # Behind the ears hair reaches down to the neck.
    line = np.maximum(line, 0.55 * ramp(around, 1.6, 1.9) + -2 * (1 - ramp(around, 1.55, 1.7)))
    return np.asarray(np.where(p(people.bald) > 0.5, np.where(around > 1.15, -0.05, -3.0), line), np.float32)


@dataclass(frozen=True)
class Strands:
    """Each person's hair texture in a picture's own pixels: (n, h, w), mean 0, variance about 1."""

    fine: Array

    @classmethod
    def over(cls, people: Identities, across: Array, down: Array) -> Strands:
        """Look the noise up where the hair's own coordinates (n, h, w) say."""
        straight, curly = noise("strand"), noise("curl")
        result = np.empty_like(across)
        for i in range(len(people)):
            curl = float(people.curl[i])
            x = (across[i] * 110 + people.grain_shift[i, 0] * NOISE_SIDE).astype(np.float32)
            y = (down[i] * 70 + people.grain_shift[i, 1] * NOISE_SIDE).astype(np.float32)
            # Waves: strands swing sideways as they fall.
            x = x + np.float32(6 * min(curl * 3, 1)) * np.sin(down[i] * 16 + 5 * people.grain_shift[i, 0])
            result[i] = cv2.remap(straight, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
            if curl > 0.45:
                coils = cv2.remap(curly, x * 1.1, y * 1.4, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
                result[i] += (coils - result[i]) * np.float32(min(1.0, (curl - 0.45) * 2))
        return cls(result)


def volume(people: Identities, shots: Nuisances) -> Array:
    """How much wider and higher than the head the hair shell is, (n, 2)."""
    side = people.side_volume * (1 + 0.2 * shots.hair_ruffle)
    top = people.top_volume * (1 + 0.2 * shots.hair_ruffle)
    # A hat has a thickness of its own, and presses the hair flat.
    hat = shots.hat > 0.5
    side, top = np.where(hat, 0.09, side), np.where(hat, 0.14, top)
    bald = (people.bald > 0.5) & ~hat
    return np.stack([np.where(bald, 0.012, side), np.where(bald, 0.0, top)], axis=1).astype(np.float32)


@dataclass(frozen=True)
class Shell:
    """The hair's outer surface in a batch of pictures, met once and used behind and before the head."""

    hits: Hits
    strands: Array
    slopes: tuple[Array, Array]

    @classmethod
    def of(cls, skull: Skull, qx: Array, qy: Array, pixel: Array) -> Shell:
        """Meet the camera's rays with the hair of these people."""
        hits = skull.hit(qx, qy, pixel, grow=volume(skull.people, skull.shots), rounds=3)
        # Not the turn itself: it grows without bound towards the outline, where strands would alias.
        across = 1.6 * hits.turn / (2 + np.abs(hits.turn))
        strands = Strands.over(skull.people, across + 0.12 * hits.y, hits.y).fine
        return cls(hits, strands, slopes_of(hits.depth, pixel))


def lay_nape(layers: Layers, skull: Skull, shell: Shell) -> None:
    """The hair on the back of the head, seen past its sides; laid before the head."""
    people, hits = skull.people, shell.hits
    end = np.where(people.long_hair > 0, people.long_hair, 0.10 + np.minimum(people.side_line, 0.2))
    mask = inside(column(end) - hits.y + 0.04 * shell.strands, 0.12) * hits.cover * column(1 - people.bald)
    colour = people.hair[:, :, None, None] * np.maximum(1 + 0.42 * shell.strands, 0.25)[:, None]
    layers.lay(mask, colour, shell.slopes, open=0.6, gloss=0.03)


def lay_hair(layers: Layers, skull: Skull, shell: Shell) -> None:
    """Hair in front of the head, and a hat where one is worn."""
    people, shots, hits, strands = skull.people, skull.shots, shell.hits, shell.strands
    t = hits.turn / (2 + np.abs(hits.turn))
    position = (t + 0.96) * ((_TABLE - 1) / 1.92)
    nothing = np.zeros_like(position[0])
    lines = cut_line(people, shots)
    line = np.stack(
        [cv2.remap(row[None], position[i], nothing, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for i, row in enumerate(lines)]
    )
    ragged = line - hits.y + 0.030 * strands
    mask = inside(ragged, 0.05 + 0.05 * column(people.curl)) * hits.cover
    slope_x, slope_y = shell.slopes
    colour = people.hair[:, :, None, None] * np.maximum(1 + 0.42 * strands, 0.25)[:, None]
    # A ring of light round the head, as smooth hair has it; roots lie darker.
    ring = hill(hits.y, -0.62 - 0.25 * column(people.top_volume), 0.12) * (1 - 0.8 * column(people.curl))
    edge = 0.62 + 0.38 * ramp(ragged, 0.0, 0.16)
    layers.lay(
        mask, colour, (slope_x + 0.22 * strands, slope_y), open=edge, gloss=(0.10 + 0.5 * ring) * (0.5 + 0.3 * strands)
    )
    if (shots.hat > 0.5).any():
        brim = -column(shots.hat_line)
        on = column(shots.hat) * inside(brim - hits.y, 0.02) * hits.cover
        knit = 0.82 + 0.18 * np.sin(hits.turn * 55) * np.sin(hits.y * 90)
        seam = 1 - 0.35 * hill(hits.y, brim - 0.16, 0.012)
        layers.lay(on, shots.hat_colour[:, :, None, None] * (knit * seam)[:, None], (slope_x, slope_y))
        shadow = column(shots.hat) * hill(hits.y, brim + 0.04, 0.04) * (hits.y > brim) * layers.cover
        layers.open *= 1 - 0.6 * shadow


def lay_back_hair(layers: Layers, skull: Skull, qx: Array, qy: Array) -> None:
    """Long hair behind the neck, over the shoulders."""
    people, shots = skull.people, skull.shots
    if not people.long_hair.any():
        return
    # The mass hangs from behind the ears: it moves against the face when the head turns.
    x = qx + column(0.30 * np.sin(shots.yaw))
    end = column(people.long_hair)
    wide = column(people.face_width * (1 + people.side_volume))
    half = wide * (0.86 + 0.36 * ramp(qy, 0.15, 0.85) - 0.22 * ramp(qy, end - 0.35, end))
    strands = Strands.over(people, x * 0.9, qy).fine
    mask = inside(half - np.abs(x) + 0.03 * strands, 0.05) * inside(end - qy + 0.06 * strands, 0.12)
    mask = mask * inside(qy + 0.1, 0.1) * column((people.long_hair > 0).astype(np.float32))
    bulge = np.clip(x / half, -0.98, 0.98)
    slope_x = -bulge / np.sqrt(1 - bulge * bulge) * 0.8
    colour = people.hair[:, :, None, None] * np.maximum(1 + 0.42 * strands, 0.2)[:, None]
    layers.lay(mask, colour, (slope_x + 0.2 * strands, 0 * slope_x), open=0.75, gloss=0.06)
