"""The real server under what strangers may send: each gets a clear answer, and the server stays up."""

from __future__ import annotations

import contextlib
import json
import runpy
import socket
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from websockets.exceptions import InvalidStatus

from fedfr_edge.apps.web.limits import Limits

parts: dict[str, Any] = runpy.run_path(str(Path(__file__).with_name("serve_process.py")))
server, still_up = parts["server"], parts["still_up"]
LARGE, client, jpeg = parts["LARGE"], parts["client"], parts["jpeg"]

MEGABYTE = 1_000_000


def upload(server: Any, total: int, *, chunked: bool) -> tuple[int, int, dict[str, Any]]:
    """Stream ``total`` bytes until an answer comes: ``(bytes sent, status, answer)``."""
    who = client(server)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {total}"
        line.sendall(
            f"POST /api/photo?kind=login HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            f"Cookie: {who.cookie}\r\nX-CSRF: {who.csrf}\r\n{length}\r\n\r\n".encode()
        )
        block, sent, answer = bytes(100_000), 0, b""
        line.settimeout(0.02)
        while sent < total and not answer:
            with contextlib.suppress(TimeoutError):
                answer = line.recv(65536)
                break
            try:
                line.settimeout(20)
                line.sendall(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
                line.settimeout(0.0001)
            except ConnectionError:
                break
            sent += len(block)
        line.settimeout(20)
        with contextlib.suppress(ConnectionError):
            while more := line.recv(65536):
                answer += more
    head, _, body = answer.partition(b"\r\n\r\n")
    return sent, int(head.split()[1]), json.loads(body.split(b"\r\n")[1] if b"chunked" in head else body)


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_of_200_mb_is_refused_at_the_limit(server: Any, chunked: bool) -> None:
    sent, status, answer = upload(server, 200 * MEGABYTE, chunked=chunked)
    assert status == 413
    assert answer["error"]["code"] == "too_large"
    # Announced, it is refused at once; else as soon as the limit is passed, plus what was under way.
    assert sent < (25 if chunked else 10) * MEGABYTE


def test_a_body_where_none_belongs_is_not_read(server: Any) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
        line.sendall(
            f"GET /api/info HTTP/1.1\r\nHost: localhost:{server.port}\r\n"
            f"Content-Length: {200 * MEGABYTE}\r\n\r\n".encode()
        )
        assert b" 413 " in line.recv(65536)


def test_a_flood_of_one_client_is_refused_and_others_are_served(server: Any) -> None:
    others, answers, slowest = client(server), Counter[str](), 0.0
    request = f"GET /api/people HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()
    began, end = time.monotonic(), threading.Event()

    def flood() -> None:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
            file = line.makefile("rb")
            while not end.is_set():
                line.sendall(request)
                status = file.readline().split()[1].decode()
                length = 0
                while (header := file.readline()) != b"\r\n":
                    if header.lower().startswith(b"content-length:"):
                        length = int(header.split(b":")[1])
                file.read(length)
                answers[status] += 1

    threads = [threading.Thread(target=flood) for _ in range(8)]
    for thread in threads:
        thread.start()
    while time.monotonic() - began < 3:
        asked = time.monotonic()
        status, _ = others.ask("GET", "/api/info")
        slowest = max(slowest, time.monotonic() - asked)
        assert status == 200
        time.sleep(0.1)
    end.set()
    for thread in threads:
        thread.join(timeout=10)
        assert not thread.is_alive()
    seconds = time.monotonic() - began
    # Eight connections, each with a bucket of its own, and one for all of them.
    assert answers["403"] <= 8 * (Limits.requests_at_once + Limits.requests * seconds + 1)
    assert answers["403"] <= Limits.strangers_at_once + Limits.strangers * seconds + 1
    assert set(answers) == {"403", "429"}
    assert answers["429"] > 500
    assert slowest < 2


def test_new_connections_of_one_address_are_limited_too(server: Any) -> None:
    known, answers = client(server), Counter[int]()
    for _ in range(300):
        answers[parts["Client"](server.port).ask("GET", "/style.css")[0]] += 1
    assert set(answers) == {200, 429}
    assert known.ask("GET", "/api/info")[0] == 200
    time.sleep(1.0)  # a newcomer's bucket fills again


def test_a_websocket_that_stalls_is_closed(server: Any) -> None:
    with client(server).camera() as silent, client(server).camera(kind="login") as asked:
        assert parts["closing"](silent) == 4408
        assert parts["closing"](asked) == 4408


def test_a_connection_that_says_nothing_is_closed(server: Any) -> None:
    began = time.monotonic()
    lines = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(20)]
    for line in lines[10:]:
        line.sendall(b"GET / HTTP/1.1\r\nHo")
    assert client(server).info["mode"] == "server"  # others are served meanwhile
    for line in lines:
        with contextlib.suppress(ConnectionError):
            assert line.recv(100) == b""
        line.close()
    assert time.monotonic() - began < 5


def test_more_connections_than_one_address_may_have(server: Any) -> None:
    lines = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(300)]
    time.sleep(0.2)
    gone = 0
    for line in lines:
        line.setblocking(False)
        try:
            gone += line.recv(1) == b""
        except BlockingIOError:
            continue
        except ConnectionError:
            gone += 1
    assert 150 <= gone <= 250
    for line in lines:
        line.close()


def test_cameras_are_limited(server: Any) -> None:
    who = client(server)
    with who.camera(kind="login") as first, who.camera(kind="login") as second:
        assert "error" not in parts["look"](first, jpeg())
        assert "error" not in parts["look"](second, jpeg())
        with who.camera(kind="login") as third:
            assert parts["hear"](third)["error"]["code"] == "busy"
            assert parts["closing"](third) == 4429
    time.sleep(0.5)
    with who.camera(kind="login") as again:
        assert "error" not in parts["look"](again, jpeg())


def test_websockets_on_which_nothing_is_said_are_limited(server: Any) -> None:
    with contextlib.ExitStack() as stack:
        refused = 0
        for _ in range(20):
            who = parts["Client"](server.port)
            try:
                stack.enter_context(who.camera())
            except InvalidStatus:  # 403 instead of a websocket
                refused += 1
        assert refused == 20 - 3 * 2


def test_who_takes_nothing_is_cut_off(server: Any) -> None:
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.settimeout(20)
        line.connect(("127.0.0.1", server.port))
        line.sendall(f"GET /large.js HTTP/1.1\r\nHost: localhost:{server.port}\r\n\r\n".encode())
        time.sleep(3)
        taken = 0
        with contextlib.suppress(ConnectionError):
            while more := line.recv(65536):
                taken += len(more)
    assert 0 < taken < LARGE


def test_who_takes_it_slowly_gets_it(server: Any) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
        request = f"GET /large.js HTTP/1.1\r\nHost: localhost:{server.port}\r\nConnection: close\r\n\r\n"
        line.sendall(request.encode())
        taken, began = 0, time.monotonic()
        while more := line.recv(1 << 20):
            taken += len(more)
            time.sleep(0.05 if time.monotonic() - began < 3 else 0)
    assert taken > LARGE
