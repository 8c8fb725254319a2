"""Rendered people before a camera: they turn the head, come nearer, and stand beside one another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from fedfr_edge.data.synth.background import background
from fedfr_edge.data.synth.camera import photograph
from fedfr_edge.data.synth.identity import identity_parameters
from fedfr_edge.data.synth.layers import Place
from fedfr_edge.data.synth.nuisance import nuisance
from fedfr_edge.data.synth.person import canvas_side, portray
from fedfr_edge.types import Image

WIDTH, HEIGHT, RATE = 640, 480, 15
SEED = 77
"""Of people that the shipped synthetic model was not trained on."""


@dataclass(frozen=True)
class Pose:
    """How a head is held.

    Attributes:
        yaw: degrees, positive to the person's left, which is the picture's right.
        pitch: degrees.
        near: 1 is a head of about a third of the picture's height; 1.5 half as large again.
        at: the head's place across the picture, 0 left to 1 right.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    near: float = 1.0
    at: float = 0.5

    def towards(self, other: Pose, share: float) -> Pose:
        """Part of the way to another pose."""
        here, there = dataclasses.astuple(self), dataclasses.astuple(other)
        return Pose(*(a + share * (b - a) for a, b in zip(here, there, strict=True)))


FRONT = Pose()


@cache
def frame(person: int, pose: Pose = FRONT) -> Image:
    """A picture of one person, uint8 (480, 640, 3) RGB."""
    return scene(((person, pose),))


def scene(cast: Sequence[tuple[int, Pose]]) -> Image:
    """A picture of some people, the last one foremost; uint8 (480, 640, 3) RGB."""
    rng = np.random.default_rng(SEED)
    light = background(rng, HEIGHT, WIDTH)
    for person, pose in cast:
        plain = nuisance(SEED, person, 0, strength=0.0)
        turned = [np.radians([angle]).astype(np.float32) for angle in (pose.yaw, pose.pitch)]
        shot = dataclasses.replace(plain, yaw=turned[0], pitch=turned[1])
        scale = 105 * pose.near
        place = Place(HEIGHT, WIDTH, WIDTH * pose.at, 0.47 * HEIGHT, scale, 0.0)
        portrait = portray(identity_parameters(SEED, person), shot, [place], canvas_side(scale))[0]
        light += (portrait.light - light) * portrait.cover
    picture, _ = photograph(light, shot, 0, rng)
    return picture


def act(person: int, poses: Sequence[Pose], *, hold: float = 0.8, move: float = 0.4) -> Iterator[Image]:
    """A film in a circle: each pose held, then moved to the next one.

    Args:
        person: who.
        poses: from first to last, then to the first again.
        hold, move: seconds.
    """
    for here, there in zip(poses, [*poses[1:], poses[0]], strict=True):
        for _ in range(round(hold * RATE)):
            yield frame(person, here)
        steps = round(move * RATE) if here != there else 0
        for step in range(1, steps):
            yield frame(person, here.towards(there, step / steps))
