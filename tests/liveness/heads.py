"""Heads and flat pictures of heads that do what a challenge asks, seen by a pinhole camera."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fedfr_edge.recognition.challenge import Challenge, Move, State, Status
from fedfr_edge.types import Face

FRAME = 1 / 15
"""Seconds between frames."""


@dataclass(frozen=True)
class Pose:
    """Where a head or a picture is.

    Attributes:
        yaw: degrees, positive with the nose towards the image's right (the person's left).
        nearness: 1 at first; twice as large at 2.
        aside: pixels to the image's right.
        roll: degrees in the image's plane.
    """

    yaw: float = 0.0
    nearness: float = 1.0
    aside: float = 0.0
    roll: float = 0.0


def landmarks_3d(nose: float = 0.5) -> npt.NDArray[np.float64]:
    """Eyes, nose tip and mouth corners, (5, 3), in distances between the eyes: right, down, away.

    Args:
        nose: how far its tip stands before the eyes; 0 makes the head a flat picture.
    """
    return np.array(
        [[-0.5, 0, 0], [0.5, 0, 0], [0, 0.6, -nose], [-0.4, 1.1, -nose / 5], [0.4, 1.1, -nose / 5]]
    )


def see(points: npt.NDArray[np.float64], pose: Pose) -> Face:
    """The face as a camera of 640×480 sees it from ten distances between the eyes, 60 pixels wide."""
    a, b = np.radians(pose.yaw), np.radians(pose.roll)
    x, y, z = points.T
    x, z = x * np.cos(a) - z * np.sin(a), x * np.sin(a) + z * np.cos(a)
    x, y = x * np.cos(b) - y * np.sin(b), x * np.sin(b) + y * np.cos(b)
    scale = 600 / (10 / pose.nearness + z)
    marks = np.column_stack([x * scale + 320 + pose.aside, y * scale + 220]).astype(np.float32)
    height = 2.6 * 60 * pose.nearness
    middle = marks.mean(axis=0)
    box = [middle[0] - height / 2.8, middle[1] - height / 2, middle[0] + height / 2.8, middle[1] + height / 2]
    return Face(np.array(box, np.float32), marks, 1.0)


@dataclass
class Actor:
    """Does what is asked, as far as it can.

    Attributes:
        turn: degrees of a turn that is asked for.
        speed: degrees a second of a turn.
        zoom: growth that is aimed at when nearer is asked for.
        reaction: seconds before a new demand is followed.
        wander: pixels a second sideways, while a turn is asked for.
    """

    turn: float = 40.0
    speed: float = 60.0
    zoom: float = 1.5
    reaction: float = 0.3
    wander: float = 0.0
    pose: Pose = field(default_factory=Pose)
    _asked: Move | None = None
    _at: float = 0.0
    _home: float = 1.0

    def follow(self, status: Status, time: float) -> Pose:
        """Where it is one frame later."""
        if status.move is not self._asked:
            self._asked, self._at, self._home = status.move, time, self.pose.nearness
        move = self._asked if time - self._at >= self.reaction else None
        yaw = {Move.TURN_LEFT: self.turn, Move.TURN_RIGHT: -self.turn}.get(move, 0.0) if move else 0.0
        step = self.speed * FRAME
        near = self.pose.nearness
        if move is Move.NEARER:
            near = min(near * 1.03, self._home * self.zoom)
        if move is Move.FARTHER:
            near = max(near / 1.03, self._home / self.zoom)
        aside = self.wander * FRAME * np.sign(yaw)
        self.pose = Pose(
            self.pose.yaw + float(np.clip(yaw - self.pose.yaw, -step, step)), near, self.pose.aside + aside
        )
        return self.pose


def play(
    challenge: Challenge, actor: Actor, show: Callable[[Pose], Face | None], *, longest: float = 60.0
) -> Status:
    """Run a challenge to its end."""
    time, status = 0.0, challenge.status
    while status.state is State.RUNNING and time < longest:
        status = challenge.see(time, show(actor.follow(status, time)))
        time += FRAME
    return status
