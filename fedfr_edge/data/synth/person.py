"""From the numbers of people and photographs to lit pictures of heads with exact landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from fedfr_edge.data.synth.body import lay_ear, lay_neck, lay_torso
from fedfr_edge.data.synth.canvas import Canvas
from fedfr_edge.data.synth.eyes import paint_eyes
from fedfr_edge.data.synth.hair import Shell, lay_back_hair, lay_hair, lay_nape
from fedfr_edge.data.synth.identity import Identities
from fedfr_edge.data.synth.layers import Layers, Place
from fedfr_edge.data.synth.light import relief_shadow, shine
from fedfr_edge.data.synth.mouth import paint_mouth, paint_nose
from fedfr_edge.data.synth.nuisance import Nuisances
from fedfr_edge.data.synth.shapes import Array, split
from fedfr_edge.data.synth.skin import paint_beard, paint_skin
from fedfr_edge.data.synth.skull import Skull
from fedfr_edge.data.synth.worn import lay_cover, lay_glasses, paint_arms


@dataclass(frozen=True)
class Portrait:
    """A lit picture of one person, before any background and camera.

    Attributes:
        light: linear RGB, float32 (3, h, w), not multiplied by ``cover``.
        cover: float32 (h, w), 1 where the person is.
        landmarks: float32 (5, 2), pixels; a pixel's centre has whole coordinates.
        box: float32 (4,): left, top, right, bottom of the face from the forehead to the chin.
    """

    light: Array
    cover: Array
    landmarks: Array
    box: Array


def portray(people: Identities, shots: Nuisances, places: Sequence[Place], side: int) -> list[Portrait]:
    """Render ``n`` people, one a picture; portrait i depends on row i of the arguments only.

    The canvases of all are painted together, the pictures one after another (one picture at a time
    stays in the processor's cache).

    Args:
        people, shots: ``n`` rows each.
        places: where the ``n`` heads lie in their pictures.
        side: pixels on a side of the canvases; see :func:`canvas_side`.
    """
    skull = Skull(people, shots, side)
    canvas = Canvas.blank(people, shots, side)
    paint_skin(canvas)
    paint_mouth(canvas)
    paint_nose(canvas)
    paint_beard(canvas)
    paint_eyes(canvas)
    paint_arms(canvas)
    open_to_light = relief_shadow(skull, shots)
    landmarks, outline = skull.landmarks(), skull.outline()
    result = []
    for row, place in enumerate(places):
        painted = np.asarray(cv2.merge([*canvas.colour[row], open_to_light[row]]), np.float32)
        person, shot = people.row(row), shots.row(row)
        layers = _build(skull, row, person, shot, place, painted, canvas.gloss[row])
        on_face = place.to_pixels(outline[row])
        result.append(
            Portrait(
                shine(layers, shot),
                layers.cover,
                place.to_pixels(landmarks[row]),
                np.concatenate([on_face.min(axis=0), on_face.max(axis=0)]),
            )
        )
    return result


def canvas_side(scale: float) -> int:
    """Side of a canvas about as fine as a picture of so many pixels per head unit."""
    return int(np.clip(np.ceil(Skull.SPAN * scale * 1.1 / 16) * 16, 96, 512))


def _build(
    skull: Skull, row: int, people: Identities, shots: Nuisances, place: Place, painted: Array, gloss: Array
) -> Layers:
    """Lay everything that belongs to one person, from the back to the front."""
    layers = Layers.empty(place)
    lay_torso(layers, people, shots)
    lay_back_hair(layers, people, shots)
    shell = Shell.of(layers, skull, row, people, shots)
    lay_nape(shell, people)
    lay_neck(layers, people, shots)
    for ear in (-1.0, 1.0):
        lay_ear(layers, skull, row, people, shots, ear, in_front=False)
    _lay_face(layers, skull, row, painted, gloss)
    for ear in (-1.0, 1.0):
        lay_ear(layers, skull, row, people, shots, ear, in_front=True)
    lay_hair(shell, people, shots)
    lay_glasses(layers, people, shots)
    lay_cover(layers, shots)
    return layers


def _lay_face(layers: Layers, skull: Skull, row: int, painted: Array, gloss: Array) -> None:
    people = skull.people
    reach = 1.07 * float(max(people.face_width[row], people.depth[row])) + 0.05
    tilt = abs(float(np.sin(skull.shots.pitch[row])))
    bottom = 1.06 * float(people.face_length[row]) + 0.6 * tilt
    part = layers.part(-reach, reach, -1.06 - 0.5 * tilt, bottom)
    hits = skull.hit(row, part)
    red, green, blue, lit = split(skull.look_up(painted, hits.s, hits.y))
    slopes = part.slopes_of(np.asarray(cv2.blur(hits.depth, (3, 3)), np.float32))
    part.lay(
        hits.cover, np.stack([red, green, blue]), slopes, open=lit, gloss=skull.look_up(gloss, hits.s, hits.y)
    )
