"""nginx in front of a SuperLink, with the file that the package ships but for its paths, ports and name."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from deploy_document import DEPLOY, Machine
from test_flwr_run import wait_for_port

NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed: the proxy is not tested")


@contextmanager
def nginx(server: Machine, proxy: int, link: int) -> Iterator[None]:
    """The proxy of ``server``, whose certificates are there, on port ``proxy`` before port ``link``."""
    folder = server.folder / "nginx"
    folder.mkdir()
    door = Machine(server.folder, "-", {"8443": proxy, "8000": link})
    (folder / "fedfr.conf").write_text(door.here((DEPLOY / "nginx-fedfr.conf").read_text()))
    places = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log stderr; worker_processes 1;\n"
        + ("user root;\n" if os.geteuid() == 0 else "")
        + f"events {{}}\nhttp {{ access_log {folder}/access.log; {places} include {folder}/fedfr.conf; }}\n"
    )
    command = [str(NGINX), "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", "stderr"]
    with (folder / "output").open("wb") as output:
        checked = subprocess.run([*command, "-t"], stderr=output, check=False).returncode
        assert checked == 0, (folder / "output").read_text()
        process = subprocess.Popen(command, stderr=output)
    try:
        wait_for_port(proxy)
        yield
    finally:
        process.terminate()
        process.wait(20)


def ask(server: Machine, proxy: int, path: str, method: str = "POST", size: int = 0) -> int:
    """HTTP status of a request of ``size`` bytes through the proxy."""
    trust = ssl.create_default_context(cafile=str(server.etc / "ca.crt"))
    request = urllib.request.Request(f"https://localhost:{proxy}{path}", data=bytes(size), method=method)
    try:
        with urllib.request.urlopen(request, context=trust, timeout=20) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        with error:
            return int(error.code)
