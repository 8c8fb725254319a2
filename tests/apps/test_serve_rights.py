"""Who may do what: sessions, forged requests, foreign origins and names, the operator."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from starlette.websockets import WebSocketDisconnect

from fedfr_edge.apps.web.api import make_app

parts: dict[str, Any] = runpy.run_path(str(Path(__file__).with_name("serve_page.py")))
Page, TestClient = parts["Page"], parts["TestClient"]
TOKEN, HOME, CAMERA = (parts[name] for name in ("TOKEN", "HOME", "CAMERA"))
desk, app, page, operator = (parts[name] for name in ("desk", "app", "page", "operator"))


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
    before, csrf = page.web.cookies["fedfr"], page.csrf
    assert page.refused("POST", "/api/operator", json={"token": "wrong"}) == (403, "wrong_token")
    page.become_operator()
    # A cookie that somebody knew from before is worth nothing now, nor is the token that went with it.
    assert page.web.cookies["fedfr"] != before
    assert page.refused("DELETE", "/api/people/1", headers={"X-CSRF": csrf}) == (403, "no_session")
    page.load()
    assert page.info["operator"] is True
    assert page.ask("GET", "/api/people") == (200, [])
    page.web.cookies.set("fedfr", before, domain="127.0.0.1")
    assert page.refused("GET", "/api/people")[0] == 403


def test_halves_of_characters_are_wrong_secrets(page: Any) -> None:
    half = r'{"token": "\ud800", "csrf": "\ud800", "kind": "login"}'
    answer = page.web.post("/api/operator", content=half, headers={"X-CSRF": page.csrf})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "wrong_token")
    with page.camera() as socket:
        socket.send_text(half)
        assert socket.receive_json()["error"]["code"] == "no_session"


def test_cookies_of_other_servers_of_this_machine_do_no_harm(page: Any) -> None:
    """Browsers send a machine's cookies to all its ports."""
    own = f"fedfr={page.web.cookies['fedfr']}"
    page.web.cookies.clear()
    for cookies in (own, f'theirs={{"a": [1, 2]}}; {own}', f"=; a b=c; {own}; @"):
        answer = page.web.get("/api/info", headers={"Cookie": cookies})
        assert answer.json()["csrf"] == page.csrf


def test_guesses_of_the_token_are_limited(page: Any) -> None:
    codes = [page.refused("POST", "/api/operator", json={"token": str(n)})[1] for n in range(7)]
    assert codes == ["wrong_token"] * 5 + ["too_often"] * 2
    answer = page.web.post("/api/operator", json={"token": TOKEN}, headers={"X-CSRF": page.csrf})
    assert int(answer.headers["retry-after"]) > 0


def test_without_a_token_nobody_is_the_operator(desk: Any) -> None:
    page = Page(make_app(desk=desk, files={}, token=""))
    assert page.refused("POST", "/api/operator", json={"token": ""}) == (403, "wrong_token")
