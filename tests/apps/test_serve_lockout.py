"""Failed attempts over the page: they count however a login ends, and whichever program counted them."""

from __future__ import annotations

import json
import runpy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from fedfr_edge.apps.web.api import make_app
from fedfr_edge.recognition.capture import Reason
from fedfr_edge.recognition.decision import Decision
from fedfr_edge.recognition.keys import KeyFile
from fedfr_edge.recognition.policy import LoginPolicy
from fedfr_edge.recognition.vault import Vault

parts: dict[str, Any] = runpy.run_path(str(Path(__file__).with_name("serve_page.py")))
Page, make_desk, picture, TOKEN = (parts[name] for name in ("Page", "make_desk", "picture", "TOKEN"))


class Door:
    """A server with Ana enrolled, its operator and a visitor."""

    def __init__(self, folder: Path, frames: tuple[int, int] = (1, 1)) -> None:
        self.desk = make_desk(folder, policy=LoginPolicy(frames=frames))
        self.app = make_app(desk=self.desk, files={}, token=TOKEN)
        self.operator, self.visitor = Page(self.app), Page(self.app)
        self.operator.become_operator()
        self.operator.enrol("Ana", 0)

    @property
    def failures(self) -> int:
        with self.elsewhere() as vault:
            return int(vault.attempts.failures)

    def elsewhere(self) -> Vault:
        """The gallery opened by another program."""
        path = self.desk.books.path
        return Vault.open(path, KeyFile(path.with_name("g.vault.key")), clock=self.desk.books._clock)

    def fails(self, times: int) -> None:
        for _ in range(times):
            assert self.visitor.login(1)["reason"] == "not_recognised"


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    door = Door(tmp_path)
    yield door
    door.desk.workshop.close()


def test_five_failures_and_a_pause(door: Door) -> None:
    door.fails(4)
    verdict = door.visitor.login(1)
    assert (verdict["reason"], verdict["wait_seconds"]) == ("not_recognised", 30)
    for page in (door.visitor, door.operator):  # a pause is for all
        refused = page.sit([picture(0)], kind="login")[0]["login"]["verdict"]
        assert (refused["accepted"], refused["reason"]) == (False, "locked")
        page.load()
        assert page.info["locked"]["reason"] == "locked"
        assert page.info["locked"]["text"] == "Too many failures in a row; face login pauses. Wait 30 s."
    lines = len(door.operator.ask("GET", "/api/log")[1])
    status, reply = door.visitor.ask("POST", "/api/photo?kind=login", content=picture(0))
    assert (status, reply["login"]["verdict"]["reason"]) == (200, "locked")
    # Nothing was compared, so the log did not grow.
    assert len(door.operator.ask("GET", "/api/log")[1]) == lines
    door.desk.books._clock.now += 31
    assert door.visitor.login(0)["accepted"]
    assert door.failures == 0


def test_the_operator_ends_a_pause(door: Door) -> None:
    door.fails(5)
    door.operator.become_operator()
    assert door.visitor.login(0)["accepted"]


def test_a_login_that_is_left_counts(tmp_path: Path) -> None:
    door = Door(tmp_path, frames=(2, 3))
    with door.visitor.web:  # one event loop for all of it, as in a server
        for left in range(1, 6):
            with door.visitor.camera() as socket:
                socket.send_text(json.dumps({"kind": "login", "csrf": door.visitor.csrf}))
                socket.send_bytes(picture(1))
                assert socket.receive_json()["login"]["verdict"] is None
            end = time.monotonic() + 5
            while door.failures < left and time.monotonic() < end:
                time.sleep(0.01)
            assert door.failures == left
        door.visitor.load()
        assert door.visitor.info["locked"]["reason"] == "locked"


def test_to_leave_without_a_face_counts_for_nothing(door: Door) -> None:
    before = len(door.operator.ask("GET", "/api/log")[1])
    door.visitor.sit([picture(None)] * 3, kind="login")
    assert door.failures == 0
    assert len(door.operator.ask("GET", "/api/log")[1]) == before


def test_logins_side_by_side_do_not_get_more_attempts(tmp_path: Path) -> None:
    door = Door(tmp_path, frames=(2, 3))
    first = json.dumps({"kind": "login", "csrf": door.visitor.csrf})
    with door.visitor.camera() as one, door.operator.camera() as other:
        one.send_text(first)
        one.send_bytes(picture(0))  # half of a login that would be accepted
        assert one.receive_json()["login"]["verdict"] is None
        for _ in range(5):
            door.operator.sit([picture(1), picture(1)], kind="login")
        assert door.failures == 5
        one.send_bytes(picture(0))
        verdict = one.receive_json()["login"]["verdict"]
        assert (verdict["accepted"], verdict["reason"]) == (False, "locked")
        other.close()
    door.desk.workshop.close()


def test_what_another_program_did_counts_at_once(door: Door) -> None:
    failed = Decision(False, Reason.NOT_RECOGNISED, None, 0.1, 0.9, 1, "unknown")
    for _ in range(5):
        with door.elsewhere() as vault:
            vault.record(failed)
    door.visitor.load()
    assert door.visitor.info["locked"]["reason"] == "locked"
    with door.elsewhere() as vault:
        vault.other_factor()
    assert door.visitor.login(0)["accepted"]
    with door.elsewhere() as vault:
        vault.delete("Ana")
    assert door.operator.ask("GET", "/api/people") == (200, [])
    assert door.visitor.login(0)["reason"] == "empty_gallery"


def test_somebody_deleted_during_a_login_is_not_let_in(tmp_path: Path) -> None:
    door = Door(tmp_path, frames=(2, 2))
    with door.visitor.camera() as socket:
        socket.send_text(json.dumps({"kind": "login", "csrf": door.visitor.csrf}))
        socket.send_bytes(picture(0))
        socket.receive_json()
        with door.elsewhere() as vault:
            vault.delete("Ana")
        socket.send_bytes(picture(0))
        verdict = socket.receive_json()["login"]["verdict"]
    assert (verdict["accepted"], verdict["person"]) == (False, None)
    door.desk.workshop.close()


def test_a_decision_that_cannot_be_logged_is_none(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    from fedfr_edge.errors import WriteError

    def full(*_: Any, **__: Any) -> None:
        raise WriteError("/secret/place: no space left; free some")

    monkeypatch.setattr(Vault, "record", full)
    (reply,) = door.visitor.sit([picture(0)], kind="login")
    assert reply["error"]["code"] == "not_written"
    assert "secret" not in reply["error"]["text"]
    monkeypatch.undo()
    assert door.visitor.login(0)["accepted"]


def test_after_the_machine_started_another_factor_is_needed(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door.desk.books._clock, "start", lambda: "another start", raising=False)
    door.visitor.load()
    assert door.visitor.info["locked"] == {
        "reason": "other_factor",
        "wait_seconds": None,
        "text": "Face login is off until the operator switches it on.",
    }
    door.operator.become_operator()
    assert door.visitor.login(0)["accepted"]
