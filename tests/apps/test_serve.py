"""The server's addresses: who may do what, and what is answered; over the application, without a network."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from starlette.websockets import WebSocketDisconnect

from fedfr_edge.apps.web.api import make_app
from fedfr_edge.apps.web.static_files import page_files, served
from fedfr_edge.recognition.policy import LoginPolicy

faces: dict[str, Any] = runpy.run_path(str(Path(__file__).with_name("desk_of_faces.py")))
picture = faces["picture"]
page_of: dict[str, Any] = runpy.run_path(str(Path(__file__).with_name("serve_page.py")))
Page, TestClient = page_of["Page"], page_of["TestClient"]
TOKEN, HOME, CAMERA = page_of["TOKEN"], page_of["HOME"], page_of["CAMERA"]


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    return faces["make_desk"](tmp_path)


@pytest.fixture
def app(desk: Any) -> Iterator[Any]:
    yield make_app(desk=desk, files=page_files(), token=TOKEN, names=["door.example.org"])
    desk.workshop.close()


@pytest.fixture
def page(app: Any) -> Any:
    return Page(app)


@pytest.fixture
def operator(app: Any) -> Any:
    page = Page(app)
    page.become_operator()
    return page


# --- what it says of itself ----------------------------------------------------------------------


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


# --- who may do what -----------------------------------------------------------------------------


def test_without_a_session_nothing_but_the_page(app: Any) -> None:
    web = TestClient(app, base_url=HOME)
    for method, path in (
        ("GET", "/api/people"),
        ("GET", "/api/log"),
        ("DELETE", "/api/people/1"),
        ("POST", "/api/operator"),
        ("POST", "/api/photo?kind=login"),
    ):
        answer = web.request(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "no_session")


def test_visitors_may_only_log_in(page: Any) -> None:
    for method, path in (("GET", "/api/people"), ("GET", "/api/log"), ("DELETE", "/api/people/1")):
        assert page.refused(method, path) == (403, "not_operator")
    with page.camera() as socket:
        socket.send_text(json.dumps({"kind": "enrol", "name": "Ana", "csrf": page.csrf}))
        assert socket.receive_json()["error"]["code"] == "not_operator"
        assert socket.receive()["code"] == 4403


@pytest.mark.parametrize("csrf", ["", "wrong", "ü", "x" * 10_000])
def test_forged_requests(operator: Any, csrf: str) -> None:
    headers = {"X-CSRF": csrf.encode()}
    for method, path in (
        ("DELETE", "/api/people/1"),
        ("POST", "/api/photo?kind=login"),
        ("POST", "/api/operator"),
    ):
        assert operator.refused(method, path, headers=headers) == (403, "no_session")
    with operator.camera() as socket:
        socket.send_text(json.dumps({"kind": "login", "csrf": csrf}))
        assert socket.receive_json()["error"]["code"] == "no_session"


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil.example", "[::1"]
)
def test_names_that_point_here_from_elsewhere(page: Any, host: str) -> None:
    assert page.refused("GET", "/api/info", headers={"Host": host}) == (421, "unknown_host")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "[::1]:8620", "Door.Example.org:443"])
def test_names_that_are_answered(page: Any, host: str) -> None:
    assert page.web.get("/api/info", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_origins(operator: Any, headers: dict[str, str]) -> None:
    assert operator.refused("GET", "/api/people", headers=headers) == (403, "foreign_origin")
    with pytest.raises(WebSocketDisconnect), operator.web.websocket_connect(CAMERA, headers=headers):
        pass


def test_a_link_from_elsewhere_opens_the_page(page: Any) -> None:
    assert page.web.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_the_operators_token(page: Any) -> None:
    before = page.web.cookies["fedfr"]
    assert page.refused("POST", "/api/operator", json={"token": "wrong"}) == (403, "wrong_token")
    page.become_operator()
    # A cookie that somebody knew from before is worth nothing now.
    assert page.web.cookies["fedfr"] != before
    page.load()
    assert page.info["operator"] is True
    assert page.ask("GET", "/api/people") == (200, [])
    page.web.cookies.set("fedfr", before, domain="127.0.0.1")
    assert page.refused("GET", "/api/people")[0] == 403


def test_guesses_of_the_token_are_limited(page: Any) -> None:
    codes = [page.refused("POST", "/api/operator", json={"token": str(n)})[1] for n in range(7)]
    assert codes == ["wrong_token"] * 5 + ["too_often"] * 2
    answer = page.web.post("/api/operator", json={"token": TOKEN}, headers={"X-CSRF": page.csrf})
    assert int(answer.headers["retry-after"]) > 0


def test_without_a_token_nobody_is_the_operator(desk: Any) -> None:
    page = Page(make_app(desk=desk, files={}, token=""))
    assert page.refused("POST", "/api/operator", json={"token": ""}) == (403, "wrong_token")


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
    assert operator.login(1)["score"] < 0.9
    assert page.login(1)["score"] is None
    assert page.login(0)["score"] is None


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


def test_a_photograph_shows_nobody_alive(tmp_path: Path) -> None:
    page = Page(make_app(desk=faces["make_desk"](tmp_path, policy=LoginPolicy(liveness=True)), files={}))
    assert page.refused("POST", "/api/photo?kind=login", content=picture(0)) == (409, "camera_needed")


def test_k_of_n(tmp_path: Path) -> None:
    app = make_app(
        desk=faces["make_desk"](tmp_path, policy=LoginPolicy(frames=(2, 3))), files={}, token=TOKEN
    )
    page = Page(app)
    page.become_operator()
    page.enrol("Ana", 0)
    replies = page.sit([picture(0), picture(1), picture(0)], kind="login")
    assert [reply["login"]["verdict"] is None for reply in replies] == [True, True, False]
    assert replies[-1]["login"]["verdict"]["accepted"]
    _, reply = page.ask("POST", "/api/photo?kind=login", content=picture(0))
    assert reply["login"]["verdict"]["accepted"]  # a photograph decides by itself


def test_a_challenge_is_told(tmp_path: Path) -> None:
    app = make_app(
        desk=faces["make_desk"](tmp_path, policy=LoginPolicy(liveness=True)), files={}, token=TOKEN
    )
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


# --- names ---------------------------------------------------------------------------------------


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
