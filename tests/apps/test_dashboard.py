"""``fedfr dashboard``: what it reads of runs, what it answers, and the page as files."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from written_run import make_run

from fedfr_edge.apps.dashboard.readings import Reading, Readings
from fedfr_edge.apps.dashboard.server import make_app
from fedfr_edge.apps.dashboard.view import MOST_CURVES, as_json, in_full, in_short
from fedfr_edge.cli import main
from fedfr_edge.errors import ConfigError
from fedfr_edge.file_lock import FileLock
from fedfr_edge.train.config import TrainConfig

MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    make_run(tmp_path / "one", TrainConfig(rounds=3, mining_threshold=0.5), done=3)
    make_run(tmp_path / MARKUP, TrainConfig(method="fedavg", rounds=4), done=2, seed=7, scored=False)
    return tmp_path


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def look(runs: Path) -> dict[str, Reading]:
    return {reading.name: reading for reading in Readings([runs]).look()}


def lines_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def write_lines(run: Path, lines: list[dict[str, Any]]) -> None:
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_the_numbers_are_those_of_the_run(runs: Path) -> None:
    found = in_full(look(runs)["one"])
    assert (found["done"], found["rounds"], found["state"]) == (3, 3, "finished")
    # Three rounds: 40,000 bytes for each of 10 + 30 images up, 90,000 for each of two clients down.
    assert found["traffic"] == {"bytes_up": 3 * 40_000 * 40, "bytes_down": 3 * 2 * 90_000}
    assert found["last"]["loss"] == pytest.approx((10 * 6.0 + 30 * 7.0) / 40)
    assert found["scores"]["[Θ_l, Π_l]"]["best"] == {"round": 3, "value": pytest.approx(0.7)}
    assert found["failures"] == 1
    assert found["failed"] == [{"round": 2, "client": "cleo", "why": "TrainingError"}]
    panels = {panel["title"]: panel for panel in found["panels"]}
    (loss,) = panels["total L (Eq. 7)"]["lines"]
    assert loss["points"] == [[1, pytest.approx(6.75)], [2, pytest.approx(5.75)], [3, pytest.approx(6.75)]]
    assert loss["band"][0] == [1, 6.0, 7.0]
    generic, personal = panels["TAR at FAR 1e-2, %"]["lines"]
    assert generic["points"] == [[0, 45.0], [1, 50.0], [2, 45.0], [3, 40.0]]
    assert [round(value, 9) for _, value in personal["points"]] == [50.0, 60.0, 70.0]
    assert panels["TAR at FAR 1e-3, %"]["lines"][0]["weak"] == [0, 1, 2, 3]  # on three false accepts
    assert panels["traffic a round, MB"]["lines"][0]["points"] == [[1, 1.6], [2, 1.6], [3, 1.6]]
    assert found["each"]["total L (Eq. 7)"][""]["bo"] == [[1, 7.0], [2, 6.0], [3, 7.0]]
    anna, bo, cleo = found["history"]
    assert (anna["client"], anna["answered"], anna["images"], anna["loss"]) == ("anna", 3, 10, 6.0)
    assert (bo["bytes_up"], bo["bytes_down"]) == (3 * 40_000 * 30, 3 * 90_000)
    assert (cleo["answered"], cleo["failed"], cleo["loss"]) == (0, 1, None)
    assert ["mining_threshold", "0.5", "0.4"] in found["departures"]


def test_what_is_the_same_in_two_models_is_marked(runs: Path) -> None:
    lines = [json.loads(line) for line in (runs / "one" / "scores.jsonl").read_text().splitlines()]
    for line in lines[1:]:
        line["models"].append({**line["models"][-1], "name": "again"})
    (runs / "one" / "scores.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    panel = in_full(look(runs)["one"])["panels"][0]
    assert [line["again"] for line in panel["lines"]] == [False, False, True]


def test_runs_of_different_data_differ_in_a_trait(runs: Path) -> None:
    make_run(runs / "three", TrainConfig(rounds=1), done=1, split="6" * 64)
    one, three = (in_full(look(runs)[name])["traits"] for name in ("one", "three"))
    (text,) = [text for text in one if one[text] != three[text]]
    assert text.startswith("the splits differ")


def test_a_curve_for_each_client_is_given_up_where_there_are_too_many(runs: Path) -> None:
    lines = lines_of(runs / "one")
    for line in lines:
        line["clients"] |= {f"c{place}": line["clients"]["anna"] for place in range(MOST_CURVES)}
    write_lines(runs / "one", lines)
    assert in_full(look(runs)["one"])["each"] == {}


def test_states_of_a_run_that_is_worked_on(runs: Path) -> None:
    run = runs / MARKUP
    assert look(runs)[MARKUP].state == "stopped"
    lock = FileLock(run / ".lock")
    assert lock.take(0)
    running = look(runs)[MARKUP]
    assert (running.state, running.text) == ("running", "round 3 of 4 is under way")
    assert in_short(running)["left"] == pytest.approx(2 * (1.5 + 3.0) / 2)
    attempt = {"answered": 1, "expected": 2, "seconds": 1.0, "failed": {"bo": "no answer within 5 s"}}
    write_lines(run, [*lines_of(run), {"round": 3, "unfinished": True, "clients": {}, "attempts": [attempt]}])
    retrying = look(runs)[MARKUP]
    assert retrying.state == "retrying"
    assert "round 3, attempt 1: 1 of at least 2 clients" in retrying.text
    assert in_full(retrying)["failed"][-1] == {
        "round": 3,
        "client": "bo",
        "why": "attempt 1: no answer within 5 s",
    }
    lock.release()
    given_up = look(runs)[MARKUP]
    assert given_up.state == "stopped"
    assert "attempt 1" in given_up.text


def test_a_run_is_followed_until_it_is_gone(runs: Path) -> None:
    clock = Clock()
    readings = Readings([runs], clock)
    (run,) = (reading for reading in readings.look() if reading.name == MARKUP)
    shutil.rmtree(runs / "one")
    make_run(runs / "new", TrainConfig(rounds=2), done=0)
    assert {reading.name: reading.state for reading in readings.look()}["one"] == "finished"  # not asked yet
    clock.now += 1
    found = {reading.name: reading for reading in readings.look()}
    assert {name: reading.state for name, reading in found.items()} == {
        "one": "gone",
        "new": "stopped",
        MARKUP: "stopped",
    }
    assert in_full(found["one"])["done"] == 3  # what was last read of it
    assert found[MARKUP].tag == run.tag
    assert "round" not in as_json(in_full(found["new"])["panels"])  # only its start is there


def test_a_half_written_line_leaves_what_was_read_before(runs: Path) -> None:
    clock = Clock()
    readings = Readings([runs], clock)
    before = {reading.name: reading for reading in readings.look()}["one"]
    whole = (runs / "one" / "metrics.jsonl").read_text()
    (runs / "one" / "metrics.jsonl").write_text(whole[:-20])
    clock.now += 1
    half = {reading.name: reading for reading in readings.look()}["one"]
    assert half.state == "unreadable"
    assert "metrics.jsonl" in half.text
    assert half.tag != before.tag
    assert in_full(half)["panels"] == in_full(before)["panels"]
    (runs / "one" / "metrics.jsonl").write_text(whole)
    clock.now += 1
    assert {reading.name: reading.state for reading in readings.look()}["one"] == "finished"


def test_a_run_that_never_could_be_read_is_in_the_list(runs: Path) -> None:
    (runs / "one" / "metrics.jsonl").write_text("{")
    reading = look(runs)["one"]
    assert in_full(reading) == in_short(reading)
    assert set(in_short(reading)) == {"id", "tag", "name", "path", "state", "text"}


def test_a_run_without_scores_and_one_without_rounds(runs: Path) -> None:
    make_run(runs / "begun", TrainConfig(rounds=2), done=0, scored=False)
    for name in ("begun", MARKUP):
        found = in_full(look(runs)[name])
        assert (found["far"], found["scores"]) == (None, {})
    assert (found["done"], in_full(look(runs)["begun"])["panels"]) == (2, [])


def test_one_run_is_one_however_it_is_named(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs)
    (runs / "link").symlink_to(runs / "one")
    readings = Readings([Path("one"), runs, runs / "link"]).look()
    assert sorted(reading.name for reading in readings) == [MARKUP, "one"]


def test_numbers_that_are_none_become_null() -> None:
    assert as_json({"a": [float("nan"), float("inf"), 1.5, (2,)]}) == '{"a":[null,null,1.5,[2]]}'


def test_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no training run in"):
        Readings([tmp_path])
    with pytest.raises(ConfigError, match="is no folder"):
        Readings([tmp_path / "nowhere"])


class Client:
    """Asks the app itself, without a network."""

    def __init__(self, runs: Path) -> None:
        self._transport = httpx.ASGITransport(make_app(Readings([runs])))

    def request(self, method: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        async def ask() -> httpx.Response:
            base = "http://127.0.0.1:8621"
            async with httpx.AsyncClient(transport=self._transport, base_url=base) as client:
                return await client.request(method, path, headers=headers)

        return asyncio.run(ask())

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return self.request("GET", path, headers)


@pytest.fixture
def client(runs: Path) -> Client:
    return Client(runs)


def test_the_server_answers_and_changes_nothing(client: Client, runs: Path) -> None:
    def stamps() -> dict[Path, tuple[int, int]]:
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(runs.rglob("*"))}

    before = stamps()
    listed = client.get("/api/runs").json()
    assert {run["name"] for run in listed["runs"]} == {"one", MARKUP}
    again = client.get(f"/api/runs?tag={listed['tag']}").json()
    assert set(again) == {"now", "tag"}  # nothing has changed
    assert "runs" in client.get("/api/runs?tag=another").json()
    (one,) = (run for run in listed["runs"] if run["name"] == "one")
    whole = client.get(f"/api/runs/{one['id']}").json()
    assert whole["tag"] == one["tag"]
    assert len(whole["panels"]) > 5
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.request(method, "/api/runs").status_code == 405
    assert stamps() == before


@pytest.mark.parametrize(
    "path", ["/api/runs/nobody", "/nothing.js", "/%2e%2e/pages.py", "/static/../view.py", "/docs"]
)
def test_what_is_not_there_is_said_in_json(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "404"


def test_every_answer_forbids_other_hosts_and_scripts_in_the_page(client: Client) -> None:
    for path in ("/", "/dashboard.js", "/api/runs", "/nothing"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
    assert client.get("/", headers={"host": "elsewhere.example"}).status_code == 421


def page_data(text: str) -> Any:
    assert text.startswith("window.fedfr = ")
    return json.loads(text.removeprefix("window.fedfr = ").removesuffix(";\n"))


def test_the_page_as_files_holds_what_the_server_says(
    client: Client, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path.with_name(tmp_path.name + "-page")
    assert main(["dashboard", str(runs), "--static", str(out)]) == 0
    assert str(out / "index.html") in capsys.readouterr().out
    data = page_data((out / "data.js").read_text())
    assert not data["live"]
    listed = client.get("/api/runs").json()["runs"]
    assert data["runs"] == listed
    assert data["details"] == {run["id"]: client.get(f"/api/runs/{run['id']}").json() for run in listed}
    for file in out.iterdir():
        if file.name != "data.js":
            assert client.get(f"/{file.name}").content == file.read_bytes()
    assert page_data(client.get("/data.js").text)["live"]
    # Again over the same folder, but not over somebody else's files.
    assert main(["dashboard", str(runs), "--static", str(out)]) == 0
    assert main(["dashboard", str(runs), "--static", str(runs)]) == 1
    assert "expected an empty or a new folder" in capsys.readouterr().err


def test_the_page_names_no_other_host_and_holds_no_script(client: Client) -> None:
    page = client.get("/").text
    for name in re.findall(r'(?:src|href)="([^"#]+)"', page):
        assert name == "data:," or client.get(f"/{name}").status_code == 200
        text = "" if name == "data:," else client.get(f"/{name}").text
        assert set(re.findall(r"https?://[^\"'` ]+", text)) <= {"http://www.w3.org/2000/svg"}
        assert "innerHTML" not in text
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert " style=" not in page


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboard", str(tmp_path / "nowhere")]) == 1
    assert "is no folder" in capsys.readouterr().err
    make_run(tmp_path / "one", TrainConfig(rounds=1), done=1)
    assert main(["dashboard", str(tmp_path), "--host", "203.0.113.1"]) == 1
    assert "cannot listen on 203.0.113.1" in capsys.readouterr().err
