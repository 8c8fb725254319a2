"""Whole photographs of one or several people, with their true boxes and landmarks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fedfr_edge.data.synth.background import background
from fedfr_edge.data.synth.camera import photograph
from fedfr_edge.data.synth.identity import identity_parameters
from fedfr_edge.data.synth.layers import Place
from fedfr_edge.data.synth.nuisance import Nuisances, nuisance
from fedfr_edge.data.synth.person import canvas_side, portray
from fedfr_edge.data.synth.seeds import stream
from fedfr_edge.errors import DataError
from fedfr_edge.types import Image, Landmarks

_SMALLEST_SIDE = 96
_SHARED = ("light", "key", "fill", "sky")  # people in one photograph stand in the same light


@dataclass(frozen=True)
class ScenePerson:
    """One person in a scene.

    Attributes:
        identity: the person's number.
        image: the number whose circumstances (:func:`.nuisance.nuisance`) the person is in.
        box: float32 (4,): left, top, right, bottom of the face, forehead to chin, pixels.
        landmarks: float32 (5, 2), exact, pixels.
    """

    identity: int
    image: int
    box: npt.NDArray[np.float32]
    landmarks: Landmarks


@dataclass(frozen=True)
class Scene:
    """A photograph and the truth about it, people from left to right."""

    image: Image
    people: tuple[ScenePerson, ...]

    def truth(self) -> list[dict[str, Any]]:
        """The people as plain JSON-able values, pixels rounded to 1/100."""
        return [
            {
                "identity": person.identity,
                "image": person.image,
                "box": [round(float(v), 2) for v in person.box],
                "landmarks": [[round(float(x), 2), round(float(y), 2)] for x, y in person.landmarks],
            }
            for person in self.people
        ]


def render_scene(
    seed: int,
    number: int,
    identities: Sequence[int],
    *,
    height: int = 480,
    width: int = 640,
    strength: float = 1.0,
    frontal: bool = False,
) -> Scene:
    """Photograph number ``number`` of the given people, side by side on one background.

    Args:
        seed: the set's seed.
        number: of the photograph; person i stands in the circumstances of (i, ``number``), but all
            in the light of the first.
        identities: who is in it, from left to right; each once.
        height, width: pixels, at least 96.
        strength, frontal: as for :func:`.nuisance.nuisance`.

    Raises:
        DataError: nobody or somebody twice in the picture, too small a picture, a negative number
            or a strength outside 0…1.
    """
    if not identities or len(set(identities)) != len(identities):
        raise DataError(f"a scene of the people {list(identities)}, expected one or more, each once")
    if min(height, width) < _SMALLEST_SIDE:
        raise DataError(
            f"a scene of {width}×{height} pixels, expected at least {_SMALLEST_SIDE} on each side"
        )
    rng = stream(seed, "scene", number, *identities)
    shots = [nuisance(seed, who, number, strength=strength, frontal=frontal) for who in identities]
    common = {name: getattr(shots[0], name) for name in _SHARED}
    shots = [dataclasses.replace(shot, **common) for shot in shots]
    places = _places(rng, shots, height, width)
    light = background(rng, height, width)
    portraits = [
        portray(identity_parameters(seed, who), shot, [place], canvas_side(place.scale))[0]
        for who, shot, place in zip(identities, shots, places, strict=True)
    ]
    # Small heads are far away: they are laid first.
    for index in sorted(range(len(places)), key=lambda i: places[i].scale):
        portrait = portraits[index]
        light += (portrait.light - light) * portrait.cover
    # The frame has the camera's full resolution: a small head has few pixels anyway.
    camera = dataclasses.replace(shots[0], sharpness=np.ones(1, np.float32))
    image, _ = photograph(light, camera, 0, rng)
    people = [
        ScenePerson(who, number, portrait.box, portrait.landmarks)
        for who, portrait in zip(identities, portraits, strict=True)
    ]
    return Scene(image, tuple(people))


def render_portrait_scene(
    identity: int,
    image_number: int,
    seed: int,
    *,
    height: int = 480,
    width: int = 640,
    strength: float = 0.6,
    frontal: bool = True,
) -> Scene:
    """A whole photograph of one given person, as somebody who enrols or logs in would take it.

    The person is the one of ``identity`` in a store made with the same seed. With an image number
    beyond the store's the circumstances are new, too.

    Raises:
        DataError: see :func:`render_scene`.
    """
    return render_scene(
        seed, image_number, [identity], height=height, width=width, strength=strength, frontal=frontal
    )


def _places(rng: np.random.Generator, shots: Sequence[Nuisances], height: int, width: int) -> list[Place]:
    """Give every head a column of the frame of its own, whole faces inside the frame."""
    column = width / len(shots)
    largest = min(0.29 * height, column / 1.75)
    places = []
    for index, shot in enumerate(shots):
        scale = largest * float(rng.uniform(0.5, 1.0))
        margin = 0.86 * scale
        x = float(
            rng.uniform(
                index * column + margin, max((index + 1) * column - margin, index * column + margin + 1)
            )
        )
        low, high = 1.25 * scale, height - 1.55 * scale
        y = float(rng.uniform(low, max(high, low + 1)))
        places.append(Place(height, width, x, y, scale, float(shot.roll[0])))
    return places
