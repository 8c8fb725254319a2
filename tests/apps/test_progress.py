"""Nested progress, as a log file and as a terminal show it."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console
from small_terminal import SmallTerminal

from fedfr_edge.apps import console
from fedfr_edge.apps.progress import Ledger, Work, clock_text
from fedfr_edge.types import Progress


class Notes:
    """A display that remembers what is on it."""

    def __init__(self) -> None:
        self.shown: dict[str, Work] = {}
        self.ended: list[str] = []

    def begin(self, work: Work) -> None:
        assert work.what not in self.shown
        self.shown[work.what] = work

    def update(self, work: Work) -> None:
        assert self.shown[work.what] is work

    def end(self, work: Work) -> None:
        self.ended.append(work.what)
        del self.shown[work.what]


def a_round(progress: Progress, number: int, done: int, clients: tuple[str, ...] = ("anna", "bo")) -> None:
    """What the server and in-process clients say during one round."""
    for place, client in enumerate(clients):
        progress("clients", done + place, 4)
        who = f"{client}, round {number}"
        for block in (1, 2):
            progress(f"mining {who}", block, 2)
        for epoch in (1, 2):
            for step in (1, 2, 3):
                progress(f"steps {who}", (epoch - 1) * 3 + step, 6)
            progress(f"epochs {who}", epoch, 2)
    progress("clients", done + len(clients), 4)
    progress("rounds", number, 2)


def test_inner_works_come_and_go_within_outer_ones() -> None:
    notes = Notes()
    ledger = Ledger(notes)
    ledger("rounds", 0, 2)
    ledger("clients", 0, 4)
    ledger("steps anna, round 1", 2, 6)
    ledger("mining bo, round 1", 1, 2)  # at the same time, in another process
    order = sorted(notes.shown.values(), key=lambda work: work.place)
    assert [work.label for work in order] == ["rounds", "  clients", "    anna steps", "    bo mining"]
    ledger("mining bo, round 1", 2, 2)
    assert list(notes.shown) == ["rounds", "clients", "steps anna, round 1"]
    ledger("steps anna, round 1", 6, 6)
    assert list(notes.shown) == ["rounds", "clients"]
    # A client that fails leaves its bars behind; the end of the round takes them away.
    ledger("steps bo, round 1", 1, 6)
    ledger("epochs bo, round 1", 1, 2)
    ledger("rounds", 1, 2)
    assert list(notes.shown) == ["rounds", "clients"]
    # And so does its next round.
    ledger("steps bo, round 2", 1, 6)
    ledger("steps bo, round 3", 1, 6)
    assert list(notes.shown) == ["rounds", "clients", "steps bo, round 3"]


def test_time_left_counts_the_steps_of_clients_at_work() -> None:
    now = 100.0
    notes = Notes()
    ledger = Ledger(notes, clock=lambda: now)
    ledger("rounds", 3, 5)
    ledger("clients", 0, 4)
    rounds, clients = notes.shown["rounds"], notes.shown["clients"]
    assert ledger.left(rounds) is None  # nothing is known yet
    ledger("steps anna, round 4", 0, 10)
    now = 110.0
    ledger("steps anna, round 4", 5, 10)
    # Half a client of four in ten seconds: three and a half are left.
    assert ledger.left(rounds) == ledger.left(clients) == pytest.approx(70.0)
    assert ledger.left(notes.shown["steps anna, round 4"]) == pytest.approx(10.0)
    now = 120.0
    ledger("steps anna, round 4", 10, 10)
    assert ledger.left(rounds) == pytest.approx(60.0)  # its steps are done, though nobody counts it yet
    ledger("clients", 1, 4)
    assert ledger.left(rounds) == pytest.approx(60.0)  # and it is not counted twice
    ledger("clients", 4, 4)
    assert ledger.left(rounds) == 0.0


def test_a_resumed_run_is_not_judged_by_rounds_that_another_start_did() -> None:
    now = 0.0
    notes = Notes()
    ledger = Ledger(notes, clock=lambda: now)
    ledger("rounds", 8, 10)
    now = 30.0
    ledger("rounds", 9, 10)
    assert ledger.left(notes.shown["rounds"]) == pytest.approx(30.0)


def test_several_threads_may_report_at_once() -> None:
    notes = Notes()
    ledger = Ledger(notes)

    def client(name: str) -> None:
        for number in range(1, 30):
            for step in range(1, 6):
                ledger(f"steps {name}, round {number}", step, 5)

    threads = [threading.Thread(target=client, args=(f"client-{k}",)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert notes.shown == {}
    assert len(notes.ended) == 4 * 29


def test_a_log_file_gets_a_line_for_a_client_and_a_round_but_none_for_an_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = io.StringIO()
    monkeypatch.setattr(console, "log", Console(file=file, highlight=False, markup=False, width=200))
    with console.progress_bars() as progress:
        progress("rounds", 0, 2)
        a_round(progress, 1, 0)
        a_round(progress, 2, 2)
        progress("embedding (Θ_g), round 2", 9, 9)
        progress("import", 5, 5)
    lines = [line.partition(", about")[0] for line in file.getvalue().splitlines()]
    assert lines == [
        "anna, round 1: 6 steps",
        "bo, round 1: 6 steps",
        "rounds: 1/2",
        "anna, round 2: 6 steps",
        "bo, round 2: 6 steps",
        "clients: 4/4",
        "rounds: 2/2",
        "import: 5/5",
    ]
    assert "rounds: 1/2, about 0:00:00 left" in file.getvalue()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Standard output and standard error on one terminal."""
    file = io.StringIO()
    for name, wrap in (("out", True), ("log", False)):
        fake = Console(
            file=file, force_terminal=True, width=80, soft_wrap=wrap, highlight=False, markup=False
        )
        monkeypatch.setattr(console, name, fake)
    return file


def screen(file: io.StringIO) -> list[str]:
    terminal = SmallTerminal()
    terminal.feed(file.getvalue())
    return terminal.shown()


def test_bars_nest_on_a_terminal_and_results_stay_above_them(terminal: io.StringIO) -> None:
    with console.progress_bars() as progress:
        progress("rounds", 0, 2)
        a_round(progress, 1, 0)
        console.out.print("row of round 1")
        progress("clients", 2, 4)
        progress("steps anna, round 2", 1, 6)
        progress("epochs anna, round 2", 1, 2)
        progress("steps bo, round 2", 3, 6)
        console.out.print("a remark")  # draws the bars anew
        shown = screen(terminal)
        assert shown[:2] == ["row of round 1", "a remark"]
        assert [line.split("━")[0].rstrip() for line in shown[2:]] == [
            "rounds",
            "  clients",
            "    anna epochs",
            "    anna steps",
            "    bo steps",
        ]
        assert " 1/2 " in shown[2]
        assert " 2/4 " in shown[3]
        assert " left" in shown[2]
        a_round(progress, 2, 2)
        console.out.print("row of round 2")
    shown = screen(terminal)
    assert shown[:3] == ["row of round 1", "a remark", "row of round 2"]
    assert [line.split("━")[0].rstrip() for line in shown[3:]] == ["rounds", "  clients"]
    assert " 2/2 " in shown[3]
    assert " 4/4 " in shown[4]


def test_an_error_leaves_no_inner_bars_behind(terminal: io.StringIO) -> None:
    def fail() -> None:
        with console.progress_bars() as progress:
            progress("rounds", 0, 2)
            progress("steps anna, round 1", 1, 6)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [line.split("━")[0].rstrip() for line in screen(terminal)] == ["rounds"]
    console.out.print("printed plainly")
    assert screen(terminal)[-1] == "printed plainly"


def test_clock_text() -> None:
    assert [clock_text(seconds) for seconds in (0, 59.4, 61, 36_000)] == [
        "0:00:00",
        "0:00:59",
        "0:01:01",
        "10:00:00",
    ]
