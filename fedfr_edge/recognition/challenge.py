"""Is a living head before the camera: moves asked for in random order, judged from landmarks over time.

A turn of the head is told from the nose tip's place between the eyes
(:func:`~fedfr_edge.vision.quality.turn_of`), which a picture keeps however it is moved, turned in its plane
or scaled, and nearly keeps when it is tilted. How near the head is, is told from its size; a picture can be
brought nearer too, so every order asks for turns to both sides. Between moves the head must be still and as
it was at first: the moves are judged from there.

A move is made without a break from where the head was held still before it. Where frames with the face come
too far apart, from a slow machine or because somebody looked away, that is no failure: the head is to be held
still again, then the same move is asked for anew. So faces can be swapped in a break; but who compares the
face each time that it was held still (as ``session.py`` does) has compared the one that makes the move. The
time for the move goes on meanwhile.

What is not stopped: a recording of the person, or their photographs from many sides, steered to follow the
order; a face drawn anew live (a "deepfake"); a mask that is worn; pictures let into the camera's stream. The
order guards against a recording that runs by itself: one that does something else than asked fails at once.
"""

from __future__ import annotations

import itertools
import math
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from fedfr_edge.errors import ConfigError
from fedfr_edge.types import Face
from fedfr_edge.vision.quality import turn_of


class Move(StrEnum):
    """What a person can be asked to do. Left and right are the person's own; pictures are not mirrored."""

    TURN_LEFT = "turn_left"
    TURN_RIGHT = "turn_right"
    NEARER = "nearer"
    FARTHER = "farther"


class State(StrEnum):
    """How a challenge stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Fault(StrEnum):
    """Why a challenge failed. The codes are stable."""

    TOO_SLOW = "too_slow"
    WRONG_MOVE = "wrong_move"
    FACE_LOST = "face_lost"
    FACE_JUMPED = "face_jumped"


TURNS = frozenset([Move.TURN_LEFT, Move.TURN_RIGHT])

ADVICE: dict[Move | Fault, str] = {
    Move.TURN_LEFT: "turn your head to your left, then look at the camera again",
    Move.TURN_RIGHT: "turn your head to your right, then look at the camera again",
    Move.NEARER: "come nearer to the camera",
    Move.FARTHER: "move away from the camera",
    Fault.TOO_SLOW: "begin again, and do what is asked within the time",
    Fault.WRONG_MOVE: "begin again, and do only what is asked",
    Fault.FACE_LOST: "begin again, and keep your face in the picture",
    Fault.FACE_JUMPED: "begin again, and move slowly and without a break",
}
"""What the person should do."""

HOLD = "look at the camera and hold still"
"""What is asked before each move."""

FEWEST = 3
"""Frames that show that a head is still."""


@dataclass(frozen=True)
class Limits:
    """When a move counts, and what breaks the chain of frames.

    Attributes:
        turn: change of the turn that counts as one, in distances between the eyes. Portraits printed and
            tilted by up to 50° change theirs by at most 0.09; 0.25 is a head turned by about 30°.
        still: greatest spread of the turn while holding still. Detected on a person sitting still it is 0.06.
        nearer: growth of the face that counts as nearer; its inverse counts as farther.
        steady: greatest ratio of the face's sizes while holding still.
        hold: seconds to hold still before each move.
        time: seconds for each move, holding still included.
        gap: greatest seconds between two frames with the face; after more the move begins again.
        jump: greatest change of the turn from one frame to the next, at 15 frames a second or more; a
            picture swapped for another jumps.
        shift: greatest way of the face from one frame to the next, in its own heights.
        resize: greatest ratio of the face's sizes in two frames in succession.
    """

    turn: float = 0.25
    still: float = 0.12
    nearer: float = 1.3
    steady: float = 1.12
    hold: float = 0.4
    time: float = 8.0
    gap: float = 0.5
    jump: float = 0.2
    shift: float = 0.5
    resize: float = 1.25


@dataclass(frozen=True)
class Status:
    """How a challenge stands after a frame.

    Attributes:
        state: whether it runs, is done or has failed.
        move: the move asked for now; None while holding still, and at the end.
        done: moves done.
        fault: why it failed; None unless it did.
        advice: what the person should do now; empty when it is done.
    """

    state: State
    move: Move | None
    done: int
    fault: Fault | None
    advice: str


def orders(moves: int) -> tuple[tuple[Move, ...], ...]:
    """Every order of ``moves`` moves: none twice in succession, and turns to both sides among them."""
    return tuple(
        order
        for order in itertools.product(Move, repeat=moves)
        if set(order) >= TURNS and all(a is not b for a, b in itertools.pairwise(order))
    )


def random_order(moves: int = 4, rng: random.Random | None = None) -> tuple[Move, ...]:
    """One of :func:`orders`, each as likely as the others, from the system's secure generator.

    Args:
        moves: how many.
        rng: draws instead; for tests.

    Raises:
        ConfigError: fewer than 2 moves, or more than 6.
    """
    if not 2 <= moves <= 6:
        raise ConfigError(f"a challenge of {moves} moves was asked for, expected 2 to 6")
    return (rng or secrets.SystemRandom()).choice(orders(moves))


@dataclass(frozen=True)
class _Seen:
    time: float
    turn: float
    size: float
    middle: tuple[float, float]


class Challenge:
    """One challenge: give it each frame's face, in order of time, until it is done or has failed.

    Args:
        order: the moves to ask for; :func:`random_order` for a real challenge.
        limits: when a move counts.

    Raises:
        ConfigError: no moves.
    """

    def __init__(self, order: Sequence[Move], limits: Limits | None = None) -> None:
        if not order:
            raise ConfigError("a challenge without moves was asked for, expected at least one")
        self.order = tuple(order)
        self.limits = limits or Limits()
        self._done = 0
        self._state = State.RUNNING
        self._fault: Fault | None = None
        self._since: float | None = None
        self._last: _Seen | None = None
        self._held: list[_Seen] = []
        # From where a move is judged, (turn, size); None while the head is to be held still.
        self._from: tuple[float, float] | None = None
        self._front: float | None = None

    @property
    def started(self) -> bool:
        """Whether a face was seen."""
        return self._last is not None

    @property
    def status(self) -> Status:
        """How it stands now."""
        move = None
        if self._state is State.RUNNING and self._from is not None:
            move = self.order[self._done]
        if self._fault is not None:
            advice = ADVICE[self._fault]
        elif self._state is State.DONE:
            advice = ""
        else:
            advice = HOLD if move is None else ADVICE[move]
        return Status(self._state, move, self._done, self._fault, advice)

    def see(self, time: float, face: Face | None) -> Status:
        """Take in a frame.

        Args:
            time: seconds on any clock that never goes back.
            face: the face that is meant in the frame; None where there is none.

        Raises:
            ConfigError: a time that is no number or before that of the last frame.
        """
        if not math.isfinite(time):
            raise ConfigError(f"a frame's time is {time}, expected seconds")
        if self._state is not State.RUNNING:
            return self.status
        last = self._last
        if self._since is None:
            self._since = time
        if time < (self._since if last is None else last.time):
            raise ConfigError(
                f"a frame of {time:.3f} s came after a later one, expected frames in order of time"
            )
        away = last is not None and time - last.time > self.limits.gap
        if time - self._since > self.limits.time:
            return self._fail(Fault.FACE_LOST if away and face is None else Fault.TOO_SLOW)
        if away:
            # Whoever comes now may be somebody else: nothing that was held still before counts.
            self._from, self._held = None, []
        if face is None:
            return self.status
        seen = _measure(time, face)
        if last is not None and not away and self._jumped(last, seen):
            return self._fail(Fault.FACE_JUMPED)
        self._last = seen
        if self._from is None:
            self._hold(seen)
        else:
            self._judge(seen, self._from)
        return self.status

    def _jumped(self, last: _Seen, seen: _Seen) -> bool:
        way = np.hypot(seen.middle[0] - last.middle[0], seen.middle[1] - last.middle[1])
        return bool(
            abs(seen.turn - last.turn) > self.limits.jump
            or way > self.limits.shift * max(seen.size, last.size)
            or max(seen.size, last.size) > self.limits.resize * min(seen.size, last.size)
        )

    def _hold(self, seen: _Seen) -> None:
        """Wait until the head was still, and turned as at first, for long enough."""
        self._held.append(seen)
        # The shortest run of frames up to now that spans the time; also where few come, not less than three.
        while len(self._held) > FEWEST and seen.time - self._held[1].time >= self.limits.hold:
            del self._held[0]
        if len(self._held) < FEWEST or seen.time - self._held[0].time < self.limits.hold:
            return
        turns, sizes = [each.turn for each in self._held], [each.size for each in self._held]
        turn = float(np.median(turns))
        still = max(turns) - min(turns) <= self.limits.still and max(sizes) <= self.limits.steady * min(sizes)
        front = self._front is None or abs(turn - self._front) <= self.limits.still
        if not (still and front):
            return
        if self._front is None:
            self._front = turn
        if self._done == len(self.order):
            self._state = State.DONE
            return
        self._from = turn, float(np.median(sizes))
        self._held = []

    def _judge(self, seen: _Seen, start: tuple[float, float]) -> None:
        """See whether a move was made, and whether it is the one asked for."""
        turn, growth = seen.turn - start[0], seen.size / start[1]
        made = {
            # The person's left is the picture's right.
            Move.TURN_LEFT: turn >= self.limits.turn,
            Move.TURN_RIGHT: turn <= -self.limits.turn,
            Move.NEARER: growth >= self.limits.nearer,
            Move.FARTHER: growth <= 1 / self.limits.nearer,
        }
        asked = self.order[self._done]
        if any(is_made for move, is_made in made.items() if move is not asked):
            self._fail(Fault.WRONG_MOVE)
        elif made[asked]:
            self._done += 1
            self._from = None
            self._since = seen.time

    def _fail(self, fault: Fault) -> Status:
        self._state, self._fault = State.FAILED, fault
        return self.status


def _measure(time: float, face: Face) -> _Seen:
    left, top, right, bottom = (float(edge) for edge in face.box)
    # A head that turns gets narrower, not lower.
    return _Seen(
        time, turn_of(face.landmarks), max(bottom - top, 1e-6), ((left + right) / 2, (top + bottom) / 2)
    )
