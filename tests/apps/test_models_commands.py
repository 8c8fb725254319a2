"""``fedfr models``: the list, downloads from a faulty server of our own, and checks of what is here."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedfr_edge.apps import download
from fedfr_edge.apps.known_models import default_folder, known_models
from fedfr_edge.cli import main

DATA = bytes(range(256)) * 2000


class Server(http.server.ThreadingHTTPServer):
    """Serves one file.

    Attributes:
        data: its bytes.
        cut_after: bytes after which the next answer breaks off; None for whole answers.
        ranges: whether it knows how to go on in the middle.
        status: an error to answer with instead.
        asked: the Range header of each request.
    """

    data = DATA
    cut_after: int | None = None
    ranges = True
    status: int | None = None

    def __init__(self) -> None:
        self.asked: list[str | None] = []
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that goes away is no fault of the test


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers["Range"]
        server.asked.append(wanted)
        if server.status is not None:
            self.send_error(server.status)
            return
        start = 0
        if wanted is not None and server.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(server.data) - 1}/{len(server.data)}")
        else:
            self.send_response(200)
        body = server.data[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.cut_after is not None:
            self.wfile.write(body[: server.cut_after])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            server.cut_after = None
            return
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def registry(tmp_path: Path, server: Server) -> Path:
    file = tmp_path / "list.toml"
    file.write_text(entry(f"http://127.0.0.1:{server.server_port}/net.onnx"))
    return file


def entry(address: str, **more: object) -> str:
    values: dict[str, object] = {
        "file": "net.onnx",
        "what": "a net",
        "use": "--detector yunet:{path}",
        "address": address,
        "sha256": hashlib.sha256(DATA).hexdigest(),
        "bytes": len(DATA),
        "licence": "MIT",
        **more,
    }
    return "[net]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


def get(registry: Path, folder: Path, *more: str) -> int:
    return main(["models", "get", "net", "--registry", str(registry), "--folder", str(folder), *more])


def test_get(registry: Path, server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "models"
    assert get(registry, folder) == 0
    assert (folder / "net.onnx").read_bytes() == DATA
    assert sorted(path.name for path in folder.iterdir()) == ["net.onnx", "net.toml"]
    shown = capfd.readouterr()
    assert "licence: MIT" in shown.out
    assert f"--detector yunet:{folder}/net.onnx" in shown.out
    assert f"net.onnx: {len(DATA)}/{len(DATA)}" in shown.err
    assert get(registry, folder) == 0
    assert "here already" in capfd.readouterr().out
    assert len(server.asked) == 1  # not a byte twice


def test_a_cut_connection_is_gone_on_with(
    registry: Path, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.cut_after = 200_000
    assert get(registry, tmp_path / "m") == 1
    error = capsys.readouterr().err
    assert "after 200,000 of 512,000 bytes; run the same command again to go on" in error
    assert not (tmp_path / "m" / "net.onnx").exists()
    assert get(registry, tmp_path / "m") == 0
    assert server.asked == [None, "bytes=200000-"]
    assert (tmp_path / "m" / "net.onnx").read_bytes() == DATA


def test_a_server_that_cannot_go_on_in_the_middle(registry: Path, server: Server, tmp_path: Path) -> None:
    server.cut_after, server.ranges = 200_000, False
    assert get(registry, tmp_path / "m") == 1
    assert get(registry, tmp_path / "m") == 0
    assert (tmp_path / "m" / "net.onnx").read_bytes() == DATA


def test_other_bytes(
    registry: Path, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "m"
    server.data = DATA[:-1] + b"!"
    assert get(registry, folder) == 1
    assert "gives other bytes than expected" in capsys.readouterr().err
    assert list(folder.iterdir()) == []
    server.data = DATA + b"more"
    assert get(registry, folder) == 1
    assert "more than the 512,000 bytes expected" in capsys.readouterr().err
    server.data = DATA
    assert get(registry, folder) == 0  # nothing of the wrong bytes is left to go on from
    assert (folder / "net.onnx").read_bytes() == DATA


def test_bytes_that_were_wrong_before_the_cut(registry: Path, server: Server, tmp_path: Path) -> None:
    server.data, server.cut_after = b"x" * len(DATA), 1000
    assert get(registry, tmp_path / "m") == 1
    server.data = DATA
    assert get(registry, tmp_path / "m") == 1  # found by the digest, and thrown away
    assert get(registry, tmp_path / "m") == 0


def test_no_answer(
    registry: Path, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.status = 404
    assert get(registry, tmp_path / "m") == 1
    assert "answers 404" in capsys.readouterr().err
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        registry.write_text(entry(f"http://127.0.0.1:{unused.getsockname()[1]}/net.onnx"))
        assert get(registry, tmp_path / "m") == 1
    assert "cannot reach http://127.0.0.1" in capsys.readouterr().err
    assert not (tmp_path / "m" / "net.onnx").exists()


def test_no_space(
    registry: Path,
    server: Server,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: _Usage(100_000))
        assert get(registry, tmp_path / "m") == 1
        assert "100,000 bytes left, net.onnx needs 512,000" in capsys.readouterr().err
        assert server.asked == []

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(download.os, "fsync", full)
        assert get(registry, tmp_path / "m") == 1
    assert "No space left on device" in capsys.readouterr().err
    assert not (tmp_path / "m" / "net.onnx").exists()
    assert get(registry, tmp_path / "m") == 0
    assert (tmp_path / "m" / "net.onnx").read_bytes() == DATA


class _Usage:
    def __init__(self, free: int) -> None:
        self.free = free


def test_from_a_file(
    registry: Path, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_post = tmp_path / "by-post"
    by_post.write_bytes(DATA[1:])
    assert get(registry, tmp_path / "m", "--from", str(by_post)) == 1
    assert "it is another file, or damaged" in capsys.readouterr().err
    assert get(registry, tmp_path / "m", "--from", str(tmp_path / "none")) == 1
    by_post.write_bytes(DATA)
    assert get(registry, tmp_path / "m", "--from", str(by_post)) == 0
    assert (tmp_path / "m" / "net.onnx").read_bytes() == DATA
    assert server.asked == []


def test_terms_must_be_accepted(
    registry: Path, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.write_text(
        entry(f"http://127.0.0.1:{server.server_port}/x", terms=True, licence="research only")
    )
    assert get(registry, tmp_path / "m") == 1
    assert "research only; give --accept-terms" in capsys.readouterr().err
    assert server.asked == []
    assert get(registry, tmp_path / "m", "--accept-terms") == 0


def test_list_and_verify(registry: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "m"
    where = ["--registry", str(registry), "--folder", str(folder)]

    def state() -> str:
        assert main(["models", "list", "--json", *where]) == 0
        return json.loads(capsys.readouterr().out)["models"][0]["state"]

    assert state() == "absent"
    assert main(["models", "verify", *where]) == 0
    assert main(["models", "verify", "net", *where]) == 1
    assert get(registry, folder) == 0
    capsys.readouterr()
    assert state() == "here"
    assert main(["models", "verify", "net", *where]) == 0
    assert main(["models", "list", *where]) == 0
    shown = capsys.readouterr().out
    assert f"--detector yunet:{folder}/net.onnx" in shown
    assert "licence: MIT" in shown
    (folder / "net.onnx").write_bytes(DATA[:-1])
    assert state() == "damaged"
    assert main(["models", "verify", *where]) == 1
    assert "damaged" in capsys.readouterr().out
    assert get(registry, folder) == 0  # a damaged one is replaced
    capsys.readouterr()
    assert state() == "here"


def test_what_is_refused(registry: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "get"]) == 1
    assert "no model is named" in capsys.readouterr().err
    assert main(["models", "get", "nonsense"]) == 1
    assert "there is no model 'nonsense', expected some of yunet-n" in capsys.readouterr().err
    assert main(["models", "get", "yunet-n", "yunet-s", "--from", "x"]) == 1
    assert "get them one by one" in capsys.readouterr().err
    for more, message in (
        ({"address": "file:///etc/passwd"}, "expected http or https"),
        ({"file": "../net.onnx"}, "expected a bare file name"),
        ({"sha256": "abc"}, "64 hexadecimal digits"),
        ({"bytes": "many"}, "expected int"),
        ({"colour": "red"}, "unknown key 'colour'"),
    ):
        registry.write_text(entry(**{"address": "http://x/y", **more}))
        assert get(registry, tmp_path / "m") == 1
        assert message in capsys.readouterr().err


def test_the_built_in_list_is_of_the_files_that_were_tried(dev_data: Path) -> None:
    known = known_models()
    del known["onnxruntime-web"]  # no model: tests/browser looks at it
    assert {"yunet-n", "yunet-s", "scrfd-500m", "scrfd-2.5g"} == set(known)
    for model in known.values():
        assert model.state(dev_data / "models") == "here"
        assert (dev_data / "models" / model.file).stat().st_size == model.bytes
        assert model.terms == ("non-commercial" in model.licence)


def test_where_models_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FEDFR_MODELS", str(tmp_path / "a"))
    assert default_folder() == tmp_path / "a"
    monkeypatch.delenv("FEDFR_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "b"))
    assert default_folder() == tmp_path / "b" / "fedfr-edge" / "models"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert default_folder() == Path.home() / ".local" / "share" / "fedfr-edge" / "models"
