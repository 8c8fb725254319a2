"""What changes between photographs of one person: pose, light, expression, things worn, the camera."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from fedfr_edge.data.synth.seeds import stream
from fedfr_edge.data.synth.shapes import Array
from fedfr_edge.errors import DataError


@dataclass(frozen=True)
class Nuisances:
    """The parameters of ``n`` photographs; every field is float32 ``(n,)`` unless noted.

    Angles are in radians; directions point from the face to the light, in the camera's axes (x
    right, y down, z towards the camera).
    """

    # Pose
    yaw: Array
    pitch: Array
    roll: Array
    # Light
    light: Array  # (n, 3) unit vectors
    key: Array  # (n, 3) colour times strength
    fill: Array  # (n, 3) ambient colour times strength
    sky: Array  # how much more ambient light comes from above than from below
    shade_angle: Array  # a soft shadow across the picture: direction of its edge,
    shade_offset: Array  # its place,
    shade: Array  # and its depth, 0…1
    # Expression
    smile: Array
    mouth_open: Array
    brow_raise: Array
    frown: Array
    lids: Array  # share of the eye that stays open
    gaze: Array  # (n, 2)
    # Things worn
    glasses: Array  # 0 none, 1 there
    tint: Array  # 0 clear lenses … 1 black
    rim: Array  # (n, 3)
    rim_thick: Array
    rim_size: Array  # (n, 2) half width, half height of a lens
    rim_power: Array  # 2 round … 6 square
    hat: Array  # 0 none, 1 there
    hat_line: Array
    hat_colour: Array  # (n, 3)
    cloth: Array  # (n, 3)
    collar: Array
    hair_ruffle: Array  # changes of fringe, parting, volume
    stubble: Array
    cover: Array  # (n, 6): something in front: x, y, half width, half height, angle, strength
    cover_colour: Array  # (n, 3)
    # Camera
    scale: Array  # size of the head in the frame, around 1
    offset: Array  # (n, 2) shift in head units
    sharpness: Array  # pixels of the photograph for one of the renderer's, at most 1
    exposure: Array
    balance: Array  # (n, 3) white balance gains
    contrast: Array
    saturation: Array
    blur: Array  # Gaussian sigma in pixels of the photograph
    motion: Array  # (n, 2) vector in pixels of the photograph
    noise: Array  # standard deviation at mid-grey, 0…1
    jpeg: Array  # quality, 1…100

    def __len__(self) -> int:
        return len(self.yaw)

    def row(self, index: int) -> Nuisances:
        """Row ``index`` as a batch of one."""
        return Nuisances(**{name: values[index : index + 1] for name, values in vars(self).items()})


def nuisance(
    seed: int, identity: int, image: int, *, strength: float = 1.0, frontal: bool = False
) -> Nuisances:
    """The circumstances of photograph ``image`` of person ``identity``: a batch of one (``n`` = 1).

    Args:
        seed, identity, image: the numbers of the stream.
        strength: 1 for the full range; 0 for a plain photograph: straight pose, even light, no
            expression, nothing worn or in front, a clean camera.
        frontal: limit the pose to a person who looks into the camera (at most 10° yaw, 8° pitch and
            6° roll) and leave the rest as it is.

    Raises:
        DataError: a negative number, or a strength outside 0…1.
    """
    if not 0 <= strength <= 1:
        raise DataError(f"the strength of nuisance is {strength}, expected 0 (plain) to 1 (full)")
    rng = stream(seed, "nuisance", identity, image)

    def around(sigma: float, limit: float, middle: float = 0.0) -> float:
        """A bell curve of that width, cut at the limit; its middle holds at strength 0."""
        return middle + strength * float(np.clip(rng.normal(0, sigma), -limit, limit))

    def even(low: float, high: float, plain: float) -> float:
        return plain + strength * (float(rng.uniform(low, high)) - plain)

    def happens(share: float) -> float:
        return float(rng.random() < share * strength)

    pose = np.array([around(5.8, 17), around(3.6, 9.5), around(8, 20)])
    if frontal:
        pose = pose / [17, 9.5, 20] * [10, 8, 6]
    values: dict[str, Any] = dict(zip(("yaw", "pitch", "roll"), np.radians(pose), strict=True))
    values.update(_light(rng, strength))
    values.update(
        smile=even(-0.3, 0.75, 0.0),
        mouth_open=even(0.15, 0.75, 0.0) if rng.random() < 0.22 else 0.0,
        brow_raise=around(0.3, 0.7),
        frown=even(0.0, 1.0, 0.0) if rng.random() < 0.3 else 0.0,
        lids=even(0.05, 0.3, 1.0) if rng.random() < 0.06 else even(0.7, 1.1, 1.0),
        gaze=[around(0.35, 0.9), around(0.2, 0.5)],
    )
    values.update(_worn(rng, happens, even))
    values.update(
        scale=even(0.9, 1.1, 1.0),
        offset=[around(0.05, 0.12), around(0.05, 0.12)],
        sharpness=even(0.45, 1.0, 1.0),
        exposure=2.0 ** around(0.26, 0.55),
        balance=np.exp([around(0.08, 0.2), around(0.025, 0.06), around(0.10, 0.25)]),
        contrast=even(0.78, 1.3, 1.0),
        saturation=even(0.55, 1.3, 1.0) if rng.random() > 0.03 * strength else 0.0,
        blur=even(0.0, 0.9, 0.0),
        motion=np.array([around(1.0, 2.0), around(1.0, 2.0)]) * happens(0.2),
        noise=even(0.003, 0.032, 0.0) * (1.6 if rng.random() < 0.15 else 1.0),
        jpeg=even(40, 96, 97),
    )
    return Nuisances(**{name: np.asarray(value, np.float32)[None] for name, value in values.items()})


def stack(shots: Sequence[Nuisances]) -> Nuisances:
    """Several batches of circumstances as one."""
    return Nuisances(
        **{field.name: np.concatenate([getattr(s, field.name) for s in shots]) for field in fields(Nuisances)}
    )


def _light(rng: np.random.Generator, strength: float) -> dict[str, object]:
    azimuth = strength * np.radians(np.clip(rng.normal(0, 24), -55, 55))
    height = np.radians(25 + strength * np.clip(rng.normal(0, 15), -32, 32))
    direction = np.array(
        [np.sin(azimuth) * np.cos(height), -np.sin(height), np.cos(azimuth) * np.cos(height)]
    )
    warmth = strength * rng.normal(0, 0.16)
    key_colour = np.exp(warmth * np.array([1.0, 0.0, -1.2]))
    cool = strength * rng.normal(0, 0.12)
    fill_colour = np.exp(cool * np.array([-1.0, 0.0, 1.2]))
    # Share of the light that comes from one direction: flat daylight … a single lamp.
    directed = 0.55 + strength * rng.uniform(-0.3, 0.17)
    shaded = rng.random() < 0.18 * strength
    return {
        "light": direction,
        "key": key_colour * directed * 1.3,
        "fill": fill_colour * (1 - directed) * 1.1,
        "sky": 0.25 + strength * rng.uniform(-0.25, 0.3),
        "shade_angle": rng.uniform(0, 2 * np.pi),
        "shade_offset": rng.uniform(-0.4, 0.5),
        "shade": rng.uniform(0.3, 0.75) if shaded else 0.0,
    }


def _worn(
    rng: np.random.Generator, happens: Callable[[float], float], even: Callable[[float, float, float], float]
) -> dict[str, object]:
    def colour(low: float = 0.01, high: float = 0.8) -> Array:
        vivid = rng.uniform(0, 1, 3) ** 2
        return np.asarray(
            low + (high - low) * (vivid if rng.random() < 0.6 else np.full(3, vivid.mean())), np.float32
        )

    glasses = happens(0.20)
    dark = rng.random() < 0.12
    covered = happens(0.08)
    side = rng.choice([-1.0, 1.0])
    return {
        "glasses": glasses,
        "tint": rng.uniform(0.6, 0.92) if dark else rng.uniform(0.0, 0.12),
        "rim": colour(0.004, 0.35) if rng.random() < 0.4 else np.full(3, rng.uniform(0.004, 0.03)),
        "rim_thick": rng.uniform(0.012, 0.034),
        "rim_size": [rng.uniform(0.175, 0.225), rng.uniform(0.12, 0.175)],
        "rim_power": rng.choice([2.0, 2.6, 4.0, 6.0]),
        "hat": happens(0.03),
        "hat_line": rng.uniform(0.36, 0.6),
        "hat_colour": colour(),
        "cloth": colour(),
        "collar": rng.random(),
        "hair_ruffle": even(-1.0, 1.0, 0.0),
        "stubble": even(0.0, 1.0, 0.3),
        # A hand, a cup, a shoulder: it comes in from below or from a side and hides a corner.
        "cover": [
            side * rng.uniform(0.45, 0.9),
            rng.uniform(0.55, 1.25),
            rng.uniform(0.25, 0.6),
            rng.uniform(0.2, 0.5),
            rng.uniform(0, np.pi),
            covered,
        ],
        "cover_colour": colour(),
    }
