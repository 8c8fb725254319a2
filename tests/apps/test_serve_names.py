"""Names and photographs of an enrolment: any script, no tricks."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

parts: dict[str, Any] = runpy.run_path(str(Path(__file__).with_name("serve_page.py")))
picture = parts["picture"]
desk, app, page, operator = (parts[name] for name in ("desk", "app", "page", "operator"))


@pytest.mark.parametrize(
    "name",
    ["مريم العلي", "שרה כהן", "../../etc/passwd", "<script>alert(1)</script>", "A\u200dB", "李小龙", "'; --"],
)
def test_names_are_only_names(operator: Any, name: str) -> None:
    assert operator.enrol(name, 0)["person"]["name"] == name
    assert operator.ask("GET", "/api/people")[1][0]["name"] == name
    assert operator.login(0)["text"] == f"Welcome, {name}."


@pytest.mark.parametrize(
    "name", ["", "   ", "x" * 201, "ن" * 10_000, "a\nb", "a\x00b", "\ud800", "evil\u202egpj.exe", "a\u2028b"]
)
def test_names_that_are_none(operator: Any, name: str) -> None:
    with operator.camera() as socket:
        socket.send_text(json.dumps({"kind": "enrol", "name": name, "csrf": operator.csrf}))
        assert socket.receive_json()["error"]["code"] == "bad_name"
        assert socket.receive()["code"] == 4400
    if name.strip():
        with operator.camera() as socket:
            socket.send_text(json.dumps({"kind": "login", "claim": name, "csrf": operator.csrf}))
            assert socket.receive_json()["error"]["code"] == "bad_name"
    assert operator.ask("GET", "/api/people") == (200, [])


def test_a_name_is_taken_once(operator: Any) -> None:
    operator.enrol("Ana", 0)
    with operator.camera() as socket:
        socket.send_text(json.dumps({"kind": "enrol", "name": " Ana ", "csrf": operator.csrf}))
        assert socket.receive_json()["error"]["code"] == "name_taken"


def test_enrolment_from_photographs(operator: Any) -> None:
    def code(*messages: bytes | str, photos: Any) -> str:
        reply = operator.sit(list(messages), kind="enrol", name="Ana", photos=photos)[-1]
        return str(reply["error"]["code"])

    assert code("finish", photos=2) == "too_few_looks"
    assert code(picture(None), "finish", photos=2) == "too_few_looks"
    for photos in (0, 51, "2", 1.5, True):
        with operator.camera() as socket:
            socket.send_text(
                json.dumps({"kind": "enrol", "name": "Ana", "csrf": operator.csrf, "photos": photos})
            )
            assert socket.receive_json()["error"]["code"] == "too_many_photos"
    assert operator.ask("GET", "/api/people") == (200, [])
