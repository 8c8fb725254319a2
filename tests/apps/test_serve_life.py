"""``fedfr serve`` as a program: how it begins, ends, comes back, and shares its gallery with others."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import runpy
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from fedfr_edge.cli import main
from fedfr_edge.recognition.keys import KeyFile
from fedfr_edge.recognition.vault import Vault

served: dict[str, Any] = runpy.run_path(str(Path(__file__).with_name("serve_process.py")))
certificate, free_port = served["certificate"], served["free_port"]
page_of: dict[str, Any] = runpy.run_path(str(Path(__file__).with_name("serve_page.py")))
picture = page_of["picture"]


def elsewhere(folder: Path) -> Vault:
    """The gallery, opened by another program."""
    return Vault.open(folder / "g.vault", KeyFile(folder / "g.vault.key"))


def test_it_goes_down_and_comes_back(tmp_path: Path) -> None:
    served["seed_gallery"](tmp_path, "Ana")
    with served["running"](tmp_path) as server:
        client = served["Client"](server.port).begin()
        client.become_operator(server.token)
        assert client.info["frames"] == [3, 5]
        client.ask("POST", "/api/photo?kind=login&claim=Ana", picture(None))
        client.ask("GET", "/api/people")
        with client.camera(kind="login") as camera:
            served["look"](camera, picture(None))
            began = time.monotonic()
            status, errors = server.end()
            assert (status, errors) == (0, "")  # no names, no list of requests
            assert time.monotonic() - began < 5
            assert served["closing"](camera) == 1012  # told, not cut
        with pytest.raises(ConnectionRefusedError):
            client.ask("GET", "/api/info")
    with served["running"](tmp_path, port=server.port) as again:
        assert again.token != server.token
        # The session is gone; the page learns of it, and goes on with a new one.
        assert client.ask("GET", "/api/people")[1]["error"]["code"] == "no_session"
        with client.camera(kind="login") as camera:
            assert served["hear"](camera)["error"]["code"] == "no_session"
            assert served["closing"](camera) == 4403
        client.begin()
        assert client.info["operator"] is False
        client.become_operator(again.token)
        assert [one["name"] for one in client.ask("GET", "/api/people")[1]] == ["Ana"]


def test_the_gallery_is_free_for_other_programs(tmp_path: Path) -> None:
    with served["running"](tmp_path) as server:
        client = served["Client"](server.port).begin()
        client.become_operator(server.token)
        with client.camera(kind="login") as camera:
            served["look"](camera, picture(None))
            began = time.monotonic()
            with elsewhere(tmp_path) as vault:
                assert len(vault.gallery) == 0
            assert time.monotonic() - began < 2
        served["seed_gallery"](tmp_path, "Ben", "Eve")
        assert [one["name"] for one in client.ask("GET", "/api/people")[1]] == ["Ben", "Eve"]
        ben = client.ask("GET", "/api/people")[1][0]["id"]
        assert client.ask("DELETE", f"/api/people/{ben}")[0] == 200
        client.ask("POST", "/api/photo?kind=login", picture(None))
        server.process.kill()
        server.process.communicate()
    with elsewhere(tmp_path) as vault:
        assert [person.name for person in vault.gallery.people] == ["Eve"]
    assert main(["audit", "verify", "--gallery", str(tmp_path / "g.vault")]) == 0


def test_a_damaged_gallery_is_told_without_its_place(tmp_path: Path) -> None:
    with served["running"](tmp_path) as server:
        client = served["Client"](server.port).begin()
        state = tmp_path / "g.vault" / "state"
        whole = state.read_bytes()
        state.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        os.utime(state, ns=(1, 1))
        status, answer = client.ask("POST", "/api/photo?kind=login", picture(None))
        assert (status, answer["error"]["code"]) == (500, "gallery_damaged")
        assert str(tmp_path) not in answer["error"]["text"]
        state.write_bytes(whole)
        status, answer = client.ask("POST", "/api/photo?kind=login", picture(None))
        assert (status, answer["login"]["verdict"]["reason"]) == (200, "empty_gallery")
        key = tmp_path / "g.vault.key"
        key.rename(tmp_path / "elsewhere")
        status, answer = client.ask("POST", "/api/photo?kind=login", picture(None))
        assert (status, answer["error"]["code"]) == (500, "failed")
        assert str(tmp_path) not in answer["error"]["text"]
        status, errors = server.end()
    assert status == 0
    assert "fails its integrity check" in errors  # to who started it
    assert "cannot read key file" in errors


# --- to other machines ---------------------------------------------------------------------------


def test_https(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    chain, private = certificate
    options = ("--certificate", str(chain), "--private-key", str(private), "--host-name", "localhost")
    with served["running"](tmp_path, *options) as server:
        context = ssl.create_default_context(cafile=str(chain))
        with urllib.request.urlopen(f"https://localhost:{server.port}/api/info", context=context) as answer:
            assert json.load(answer)["mode"] == "server"
            assert "Secure" in answer.headers["Set-Cookie"]
        # Plain HTTP gets no answer there.
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), 5) as line:
            line.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert line.recv(100) == b""


def test_a_proxy_is_believed_only_where_one_is_named(tmp_path: Path) -> None:
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7", "Host": "door.example.org"}

    def cookie(port: int) -> str:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        line.request("GET", "/api/info", headers=forwarded)
        found = line.getresponse().getheader("Set-Cookie") or ""
        line.close()
        return found

    named = ("--host-name", "door.example.org")
    with served["running"](tmp_path, *named) as server:
        assert "Secure" not in cookie(server.port)
        assert "HttpOnly" in cookie(server.port)
    port, file = free_port(), tmp_path / "operator"
    more = ("--proxy", "127.0.0.1", "--operator-file", str(file))
    with served["running"](tmp_path, *named, *more, port=port) as server:
        assert server.address == "https://door.example.org/"
        assert "Secure" in cookie(port)
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.read_text().startswith("https://door.example.org/#operator=")


def refusal(capsys: pytest.CaptureFixture[str], tmp_path: Path, *options: str) -> str:
    """The one line of a start that is refused."""
    gallery = ["--gallery", str(tmp_path / "g.vault")]
    assert main(["serve", "--model", str(served["MODEL"]), *gallery, *options]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning:")]
    assert line.startswith("error: ")
    assert not (tmp_path / "g.vault").exists()
    return line


def test_other_machines_only_encrypted_or_expressly(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    line = refusal(capsys, tmp_path, "--host", "0.0.0.0")
    assert "nothing is encrypted" in line
    assert "--insecure-http" in line
    assert "--host-name" in refusal(capsys, tmp_path, "--host", "0.0.0.0", "--insecure-http")
    chain = str(certificate[0])
    assert "belong together" in refusal(capsys, tmp_path, "--certificate", chain)
    wrong = ("--certificate", chain, "--private-key", chain)
    assert "cannot be used" in refusal(capsys, tmp_path, *wrong)


def test_plain_http_for_others_is_warned_of(tmp_path: Path) -> None:
    options = ("--host", "0.0.0.0", "--insecure-http", "--host-name", "door.example.org")
    with served["running"](tmp_path, *options) as server:
        client = served["Client"](server.port)
        for name, status in (("door.example.org", 200), ("other.example.org", 421)):
            assert client.ask("GET", "/api/info", headers={"Host": name})[0] == status
        _, errors = server.end()
    assert errors.startswith("warning: without https")


def test_starts_that_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "expected K/N" in refusal(capsys, tmp_path, "--frames", "some")
    assert "expected k of n" in refusal(capsys, tmp_path, "--frames", "3/2")
    assert "expected SCALE:FILE.onnx" in refusal(capsys, tmp_path, "--passive", "2.7")
    assert "--runtime is for --in-browser" in refusal(capsys, tmp_path, "--runtime", "x.tgz")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert (
            main(["serve", "--model", str(served["MODEL"]), "--gallery", str(tmp_path / "g"), "--port", port])
            == 1
        )
    assert "cannot listen on 127.0.0.1" in capsys.readouterr().err
    assert main(["serve", "--model", str(served["MODEL"])]) == 1
    assert "no gallery is given" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    ["--gallery g", "--passive 2.7:x.onnx", "--gates backbone", "--no-lockout"],
)
def test_nothing_that_guards_a_login_is_left_aside_in_silence(
    capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert main(["serve", "--model", str(served["MODEL"]), "--in-browser", *option.split()]) == 1
    line = capsys.readouterr().err
    assert option.split()[0] in line
    assert "does not go with --in-browser" in line


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    program = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"fastapi", "uvicorn", "starlette", "websockets"}:
            raise ModuleNotFoundError(f"no {name}", name=name)
sys.meta_path.insert(0, Block())
from fedfr_edge.cli import main
sys.exit(main(sys.argv[1:]))
"""
    options = ["serve", "--model", str(served["MODEL"]), "--gallery", str(tmp_path / "g")]
    done = subprocess.run(
        [sys.executable, "-c", program, *options], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr == "error: fastapi is not installed; run: pip install 'fedfr-edge[web]'\n"
