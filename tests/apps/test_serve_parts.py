"""Rates and sessions by themselves: what is remembered is bounded, and ends."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from fedfr_edge.apps.web.limits import Limits
from fedfr_edge.apps.web.rates import Rates
from fedfr_edge.apps.web.sessions import Sessions
from fedfr_edge.errors import GalleryError
from fedfr_edge.recognition.gallery import clean_name


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_what_it_holds_and_then_its_rate() -> None:
    clock = Clock()
    rates = Rates(2.0, 5.0, 100, clock)
    assert [rates.wait("a") for _ in range(5)] == [0.0] * 5
    assert rates.wait("a") == pytest.approx(0.5)
    assert rates.wait("b") == 0.0  # another client's is full
    served = 0
    for step in range(1000):  # ten seconds, a hundred questions each
        clock.now = step / 100
        served += rates.wait("a") == 0.0
    assert served == math.floor(2.0 * clock.now)
    clock.now += 1000
    assert [rates.wait("a") for _ in range(6)].count(0.0) == 5


def test_clients_are_remembered_in_bounded_number() -> None:
    rates = Rates(1.0, 1.0, 3, Clock())
    for client in range(10):
        assert rates.wait(client) == 0.0
    assert [client in rates for client in range(10)] == [False] * 7 + [True] * 3
    assert rates.wait(9) > 0


def test_sessions_end() -> None:
    clock = Clock()
    limits = Limits(session_idle=10, session_longest=100)
    sessions = Sessions(limits, clock)
    session = sessions.begin()
    for clock.now in range(0, 100, 9):
        assert sessions.find(session.key) is session
    clock.now = 101
    assert sessions.find(session.key) is None
    idle = sessions.begin()
    clock.now += 11
    assert sessions.find(idle.key) is None
    watched = sessions.begin()
    watched.cameras = 1
    clock.now += 50
    assert sessions.find(watched.key) is watched
    assert sessions.find("") is None
    assert sessions.find("x" * 43) is None


def test_a_crowd_does_not_push_out_the_operator() -> None:
    sessions = Sessions(Limits(sessions=4), Clock())
    operator, busy, first, second = (sessions.begin() for _ in range(4))
    operator.operator, busy.cameras = True, 1
    third = sessions.begin()
    assert len(sessions) == 4
    assert sessions.find(first.key) is None
    assert all(sessions.find(one.key) is one for one in (operator, busy, second, third))
    for one in (second, third):
        one.operator = True
    assert sessions.begin()
    assert len(sessions) == 4


def test_keys_and_tokens_are_random_and_not_shown() -> None:
    sessions = Sessions(Limits())
    one, other = sessions.begin(), sessions.begin()
    assert len({one.key, one.csrf, other.key, other.csrf}) == 4
    assert one.key not in repr(one)
    assert one.csrf not in repr(one)
    assert one.fits(one.csrf)
    assert not one.fits(other.csrf)
    assert not one.fits(None)
    before, token = one.key, one.csrf
    sessions.renew(one)
    assert not one.fits(token)
    assert sessions.find(before) is None
    assert sessions.find(one.key) is one


def test_the_documentation_names_the_limits_in_effect() -> None:
    limits = Limits()
    text = (Path(__file__).parents[2] / "docs" / "serve.md").read_text()
    for words in (
        f"| {limits.photo_bytes // 10**6} MB, {limits.photo_pixels // 10**6} million pixels",
        f"| {limits.frame_bytes // 10**6} MB, {limits.frame_pixels / 10**6} million pixels",
        f"| {limits.json_bytes // 1024} KB, {limits.body_seconds:.0f} s |",
        f"KB, {limits.head_seconds:.0f} s | the connection ends",
        f"| {limits.requests:.0f} a second, {limits.requests_at_once:.0f} at once |",
        f"| {limits.newcomers:.0f} a second, {limits.newcomers_at_once:.0f} at once |",
        f"| {limits.strangers:.0f} a second, {limits.strangers_at_once:.0f} at once |",
        f"| {limits.connections}, half of them of one address",
        f"| {limits.cameras}, {limits.cameras_each} of one address",
        f"| a camera that says nothing | {limits.frame_seconds:.0f} s |",
        f"| {limits.login_seconds:.0f} s, {limits.enrol_seconds:.0f} s |",
        f"| {limits.attempts:.0f} a minute | 429 |",
        f"| {limits.tokens:.0f} a minute | 429 |",
        f"| a name | {limits.name_length} characters",
        f"| {limits.sessions}; one address begins {limits.new_sessions:.0f} a second, "
        f"{limits.new_sessions_at_once:.0f} at once",
    ):
        assert words in text, words
    clean_name("n" * limits.name_length)
    with pytest.raises(GalleryError):
        clean_name("n" * (limits.name_length + 1))
