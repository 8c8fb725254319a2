"""The shipped proxy in front of a stand-in for the SuperLink, which writes down what reaches it."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from deploy_document import Machine
from door import ask, needs_nginx, nginx
from test_deployment_files import new_certificate
from test_flwr_run import free_ports

pytestmark = needs_nginx

NEEDED = (
    *("activate-node", "deactivate-node", "send-node-heartbeat", "pull-messages", "push-messages"),
    *("get-run", "get-fab", "push-object", "pull-object", "confirm-message-received"),
)


class Recorder(http.server.ThreadingHTTPServer):
    """Answers every request with 200 and keeps its method, path and size."""

    def __init__(self, port: int, certificate: Path, key: Path) -> None:
        self.seen: list[tuple[str, str, int]] = []
        super().__init__(("127.0.0.1", port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Recorder

    def do_POST(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            size = 0
            while part := int(self.rfile.readline(), 16):
                size += len(self.rfile.read(part + 2)) - 2
            self.rfile.readline()
        else:
            size = len(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.server.seen.append((self.command, self.path, size))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_PUT = do_DELETE = do_POST

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@dataclass
class Door:
    """A proxy that is up, and what stands behind it."""

    server: Machine
    port: int
    link: Recorder

    def ask(self, path: str, method: str = "POST", size: int = 0) -> int:
        return ask(self.server, self.port, path, method, size)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    yield from opened(tmp_path_factory.mktemp("door"))


def opened(folder: Path, *, other: bool = False) -> Iterator[Door]:
    """The proxy and its SuperLink; ``other``: one with a certificate that the proxy does not know."""
    proxy, link = free_ports(2)
    server = Machine(folder / "server", "-", {}).prepare()
    certificate, key = new_certificate(folder / "made")
    for name in ("ca.crt", "server.crt"):
        (server.etc / name).write_bytes(certificate.read_bytes())
    (server.etc / "server.key").write_bytes(key.read_bytes())
    behind = Recorder(link, *(new_certificate(folder / "other") if other else (certificate, key)))
    thread = threading.Thread(target=behind.serve_forever, args=(0.05,))
    thread.start()
    try:
        with nginx(server, proxy, link):
            yield Door(server, proxy, behind)
    finally:
        behind.shutdown()
        thread.join()
        behind.server_close()


@pytest.mark.parametrize("request_name", NEEDED)
def test_what_a_supernode_needs_arrives(door: Door, request_name: str) -> None:
    door.link.seen.clear()
    assert door.ask(f"/v1/fleet/{request_name}", size=1000) == 200
    assert door.link.seen == [("POST", f"/v1/fleet/{request_name}", 1000)]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/control/start-run",
        "/v1/control/list-runs",
        "/v1/control/register-node",
        "/v1/runtime/get-nodes",
        "/v1/fleet/",
        "/v1/fleet/register-node",
        "/v1/fleet/get-run/",
        "/v1/fleet/get-runs",
        "/V1/fleet/get-run",
        "//v1/control/start-run",
        "/v1/fleet/../control/start-run",
        "/v1/fleet/get-run/../../control/start-run",
        "/v1/fleet/get-run/..%2f..%2fcontrol/start-run",
        "/v1/%63ontrol/start-run",
        "/v1/fleet/get-run%2f..%2f..%2fcontrol%2fstart-run",
        "/v1/fleet/get-run%00/v1/control/start-run",
        "/?/v1/fleet/get-run",
        "/v1/control/start-run?/v1/fleet/get-run",
    ],
)
def test_nothing_else_does(door: Door, path: str) -> None:
    door.link.seen.clear()
    assert door.ask(path) in {400, 403}
    assert door.link.seen == []


def test_another_spelling_of_a_needed_request_arrives_as_that_request(door: Door) -> None:
    door.link.seen.clear()
    for path in (
        "/v1/control/start-run/..%2f..%2ffleet/get-run",
        "/v1/fleet/get%2Drun?x=/v1/control/start-run",
    ):
        assert door.ask(path) == 200
    assert [path.partition("?")[0] for _, path, _ in door.link.seen] == ["/v1/fleet/get-run"] * 2


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_no_other_method_does(door: Door, method: str) -> None:
    door.link.seen.clear()
    assert door.ask("/v1/fleet/get-run", method) == 403
    assert door.link.seen == []


def test_a_piece_of_an_array_fits(door: Door) -> None:
    door.link.seen.clear()
    assert door.ask("/v1/fleet/push-object", size=5 * 2**20 + 4096) == 200
    assert door.link.seen == [("POST", "/v1/fleet/push-object", 5 * 2**20 + 4096)]


def test_what_is_no_superlink_of_ours_gets_nothing(tmp_path: Path) -> None:
    """Whoever takes the SuperLink's port while it is down has another certificate."""
    for door in opened(tmp_path, other=True):
        assert door.ask("/v1/fleet/push-messages", size=100) == 502
        assert door.link.seen == []
