"""``fedfr dashboard`` in a browser: a run that goes on, ends, is gone; runs side by side; files alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from looked_at import faults_of, nameless
from pages import Visit
from playwright.sync_api import Browser, expect
from served import free_port
from written_run import make_run

from fedfr_edge.cli import main
from fedfr_edge.file_lock import FileLock
from fedfr_edge.train.config import TrainConfig

MARKUP = "<img src=x onerror=alert(1)>"
ATTEMPT = {"answered": 1, "expected": 2, "seconds": 1.0, "failed": {"bo": "no answer within 5 s"}}
PHONE = {"viewport": {"width": 360, "height": 640}, "has_touch": True, "is_mobile": True}


class Dashboard:
    """``fedfr dashboard`` as a process of its own, on one port however often it is started."""

    def __init__(self, runs: Path) -> None:
        self.runs, self.port = runs, free_port()
        self.process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> Dashboard:
        command = ["dashboard", str(self.runs), "--port", str(self.port)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from fedfr_edge.cli import run; run()", *command],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "500"},
        )
        assert self.process.stdout is not None
        assert self.address in self.process.stdout.readline()
        return self

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            assert self.process.wait(30) == 0
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    make_run(tmp_path / "runs" / "one", TrainConfig(rounds=4), done=2)
    return tmp_path / "runs"


@pytest.fixture
def dashboard(runs: Path) -> Iterator[Dashboard]:
    made = Dashboard(runs).start()
    yield made
    made.stop()


@pytest.fixture
def look(browser: Browser) -> Iterator[Callable[..., Visit]]:
    made: list[Visit] = []

    def make(address: str, **options: Any) -> Visit:
        made.append(Visit(browser, address, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def write_more(run: Path, done: int) -> None:
    """What a process that trains would have written by then."""
    further = run.with_name(f".{run.name}-{done}")
    make_run(further, TrainConfig(rounds=4), done=done)
    for name in ("checkpoints", "scores.jsonl", "metrics.jsonl"):
        if (further / name).is_dir():
            shutil.copytree(further / name, run / name, dirs_exist_ok=True)
        else:
            (further / name).replace(run / name)
    shutil.rmtree(further)


def test_browser_follows_a_run_to_its_end(
    dashboard: Dashboard, runs: Path, look: Callable[..., Visit]
) -> None:
    here = look(dashboard.address)
    page = here.open()
    badge, rounds = page.locator(".state .badge"), page.locator(".tile", has_text="rounds").locator("b")
    expect(page.locator("h2")).to_have_text("one")
    expect(badge).to_have_text("■ stopped")
    expect(rounds).to_have_text("2/4")
    lock = FileLock(runs / "one" / ".lock")
    assert lock.take(0)
    expect(badge).to_have_text("● running")
    expect(page.get_by_role("status")).to_have_text("one: running")
    write_more(runs / "one", 3)
    expect(rounds).to_have_text("3/4")
    slider = page.get_by_role("slider", name="total L")
    expect(slider).to_have_attribute("aria-valuenow", "3")
    here.shoot("dashboard-running")
    with (runs / "one" / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"round": 4, "unfinished": True, "clients": {}, "attempts": [ATTEMPT]}) + "\n")
    expect(badge).to_have_text("↻ tried again")
    expect(page.locator("[aria-label=Failures] tbody tr").first).to_contain_text("no answer within 5 s")
    here.shoot("dashboard-tried-again")
    write_more(runs / "one", 4)
    lock.release()
    expect(badge).to_have_text("✓ finished")
    dashboard.stop()
    expect(page.locator("#link-text")).to_contain_text("no answer from the dashboard's server since")
    expect(rounds).to_have_text("4/4")
    here.shoot("dashboard-no-answer")
    dashboard.start()
    expect(page.locator("#link-text")).to_contain_text("live")
    shutil.rmtree(runs / "one")
    expect(badge).to_have_text("∅ gone")
    expect(rounds).to_have_text("4/4")
    here.shoot("dashboard-gone")


def test_browser_runs_side_by_side_with_the_keyboard(
    dashboard: Dashboard, runs: Path, look: Callable[..., Visit]
) -> None:
    make_run(runs / MARKUP, TrainConfig(rounds=4, learning_rate=0.5), done=2, seed=7, scored=False)
    here = look(dashboard.address)
    page = here.open()
    expect(page.locator("h2")).to_have_text("2 runs side by side")
    expect(page.locator(".legend li")).to_have_text([MARKUP, "one"])
    assert page.locator("img").count() == 0  # the name is a text
    expect(page.locator(".remarks")).to_contain_text("not every run has scores")
    row = page.locator("[aria-label='Settings and data that differ'] tr", has_text="learning_rate")
    expect(row).to_contain_text("0.5")
    slider = page.get_by_role("slider", name="total L")
    slider.focus()
    page.keyboard.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", f"round 1: {MARKUP} 7.4500, one 6.7500")
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuenow", "2")
    write_more(runs / "one", 3)
    expect(page.locator("#list")).to_contain_text("3/4")
    expect(slider).to_be_focused()  # also after the page was drawn anew, and at the round that was looked at
    expect(slider).to_have_attribute("aria-valuenow", "2")
    box = page.get_by_role("checkbox", name=MARKUP)
    box.focus()
    page.keyboard.press("Space")
    expect(page.locator("h2")).to_have_text("one")
    expect(box).to_be_focused()
    page.reload()
    expect(page.locator("h2")).to_have_text("one")  # the choice is in the address
    page.get_by_label("Clients:").select_option("bo")
    expect(page.get_by_role("slider", name="total L")).to_have_attribute("aria-valuetext", "round 3: bo 7")


@pytest.mark.parametrize(("screen", "scheme"), [("phone", "dark"), ("desk", "light")])
def test_browser_page_as_files(
    runs: Path, tmp_path: Path, look: Callable[..., Visit], screen: str, scheme: str
) -> None:
    make_run(runs / "two", TrainConfig(method="fedavg", rounds=3), done=3, seed=1)
    assert main(["dashboard", str(runs), "--static", str(tmp_path / "page")]) == 0
    size = PHONE if screen == "phone" else {}
    here = look((tmp_path / "page" / "index.html").as_uri(), color_scheme=scheme, **size)
    page = here.open()
    expect(page.locator("#link-text")).to_contain_text("as it was on")
    expect(page.locator(".panel").first).to_be_visible()
    for what in ("two", "one"):
        assert faults_of(page) == {}
        assert nameless(page) == []
        here.shoot(f"dashboard-files-{screen}-{what}")
        page.get_by_role("checkbox", name=what).click()
    assert all(url.startswith(("file:", "data:")) for url in here.requests)
