"""``fedfr login --pam`` through the real pam_exec, by services in a folder of our own."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest

from fedfr_edge.apps import pam
from fedfr_edge.cli import main
from fedfr_edge.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
FEDFR = Path(sys.executable).with_name("fedfr")
HERE = Path(__file__).parent

films = runpy.run_path(str(HERE / "films.py"))
service = runpy.run_path(str(HERE / "pam_service.py"))
needs_pam = pytest.mark.skipif(service["missing"]() is not None, reason=str(service["missing"]()))


@dataclass
class Door:
    """A gallery with Ana in it, films of her and of a stranger, and PAM services over them."""

    folder: Path

    @property
    def gallery(self) -> Path:
        return self.folder / "door.fedfr"

    def film(self, who: str) -> Path:
        return self.folder / f"{who}.avi"

    def command(self, who: str, *more: str) -> str:
        """What stands behind ``pam_exec.so`` in a service."""
        return (
            f"{FEDFR} login --pam --threads 1 "
            f"--model {ROOT / 'models' / 'synthetic.onnx'} --gallery {self.gallery} --video {self.film(who)} "
            + " ".join(more or ("--seconds", "20"))
        )

    def write(self, *lines: str) -> None:
        self.write_stack("".join(f"auth {line}\n" for line in lines))

    def write_stack(self, stack: str) -> None:
        (self.folder / "services").mkdir(exist_ok=True)
        (self.folder / "services" / "door").write_text(stack)

    def documented(self, number: int, film: str, password: str) -> str:
        """A stack of docs/pam.md with what is here in the place of what it names."""
        blocks = re.findall(r"^```\n(auth .*?)^```$", (ROOT / "docs" / "pam.md").read_text(), re.M | re.S)
        stack: str = re.sub(
            r"/opt/fedfr/bin/fedfr login --pam.*?(?=\n(?:auth|@))",
            self.command(film),
            blocks[number],
            flags=re.S,
        )
        for old, new in (
            ("/opt/fedfr/bin/fedfr", str(FEDFR)),
            ("/var/lib/fedfr/door.key", f"{self.gallery}.key"),
            ("/var/lib/fedfr/door", str(self.gallery)),
            ("pam_unix.so", password),
            ("@include common-auth", f"auth required {password}"),
        ):
            stack = stack.replace(old, new)
        return stack

    def ask(self, user: str, host: str | None = None) -> dict[str, Any]:
        arguments = [str(self.folder / "services"), "door", user, *([] if host is None else [host])]
        done = subprocess.run(
            [sys.executable, HERE / "pam_service.py", *arguments], capture_output=True, text=True, timeout=90
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def log(self) -> list[dict[str, Any]]:
        lines = (self.gallery / "audit.jsonl").read_text().splitlines()
        return [entry for entry in map(json.loads, lines) if entry["event"] == "login"]

    def fail(self, times: int) -> None:
        """Count failures without the seconds that each would take."""
        from fedfr_edge.recognition.capture import Reason
        from fedfr_edge.recognition.decision import Decision
        from fedfr_edge.recognition.keys import KeyFile
        from fedfr_edge.recognition.vault import Vault

        with Vault.open(self.gallery, KeyFile(Path(f"{self.gallery}.key"))) as vault:
            for _ in range(times):
                vault.record(Decision(False, Reason.NOT_RECOGNISED, None, 0.1, 0.5, 1, ""))

    def unlock(self) -> None:
        assert main(["gallery", "unlock", "--gallery", str(self.gallery)]) == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Door:
    folder = tmp_path_factory.mktemp("door")
    (folder / "ana").mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / "ana" / f"{number}.png"), films["portrait"](0, number)[:, :, ::-1])
    door = Door(folder)
    model = str(ROOT / "models" / "synthetic.onnx")
    assert main(["enrol", "--model", model, "--gallery", str(door.gallery), str(folder / "ana")]) == 0
    for who, picture in (
        ("ana", films["portrait"](0, 7)),
        ("stranger", films["portrait"](1, 7)),
        ("grey", films["nobody"]()),
    ):
        films["write_film"](door.film(who), [picture], hold=5)
    return door


@pytest.fixture
def door(made: Door) -> Door:
    """The door, with no failures counted."""
    made.unlock()
    return made


@needs_pam
def test_the_right_face_opens_and_says_so(door: Door) -> None:
    door.write(f"required pam_exec.so quiet stdout {door.command('ana')}")
    answer = door.ask("ana")
    assert (answer["code"], answer["said"]) == (0, ["accepted"])
    assert door.log()[-1]["reason"] == "accepted"


@needs_pam
def test_nobody_learns_who_is_enrolled(door: Door) -> None:
    """A stranger who claims to be Ana; a stranger, and Ana herself, who claim to be somebody unknown."""
    told = []
    for film, user in (("stranger", "ana"), ("stranger", "bob"), ("ana", "bob"), ("ana", "x" * 250)):
        door.write(f"required pam_exec.so quiet stdout {door.command(film)}")
        answer = door.ask(user)
        logged = {key: door.log()[-1].get(key) for key in ("reason", "person", "subject")}
        told.append((answer["code"], answer["said"], logged))
    assert all(each == told[0] for each in told), told
    assert told[0][0] != 0
    assert told[0][1] == ["refused"]
    # They count as failures alike: after the fifth it pauses, for Ana too.
    door.fail(1)
    door.write(f"required pam_exec.so quiet stdout {door.command('ana')}")
    assert door.ask("ana")["said"] == door.ask("bob")["said"] == ["paused"]


@needs_pam
def test_the_documented_line(door: Door) -> None:
    """pam_permit and pam_deny stand for a right and a wrong password."""
    for film, password, lets_in in (
        ("ana", "pam_deny.so", True),
        ("stranger", "pam_permit.so", True),
        ("stranger", "pam_deny.so", False),
    ):
        stack = door.documented(0, film, password)
        assert stack.startswith("auth  sufficient  pam_exec.so quiet /")
        door.write_stack(stack)
        assert (door.ask("ana")["code"] == 0) == lets_in, stack


@needs_pam
def test_the_documented_stack_unlocks_after_the_password(door: Door) -> None:
    def asked(film: str, password: str) -> int:
        door.write_stack(door.documented(1, film, password))
        return int(door.ask("ana")["code"])

    assert asked("ana", "pam_deny.so") == 0
    door.fail(4)
    assert asked("stranger", "pam_deny.so") != 0
    assert asked("ana", "pam_deny.so") != 0
    assert door.log()[-1]["reason"] == "locked"
    assert asked("stranger", "pam_permit.so") == 0
    assert asked("ana", "pam_deny.so") == 0


@needs_pam
def test_nothing_before_the_camera(door: Door) -> None:
    door.write(f"required pam_exec.so quiet stdout {door.command('grey')}")
    answer = door.ask("ana")
    assert answer["code"] != 0
    assert answer["said"] == ["refused"]
    assert door.log()[-1]["reason"] == "no_face"


@needs_pam
def test_it_ends_in_time_though_the_camera_hangs(door: Door) -> None:
    """A pipe that nobody writes to: opening it hangs, as a camera's driver can."""
    os.mkfifo(door.folder / "hangs.avi")
    door.write(f"required pam_exec.so quiet stdout {door.command('hangs', '--seconds', '3')}")
    answer = door.ask("ana")
    assert answer["code"] != 0
    assert answer["said"] == []
    assert answer["seconds"] < 4


@needs_pam
def test_it_ends_in_time_though_the_gallery_is_held(door: Door) -> None:
    from fedfr_edge.file_lock import FileLock
    from fedfr_edge.recognition.vault_files import take_lock

    lock: FileLock = take_lock(door.gallery)
    try:
        door.write(f"required pam_exec.so quiet stdout {door.command('ana', '--seconds', '3')}")
        answer = door.ask("ana")
    finally:
        lock.release()
    assert answer["code"] != 0
    assert answer["seconds"] < 4


@needs_pam
def test_a_login_from_another_machine_is_not_looked_at(door: Door) -> None:
    before = len(door.log())
    door.write(f"required pam_exec.so quiet stdout {door.command('ana')}")
    answer = door.ask("ana", host="192.0.2.7")
    assert answer["code"] != 0
    assert "from another machine" in answer["said"][0]  # standard error goes where "stdout" says, too
    assert len(door.log()) == before
    assert door.ask("ana", host="localhost")["code"] == 0


def run(door: Door, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command itself, in this environment and no other."""
    return subprocess.run(
        [
            *(FEDFR, "login", "--pam", "--threads", "1", "--seconds", "20", "--gallery", door.gallery),
            *("--model", ROOT / "models" / "synthetic.onnx", *arguments),
        ],
        env=environment,
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_an_empty_environment_is_enough(door: Door) -> None:
    """No HOME, no PATH, no locale."""
    done = run(door, {"PAM_USER": "ana"}, "--video", str(door.film("ana")))
    assert (done.returncode, done.stdout, done.stderr) == (pam.ACCEPTED, "accepted\n", "")


def test_each_answer_has_its_exit_status(door: Door) -> None:
    environment = {"PAM_USER": "ana", "PAM_TYPE": "auth"}
    film = ["--video", str(door.film("stranger"))]
    door.fail(4)
    done = run(door, environment, *film)
    assert (done.returncode, done.stdout, done.stderr) == (pam.REFUSED, "refused\n", "")
    done = run(door, environment, *film)
    assert (done.returncode, done.stdout, done.stderr) == (pam.PAUSED, "paused\n", "")
    door.unlock()
    for change, more, message in (
        ({"PAM_USER": ""}, film, "no PAM_USER is set"),
        ({"PAM_TYPE": "session"}, film, "called for 'session', expected 'auth'"),
        ({}, [*film, "--name", "ana"], "contradict --pam"),
        ({}, [*film, "--no-lockout"], "contradict --pam"),
        ({}, [*film, "--key", "passphrase"], "with --pam use a key file"),
        ({}, [str(door.film("ana"))], "photographs are given, expected --camera INDEX"),
        ({}, ["--camera", "63"], "there is no camera 63"),
        ({}, ["--video", "/none.avi"], "does not exist"),
    ):
        done = run(door, {**environment, **change}, *more)
        assert (done.returncode, done.stdout) == (pam.FAILED, ""), message
        assert message in done.stderr
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1


def test_who_logs_in_is_whom_pam_names() -> None:
    assert pam.user_of({"PAM_USER": "ana"}) == "ana"
    with pytest.raises(ConfigError, match="another machine"):
        pam.user_of({"PAM_USER": "ana", "PAM_RHOST": "192.0.2.7"})


def test_it_knows_how_long_it_has_been_running() -> None:
    began = time.monotonic()
    program = "import time; from fedfr_edge.apps import pam; time.sleep(0.5); print(pam.running_for())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert 0.5 <= float(done.stdout) <= time.monotonic() - began + 0.05
