"""``fedfr enrol`` and ``fedfr login`` from films, folders and webcams."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import runpy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from rich.console import Console

from fedfr_edge.apps import console
from fedfr_edge.cli import main
from fedfr_edge.recognition.challenge import Move
from fedfr_edge.types import Image

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "synthetic.onnx"

films = runpy.run_path(str(Path(__file__).with_name("films.py")))
acting = runpy.run_path(str(ROOT / "tests" / "browser" / "acting.py"))
Pose, frame = acting["Pose"], acting["frame"]
ANA, EVE = 0, 5


@dataclass
class Door:
    """A gallery, and short-hands for the commands; ``ana.avi`` and ``eve.avi`` are films of the two."""

    folder: Path

    @property
    def gallery(self) -> Path:
        return self.folder / "door.fedfr"

    def film(self, name: str) -> Path:
        return self.folder / name

    def run(self, command: str, *arguments: str | Path) -> int:
        common = ["--model", str(MODEL), "--gallery", str(self.gallery), "--threads", "1"]
        return main([command, *common, *map(str, arguments)])

    def log(self) -> list[dict[str, Any]]:
        lines = (self.gallery / "audit.jsonl").read_text().splitlines()
        return [entry for entry in map(json.loads, lines) if entry["event"] == "login"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("door")
    for name, who in (("ana.avi", ANA), ("eve.avi", EVE)):
        sides = [frame(who, Pose(yaw=yaw)) for yaw in (0.0, 12.0, -12.0, 6.0)]
        films["write_film"](folder / name, sides, hold=6)
    return folder


@pytest.fixture
def door(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Door:
    """An empty gallery."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for file in made.iterdir():
        (tmp_path / file.name).symlink_to(file)
    return Door(tmp_path)


@pytest.fixture
def enrolled(door: Door) -> Door:
    """Ana is enrolled from her film."""
    with contextlib.redirect_stdout(io.StringIO()):
        assert door.run("enrol", "--name", "Ana", "--video", door.film("ana.avi")) == 0
    return door


def plug_in(monkeypatch: pytest.MonkeyPatch, capture: Any) -> Any:
    """Put something in the place of OpenCV's camera, not of its films."""
    monkeypatch.setattr("fedfr_edge.apps.webcam.open_camera", capture)
    return capture


# --- films -------------------------------------------------------------------------------------


def test_a_film_enrols_and_logs_in(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    assert door.run("enrol", "--name", "Ana", "--video", door.film("ana.avi")) == 0
    captured = capsys.readouterr()
    assert "enrolled Ana (id " in captured.out
    assert "frames; 1 in" in captured.out
    assert captured.err == ""
    assert "ana.avi" not in (door.gallery / "enrol.toml").read_text()
    assert door.run("login", "--video", door.film("ana.avi"), "--frames", "2/3") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("accepted: Ana\n")
    assert captured.err == ""
    assert door.run("login", "--video", door.film("eve.avi"), "--frames", "2/3", "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["reason"] == "not_recognised"


def test_an_enrolment_as_json(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    both = acting["scene"]([(ANA, Pose(at=0.25)), (EVE, Pose(at=0.75))])
    film = films["write_film"](door.folder / "mixed.avi", [films["nobody"](), frame(ANA), both], hold=9)
    assert door.run("enrol", "--name", "Ana", "--video", film, "--json") == 0
    done = json.loads(capsys.readouterr().out)
    assert done["person"]["name"] == "Ana"
    assert done["people"] == 1
    assert {each["reason"] for each in done["skipped"]} == {"no_face", "several_faces"}
    assert len(done["used"]) + len(done["skipped"]) + len(done["dropped"]) == done["frames"]


def test_a_film_that_shows_nobody(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    film = films["write_film"](door.folder / "grey.mp4", [films["nobody"]()])
    assert door.run("enrol", "--name", "Ana", "--video", film) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "no frame of" in error
    assert not door.gallery.exists()


def test_three_of_five_frames_of_a_film_decide(enrolled: Door, capsys: pytest.CaptureFixture[str]) -> None:
    ana, eve = frame(ANA), frame(EVE)
    for shown, accepted in (((eve, ana, eve, ana, ana), True), ((ana, eve, ana, eve, eve, ana), False)):
        film = films["write_film"](enrolled.folder / "mixed.avi", shown, hold=1)
        assert enrolled.run("login", "--video", film) == (0 if accepted else 1)
        assert capsys.readouterr().out.startswith("accepted: Ana" if accepted else "refused (not_recognised)")


def test_photographs_of_a_folder_are_counted(enrolled: Door, capsys: pytest.CaptureFixture[str]) -> None:
    folder = enrolled.folder / "tries"
    folder.mkdir()
    for number, picture in enumerate((films["nobody"](), frame(EVE), frame(ANA), frame(ANA, Pose(yaw=4.0)))):
        cv2.imwrite(str(folder / f"{number}.png"), picture[:, :, ::-1])
    assert enrolled.run("login", folder) == 1  # the first usable one decides
    assert enrolled.run("login", folder, "--frames", "2/3") == 0
    assert enrolled.run("login", folder, "--frames", "3/3") == 1
    assert [entry["reason"] for entry in enrolled.log()] == ["not_recognised", "accepted", "not_recognised"]
    capsys.readouterr()


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("login", [], "nothing to look at is given"),
        ("login", ["{folder}/ana.avi"], "is a film, not a photograph; give it with --video"),
        ("login", ["{folder}", "--camera", "0"], "both --camera and photographs are given"),
        ("login", ["--video", "{folder}/ana.avi", "--camera", "0"], "both --camera and --video are given"),
        ("login", ["{folder}", "--liveness"], "photographs cannot show that somebody is alive"),
        ("login", ["--video", "{folder}/ana.avi", "--aligned"], "--aligned is for photographs"),
        ("login", ["--video", "{folder}/ana.avi", "--frames", "2"], "expected K/N"),
        ("login", ["--video", "{folder}/ana.avi", "--frames", "3/2"], "expected k of n"),
        ("login", ["--video", "{folder}/ana.avi", "--frames", "2/3", "--liveness"], "leave --frames away"),
        ("login", ["--video", "{folder}/none.avi"], "does not exist, expected a video file"),
        ("login", ["--camera", "63"], "there is no camera 63"),
        ("enrol", ["--name", "Ben", "--camera", "63"], "there is no camera 63"),
        ("enrol", ["--camera", "0"], "give --name"),
        ("enrol", ["--name", "Ben", "{folder}/ana.avi"], "is a film, not a photograph; give it with --video"),
        ("enrol", ["--name", "Ben"], "name files or a folder"),
        ("enrol", ["--name", "Ben", "--camera", "0", "--video", "x.avi"], "more than one is given"),
        (
            "enrol",
            ["--name", "Ben", "--video", "{folder}/ana.avi", "--aligned"],
            "--aligned is for photographs",
        ),
    ],
)
def test_bad_input_is_one_line(
    enrolled: Door, capfd: pytest.CaptureFixture[str], command: str, arguments: list[str], message: str
) -> None:
    assert enrolled.run(command, *[text.format(folder=enrolled.folder) for text in arguments]) == 1
    captured = capfd.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert captured.out == ""


# --- liveness ----------------------------------------------------------------------------------


@pytest.fixture
def two_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the random orders this one."""
    order = (Move.TURN_LEFT, Move.TURN_RIGHT)
    monkeypatch.setattr("fedfr_edge.recognition.session.random_order", lambda moves, rng: order)


def turned(who: int, *sides: int) -> list[Image]:
    """At 15 frames a second: the head held straight, turned to each side in turn, and straight again."""
    yaws = [0] * 9
    for side in sides:
        way = list(range(0, 28, 4))
        yaws += [side * yaw for yaw in (*way, 28, 28, *reversed(way))] + [0] * 9
    return [frame(who, Pose(yaw=float(yaw))) for yaw in yaws]


@pytest.mark.usefixtures("two_turns")
def test_a_film_of_somebody_alive(enrolled: Door, capsys: pytest.CaptureFixture[str]) -> None:
    film = films["write_film"](enrolled.folder / "turns.avi", turned(ANA, 1, -1), hold=1)
    assert enrolled.run("login", "--video", film, "--liveness") == 0, capsys.readouterr()
    assert capsys.readouterr().out.startswith("accepted: Ana\n")
    # The wrong turn, and a film that ends too early.
    for name, side in (("wrong.avi", -1), ("short.avi", 1)):
        film = films["write_film"](enrolled.folder / name, turned(ANA, side), hold=1)
        assert enrolled.run("login", "--video", film, "--liveness") == 1, name
        assert capsys.readouterr().out.startswith("refused (not_live)"), name
    assert [entry["reason"] for entry in enrolled.log()[1:]] == ["not_live"] * 2


# --- webcams -----------------------------------------------------------------------------------


def test_a_webcam_logs_in(
    enrolled: Door, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plug_in(monkeypatch, films["FakeCapture"](itertools.repeat(frame(ANA))))
    assert enrolled.run("login", "--camera", "0", "--frames", "2/2") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("accepted: Ana\n")
    assert captured.err == ""  # no terminal: no line that changes


def test_nobody_before_the_webcam(
    enrolled: Door, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plug_in(monkeypatch, films["FakeCapture"](itertools.repeat(films["nobody"]())))
    began = time.monotonic()
    assert enrolled.run("login", "--camera", "0", "--seconds", "0.6") == 1
    assert time.monotonic() - began < 5
    assert capsys.readouterr().out.startswith("refused (no_face)")


def test_a_webcam_lost_half_way_counts_what_failed(
    enrolled: Door, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def once() -> Iterator[Image]:
        for _ in range(60):
            yield frame(EVE)

    plug_in(monkeypatch, films["FakeCapture"](once()))
    assert enrolled.run("login", "--camera", "0", "--frames", "50/99") == 1
    assert "camera 0 gives no more pictures" in capsys.readouterr().err
    assert [entry["reason"] for entry in enrolled.log()] == ["not_recognised"]


def test_ctrl_c_counts_what_failed(
    enrolled: Door, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from fedfr_edge.apps.sources import Film

    real = Film.frames

    def interrupted(self: Film, seconds: float | None = None) -> Iterator[Any]:
        yield from itertools.islice(real(self, seconds), 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(Film, "frames", interrupted)
    assert enrolled.run("login", "--video", enrolled.film("eve.avi"), "--frames", "5/9") == 130
    assert [entry["reason"] for entry in enrolled.log()] == ["not_recognised"]
    capsys.readouterr()


class Terminal:
    """A terminal of which somebody reads the line that changes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file = io.StringIO()
        screen = Console(file=self.file, force_terminal=True, width=120, highlight=False, markup=False)
        monkeypatch.setattr(console, "log", screen)

    @property
    def newest(self) -> str:
        return self.file.getvalue()[-300:]


class StandIn:
    """What a webcam of OpenCV's does besides giving frames."""

    def isOpened(self) -> bool:
        return True

    def set(self, what: int, value: float) -> bool:
        return True

    def release(self) -> None:
        pass


class Slow(StandIn):
    """A webcam before which nothing changes until the line has said what is wanted of each scene."""

    def __init__(self, terminal: Terminal, scenes: list[tuple[Image, str]]) -> None:
        self.terminal, self.scenes = terminal, scenes

    def __call__(self, index: int) -> Slow:
        return self

    def read(self) -> tuple[bool, Image]:
        time.sleep(0.01)
        if len(self.scenes) > 1 and self.scenes[0][1] in self.terminal.file.getvalue():
            del self.scenes[0]
        return True, np.asarray(cv2.cvtColor(self.scenes[0][0], cv2.COLOR_RGB2BGR), np.uint8)


def test_the_line_says_what_to_do(
    enrolled: Door, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal(monkeypatch)
    scenes = [
        (films["nobody"](), "stand before the camera"),
        ((frame(ANA) * 0.12).astype(np.uint8), "more light on the face"),
        (frame(ANA, Pose(near=0.2)), "come closer"),
        (frame(ANA), ""),
    ]
    plug_in(monkeypatch, Slow(terminal, scenes))
    assert enrolled.run("login", "--camera", "0", "--seconds", "40") == 0
    assert len(scenes) == 1
    assert " s left)" in terminal.file.getvalue()
    assert capsys.readouterr().out.startswith("accepted: Ana\n")


ASKED = {
    "straight": (0.0, 1.0),
    "still": (0.0, 1.0),
    "your left": (1.0, 1.0),
    "your right": (-1.0, 1.0),
    "closer": (0.0, 1.5),
    "nearer": (0.0, 1.5),
    "away": (0.0, 0.7),
}
"""Words of the line -> side to turn to, and how near to be."""


class Obedient(StandIn):
    """A webcam with somebody before it who reads the terminal and does what the line says.

    Time goes on by a twelfth of a second with each picture that is looked at, so that a slow machine sees the
    same as a fast one.

    Args:
        who: the person.
        terminal: what they read.
        turn: degrees that they turn.
        step: degrees from one picture that is looked at to the next.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, who: int, terminal: Terminal, *, turn: float, step: float
    ) -> None:
        from fedfr_edge.apps import webcam

        self.who, self.terminal, self.turn, self.step = who, terminal, turn, step
        self.yaw, self.near = 0.0, 1.0
        self.looked_at, self.acted = 0, 0
        in_order = webcam.rgb

        def looked_at(picture: Any) -> Image:
            self.looked_at += 1
            return in_order(picture)

        monkeypatch.setattr(webcam, "rgb", looked_at)
        clock = SimpleNamespace(monotonic=lambda: self.looked_at / 12, sleep=time.sleep)
        monkeypatch.setattr(webcam, "time", clock)
        monkeypatch.setattr(webcam, "open_camera", lambda index: self)

    def read(self) -> tuple[bool, Image]:
        time.sleep(0.005)
        if self.acted < self.looked_at:
            self.acted = self.looked_at
            side, near = ASKED[max(ASKED, key=self.terminal.newest.rfind)]
            self.yaw += float(np.clip(side * self.turn - self.yaw, -self.step, self.step))
            self.near += float(np.clip(near - self.near, -0.05, 0.05))
        picture = frame(self.who, Pose(yaw=self.yaw, near=round(self.near, 2)))
        return True, np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), np.uint8)


@pytest.mark.long
def test_a_webcam_lets_in_who_follows_the_order(
    enrolled: Door, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Moves in random order, read off the terminal."""
    terminal = Terminal(monkeypatch)
    Obedient(monkeypatch, ANA, terminal, turn=30.0, step=3.0)
    assert enrolled.run("login", "--camera", "0", "--liveness") == 0, terminal.file.getvalue()[-3000:]
    assert "1 of 4: look at the camera and hold still" in terminal.file.getvalue()
    assert capsys.readouterr().out.startswith("accepted: Ana\n")
    Obedient(monkeypatch, EVE, terminal, turn=30.0, step=3.0)
    assert enrolled.run("login", "--camera", "0", "--liveness") == 1
    assert capsys.readouterr().out.startswith("refused (not_recognised)")


def test_a_webcam_enrols_who_follows_the_line(
    door: Door, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal(monkeypatch)
    Obedient(monkeypatch, ANA, terminal, turn=20.0, step=5.0)
    assert door.run("enrol", "--name", "Ana", "--camera", "0", "--looks", "3", "--json") == 0, (
        terminal.file.getvalue()
    )
    done = json.loads(capsys.readouterr().out)
    looks = [*done["used"], *(each["label"] for each in done["dropped"])]
    assert sorted(looks) == ["look 1 (front)", "look 2 (turn_left)", "look 3 (turn_right)"]
    assert "2 of 3 looks: turn your head a little to your right" in terminal.file.getvalue()
    assert door.run("login", "--video", door.film("ana.avi")) == 0
    assert door.run("login", "--video", door.film("eve.avi")) == 1
    capsys.readouterr()


def test_a_webcam_enrolment_that_takes_too_long(
    door: Door, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plug_in(monkeypatch, films["FakeCapture"](itertools.repeat(frame(ANA))))
    assert door.run("enrol", "--name", "Ana", "--camera", "0", "--seconds", "1") == 1
    error = capsys.readouterr().err
    assert "of 5 looks were taken, so nobody was enrolled" in error
    assert error.count("\n") == 1
    assert not door.gallery.exists()
