"""The server's addresses: what is answered; over the application, without a network."""

from __future__ import annotations

import runpy
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi")

from starlette.websockets import WebSocketDisconnect

from fedfr_edge.apps.web.api import make_app
from fedfr_edge.apps.web.static_files import page_files, served
from fedfr_edge.recognition.policy import LoginPolicy

parts: dict[str, Any] = runpy.run_path(str(Path(__file__).with_name("serve_page.py")))
Page, TestClient, make_desk, picture = (
    parts[name] for name in ("Page", "TestClient", "make_desk", "picture")
)
TOKEN, HOME, CAMERA = (parts[name] for name in ("TOKEN", "HOME", "CAMERA"))
desk, app, page, operator = (parts[name] for name in ("desk", "app", "page", "operator"))


def test_info(page: Any, desk: Any) -> None:
    assert page.info == {
        "mode": "server",
        "csrf": page.csrf,
        "operator": False,
        "model": {
            "name": "tiny 0",
            "kind": "generic",
            "digest": desk.encoder.digest,
            "threshold": pytest.approx(0.90),
            "far": 1e-3,
        },
        "detector": "whole picture",
        "liveness": False,
        "frames": [1, 1],
        "locked": None,
        "limits": {"photo_bytes": 15_000_000, "name_length": 200},
    }


def test_every_answer_has_the_headers(page: Any) -> None:
    for path in ("/", "/api/info", "/nothing", "/api/people", "/app.js"):
        headers = page.web.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["permissions-policy"].startswith("camera=(self)")


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(app: Any) -> None:
    web = TestClient(app, base_url=HOME)
    cookie = web.get("/api/info").headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie
    safe = TestClient(app, base_url="https://door.example.org")
    assert "Secure" in safe.get("/api/info").headers["set-cookie"]


def test_no_pages_that_load_from_elsewhere(page: Any) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert page.refused("GET", path) == (404, "not_found")


def test_files_are_sent_once(page: Any) -> None:
    first = page.web.get("/app.js")
    assert first.headers["content-type"].startswith("text/javascript")
    again = page.web.get("/app.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert page.web.get("/").content == page.web.get("/index.html").content


# --- people and logins ---------------------------------------------------------------------------


def test_enrol_log_in_delete(operator: Any, page: Any) -> None:
    done = operator.enrol("Ana", 0)
    assert done["done"]
    assert done["person"]["name"] == "Ana"
    verdict = page.login(0)
    assert verdict["accepted"]
    assert verdict["text"] == "Welcome, Ana."
    assert verdict["person"] == done["person"]
    assert page.login(1)["reason"] == "not_recognised"
    _, people = operator.ask("GET", "/api/people")
    assert [(one["id"], one["name"], one["images"]) for one in people] == [(done["person"]["id"], "Ana", 2)]
    _, log = operator.ask("GET", "/api/log")
    assert [(entry["event"], entry["reason"], entry["name"]) for entry in log][:3] == [
        ("login", "not_recognised", None),
        ("login", "accepted", "Ana"),
        ("enrol", None, "Ana"),
    ]
    assert operator.ask("DELETE", f"/api/people/{done['person']['id']}") == (200, done["person"])
    assert operator.ask("GET", "/api/people") == (200, [])
    assert page.login(0)["reason"] == "empty_gallery"
    assert operator.refused("DELETE", f"/api/people/{done['person']['id']}") == (409, "gallery")


def test_a_person_is_deleted_by_id_not_by_name(operator: Any) -> None:
    operator.enrol("Ana", 0)
    assert operator.refused("DELETE", "/api/people/Ana") == (409, "gallery")
    assert len(operator.ask("GET", "/api/people")[1]) == 1


def test_scores_are_for_the_operator(operator: Any, page: Any) -> None:
    operator.enrol("Ana", 0)
    told = operator.login(1)
    assert told["score"] < 0.9
    assert told["rests_on"].startswith("FAR 1e-3 per comparison")
    for person in (0, 1):
        verdict = page.login(person)
        assert verdict["score"] is None
        assert verdict["rests_on"] is None


def test_the_page_does_not_tell_who_is_enrolled(operator: Any, page: Any) -> None:
    operator.enrol("Ana", 0)
    wrong, nobody = page.login(1, claim="Ana"), page.login(1, claim="Zoe")
    assert wrong == nobody
    # Also before a face is seen: a claim is not judged by itself.
    assert page.sit([picture(None)], kind="login", claim="Zoe")[0]["login"]["verdict"] is None
    assert page.login(0, claim="Ana")["accepted"]


def test_frames_without_a_face(operator: Any, page: Any) -> None:
    operator.enrol("Ana", 0)
    nobody, somebody = page.sit([picture(None), picture(0)], kind="login")
    assert (nobody["faces"], nobody["box"]) == (0, None)
    assert nobody["advice"] == [{"code": "no_face", "text": "Stand before the camera."}]
    assert somebody["login"]["verdict"]["accepted"]
    assert somebody["box"] == [0, 0, 448, 448]


def test_a_photograph_logs_in(operator: Any, page: Any) -> None:
    operator.enrol("Ana", 0)
    status, reply = page.ask("POST", "/api/photo?kind=login", content=picture(0))
    assert (status, reply["login"]["verdict"]["accepted"]) == (200, True)
    status, reply = page.ask("POST", "/api/photo?kind=login", content=picture(None))
    assert (status, reply["login"]["verdict"]["reason"]) == (200, "no_face")
    assert page.refused("POST", "/api/photo", content=picture(0)) == (400, "bad_request")


def test_a_photograph_taken_sideways(operator: Any, page: Any) -> None:
    operator.enrol("Ana", 0)
    upright = cv2.imdecode(np.frombuffer(picture(0), np.uint8), cv2.IMREAD_COLOR)
    stored = cv2.imencode(".jpg", np.rot90(upright))[1].tobytes()
    # EXIF: one entry, orientation 6, "turn it to the right to look at it".
    tags = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x112, 3, 1, 6, 0)
    exif = b"\xff\xe1" + struct.pack(">H", len(tags) + 8) + b"Exif\0\0" + tags
    for data, accepted in ((stored, False), (stored[:2] + exif + stored[2:], True)):
        _, reply = page.ask("POST", "/api/photo?kind=login", content=data)
        assert reply["login"]["verdict"]["accepted"] is accepted


def test_a_photograph_shows_nobody_alive(tmp_path: Path) -> None:
    page = Page(make_app(desk=make_desk(tmp_path, policy=LoginPolicy(liveness=True)), files={}))
    assert page.refused("POST", "/api/photo?kind=login", content=picture(0)) == (409, "camera_needed")


def test_k_of_n(tmp_path: Path) -> None:
    app = make_app(desk=make_desk(tmp_path, policy=LoginPolicy(frames=(2, 3))), files={}, token=TOKEN)
    page = Page(app)
    page.become_operator()
    page.enrol("Ana", 0)
    replies = page.sit([picture(0), picture(1), picture(0)], kind="login")
    assert [reply["login"]["verdict"] is None for reply in replies] == [True, True, False]
    assert replies[-1]["login"]["verdict"]["accepted"]
    _, reply = page.ask("POST", "/api/photo?kind=login", content=picture(0))
    assert reply["login"]["verdict"]["accepted"]  # a photograph decides by itself


def test_a_challenge_is_told(tmp_path: Path) -> None:
    app = make_app(desk=make_desk(tmp_path, policy=LoginPolicy(liveness=True)), files={}, token=TOKEN)
    page = Page(app)
    page.become_operator()
    assert page.info["liveness"] is True
    page.enrol("Ana", 0)
    (reply,) = page.sit([picture(0)], kind="login")
    assert reply["login"]["challenge"] == {
        "step": 1,
        "steps": 4,
        "code": "hold_still",
        "text": "Look at the camera and hold still.",
    }


# --- in the browser ------------------------------------------------------------------------------


def test_where_the_page_decides_there_are_files_and_nothing_else() -> None:
    files = {**page_files(), "/engine/model.onnx": served("model.onnx", b"weights")}
    app = make_app(desk=None, files=files, about={"model": {"name": "m"}})
    web = TestClient(app, base_url=HOME)
    answer = web.get("/api/info")
    assert answer.json() == {"mode": "browser", "model": {"name": "m"}}
    assert "set-cookie" not in answer.headers
    assert "'wasm-unsafe-eval'" in answer.headers["content-security-policy"]
    assert answer.headers["cross-origin-embedder-policy"] == "require-corp"
    assert web.get("/engine/model.onnx").content == b"weights"
    for method, path in (
        ("POST", "/api/photo?kind=login"),
        ("GET", "/api/people"),
        ("POST", "/api/operator"),
    ):
        assert web.request(method, path).status_code in (404, 405)
    with pytest.raises(WebSocketDisconnect), web.websocket_connect(CAMERA):
        pass
