"""From the numbers of people and photographs to lit pictures of heads with exact landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .body import lay_ear, lay_neck, lay_torso
from .canvas import Canvas
from .eyes import paint_eyes
from .hair import Shell, lay_back_hair, lay_hair, lay_nape
from .identity import Identities
from .layers import Layers, slopes_of
from .light import relief_shadow, shine
from .mouth import paint_mouth, paint_nose
from .nuisance import Nuisances
from .shapes import Array, column
from .skin import paint_beard, paint_skin
from .skull import Skull
from .worn import lay_cover, lay_glasses, paint_arms


@dataclass(frozen=True)
class Frame:
    """Where heads lie in their pictures.

    Attributes:
        height, width: pixels.
        centre: float32 (n, 2): pixel (x, y) of the point between the eyes, in the head's middle.
        scale: float32 (n,): pixels per head unit.
    """

    height: int
    width: int
    centre: Array
    scale: Array


@dataclass(frozen=True)
class Portraits:
    """Lit pictures of ``n`` people, before any background and camera.

    Attributes:
        light: linear RGB, float32 (n, 3, h, w), not multiplied by ``cover``.
        cover: float32 (n, h, w), 1 where the person is.
        landmarks: float32 (n, 5, 2), pixels; a pixel's centre has whole coordinates.
        boxes: float32 (n, 4), left, top, right, bottom of the face from hairline to chin.
    """

    light: Array
    cover: Array
    landmarks: Array
    boxes: Array


def portray(people: Identities, shots: Nuisances, frame: Frame) -> Portraits:
    """Render ``n`` people, one a picture; row i depends on row i of the arguments only."""
    # As many canvas pixels per head unit as picture pixels, within reason.
    side = int(np.clip(np.ceil(Skull.SPAN * float(np.max(frame.scale)) * 1.1 / 32) * 32, 96, 512))
    skull = Skull(people, shots, side)
    qx, qy = _rays(shots, frame)
    pixel = (1 / frame.scale).astype(np.float32)
    layers = Layers.empty(len(people), frame.height, frame.width)
    lay_torso(layers, skull, qx, qy)
    lay_back_hair(layers, skull, qx, qy)
    shell = Shell.of(skull, qx, qy, pixel)
    lay_nape(layers, skull, shell)
    lay_neck(layers, skull, qx, qy)
    for ear in (-1.0, 1.0):
        lay_ear(layers, skull, qx, qy, ear, in_front=False)
    _lay_face(layers, skull, qx, qy, pixel)
    for ear in (-1.0, 1.0):
        lay_ear(layers, skull, qx, qy, ear, in_front=True)
    lay_hair(layers, skull, shell)
    lay_glasses(layers, skull, qx, qy, pixel)
    lay_cover(layers, shots, qx, qy)
    light = shine(layers, shots, qx, qy)
    return Portraits(light, layers.cover, _to_pixels(skull.landmarks(), shots, frame), _boxes(skull, shots, frame))


def _rays(shots: Nuisances, frame: Frame) -> tuple[Array, Array]:
    """Head-unit coordinates (n, h, w) of the pixels, with the roll taken out."""
    dx = (np.arange(frame.width, dtype=np.float32) - frame.centre[:, :1])[:, None, :] / column(frame.scale)
    dy = (np.arange(frame.height, dtype=np.float32) - frame.centre[:, 1:])[:, :, None] / column(frame.scale)
    sin, cos = column(np.sin(shots.roll)), column(np.cos(shots.roll))
    return dx * cos + dy * sin, dy * cos - dx * sin


def _to_pixels(points: Array, shots: Nuisances, frame: Frame) -> Array:
    """Unrolled camera points (n, k, 3) to pixels (n, k, 2)."""
    sin, cos = np.sin(shots.roll)[:, None], np.cos(shots.roll)[:, None]
    x, y = points[..., 0], points[..., 1]
    rolled = np.stack([x * cos - y * sin, x * sin + y * cos], axis=-1)
    return (frame.centre[:, None] + rolled * frame.scale[:, None, None]).astype(np.float32)


def _lay_face(layers: Layers, skull: Skull, qx: Array, qy: Array, pixel: Array) -> None:
    people, shots = skull.people, skull.shots
    canvas = Canvas.blank(people, shots, skull.side)
    paint_skin(canvas)
    paint_mouth(canvas)
    paint_nose(canvas)
    paint_beard(canvas)
    paint_eyes(canvas)
    paint_arms(canvas)
    lit = relief_shadow(skull, shots)
    hits = skull.hit(qx, qy, pixel)
    painted = np.concatenate([canvas.colour, lit[:, None]], axis=1).transpose(0, 2, 3, 1)
    seen = skull.look_up(np.ascontiguousarray(painted), hits.s, hits.y)
    planes = np.ascontiguousarray(seen.transpose(0, 3, 1, 2))
    depth = np.stack([cv2.blur(d, (3, 3)) for d in hits.depth])
    gloss = column(people.gloss)
    layers.lay(hits.cover, planes[:, :3], slopes_of(depth, pixel), open=planes[:, 3], gloss=gloss)


def _boxes(skull: Skull, shots: Nuisances, frame: Frame) -> Array:
    """The frame-parallel box round the face's skin from the forehead to the chin."""
    n = len(skull.people)
    s, y = np.meshgrid(np.linspace(-1.15, 1.15, 13), np.linspace(-0.55, 1.0, 12))
    s_all = np.repeat(s.reshape(1, -1), n, axis=0).astype(np.float32)
    y_all = (y.reshape(1, -1) * skull.people.face_length[:, None]).astype(np.float32)
    pixels = _to_pixels(skull.points(s_all, y_all), shots, frame)
    return np.concatenate([pixels.min(axis=1), pixels.max(axis=1)], axis=1).astype(np.float32)
