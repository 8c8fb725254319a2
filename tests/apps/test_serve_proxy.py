"""nginx before the server, configured as docs/serve.md says but for paths and ports."""

from __future__ import annotations

import contextlib
import json
import os
import re
import runpy
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from websockets.sync.client import connect
from websockets.typing import Origin

parts: dict[str, Any] = runpy.run_path(str(Path(__file__).with_name("serve_process.py")))
certificate, free_port, jpeg = parts["certificate"], parts["free_port"], parts["jpeg"]

NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
NAME = "localhost"


@contextlib.contextmanager
def proxy(folder: Path, pem: tuple[Path, Path], port: int, behind: int) -> Iterator[None]:
    """The block of the documentation as a running nginx."""
    text = (Path(__file__).parents[2] / "docs" / "serve.md").read_text()
    found = re.search(r"```nginx\n(.*?)```", text, re.DOTALL)
    assert found is not None
    server = found[1]
    for written, here in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("door.example.org", NAME),
        ("/etc/ssl/door.pem", str(pem[0])),
        ("/etc/ssl/door.key", str(pem[1])),
        ("127.0.0.1:8620", f"127.0.0.1:{behind}"),
    ):
        assert written in server
        server = server.replace(written, here)
    folder.mkdir()
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {folder / kind};\n" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off;\npid {folder / 'pid'};\n"
        + ("user root;\n" if os.geteuid() == 0 else "")
        + f"events {{}}\nhttp {{\naccess_log off;\n{places}{server}}}\n"
    )
    command = [str(NGINX), "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", "stderr"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 20
        while True:
            assert process.poll() is None, process.communicate()[1]
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed: the proxy is not tested")
def test_through_the_proxy_of_the_documentation(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    port = free_port()
    options = ("--host-name", NAME, "--proxy", "127.0.0.1")
    behind = free_port()
    context = ssl.create_default_context(cafile=str(certificate[0]))
    home = f"https://{NAME}:{port}"
    parts["seed_gallery"](tmp_path, "Ana")
    with (
        parts["running"](tmp_path, *options, port=behind),
        proxy(tmp_path / "nginx", certificate, port, behind),
    ):
        with urllib.request.urlopen(f"{home}/api/info", context=context) as answer:
            csrf, cookie = json.load(answer)["csrf"], answer.headers["Set-Cookie"]
        assert "Secure" in cookie
        headers = {"Cookie": cookie.partition(";")[0]}
        with connect(
            f"wss://{NAME}:{port}/api/camera", ssl=context, additional_headers=headers, origin=Origin(home)
        ) as camera:
            camera.send(json.dumps({"kind": "login", "csrf": csrf}))
            camera.send(jpeg())
            assert json.loads(camera.recv(timeout=20))["faces"] == 0
        request = urllib.request.Request(
            f"{home}/api/photo?kind=login", bytes(14_000_000), {**headers, "X-CSRF": csrf}
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, context=context)
        assert refused.value.code == 422  # it reached the server, which finds that it is no image
        refused.value.close()
