"""The challenge: heads pass in any order, pictures do not however they are held, and every fault is named."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from heads import FRAME, Actor, Pose, landmarks_3d, play, see

from fedfr_edge.errors import ConfigError
from fedfr_edge.recognition.challenge import (
    ADVICE,
    HOLD,
    Challenge,
    Fault,
    Limits,
    Move,
    State,
    orders,
    random_order,
)
from fedfr_edge.types import Face
from fedfr_edge.vision.centerface import CenterFace
from fedfr_edge.vision.quality import turn_of
from fedfr_edge.vision.select import largest_central

HEAD, PICTURE = landmarks_3d(), landmarks_3d(nose=0)
LEFT, RIGHT, NEARER, FARTHER = Move
BOTH = (LEFT, RIGHT)


def test_the_turn_of_a_head_is_the_tangent_of_its_yaw() -> None:
    """From far away: the nose moves by its depth before the mouth-eye line times the sine, the eyes'
    distance shrinks by the cosine."""
    depth = 0.5 - 0.1 * 0.6 / 1.1  # the line from the eyes to the mouth comes forward a little
    for yaw in (-40, -15, 0, 15, 40):
        points = see(HEAD * 1e-3, Pose(yaw)).landmarks.astype(np.float64)
        assert turn_of(points) == pytest.approx(depth * np.tan(np.radians(yaw)), abs=0.01)


@pytest.mark.parametrize("order", orders(4), ids="-".join)
def test_a_head_passes_every_order(order: tuple[Move, ...]) -> None:
    status = play(Challenge(order), Actor(), lambda pose: see(HEAD, pose))
    assert (status.state, status.done, status.fault, status.advice) == (State.DONE, 4, None, "")


@pytest.mark.parametrize(
    "actor",
    [
        Actor(turn=0),
        Actor(turn=0, wander=80),
        Actor(turn=50),
        Actor(turn=65, speed=120),
        Actor(turn=50, wander=-60),
    ],
    ids=["still", "moved sideways", "tilted", "tilted far", "tilted and moved"],
)
@pytest.mark.parametrize("order", [(LEFT, RIGHT), (NEARER, RIGHT, LEFT)], ids="-".join)
def test_a_picture_fails_at_the_first_turn(actor: Actor, order: tuple[Move, ...]) -> None:
    status = play(Challenge(order), actor, lambda pose: see(PICTURE, pose))
    assert (status.state, status.fault) == (State.FAILED, Fault.TOO_SLOW)
    assert status.done == order.index(next(move for move in order if move in BOTH))


@pytest.mark.parametrize("roll", [-80, 80])
def test_a_picture_turned_in_its_plane_fails(roll: float) -> None:
    status = play(
        Challenge(BOTH), Actor(turn=0), lambda pose: see(PICTURE, Pose(roll=roll, nearness=pose.nearness))
    )
    assert status.fault in (Fault.TOO_SLOW, Fault.FACE_JUMPED)


@pytest.mark.parametrize(("asked", "made"), list(itertools.permutations(Move, 2)))
def test_another_move_than_the_one_asked_for_fails_at_once(asked: Move, made: Move) -> None:
    challenge = Challenge([asked])
    other = Challenge([made])  # drives the actor

    actor, time = Actor(), 0.0
    while challenge.status.state is other.status.state is State.RUNNING:
        face = see(HEAD, actor.follow(other.status, time))
        challenge.see(time, face)
        other.see(time, face)
        time += FRAME
    assert challenge.status.fault is Fault.WRONG_MOVE
    assert other.status.done == 1


def test_a_picture_swapped_for_one_of_the_turned_head_jumps() -> None:
    challenge = Challenge([LEFT])
    for frame in range(12):
        challenge.see(frame * FRAME, see(HEAD, Pose()))
    assert challenge.status.move is LEFT
    assert challenge.see(12 * FRAME, see(HEAD, Pose(40))).fault is Fault.FACE_JUMPED


@pytest.mark.parametrize(
    ("pose", "fault"),
    [
        (Pose(aside=100), Fault.FACE_JUMPED),
        (Pose(nearness=1.28), Fault.FACE_JUMPED),
        (Pose(aside=60, nearness=1.1), None),
    ],
)
def test_another_face_elsewhere_or_of_another_size_jumps(pose: Pose, fault: Fault | None) -> None:
    challenge = Challenge([LEFT])
    challenge.see(0, see(HEAD, Pose()))
    assert challenge.see(FRAME, see(HEAD, pose)).fault is fault


def held_still(challenge: Challenge, time: float) -> float:
    """Hold still from ``time`` on until a move is asked for; the time then."""
    while challenge.status.move is None:
        assert challenge.see(time, see(HEAD, Pose())).state is State.RUNNING
        time += FRAME
    return time


def test_a_face_that_was_away_is_to_be_held_still_again() -> None:
    challenge = Challenge([LEFT])
    time = held_still(challenge, 0)
    assert challenge.see(time + 0.3, None).move is LEFT
    # Within the gap it goes on. After it another face may be there, which must not make this one's move.
    assert challenge.see(time + 0.4, see(HEAD, Pose(5))).move is LEFT
    back = time + 0.95
    for frame in range(20):
        status = challenge.see(back + frame * FRAME, see(HEAD, Pose(40)))
        assert (status.done, status.move, status.advice) == (0, None, HOLD)
    back += 20 * FRAME + 0.51
    assert held_still(challenge, back) - back >= 0.4


def test_a_break_between_moves_is_no_failure() -> None:
    challenge = Challenge([LEFT, RIGHT])
    actor, time = Actor(), 0.0
    while not challenge.status.done:
        challenge.see(time, see(HEAD, actor.follow(challenge.status, time)))
        time += FRAME
    assert challenge.see(time + 0.6, None).state is State.RUNNING
    held_still(challenge, time + 1)
    assert challenge.status.move is RIGHT


def test_a_break_gives_no_more_time() -> None:
    gone, late = Challenge([LEFT], Limits(time=3)), Challenge([LEFT], Limits(time=3))
    for challenge in (gone, late):
        held_still(challenge, 0)
        assert challenge.see(2.9, None).advice == HOLD
    assert gone.see(3.1, None).fault is Fault.FACE_LOST
    assert late.see(3.1, see(HEAD, Pose())).fault is Fault.TOO_SLOW
    # What has failed stays so.
    assert gone.see(3.2, see(HEAD, Pose())).fault is Fault.FACE_LOST


@pytest.mark.parametrize("between", [0.25, 0.49])
def test_a_head_passes_with_few_frames(between: float) -> None:
    """Slowly: no frame may differ from the last one as a swapped picture does."""
    challenge, actor, time = Challenge([LEFT, RIGHT], Limits(time=20)), Actor(speed=150), 0.0
    while challenge.status.state is State.RUNNING:
        challenge.see(time, see(HEAD, actor.follow(challenge.status, time)))
        time += between
    assert challenge.status.state is State.DONE


def test_the_time_is_for_each_move() -> None:
    nobody = Challenge([LEFT], Limits(time=3))
    assert nobody.see(100, None).state is State.RUNNING
    assert nobody.see(102.9, None).state is State.RUNNING
    assert nobody.see(103.1, None).fault is Fault.TOO_SLOW
    slow = Actor(reaction=1.5)
    order = (LEFT, NEARER, RIGHT, FARTHER)
    assert play(Challenge(order, Limits(time=5)), slow, lambda pose: see(HEAD, pose)).state is State.DONE
    assert play(Challenge(order, Limits(time=1)), slow, lambda p: see(HEAD, p)).fault is Fault.TOO_SLOW


def test_a_turn_is_done_only_when_the_head_is_back() -> None:
    challenge = Challenge([LEFT])
    status = challenge.status
    actor, time, done = Actor(), 0.0, 0.0
    while status.state is State.RUNNING:
        pose = actor.follow(status, time)
        status = challenge.see(time, see(HEAD, pose))
        if status.done and not done:
            done = time
            assert pose.yaw > 20
            assert status.advice == HOLD
        time += FRAME
    assert status.state is State.DONE
    assert time - done > 0.4
    assert abs(pose.yaw) < 10


def test_landmarks_that_are_no_numbers_never_pass() -> None:
    challenge = Challenge([LEFT], Limits(time=1))
    broken = Face(np.zeros(4, np.float32), np.full((5, 2), np.nan, np.float32), 1.0)
    for frame in range(20):
        status = challenge.see(frame * FRAME, broken)
    assert status.fault is Fault.TOO_SLOW


def test_times_that_cannot_be() -> None:
    challenge = Challenge([LEFT])
    challenge.see(1, see(HEAD, Pose()))
    with pytest.raises(ConfigError, match="after a later one"):
        challenge.see(0.9, None)
    with pytest.raises(ConfigError, match="expected seconds"):
        challenge.see(float("nan"), None)
    with pytest.raises(ConfigError, match="at least one"):
        Challenge([])
    with pytest.raises(ConfigError, match="expected 2 to 6"):
        random_order(1)


def test_orders_are_drawn_evenly_and_ask_for_both_turns() -> None:
    every = orders(4)
    # Of 4·3³ = 108 without a repetition: less those of three kinds (3·2³, twice), plus those of two (2).
    assert len(every) == len(set(every)) == 108 - 2 * 24 + 2
    assert all({LEFT, RIGHT} <= set(order) for order in every)
    drawn = Counter(random_order() for _ in range(62 * 40))
    assert set(drawn) == set(every)
    # χ² with 61 degrees of freedom is below 130 but for one time in a million.
    assert sum((count - 40) ** 2 / 40 for count in drawn.values()) < 130


def test_everything_has_its_advice() -> None:
    assert set(ADVICE) == {*Move, *Fault}


def test_a_real_head_that_turns(dev_data: Path, centerface: CenterFace) -> None:
    """A filmed person looks ahead, to their right and ahead again; nobody asked them to."""
    film = cv2.VideoCapture(
        str(dev_data / "photos" / "face_recognition" / "examples" / "short_hamilton_clip.mp4")
    )
    right, left = Challenge([RIGHT]), Challenge([LEFT])
    for number in range(172):
        read, picture = film.read()
        assert read
        if number >= 84 and number % 2 == 0:
            image = np.ascontiguousarray(picture[:, :, ::-1])
            face = largest_central(centerface.detect(image), image.shape)
            for challenge in (right, left):
                challenge.see(number / 29.97, face)
    assert right.status.state is State.DONE
    assert left.status.fault is Fault.WRONG_MOVE
