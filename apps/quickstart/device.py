"""The device's part: enrol one client's people from photographs, then let some people try to log in."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedfr_edge.errors import VisionError
from fedfr_edge.types import Image

from .. import console
from . import steps
from .steps import CLIENT, Places

if TYPE_CHECKING:
    from fedfr_edge.recognition.login import Decision

    from ..commands.quickstart import QuickstartConfig

ENROLMENT_PHOTOS = 4
ATTEMPTS_EACH = 1
STRANGERS = 12


@dataclass(frozen=True)
class Attempt:
    """One login: who really tried, with what, and the answer."""

    who: str
    photo: Path
    expected: bool
    decision: Decision

    @property
    def right(self) -> bool:
        """Let in as the person that they are, or kept out as a stranger."""
        person = self.decision.person
        return person.name == self.who if self.expected and person else not self.expected and person is None


@dataclass(frozen=True)
class Visit:
    """All attempts at one device.

    Attributes:
        attempts: in the order of trying.
        gallery: the encrypted gallery.
        rests_on: what the threshold rests on, in words.
        photographs: whole photographs were detected and aligned; else faces came aligned.
    """

    attempts: tuple[Attempt, ...]
    gallery: Path
    rests_on: str
    photographs: bool

    def count(self, expected: bool) -> tuple[int, int]:
        """``(right, all)`` of the genuine (True) or the strangers' (False) attempts."""
        of_kind = [attempt for attempt in self.attempts if attempt.expected == expected]
        return sum(attempt.right for attempt in of_kind), len(of_kind)

    @property
    def as_it_should_be(self) -> bool:
        """More than half of the genuine attempts, and more than half of the strangers', decided rightly."""
        return all(2 * right > every for right, every in (self.count(True), self.count(False)))


def play(config: QuickstartConfig, places: Places) -> Visit:
    """Enrol the people of one client with its exported model, then log in: they, and strangers."""
    _, split = steps.open_data(places)
    people = split.clients[CLIENT]
    clients = [client for client in split.clients if client != CLIENT]
    strangers = [name for client in clients for name in split.clients[client]][:STRANGERS]
    steps.heading(8, f"The device of {CLIENT}: enrol its people, then let them and strangers try")

    # A gallery belongs to one model: a run that was gone on with has a newer one.
    folder = places.out / "device"
    shutil.rmtree(folder, ignore_errors=True)
    photos = _Photos(config, places)
    gallery, model = folder / "gallery.fedfr", places.exported / f"personal-{CLIENT}.onnx"
    common: dict[str, Any] = {"model": model, "gallery": gallery, "aligned": photos.aligned or None}
    far = _strictest_far(model)
    for name in people:
        paths = photos.save(folder / "enrol" / name, name, "train", ENROLMENT_PHOTOS)
        try:
            steps.command("enrol", photos=(paths[0].parent,), name=name, **common)
        except VisionError as error:  # a failure to enrol one person does not end the visit
            console.out.print(f"{name} is not enrolled: {error}")

    attempts, rests_on = [], ""
    tries = [(name, True, ATTEMPTS_EACH) for name in people] + [(name, False, 1) for name in strangers]
    for name, expected, times in tries:
        for path in photos.save(folder / "try" / name, name, "test", times):
            # A row of strangers would pause every login.
            decision = steps.command(
                "login", function="decide", photos=(path,), far=far, lockout=False, **common
            )
            attempts.append(Attempt(name, path, expected, decision))
            rests_on = decision.rests_on
            console.out.print(_line(attempts[-1]))
    return Visit(tuple(attempts), gallery, rests_on, not photos.aligned)


def _strictest_far(model: Path) -> float:
    """A stranger has as many chances as people are enrolled, so each chance should be small."""
    from fedfr_edge.recognition.encoder import OnnxEncoder

    return min(record.far for record in OnnxEncoder(model).manifest.thresholds)


def _line(attempt: Attempt) -> str:
    decision = attempt.decision
    score = "no face compared" if decision.score is None else f"score {decision.score:.3f}"
    answer = f"let in as {decision.person.name}" if decision.person else f"kept out ({decision.reason.value})"
    mark = "" if attempt.right else "   ← wrong"
    return f"{attempt.who}: {answer}, {score}, threshold {decision.threshold:.3f}{mark}"


class _Photos:
    """Photographs of people of the store: rendered scenes, or the store's own aligned faces."""

    def __init__(self, config: QuickstartConfig, places: Places) -> None:
        self.aligned = places.data is not None
        self._seed = config.seed
        self._store, self._split = steps.open_data(places)

    def save(self, folder: Path, name: str, part: str, count: int) -> list[Path]:
        """Write ``count`` photographs of ``name`` as PNG files.

        Args:
            folder: made if it is not there.
            name: identity of the store.
            part: "train" or "test"; their photographs differ.
            count: how many.
        """
        from fedfr_edge.data.sheet import save_png

        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{part}-{number}.png" for number in range(count)]
        for number, path in enumerate(paths):
            save_png(self._picture(name, part, number), path)
        return paths

    def _picture(self, name: str, part: str, number: int) -> Image:
        if self.aligned:
            names = (self._split.train if part == "train" else self._split.test)[name]
            row = self._store.row_of(names[number % len(names)])
            assert row is not None
            return np.array(self._store.images[row])
        from fedfr_edge.data.synth.scene import render_portrait_scene

        # Photographs that no store holds: numbers behind those of the store's images.
        start = 1000 if part == "train" else 2000
        return render_portrait_scene(identity_number(name), start + number, self._seed).image


def identity_number(name: str) -> int:
    """The renderer's number of a synthetic identity, from its name in the store."""
    return int(name.rsplit("-", 1)[1])
