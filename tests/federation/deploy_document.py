"""``docs/deploy.md`` as something that can be run: its blocks, with this test's folders, ports and names.

A block's info string says where it belongs: ``bash server``, ``bash client`` (``background``: a process that
goes on), ``bash root`` (not run), ``toml server /path``.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from test_flwr_run import WATCH

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "apps" / "deploy"
BIN = Path(sys.executable).parent
_BLOCK = re.compile(r"^```(\w+) ([^\n]+)\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    language: str
    where: str
    rest: str
    text: str


def blocks() -> list[Block]:
    text = (ROOT / "docs" / "deploy.md").read_text()
    found = [
        Block(language, *f"{where} ".split(" ", 1), text=body)  # type: ignore[misc]
        for language, where, body in _BLOCK.findall(text)
    ]
    # No block may hide from the test.
    assert len(found) * 2 == len(re.findall(r"^```", text, re.M))
    return found


@dataclass(frozen=True)
class Machine:
    """One of the document's machines: ``/etc/fedfr`` and ``/var/lib/fedfr`` are folders of its own.

    ``name`` is put in place of the document's ``client-00``, ``ports`` in place of its ports.
    """

    folder: Path
    name: str
    ports: dict[str, int]

    @property
    def etc(self) -> Path:
        return self.folder / "etc"

    @property
    def var(self) -> Path:
        return self.folder / "var"

    def prepare(self) -> Machine:
        self.etc.mkdir(parents=True)
        self.var.mkdir()
        (self.folder / "watch").mkdir()
        (self.folder / "watch" / "sitecustomize.py").write_text(WATCH)
        return self

    def here(self, text: str) -> str:
        text = text.replace("/etc/fedfr", str(self.etc)).replace("/var/lib/fedfr", str(self.var))
        text = text.replace("fedfr.example.org", "localhost").replace("client-00", self.name)
        for port, mine in self.ports.items():
            assert port in (*self.ports, *map(str, range(1, 10000)))
            text = re.sub(rf"\b{port}\b", str(mine), text)
        return text

    def environment(self) -> dict[str, str]:
        """A new shell's: nothing of Flower's is set, the commands see to that themselves."""
        bare = {key: value for key, value in os.environ.items() if not key.startswith("FLWR_")}
        return {
            **bare,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(self.folder / "watch"), os.environ.get("PYTHONPATH")])
            ),
            "WATCHED": str(self.folder / "watched"),
            "HOME": str(self.folder),
            "OMP_NUM_THREADS": "1",
        }

    def run(self, script: str, status: int = 0) -> str:
        """Run a block to its end; its output."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.here(script)],
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def start(self, script: str) -> subprocess.Popen[bytes]:
        """Start a block that goes on; its output goes to ``output``."""
        (command,) = self.here(script).strip().splitlines()
        with self.output.open("ab") as file:
            return subprocess.Popen(
                command.split(),
                env=self.environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> Path:
        return self.folder / "output"

    def said(self) -> str:
        """What its background commands have printed so far."""
        return self.output.read_text() if self.output.exists() else ""

    def processes(self, name: str = "") -> dict[int, str]:
        """All processes that run on it: pid -> command line; only those whose command line has ``name``."""
        mark, found = f"HOME={self.folder}\0".encode(), {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes():
                    command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if name in command:
                        found[int(process.name)] = command
            except OSError:
                continue  # it has ended, or is another user's
        return found

    def power_cut(self) -> None:
        """End all processes that run on it at once, none of which can do anything about it."""
        # One may start another between two looks.
        while found := self.processes():
            for pid in found:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.02)
