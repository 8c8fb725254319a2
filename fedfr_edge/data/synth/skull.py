"""The head as a solid: its profile, its relief, where a camera ray meets it, where its landmarks lie.

A horizontal slice of the head at height y is an ellipse of half width w(y) and half depth d(y) about
the vertical axis. A place on the surface has two coordinates, ``(s, y)`` with
s = 2·w·x̂/(1 + ẑ), where (x̂, ẑ) is the direction on the unit circle: about x in front of the face,
growing without a jump round to the ears. The relief δ(s, y) (nose, sockets, lips, chin) is added to
both half axes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fedfr_edge.data.synth.identity import Identities
from fedfr_edge.data.synth.layers import Layers
from fedfr_edge.data.synth.nuisance import Nuisances
from fedfr_edge.data.synth.shapes import Array, hill, mix, ramp, sample, split, unit

TOP = 1.02
"""Height of the crown above the eyes, for a person without hair."""

_TABLE = 512
_TABLE_LOW, _TABLE_HIGH = -1.3, 1.5
_LEAST = 0.03


def profile(people: Identities, y: Array) -> tuple[Array, Array]:
    """Half width w and half depth d of the head at heights ``y``, shape (n, …) each."""

    def p(values: Array) -> Array:
        return values.reshape((-1,) + (1,) * (y.ndim - 1))

    length = p(people.face_length)
    width = 1 + (p(people.cranium) - 1) * ramp(-y, 0.0, 0.5)
    width = width + (p(people.jaw) - 1) * ramp(y, 0.08, 0.72 * length)
    width = width + (p(people.chin) - p(people.jaw)) * ramp(y, 0.55 * length, 1.02 * length)
    below = np.clip(y / (1.03 * length), 0, 1)
    above = np.clip(-y / TOP, 0, 1)
    dome = 1 - above**2.7
    close_width = np.sqrt(np.where(y > 0, 1 - below ** p(people.chin_power), dome))
    close_depth = np.sqrt(np.where(y > 0, 1 - below**6, dome))
    forehead = 1 - 0.06 * ramp(-y, 0.25, 0.75)
    w = np.maximum(p(people.face_width) * width * close_width, _LEAST)
    d = np.maximum(p(people.depth) * forehead * close_depth, _LEAST)
    return w.astype(np.float32), d.astype(np.float32)


def shell_profile(people: Identities, y: Array) -> tuple[Array, Array]:
    """As :func:`profile`, for hair: long hair hangs straight down from the head's widest place."""

    def p(values: Array) -> Array:
        return values.reshape((-1,) + (1,) * (y.ndim - 1))

    w, d = profile(people, y)
    hanging = (y > 0.05) & (p(people.long_hair) > 0)
    w = np.where(hanging, p(people.face_width), w)
    return w, np.where(hanging, p(people.depth), d)


def relief(people: Identities, shots: Nuisances, s: Array, y: Array) -> Array:
    """The height δ of the skin over the plain head, at places that broadcast to (n, …).

    Axes are kept apart (``s`` (n, 1, w) with ``y`` (n, h, 1)) wherever a part is a product, so that
    a grid costs little more than its two edges.
    """
    dims = max(s.ndim, y.ndim)

    def p(values: Array) -> Array:
        return values.reshape((-1,) + (1,) * (dims - 1))

    side = np.abs(s)
    tip_y, high = p(people.nose_y), p(people.nose_high)
    # Nose: a ridge that rises from between the eyes to the tip and ends under it, with two wings.
    x = s - p(people.nose_skew) * ramp(y, 0.0, tip_y)
    rise = ramp(y, -0.10, tip_y * 1.02)
    start = ramp(y, -0.20, 0.02)
    low = y + 5 * x * x  # the underside is round: lower in the middle
    end = 1 - ramp(low, tip_y + 0.02, tip_y + 0.15)
    ridge = hill(x, 0, p(people.bridge_wide)) * (0.22 * start + 0.58 * rise * rise) * high
    bump = p(people.bridge_bump) * hill(x, 0, p(people.bridge_wide)) * hill(y, tip_y * 0.45, 0.07)
    tip = hill(x, 0, p(people.tip_size)) * hill(y, tip_y, 0.065) * 0.32 * high
    wings = (
        hill(np.abs(x), p(people.nose_wide) * 0.75, 0.04)
        * hill(y, tip_y + 0.04, 0.042)
        * (0.03 + 0.15 * high)
    )
    delta = (ridge + bump) * end + tip + wings
    # Eyes: a socket, a ball in it, a ridge above.
    eye_x = p(people.eye_x)
    delta = delta - p(people.eye_socket) * hill(side, eye_x * 0.85, 0.13) * hill(y, -0.02, 0.085)
    delta = delta + 0.028 * hill(side, eye_x, 0.085) * hill(y, 0.0, 0.06)
    ridge_y = -p(people.brow_y) * 0.9 - 0.02 * p(shots.brow_raise)
    delta = delta + p(people.brow_ridge) * hill(side, eye_x * 0.9, 0.17) * hill(y, ridge_y, 0.06)
    # Cheeks lift with a smile; the fold runs from the wing of the nose past the mouth.
    smile = p(np.maximum(shots.smile, 0))
    delta = delta + p(people.cheekbone) * hill(side, 0.40, 0.14) * hill(y, 0.22, 0.13)
    delta = delta + 0.045 * smile * hill(side, 0.34, 0.10) * hill(y, 0.32, 0.10)
    fold_x = 0.14 + 0.42 * (y - tip_y) + 0.03 * smile
    depth = 0.016 * p(people.fold) + 0.022 * smile
    delta = delta - depth * hill(side, fold_x, 0.028) * hill(y, tip_y + 0.17, 0.11)
    # Mouth and chin.
    mouth_y, mouth_wide = p(people.mouth_y), p(people.mouth_wide)
    muzzle = hill(s, 0, mouth_wide * 0.8) * hill(y, mouth_y, 0.11)
    lips = hill(s, 0, mouth_wide * 0.62) * (
        hill(y, mouth_y - 0.5 * p(people.lip_upper), 0.026) * p(people.lip_upper) * 0.45
        + hill(y, mouth_y + 0.6 * p(people.lip_lower), 0.032) * p(people.lip_lower) * 0.5
    )
    delta = delta + 0.035 * muzzle + lips
    length = p(people.face_length)
    delta = delta - 0.03 * hill(s, 0, 0.16) * hill(y, mix(mouth_y, length, 0.42), 0.04)
    delta = delta + p(people.chin_knob) * hill(s, 0, 0.14) * hill(y, length * 0.92, 0.085)
    return np.asarray(delta, np.float32)


def mouth_corners(people: Identities, shots: Nuisances) -> tuple[Array, Array, Array]:
    """``(left s, right s, y)`` of the corners of the mouth, (n,) each, with the expression in them."""
    half = people.mouth_wide * (1 + 0.22 * np.maximum(shots.smile, 0) - 0.10 * shots.mouth_open)
    lift = 0.055 * shots.smile - 0.02 * shots.mouth_open
    return -half, half, people.mouth_y - lift + people.lip_droop


@dataclass(frozen=True)
class Hits:
    """Where the rays of one picture meet a solid; every field is float32 (h, w).

    Attributes:
        cover: 1 inside the outline, 0 outside, between at its edge.
        turn: s/w, the turn round the vertical axis (0 in front, ±2 at the ears).
        s, y: the place on the surface.
        depth: distance towards the camera, head units; continues smoothly past the outline.
    """

    cover: Array
    turn: Array
    s: Array
    y: Array
    depth: Array


class Skull:
    """The heads of ``n`` photographs, ready to be hit by rays.

    Attributes:
        people, shots: ``n`` rows each.
        side: pixels on a side of the relief map, which spans 2 head units from (LOW_S, LOW_Y).
        relief: float32 (n, side, side).
    """

    LOW_S, LOW_Y, SPAN = -1.0, -0.85, 2.0

    def __init__(self, people: Identities, shots: Nuisances, side: int) -> None:
        self.people, self.shots, self.side = people, shots, side
        self.relief = relief(people, shots, *self.axes(side))
        heights = np.linspace(_TABLE_LOW, _TABLE_HIGH, _TABLE, dtype=np.float32)[None]
        heights = np.repeat(heights, len(people), axis=0)
        self._head = np.stack(profile(people, heights), axis=-1)[:, :, None]
        self._shell = np.stack(shell_profile(people, heights), axis=-1)[:, :, None]

    @classmethod
    def axes(cls, side: int) -> tuple[Array, Array]:
        """Coordinates of the map's pixel centres: s as (1, 1, side), y as (1, side, 1)."""
        steps = (np.arange(side, dtype=np.float32) + 0.5) * np.float32(cls.SPAN / side)
        return (steps + cls.LOW_S)[None, None], (steps + cls.LOW_Y)[None, :, None]

    def hit(self, row: int, layers: Layers, *, grow: tuple[float, float] | None = None) -> Hits:
        """Meet the camera's rays with a head, or with a shell round it.

        Args:
            row: which head.
            layers: the pixels whose rays are meant.
            grow: how much wider and higher than the head a shell is (hair); a shell has no relief.
                Without it: the head itself.

        Each round takes the profile and the relief at the place found before and solves the ray's
        quadratic with that ellipse. Up to 20 degrees of yaw that is right to a hundredth of a head
        unit nearly everywhere, to a thirtieth on the steep sides of a nose.
        """
        yaw, pitch = float(self.shots.yaw[row]), float(self.shots.pitch[row])
        sin, cos, tan = math.sin(yaw), math.cos(yaw), math.tan(pitch)
        qx, qy, wide, high, table, rounds = layers.qx, layers.qy, 1.0, 1.0, self._head[row], 4
        if grow is not None:
            wide, high = 1 + grow[0], 1 + grow[1]
            qx, qy, tan, table, rounds = qx / wide, qy / high, tan * wide / high, self._shell[row], 2
        qy_up = qy / math.cos(pitch)
        qx_sin, qx_cos = qx * sin, qx * cos
        cross, square = qx * (sin * cos), qx * qx
        zeros = np.zeros_like(qx)
        z: Array | float = 0.8 * float(self.people.depth[row])
        delta: Array | float = 0.0
        k = (_TABLE - 1) / (_TABLE_HIGH - _TABLE_LOW)
        for index in range(rounds):
            y = qy_up + z * tan
            both = sample(table, zeros, (y - _TABLE_LOW) * k)
            w, d = split(both)
            w_all, d_all = w + delta, d + delta
            # (x/w)² + (z/d)² = 1 with x, z turned by the yaw: a·z² + 2b·z + c = 0, times w²·d².
            ww, dd = w_all * w_all, d_all * d_all
            a = ww * (cos * cos) + dd * (sin * sin)
            b = cross * (ww - dd)
            c = square * (ww + dd - a) - ww * dd
            root = np.maximum(b * b - a * c, 0)
            z = (np.sqrt(root, out=root) - b) / a
            turn = (qx_cos - z * sin) / w_all
            turn /= np.maximum(0.5 + 0.5 * (qx_sin + z * cos) / d_all, 0.025)
            s = turn * w
            if grow is None and index + 1 < rounds:
                delta = self.look_up(self.relief[row], s, y)
        extent = np.sqrt(a)
        edge = (extent - np.abs(qx)) * layers.place.scale
        cover = unit(edge + 0.5) * unit(w / _LEAST - 1.2)
        if grow is None and pitch > 0:
            cover *= self._above_jaw(row, layers, pitch)
        depth = (z * wide + layers.qy * math.sin(pitch)) / math.cos(pitch)
        return Hits(cover, turn, s, y, depth)

    def _above_jaw(self, row: int, layers: Layers, pitch: float) -> Array:
        """Coverage of what lies above the edge of the jaw, for a head that looks up.

        The edge is the outline of the lower face seen from the front, bent back from the chin to
        the corners of the jaw. Below it begins the neck: rays that pass there meet the underside,
        where the rounds of `hit` find no stable place.
        """
        heights = np.linspace(0.1, 1.04 * float(self.people.face_length[row]), 128, dtype=np.float32)
        w, _ = profile(self.people.row(row), heights[None])
        x = np.linspace(0, 1, 256, dtype=np.float32)
        bend = 0.75 * float(self.people.depth[row]) * np.maximum(1 - (x / w[0, 0]) ** 2, 0)
        edge = np.interp(x, w[0, ::-1], heights[::-1]) * math.cos(pitch) - bend * math.sin(pitch)
        # Turned sideways the head is as deep as it is wide: the outline stretches with it.
        yaw = float(self.shots.yaw[row])
        stretch = math.hypot(math.cos(yaw), math.sin(yaw) * float(self.people.depth[row]) / float(w[0, 0]))
        position = np.abs(layers.qx) * (255 / stretch)
        found = sample(edge.astype(np.float32)[None], position, np.zeros_like(position))
        return unit((found - layers.qy) * layers.place.scale + 0.5)

    def look_up(self, picture: Array, s: Array, y: Array) -> Array:
        """Read a picture on the surface, (side, side[, c]), at places (h, w): (h, w[, c])."""
        k = self.side / self.SPAN
        mx, my = s * k + (-self.LOW_S * k - 0.5), y * k + (-self.LOW_Y * k - 0.5)
        return sample(picture, mx, my)

    def points(self, s: Array, y: Array) -> Array:
        """Places on the surface as points of the unrolled camera frame: (n, k) to (n, k, 3)."""
        w, d = profile(self.people, y)
        delta = relief(self.people, self.shots, s, y)
        half = s / w / 2
        ring = 1 + half * half
        x = (w + delta) * (2 * half / ring)
        z = (d + delta) * ((1 - half * half) / ring)
        return self.turned(np.stack([x, y, z], axis=-1))

    def turned(self, points: Array, row: int | None = None) -> Array:
        """Head coordinates (n, k, 3) to the unrolled camera frame, by yaw, then pitch.

        With ``row``, ``points`` are of that head alone: (1, k, 3).
        """
        rows = slice(None) if row is None else slice(row, row + 1)
        yaw, pitch = self.shots.yaw[rows, None], self.shots.pitch[rows, None]
        sin, cos = np.sin(yaw), np.cos(yaw)
        x = points[..., 0] * cos + points[..., 2] * sin
        z1 = points[..., 2] * cos - points[..., 0] * sin
        # The inverse of `hit`: y = qy/cos + z1·tan, depth = (z1 + qy·sin)/cos.
        sin, cos = np.sin(pitch), np.cos(pitch)
        qy = points[..., 1] * cos - z1 * sin
        return np.stack([x, qy, z1 * cos + points[..., 1] * sin], axis=-1).astype(np.float32)

    def landmarks(self) -> Array:
        """The five landmarks in the unrolled camera frame, head units: float32 (n, 5, 3)."""
        people = self.people
        left, right, corner_y = mouth_corners(people, self.shots)
        zero = np.zeros_like(left)
        s = np.stack([-people.eye_x, people.eye_x, people.nose_skew, left, right], axis=1)
        y = np.stack([zero, zero, people.nose_y, corner_y, corner_y], axis=1)
        return self.points(s, y)

    def outline(self) -> Array:
        """Points all over the face from the forehead to the chin, as :meth:`landmarks`: (n, 156, 3)."""
        s, y = np.meshgrid(np.linspace(-1.0, 1.0, 13), np.linspace(-0.55, 1.0, 12))
        s_all = np.repeat(s.reshape(1, -1), len(self.people), axis=0).astype(np.float32)
        y_all = (y.reshape(1, -1) * self.people.face_length[:, None]).astype(np.float32)
        return self.points(s_all, y_all)
