"""The page's challenge against the library's: for the same heads the same demands, moves and faults."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from from_liveness import borrowed

from fedfr_edge.apps.web.browser_files import about_challenge
from fedfr_edge.apps.web.words import sentence
from fedfr_edge.recognition.capture import Reason
from fedfr_edge.recognition.challenge import (
    HOLD,
    Challenge,
    Fault,
    Move,
    State,
    Status,
    orders,
    random_order,
)
from fedfr_edge.recognition.decision import Decision
from fedfr_edge.recognition.frames import all_of
from fedfr_edge.recognition.gallery import Person
from fedfr_edge.recognition.look import HOLD_STILL
from fedfr_edge.types import Face

if TYPE_CHECKING:
    from playwright.sync_api import Page

heads = borrowed("heads")

FOLLOW = """
async ({ settings, tracks }) => {
  const { LiveLogin } = await import("/engine/live_login.js");
  const given = { people: [{ id: "a" }], point: { threshold: 0 } };
  return tracks.map(({ order, frames }) => {
    const login = new LiveLogin({ ...given, settings: { ...settings, orders: [order] } });
    return frames.map(([at, face]) => ({ ...login.challenge.see(at, face), step: login.step }));
  });
}
"""
DRAW = """
async ([orders, times]) => {
  const { randomOrder } = await import("/engine/challenge.js");
  return Array.from({ length: times }, () => randomOrder(orders).join());
}
"""
ALL_OF = """
async (films) => {
  const { allOf } = await import("/engine/login.js");
  return films.map(allOf);
}
"""


def track(rng: random.Random) -> tuple[list[Move], list[tuple[float, Face | None]], list[Status]]:
    """Somebody's way through a challenge, often with something that goes wrong: frames, and how it stands."""
    order = list(random_order(rng.randint(2, 5), rng))
    challenge = Challenge(order)
    actor = heads.Actor(
        turn=rng.choice([20, 35, 40, 40, 45, -40]),
        speed=rng.choice([30, 60, 60, 90, 200]),
        zoom=rng.choice([1.25, 1.5, 1.5]),
        reaction=rng.choice([0.1, 0.3, 0.8]),
        wander=rng.choice([0, 0, 30, 200]),
    )
    nose, shaking = rng.choice([0.5, 0.5, 0.5, 0.4, 0]), rng.choice([0, 0.3, 1.0, 3.0])
    away, swapped = rng.choice([0, 0, 0.02, 0.1]), rng.choice([0, 0, 0, 0.01])
    points, time = heads.landmarks_3d(nose), rng.uniform(0, 1e4)
    frames: list[tuple[float, Face | None]] = []
    told: list[Status] = []
    end, back = time + 50, 0.0
    while time < end and (not told or told[-1].state is State.RUNNING):
        pose = actor.follow(challenge.status, time)
        if rng.random() < swapped:
            turned, nearer = rng.uniform(-60, 60), rng.uniform(0.5, 2)
            pose = heads.Pose(pose.yaw + turned, pose.nearness * nearer, pose.aside)
        if rng.random() < away:
            back = time + rng.choice([0.2, 0.4, 0.8, 3.0])
        face = None
        if time >= back:
            seen = heads.see(points, pose)
            moved = np.array([[rng.gauss(0, shaking) for _ in range(2)] for _ in range(5)], np.float32)
            face = Face(seen.box, seen.landmarks + moved, 1.0)
        frames.append((time, face))
        told.append(challenge.see(time, face))
        time += heads.FRAME * rng.choice([1, 1, 1, 2, 4])
        if rng.random() < 0.01:
            time += rng.choice([0.3, 0.6, 2.0])  # a machine with other things to do
    # What is over stays as it is.
    frames.append((time, frames[-1][1]))
    told.append(challenge.see(*frames[-1]))
    return order, frames, told


def sent(frames: list[tuple[float, Face | None]]) -> list[Any]:
    return [
        (time, face and {"box": face.box.tolist(), "landmarks": face.landmarks.tolist()})
        for time, face in frames
    ]


@pytest.mark.parametrize("tracks", [80, pytest.param(1500, marks=pytest.mark.long)])
def test_browser_follows_heads_as_the_library_does(page: Page, tracks: int) -> None:
    ways = [track(random.Random(seed)) for seed in range(tracks)]
    films = [{"order": order, "frames": sent(frames)} for order, frames, _ in ways]
    found = page.evaluate(FOLLOW, {"settings": about_challenge(4), "tracks": films})
    ends: Counter[State | Fault] = Counter()
    asked: set[Move] = set()
    again = 0
    for (order, _, told), statuses in zip(ways, found, strict=True):
        for expected, ours in zip(told, statuses, strict=True):
            assert (ours["state"], ours["move"]) == (expected.state, expected.move)
            assert (ours["done"], ours["fault"]) == (expected.done, expected.fault)
            step, code = ours["step"], expected.fault or expected.move or HOLD_STILL
            assert (step["step"], step["steps"]) == (min(expected.done + 1, len(order)), len(order))
            assert (step["code"], step["text"]) == (code, sentence(expected.advice))
        ends[told[-1].fault or told[-1].state] += 1
        asked |= {status.move for status in told if status.move is not None}
        again += any(
            here.move is not None and there == Status(State.RUNNING, None, here.done, None, HOLD)
            for here, there in itertools.pairwise(told)
        )
    print(f"\n{sum(len(told) for *_, told in ways)} frames; ended {dict(ends)}; {again} begun again")
    assert asked == set(Move)
    assert set(ends) == {State.DONE, *Fault}
    assert min(ends.values()) >= 2
    assert again >= 3


def test_browser_draws_every_order_alike(page: Page) -> None:
    expected = [",".join(order) for order in orders(4)]
    assert about_challenge(4)["orders"] == [list(order) for order in orders(4)]
    each = 200
    drawn = Counter(page.evaluate(DRAW, [about_challenge(4)["orders"], each * len(expected)]))
    assert set(drawn) == set(expected)
    # Chi squared with n - 1 degrees of freedom: mean n - 1, variance 2(n - 1).
    freedom = len(expected) - 1
    chi = sum((drawn[order] - each) ** 2 / each for order in expected)
    assert abs(chi - freedom) < 6 * (2 * freedom) ** 0.5


def as_sent(decision: Decision) -> dict[str, Any]:
    person = None if decision.person is None else {"id": decision.person.id}
    told = {"accepted": decision.accepted, "reason": decision.reason, "score": decision.score}
    return {**told, "person": person}


def test_browser_asks_every_still_moment_as_the_library_does(page: Page) -> None:
    rng = random.Random(0)
    people = (Person("a", "Ana", 1), Person("b", "Ben", 1))
    films: list[list[Decision]] = []
    for _ in range(300):
        film = []
        for _ in range(rng.randint(1, 5)):
            reason = rng.choice([Reason.ACCEPTED] * 6 + [Reason.NOT_RECOGNISED, Reason.LOW_QUALITY])
            person = rng.choice([people[0]] * 4 + [people[1]]) if reason is Reason.ACCEPTED else None
            score = None if reason is Reason.LOW_QUALITY else round(rng.uniform(-1, 1), 3)
            film.append(Decision(person is not None, reason, person, score, 0.5, 1, ""))
        films.append(film)
    given = [[as_sent(each) for each in film] for film in films]
    outcomes = set()
    for film, ours in zip(films, page.evaluate(ALL_OF, given), strict=True):
        expected = all_of(film)
        assert (ours["accepted"], ours["reason"]) == (expected.accepted, expected.reason)
        assert ours["score"] == expected.score
        assert (ours["person"] or {}).get("id") == (expected.person and expected.person.id)
        outcomes.add(expected.reason)
    assert outcomes == {Reason.ACCEPTED, Reason.NOT_RECOGNISED, Reason.LOW_QUALITY}
