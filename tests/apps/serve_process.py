"""A real ``fedfr serve`` on a free port, and a client that speaks to it as a browser would."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.keys import KeyFile
from fedfr_edge.recognition.template import Template
from fedfr_edge.recognition.vault import Vault

MODEL = Path(__file__).parents[2] / "models" / "synthetic.onnx"


@dataclass
class Server:
    """A server process.

    Attributes:
        process: the process.
        port: where it listens.
        address: what it says to type into a browser.
        token: the operator's.
    """

    process: subprocess.Popen[str]
    port: int
    address: str
    token: str

    def end(self) -> tuple[int, str]:
        """End it as a system does; exit status and what it said on standard error."""
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors


LIMITS = "frame_seconds=1.5, head_seconds=1.0, body_seconds=2.0, new_sessions=100.0, cameras_each=2"
"""Short waits; and a new session for each test."""

LARGE = 30_000_000
"""Bytes of a file of the page, more than the system takes in on the way."""

PROGRAM = """
import dataclasses, sys
from fedfr_edge.apps.web import start, static_files
from fedfr_edge.cli import run
large = static_files.served("large.js", bytes({large}))
start.page_files = lambda: {{**static_files.page_files(), "/large.js": large}}
limits = dataclasses.replace(start.Limits(), {changes})
start.Limits = lambda: limits
run()
"""


@contextmanager
def running(
    folder: Path, *more: str, model: Path = MODEL, port: int = 0, limits: str = "", large: int = 0
) -> Iterator[Server]:
    """``fedfr serve`` over a gallery in ``folder``.

    Args:
        folder: for the gallery, its key and the user's state.
        more: options.
        model: what recognises.
        port: 0 takes a free one.
        limits: what is to be changed about them, as keyword arguments.
        large: bytes of a file ``/large.js``.
    """
    command = [
        sys.executable,
        "-W",
        "error::RuntimeWarning",
        "-c",
        PROGRAM.format(changes=limits, large=large),
    ]
    process = subprocess.Popen(
        [
            *command,
            "serve",
            *("--model", str(model), "--port", str(port), "--threads", "1"),
            *(() if "--in-browser" in more else ("--gallery", str(folder / "g.vault"))),
            *more,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "XDG_STATE_HOME": str(folder / "state")},
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first.startswith("page: "), first + process.communicate(timeout=20)[1]
        address = first.split()[1]
        token = ""
        if not {"--in-browser", "--operator-file"} & set(more):
            token = process.stdout.readline().strip().partition("#operator=")[2]
        yield Server(process, port or int(address.rstrip("/").rpartition(":")[2]), address, token)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def seed_gallery(folder: Path, *names: str, model: Path = MODEL, seed: int = 0) -> None:
    """A gallery with people whom no face is like."""
    encoder = OnnxEncoder(model, threads=1)
    vectors = np.random.default_rng(seed).normal(size=(len(names), encoder.dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    templates = [Template(row.astype(np.float32), encoder.digest, 1) for row in vectors]
    path = folder / "g.vault"
    keys = KeyFile(folder / "g.vault.key")
    with Vault.open_or_make(path, keys, model_digest=encoder.digest, dim=encoder.dim) as vault:
        vault.enrol(list(zip(names, templates, strict=True)))


@dataclass
class Client:
    """One browser, as far as the server can tell."""

    port: int
    cookie: str = ""
    csrf: str = ""
    info: dict[str, Any] = field(default_factory=dict)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Status and JSON (or text) of an answer; keeps the cookie."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {"X-CSRF": self.csrf, "Cookie": self.cookie, **(headers or {})}
        connection.request(method, path, body, {key: value for key, value in sent.items() if value})
        answer = connection.getresponse()
        data = answer.read()
        cookie = answer.getheader("Set-Cookie")
        if cookie:
            self.cookie = cookie.partition(";")[0]
        connection.close()
        if answer.getheader("Content-Type") == "application/json":
            return answer.status, json.loads(data)
        return answer.status, data.decode()

    def begin(self) -> Client:
        """Load ``/api/info`` and keep the token; wait where the test before has used up the rate."""
        status, self.info = self.ask("GET", "/api/info")
        if status == 429:
            time.sleep(self.info["error"]["wait_seconds"])
            status, self.info = self.ask("GET", "/api/info")
        assert status == 200, self.info
        self.csrf = self.info["csrf"]
        return self

    def become_operator(self, token: str) -> None:
        status, answer = self.ask("POST", "/api/operator", json.dumps({"token": token}).encode())
        assert (status, answer["operator"]) == (200, True)
        self.csrf = answer["csrf"]

    @contextmanager
    def camera(self, **first: Any) -> Iterator[ClientConnection]:
        """A websocket on which the first message has been said, if one is given."""
        address = f"ws://127.0.0.1:{self.port}/api/camera"
        origin = Origin(f"http://127.0.0.1:{self.port}")
        with connect(address, additional_headers={"Cookie": self.cookie}, origin=origin) as socket:
            if first:
                socket.send(json.dumps({"csrf": self.csrf, **first}))
            yield socket


def look(socket: ClientConnection, frame: bytes) -> dict[str, Any]:
    """Send a frame, get its reply."""
    socket.send(frame)
    return hear(socket)


def hear(socket: ClientConnection) -> dict[str, Any]:
    """The next message."""
    reply: dict[str, Any] = json.loads(socket.recv(timeout=20))
    return reply


def closing(socket: ClientConnection, patience: float = 20) -> int | None:
    """Wait for the other end to close; the code."""
    from websockets.exceptions import ConnectionClosed

    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            socket.recv(timeout=end - time.monotonic())
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else None
    raise AssertionError("the connection stayed open")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One server for all of these: nothing that one does may matter to the next."""
    folder = tmp_path_factory.mktemp("serve")
    seed_gallery(folder, "Ana")
    with running(folder, limits=LIMITS, large=LARGE) as it:
        yield it
        status, errors = it.end()
        assert (status, errors) == (0, "")


@pytest.fixture(autouse=True)
def still_up(server: Any) -> Iterator[None]:
    """After each abuse, a newcomer is served, quickly."""
    yield
    began = time.monotonic()
    client = Client(server.port).begin()
    assert client.info["locked"] is None
    assert time.monotonic() - began < 5
    assert server.process.poll() is None


def client(server: Any) -> Any:
    return Client(server.port).begin()


def jpeg(side: int = 64) -> bytes:
    """A picture of nobody."""
    return cv2.imencode(".jpg", np.full((side, side, 3), 90, np.uint8))[1].tobytes()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for ``localhost``, signed by itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return chain, private
