"""``fedfr serve`` as a process of its own, with people enrolled beforehand."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import cv2
from acting import FRONT, Pose, frame

from fedfr_edge.cli import main

MODEL = Path(__file__).parents[2] / "models" / "synthetic.onnx"
"""The model that the package ships; it was trained on rendered people."""

ANA, BEN, EVE = 3, 1, 5
"""Numbers of rendered people whom that model tells apart well."""

LOOKS = (FRONT, Pose(yaw=12), Pose(yaw=-12), Pose(pitch=8), Pose(near=1.3))
START_SECONDS = 90


class Served:
    """A server with its gallery, which stays where the server is stopped and started.

    Args:
        folder: for the gallery, its key and what the server writes.
        options: of ``fedfr serve``, beside model, gallery and port.
        gallery: the server decides; else options say what it does.
        model: the exported model.
    """

    def __init__(self, folder: Path, *options: str, gallery: bool = True, model: Path = MODEL) -> None:
        self.folder = folder
        self.model = model
        self.gallery = folder / "gallery"
        self.options = ("--gallery", str(self.gallery), *options) if gallery else options
        self.port = free_port()
        self.operator = ""
        self.process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://127.0.0.1:{self.port}/"

    def enrol(self, name: str, person: int, looks: Sequence[Pose] = LOOKS) -> None:
        """Enrol somebody with ``fedfr enrol``."""
        photos = self.folder / f"photos-{person}"
        photos.mkdir(exist_ok=True)
        for number, pose in enumerate(looks):
            cv2.imwrite(str(photos / f"{number}.png"), frame(person, pose)[:, :, ::-1])
        self.enrol_from(name, [photos])

    def enrol_from(self, name: str, photos: Sequence[Path]) -> None:
        """Enrol somebody from photographs with ``fedfr enrol``."""
        common = ["--model", str(self.model), "--gallery", str(self.gallery)]
        assert main(["enrol", *common, "--name", name, *map(str, photos)]) == 0

    def start(self) -> Served:
        """Start it, and wait until it answers."""
        command = [
            "serve",
            "--model",
            str(self.model),
            "--port",
            str(self.port),
            "--threads",
            "1",
            *self.options,
        ]
        log = (self.folder / "serve.log").open("a+")
        with log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from fedfr_edge.cli import run; run()", *command],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "500"},
            )
            assert self.process.stdout is not None
            # Ends the wait below if it never gets ready.
            alarm = threading.Timer(START_SECONDS, self.process.kill)
            alarm.start()
            said = []
            for line in self.process.stdout:
                said.append(line)
                if line.startswith("operator:") or (
                    "--in-browser" in self.options and line.startswith("page:")
                ):
                    break
            else:
                log.seek(0)
                raise AssertionError(f"fedfr serve did not start: {''.join(said)}{log.read()}")
            alarm.cancel()
        found = re.search(r"#operator=\S+", "".join(said))
        self.operator = found.group() if found else ""
        return self

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it, and wait until it is gone."""
        if self.process is None:
            return
        self.process.send_signal(how)
        self.process.communicate(timeout=60)
        self.process = None


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
