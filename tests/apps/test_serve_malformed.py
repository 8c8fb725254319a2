"""The real server given what is no JSON, no image, no HTTP, no path: a clear answer each time."""

from __future__ import annotations

import contextlib
import runpy
import socket
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

parts: dict[str, Any] = runpy.run_path(str(Path(__file__).with_name("serve_process.py")))
server, still_up = parts["server"], parts["still_up"]
client, jpeg = parts["client"], parts["jpeg"]


@pytest.mark.parametrize(
    "said",
    ["", "{", "[]", "null", '{"kind": 3}', '{"kind": "login", "claim": []}', "[" * 20_000, '{"kind": "x"}'],
)
def test_malformed_first_messages(server: Any, said: str) -> None:
    with client(server).camera() as camera:
        camera.send(said)
        assert parts["hear"](camera)["error"]["code"] == "bad_message"
        assert parts["closing"](camera) == 4400


@pytest.mark.parametrize("said", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 10_000, b'{"token": 7}'])
def test_malformed_json(server: Any, said: bytes) -> None:
    status, answer = client(server).ask("POST", "/api/operator", said)
    assert status == 400
    assert answer["error"]["code"] == "bad_request"
    assert answer["error"]["text"]


def test_what_is_no_http(server: Any) -> None:
    for said in (b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"A" * 100_000, bytes(50_000)):
        line = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        with line, contextlib.suppress(ConnectionError):
            line.sendall(said)
            assert line.recv(1000)[:12] in (b"HTTP/1.1 400", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(side: int) -> bytes:
    """A PNG of ``side`` squared pixels, all alike: few bytes."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1 + 3 * side) * min(side, 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("picture", "status", "code"),
    [
        (b"", 422, "unreadable"),
        (b"not an image", 422, "unreadable"),
        (jpeg()[:-100], 422, "unreadable"),
        (b"\xff\xd8\xff" + bytes(1000), 422, "unreadable"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422, "unreadable"),
        (bomb(60_000), 413, "too_many_pixels"),
        (bomb(9_000), 413, "too_many_pixels"),
    ],
)
def test_photographs_that_are_none(server: Any, picture: bytes, status: int, code: str) -> None:
    found, answer = client(server).ask("POST", "/api/photo?kind=login", picture)
    assert (found, answer["error"]["code"]) == (status, code)


def test_frames_that_are_none_do_not_end_a_login_at_once(server: Any) -> None:
    bad = (b"", b"x", bomb(2_000), bytes(1_200_000))
    with client(server).camera(kind="login") as camera:
        codes = [parts["look"](camera, frame)["error"]["code"] for frame in bad]
        assert codes == ["unreadable", "unreadable", "too_many_pixels", "too_large"]
        assert "error" not in parts["look"](camera, jpeg())
        for _ in range(7):
            last = parts["look"](camera, b"x")
        assert last["error"]["code"] == "unreadable"
        assert parts["closing"](camera) == 4400


def test_text_where_a_frame_belongs(server: Any) -> None:
    with client(server).camera(kind="login") as camera:
        camera.send("a frame")
        assert parts["hear"](camera)["error"]["code"] == "bad_message"
        assert parts["closing"](camera) == 4400


def test_paths_lead_nowhere_else(server: Any) -> None:
    who = client(server)
    who.become_operator(server.token)
    for path in (
        "/../pyproject.toml",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/static/../api.py",
        "/engine/..%2f..%2fapi.py",
    ):
        assert who.ask("GET", path)[0] == 404, path
    for person in ("..%2f..%2fg.vault", "%00", "a" * 5000, "'%20OR%201=1"):
        status, answer = who.ask("DELETE", f"/api/people/{person}")
        assert status in (404, 405, 409), answer
