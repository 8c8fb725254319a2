"""Hair on the head: a shell over the skull, cut along a line round the head, and the mass behind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedfr_edge.data.synth.identity import Identities
from fedfr_edge.data.synth.layers import Layers
from fedfr_edge.data.synth.nuisance import Nuisances
from fedfr_edge.data.synth.shapes import NOISE_SIDE, Array, hill, inside, mix, noise, ramp, sample
from fedfr_edge.data.synth.skull import Hits, Skull

_TABLE = 384
_LIMIT = 0.96


def cut_line(people: Identities, shots: Nuisances) -> Array:
    """Height of the hair's lower edge round the head, (n, 384).

    Column j belongs to t = −0.96 … 0.96 with t = turn/(2 + |turn|), so that the angle
    φ = 2·atan(turn/2) runs from the back over one ear, the face and the other ear to the back again.
    """
    t = np.linspace(-_LIMIT, _LIMIT, _TABLE, dtype=np.float32)[None]
    phi = 2 * np.arctan(t / (1 - np.abs(t)))
    around = np.abs(phi)

    def p(values: Array) -> Array:
        return values[:, None]

    ruffle = p(shots.hair_ruffle)
    line = -p(people.hair_line) + 0.10 * around**2 - p(people.recede) * hill(around, 0.62, 0.22)
    line = line + p(people.peak) * hill(phi, 0, 0.13)
    line = line - (p(people.parting) + 0.06 * ruffle) * 0.25 * phi
    fringe = hill(phi, p(people.fringe_x) + 0.12 * ruffle, p(people.fringe_wide)) * (
        1 - ramp(around, 0.9, 1.2)
    )
    line = line + p(people.fringe) * (1 + 0.15 * ruffle) * fringe
    start = p(people.side_start)
    sides = np.where(p(people.long_hair) > 0, p(people.long_hair), p(people.side_line))
    line = line + (sides - line) * ramp(around, start - 0.10, start + 0.16)
    bald = np.where(around > 1.15, -0.05, -3.0)
    return np.where(p(people.bald) > 0.5, bald, line).astype(np.float32)


def volume(people: Identities, shots: Nuisances) -> tuple[float, float]:
    """How much wider and higher than the head one person's hair shell is."""
    if shots.hat[0] > 0.5:
        # A hat has a thickness of its own, and presses the hair flat.
        return 0.09, 0.14
    if people.bald[0] > 0.5:
        return 0.012, 0.0
    ruffle = 1 + 0.2 * float(shots.hair_ruffle[0])
    return float(people.side_volume[0]) * ruffle, float(people.top_volume[0]) * ruffle


def strands(people: Identities, across: Array, down: Array) -> Array:
    """One person's hair texture where the hair's own coordinates say: mean 0, variance about 1."""
    curl = float(people.curl[0])
    shift_x, shift_y = (float(v) for v in people.grain_shift[0])
    x, y = across * 110 + shift_x * NOISE_SIDE, down * 70 + shift_y * NOISE_SIDE
    if curl > 0.05:
        # Waves: strands swing sideways as they fall.
        x += 6 * min(curl * 3, 1) * np.sin(down * 16 + 5 * shift_x)
    texture = sample(noise("strand"), x, y, wrap=True)
    if curl > 0.45:
        coils = sample(noise("curl"), x * 1.1, y * 1.4, wrap=True)
        texture = mix(texture, coils, min(1.0, (curl - 0.45) * 2))
    return texture


@dataclass(frozen=True)
class Shell:
    """The hair's outer surface in one picture, met once and used behind and before the head."""

    layers: Layers
    hits: Hits
    texture: Array
    slopes: tuple[Array, Array]
    colour: Array

    @classmethod
    def of(cls, layers: Layers, skull: Skull, row: int, people: Identities, shots: Nuisances) -> Shell:
        """Meet the camera's rays with the hair of one person (one row)."""
        grow = volume(people, shots)
        reach = (1 + grow[0]) * float(max(people.face_width[0], 0.8 * people.depth[0])) * 1.07
        tilt = abs(float(np.sin(shots.pitch[0])))
        bottom = max(float(people.long_hair[0]), 0.6) + 0.15 + 0.5 * tilt
        part = layers.part(-reach, reach, -1.06 * (1 + grow[1]) - 0.5 * tilt, bottom)
        hits = skull.hit(row, part, grow=grow)
        # Not the turn itself: it grows without bound towards the outline, where strands would alias.
        across = 1.6 * hits.turn / (2 + np.abs(hits.turn))
        texture = strands(people, across + 0.12 * hits.y, hits.y)
        colour = people.hair[0][:, None, None] * np.maximum(1 + 0.42 * texture, 0.25)
        return cls(part, hits, texture, part.slopes_of(hits.depth), colour)


def lay_nape(shell: Shell, people: Identities) -> None:
    """The hair on the back of the head, seen past its sides; laid before the head."""
    if people.bald[0] > 0.5:
        return
    long = float(people.long_hair[0])
    end = long if long > 0 else 0.10 + min(float(people.side_line[0]), 0.2)
    mask = inside(end - shell.hits.y + 0.04 * shell.texture, 0.12) * shell.hits.cover
    shell.layers.lay(mask, shell.colour, shell.slopes, open=0.6, gloss=0.03)


def lay_hair(shell: Shell, people: Identities, shots: Nuisances) -> None:
    """Hair in front of the head, and a hat where one is worn."""
    hits, texture = shell.hits, shell.texture
    t = hits.turn / (2 + np.abs(hits.turn))
    position = (t + _LIMIT) * ((_TABLE - 1) / (2 * _LIMIT))
    row = cut_line(people, shots)
    line = sample(row, position, np.zeros_like(position))
    ragged = line - hits.y + 0.030 * texture
    mask = inside(ragged, 0.05 + 0.05 * people.curl) * hits.cover
    # A ring of light round the head, as smooth hair has it; the ends lie darker.
    ring = hill(hits.y, -0.62 - 0.25 * people.top_volume, 0.12) * (1 - 0.8 * people.curl)
    shell.layers.lay(
        mask,
        shell.colour,
        (shell.slopes[0] + 0.22 * texture, shell.slopes[1]),
        open=0.62 + 0.38 * ramp(ragged, 0.0, 0.16),
        gloss=(0.10 + 0.5 * ring) * (0.5 + 0.3 * texture),
    )
    if shots.hat[0] > 0.5:
        brim = -shots.hat_line
        on = inside(brim - hits.y, 0.02) * hits.cover
        knit = 0.82 + 0.18 * np.sin(hits.turn * 55) * np.sin(hits.y * 90)
        seam = 1 - 0.35 * hill(hits.y, brim - 0.16, 0.012)
        shell.layers.lay(on, shots.hat_colour[0][:, None, None] * (knit * seam), shell.slopes)
        shell.layers.open *= 1 - 0.6 * hill(hits.y, brim + 0.04, 0.04) * (hits.y > brim)


def lay_back_hair(layers: Layers, people: Identities, shots: Nuisances) -> None:
    """Long hair behind the neck, over the shoulders."""
    if people.long_hair[0] <= 0:
        return
    # The mass hangs from behind the ears: it moves against the face when the head turns.
    end, shift = float(people.long_hair[0]), 0.30 * float(np.sin(shots.yaw[0]))
    wide = float(people.face_width[0] * (1 + people.side_volume[0]))
    part = layers.part(-1.35 * wide - shift, 1.35 * wide - shift, -0.2, end + 0.2)
    x, y = part.qx + shift, part.qy
    half = wide * (0.86 + 0.36 * ramp(y, 0.15, 0.85) - 0.22 * ramp(y, end - 0.35, end))
    texture = strands(people, x * 0.9, y)
    mask = inside(half - np.abs(x) + 0.012 * texture, 0.05) * inside(end - y + 0.06 * texture, 0.12)
    mask *= inside(y + 0.1, 0.1)
    bulge = np.clip(x / half, -0.98, 0.98)
    slope_x = -0.8 * bulge / np.sqrt(1 - bulge * bulge)
    colour = people.hair[0][:, None, None] * np.maximum(1 + 0.42 * texture, 0.2)
    part.lay(mask, colour, (slope_x + 0.2 * texture, 0.0), open=0.75, gloss=0.06)
