"""What stays the same in every photograph of one person: shape, colours, hair, marks.

Lengths are in head units: 1 is half the height of an average head (about 11.5 cm). The head's own
axes are x to the right of a viewer who faces it, y down, z towards that viewer; the origin lies
between the eyes, in the middle of the head. Colours are linear RGB, 0…1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from fedfr_edge.data.synth.colours import (
    DYES,
    EYE_COLOURS,
    HAIR_COLOURS,
    LID_COLOURS,
    linear,
    lip_colour,
    pick,
    skin_colour,
)
from fedfr_edge.data.synth.seeds import stream
from fedfr_edge.data.synth.shapes import Array

MARKS = 6
"""Most moles that one face can have."""


@dataclass(frozen=True)
class Identities:
    """The fixed parameters of ``n`` people; every field is float32 ``(n,)`` unless noted.

    A field's name says what it is; :func:`identity_parameters` gives the ranges.
    """

    # Skull and flesh
    face_width: Array
    cranium: Array
    jaw: Array
    chin: Array
    chin_power: Array
    face_length: Array
    depth: Array
    brow_ridge: Array
    cheekbone: Array
    chin_knob: Array
    fold: Array
    ear_size: Array
    ear_out: Array
    neck: Array
    shoulders: Array
    # Eyes and brows
    eye_x: Array
    eye_width: Array
    eye_open: Array
    eye_tilt: Array
    eye_socket: Array
    lid_crease: Array
    lid_dark: Array
    lid_paint: Array  # how much eye shadow is worn
    lid_colour: Array  # (n, 3)
    lash: Array
    bags: Array
    iris_radius: Array
    iris: Array  # (n, 3)
    brow_y: Array
    brow_thick: Array
    brow_long: Array
    brow_arch: Array
    brow_tilt: Array
    brow_dense: Array
    brow_join: Array
    # Nose
    nose_y: Array
    nose_high: Array
    nose_wide: Array
    bridge_wide: Array
    bridge_bump: Array
    tip_size: Array
    nose_skew: Array
    nostril: Array
    # Mouth
    mouth_y: Array
    mouth_wide: Array
    lip_upper: Array
    lip_lower: Array
    lip_bow: Array
    lip_droop: Array
    lips: Array  # (n, 3)
    # Skin and its marks
    skin: Array  # (n, 3)
    flush: Array
    freckles: Array
    age: Array
    gloss: Array
    grain_shift: Array  # (n, 2), 0…1: where in the noise pictures this person's skin and hair lie
    moles: Array  # (n, MARKS, 4): x, y, radius, strength
    patch: Array  # (n, 5): x, y, half width, half height, strength (birthmark)
    scar: Array  # (n, 5): x, y, angle, half length, strength
    # Hair
    hair: Array  # (n, 3)
    bald: Array
    hair_line: Array
    recede: Array
    peak: Array
    parting: Array
    fringe: Array
    fringe_x: Array
    fringe_wide: Array
    side_line: Array
    side_start: Array
    top_volume: Array
    side_volume: Array
    curl: Array
    long_hair: Array
    beard: Array  # (n, 3)
    moustache: Array
    goatee: Array
    cheeks_beard: Array

    def __len__(self) -> int:
        return len(self.face_width)

    def row(self, index: int) -> Identities:
        """Row ``index`` as a batch of one."""
        return Identities(**{name: values[index : index + 1] for name, values in vars(self).items()})


def identity_parameters(seed: int, index: int) -> Identities:
    """The person number ``index`` of the set ``seed``: a batch of one (``n`` = 1).

    Shape parameters are drawn evenly from their range, not from a bell curve: few people look like
    the average face, which is what lets a few hundred of them be told apart.

    Raises:
        DataError: a negative number.
    """
    rng = stream(seed, "identity", index)

    def even(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def sometimes(share: float, low: float, high: float) -> float:
        """A value in the range for that share of people, 0 for the others."""
        present, value = rng.random() < share, rng.uniform(low, high)
        return float(value) if present else 0.0

    build = rng.random()  # 0…1; ties features that go together: brows, jaw, hair length, beard
    tone = rng.random()  # 0 the lightest skin, 1 the darkest
    years = rng.random()
    values: dict[str, Any] = {
        "face_width": even(0.56, 0.80),
        "cranium": even(0.93, 1.06),
        "jaw": even(0.68, 0.90) + 0.06 * build,
        "chin": even(0.36, 0.68) + 0.06 * build,
        "chin_power": even(2.6, 6.5),
        "face_length": even(0.89, 1.12),
        "depth": even(0.76, 0.92),
        "brow_ridge": even(0.0, 0.03) + 0.03 * build,
        "cheekbone": even(0.0, 0.07),
        "chin_knob": even(0.0, 0.08),
        "fold": even(0.1, 0.7) + 0.6 * years,
        "ear_size": even(0.8, 1.25),
        "ear_out": even(0.0, 0.09),
        "neck": even(0.33, 0.43) + 0.07 * build,
        "shoulders": even(1.25, 1.55) + 0.25 * build,
        "eye_x": even(0.235, 0.345),
        "eye_width": even(0.100, 0.165),
        "eye_open": even(0.055, 0.125),
        "eye_tilt": even(-0.26, 0.26),
        "eye_socket": even(0.0, 0.06),
        "lid_crease": even(0.012, 0.055),
        "lid_dark": even(0.0, 0.5),
        "lid_paint": sometimes(0.5 if build < 0.45 else 0.0, 0.25, 0.8),
        "lid_colour": linear(LID_COLOURS[int(rng.integers(len(LID_COLOURS)))]),
        "lash": even(0.35, 1.0),
        "bags": even(0.0, 0.5) * (0.4 + 0.6 * years),
        "iris_radius": even(0.046, 0.060),
        "brow_y": even(0.125, 0.235),
        "brow_thick": even(0.012, 0.040) + 0.022 * build,
        "brow_long": even(0.8, 1.25),
        "brow_arch": even(-0.02, 0.10),
        "brow_tilt": even(-0.30, 0.30),
        "brow_dense": even(0.35, 1.0),
        "brow_join": sometimes(0.15, 0.3, 1.0),
        "nose_y": even(0.275, 0.425),
        "nose_high": even(0.13, 0.25),
        "nose_wide": even(0.080, 0.175),
        "bridge_wide": even(0.035, 0.075),
        "bridge_bump": even(-0.03, 0.05),
        "tip_size": even(0.045, 0.085),
        "nose_skew": even(-0.025, 0.025),
        "nostril": even(0.6, 1.3),
        "mouth_y": even(0.570, 0.690),
        "mouth_wide": even(0.165, 0.295),
        "lip_upper": even(0.018, 0.085),
        "lip_lower": even(0.030, 0.105),
        "lip_bow": even(0.0, 0.9),
        "lip_droop": even(-0.035, 0.02),
        "flush": even(0.0, 0.5),
        "freckles": sometimes(0.22, 0.3, 1.0) * (1 - 0.7 * tone),
        "age": years,
        "gloss": even(0.05, 0.35),
        "grain_shift": rng.random(2),
        "moles": _moles(rng),
        "patch": [
            even(-0.45, 0.45),
            even(-0.5, 0.8),
            even(0.04, 0.16),
            even(0.04, 0.16),
            sometimes(0.12, 0.35, 0.8),
        ],
        "scar": [
            even(-0.4, 0.4),
            even(-0.45, 0.8),
            even(0, np.pi),
            even(0.06, 0.18),
            sometimes(0.15, 0.5, 1.0),
        ],
    }
    # Eyes stay on the front of a narrow face, the mouth above a short chin.
    values["eye_x"] = min(values["eye_x"], 0.56 * values["face_width"])
    values["mouth_y"] = min(values["mouth_y"], values["face_length"] - 0.27)
    values["skin"] = skin_colour(rng, tone)
    values["lips"] = lip_colour(rng, tone, build)
    values["iris"] = pick(rng, EYE_COLOURS, [3, 3, 2, 2, 3, 2] if tone < 0.55 else [6, 5, 1, 0.3, 0.3, 0.2])
    hair = pick(
        rng,
        HAIR_COLOURS,
        [3, 4, 4, 2, 3, 2, 2, 3 * years, 2 * years]
        if tone < 0.55
        else [9, 5, 1, 0.6, 0.25, 0.1, 0.1, 2 * years, years],
    )
    if rng.random() < 0.04:
        hair = pick(rng, DYES, [1, 1, 1, 1])
    values["hair"] = hair
    values["beard"] = hair * even(0.6, 1.1)
    values.update(_hair_style(rng, build, years))
    return Identities(**{name: np.asarray(value, np.float32)[None] for name, value in values.items()})


def stack(people: Sequence[Identities]) -> Identities:
    """Several batches of people as one."""
    return Identities(
        **{
            field.name: np.concatenate([getattr(p, field.name) for p in people])
            for field in fields(Identities)
        }
    )


def _moles(rng: np.random.Generator) -> Array:
    count = int(rng.choice(5, p=[0.25, 0.3, 0.2, 0.15, 0.1]))
    moles = np.zeros((MARKS, 4), np.float32)
    for mole in moles[:count]:
        mole[:] = (
            rng.uniform(-0.5, 0.5),
            rng.uniform(-0.5, 0.9),
            rng.uniform(0.014, 0.032),
            rng.uniform(0.5, 0.95),
        )
    moles[count:, 2] = 0.02
    return moles


def _hair_style(rng: np.random.Generator, build: float, years: float) -> dict[str, object]:
    def even(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    long = rng.random() < 0.9 - 0.8 * build
    bald = rng.random() < 0.18 * build * (0.5 + years)
    curl = even(0.5, 1.0) if rng.random() < 0.35 else even(0.0, 0.2)
    afro = curl > 0.7 and rng.random() < 0.4
    fringe = rng.random() < (0.45 if long else 0.3)
    bearded = rng.random() < 0.6 and build > 0.5
    full = bearded and rng.random() < 0.5
    return {
        "bald": float(bald),
        "hair_line": even(0.42, 0.74),
        "recede": even(0.0, 0.22) * build * (0.5 + years),
        "peak": even(-0.02, 0.09),
        "parting": even(-0.35, 0.35),
        "fringe": even(0.12, 0.36) if fringe else 0.0,
        "fringe_x": even(-0.5, 0.5),
        "fringe_wide": even(0.35, 0.9),
        "side_line": even(-0.12, 0.28),
        "side_start": even(0.82, 1.15) if long else even(0.98, 1.25),
        "top_volume": even(0.22, 0.42) if afro else even(0.03, 0.2),
        "side_volume": even(0.2, 0.4) if afro else (even(0.05, 0.16) if long else even(0.01, 0.09)),
        "curl": curl,
        "long_hair": even(0.75, 1.9) if long and not afro else 0.0,
        "moustache": even(0.4, 1.0) if bearded and rng.random() < 0.75 else 0.0,
        "goatee": even(0.5, 1.0) if bearded and (full or rng.random() < 0.6) else 0.0,
        "cheeks_beard": even(0.35, 1.0) if full else 0.0,
    }
