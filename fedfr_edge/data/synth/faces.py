"""Aligned crops: a head photographed by itself, then aligned by its true landmarks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedfr_edge.data.synth import identity as identities
from fedfr_edge.data.synth import nuisance as nuisances
from fedfr_edge.data.synth.background import background
from fedfr_edge.data.synth.camera import photograph
from fedfr_edge.data.synth.identity import Identities
from fedfr_edge.data.synth.layers import Place
from fedfr_edge.data.synth.nuisance import Nuisances
from fedfr_edge.data.synth.person import canvas_side, portray
from fedfr_edge.data.synth.seeds import stream
from fedfr_edge.types import AlignedFaces, Image, Landmarks
from fedfr_edge.vision.align import align

PHOTO_SIDE = 160
"""Side of the picture that an aligned crop is cut from."""

_UNITS = 2.62  # head units that the picture spans
_CANVAS_SIDE = canvas_side(PHOTO_SIDE / _UNITS)
_BATCH = 4  # small batches stay in the processor's cache; larger ones are slower


def photograph_heads(
    people: Identities, shots: Nuisances, keys: Sequence[tuple[int, int, int]]
) -> list[tuple[Image, Landmarks]]:
    """One close photograph for each row.

    Args:
        people, shots: ``n`` rows each.
        keys: ``(seed, identity, image)`` of each row: they choose background and sensor noise.

    Returns:
        ``n`` pairs: RGB uint8 (at most 160×160) and its true landmarks, float32 (5, 2), pixels.
    """
    places = []
    for row in range(len(people)):
        scale = PHOTO_SIDE / _UNITS * float(shots.scale[row])
        x, y = (PHOTO_SIDE - 1) / 2 + shots.offset[row] * scale
        places.append(
            Place(PHOTO_SIDE, PHOTO_SIDE, float(x), float(y) - 0.06 * scale, scale, float(shots.roll[row]))
        )
    result = []
    for row, portrait in enumerate(portray(people, shots, places, _CANVAS_SIDE)):
        seed, identity, image = keys[row]
        rng = stream(seed, "photograph", identity, image)
        behind = background(rng, PHOTO_SIDE, PHOTO_SIDE)
        scene = behind + (portrait.light - behind) * portrait.cover
        photo, factor = photograph(scene, shots, row, rng)
        landmarks = (portrait.landmarks + 0.5) * np.float32(factor) - 0.5
        result.append((photo, landmarks.astype(np.float32)))
    return result


def render_faces(
    seed: int, pairs: Sequence[tuple[int, int]], *, strength: float = 1.0, frontal: bool = False
) -> AlignedFaces:
    """Aligned crops of the given ``(identity, image)`` pairs: uint8 (n, 112, 112, 3), RGB.

    Each crop depends on the seed and its own pair only: the same pixels come out alone and in
    company. ``strength`` and ``frontal`` are those of :func:`.nuisance.nuisance`.

    Raises:
        DataError: a negative number, or a strength outside 0…1.
    """
    faces = np.empty((len(pairs), 112, 112, 3), np.uint8)
    known = {who: identities.identity_parameters(seed, who) for who in {who for who, _ in pairs}}
    for start in range(0, len(pairs), _BATCH):
        part = pairs[start : start + _BATCH]
        people = identities.stack([known[who] for who, _ in part])
        shots = nuisances.stack(
            [nuisances.nuisance(seed, who, image, strength=strength, frontal=frontal) for who, image in part]
        )
        photos = photograph_heads(people, shots, [(seed, *pair) for pair in part])
        for offset, (photo, landmarks) in enumerate(photos):
            faces[start + offset] = align(photo, landmarks)
    return faces
