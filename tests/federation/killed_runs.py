"""Runs of ``fedfr train`` that are killed, and how a finished run is compared with one that was not."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import safetensors
from small_federation import World

HERE = Path(__file__).parent
ROUNDS = 6
"""Rounds of a run; two of the three clients take part in each."""


def arguments(world: World, out: Path, *, processes: int = 1, rounds: int = ROUNDS) -> list[str]:
    """A run by the authors' reading: momentum, a falling learning rate, a random Θ before the first round,
    a share of the clients in each round."""
    return [
        "train",
        *("--pretrained", str(world.pretrained), "--store", str(world.store), "--split", str(world.split)),
        *("--public-store", str(world.public_store), "--out", str(out), "--rounds", str(rounds)),
        *("--profile", "reference", "--participation", "0.67", "--epochs", "4", "--batch-size", "8"),
        *("--mining-threshold", "0", "--learning-rate", "0.01", "--seed", "7", "--no-plot"),
        *("--processes", str(processes)),
    ]


class Killed:
    """Starts the same command again and again and kills it."""

    def __init__(self, command: list[str], out: Path) -> None:
        self.command, self.out = command, out

    def at_point(self, kind: str, what: str, whom: str = "all") -> None:
        """Run until the point (see ``kill_point.py``), which it must reach."""
        program = [str(HERE / "kill_point.py"), kind, what, whom, *self.command]
        process = self._start(program)
        with _group_of(process):
            said = process.communicate(timeout=120)[0]
            if whom == "all":
                assert process.returncode == -signal.SIGKILL, said
            else:
                assert process.returncode == 1, said  # the client's process alone is gone
                assert "was ended by SIGKILL" in said

    def after(self, seconds: float, *, from_start: bool = False) -> bool:
        """Kill the server ``seconds`` after the first client has kept something; False if all was over then.

        Args:
            seconds: how long to let it go on.
            from_start: count from the start of the program.
        """
        before = self._kept()
        process = self._start(["-c", "from fedfr_edge.cli import run; run()", *self.command])
        with _group_of(process):
            end = time.monotonic() + 120
            while not from_start and self._kept() == before and process.poll() is None:
                assert time.monotonic() < end
                time.sleep(0.005)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
            process.kill()
            said = process.communicate(timeout=60)[0]
            assert process.returncode in (0, -signal.SIGKILL), said
            return process.returncode != 0

    def to_the_end(self) -> str:
        """Run the command and let it finish; what it said."""
        process = self._start(["-c", "from fedfr_edge.cli import run; run()", *self.command])
        with _group_of(process):
            said = process.communicate(timeout=300)[0]
            assert process.returncode == 0, said
            return said

    def _kept(self) -> int:
        found = [0]
        for path in self.out.glob("clients/*/round_*.safetensors"):
            with contextlib.suppress(FileNotFoundError):
                found.append(path.stat().st_mtime_ns)
        return max(found)

    def _start(self, program: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *program],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )


@contextlib.contextmanager
def _group_of(process: subprocess.Popen[str]) -> Any:
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def kill_often(command: list[str], out: Path, *, kills: int, within: float, seed: int) -> int:
    """Kill the command at ``kills`` random moments of its work, then let it finish; how often it was hit."""
    chance = random.Random(seed)
    runs = Killed(command, out)
    moments = []
    for _ in range(kills):
        # One in five is counted from the program's start: into its imports, its opening of the run.
        early = chance.random() < 0.2
        moments.append((chance.uniform(0, 4.0 if early else within), early))
        if not runs.after(moments[-1][0], from_start=early):
            moments.pop()
            break
    print(f"seed {seed}: killed after {moments}")
    runs.to_the_end()
    return len(moments)


def content(out: Path) -> dict[str, Any]:
    """All of a finished run that the seed decides: file -> its arrays and header, or its text."""
    found: dict[str, Any] = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if path.suffix == ".safetensors":
            with safetensors.safe_open(path, framework="numpy") as file:
                header = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
                for part in header.values():
                    part.pop("federation", None)  # drawn anew for each run
                arrays = {key: file.get_tensor(key).tobytes() for key in file.keys()}  # noqa: SIM118
            found[name] = (header, arrays)
        elif path.name == "metrics.jsonl":
            found[name] = [_without_times(json.loads(line)) for line in path.read_text().splitlines()]
        elif path.is_file():
            found[name] = None
    return found


def _without_times(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: _without_times(value) for key, value in item.items() if key != "seconds"}
    return item


def assert_same_run(out: Path, expected: Path) -> None:
    one, other = content(out), content(expected)
    assert one.keys() == other.keys()  # and so no temporary file is left
    for name, part in one.items():
        assert part == other[name], f"{name} differs"
