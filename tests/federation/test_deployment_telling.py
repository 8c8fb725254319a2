"""What the deployment's commands tell their operators: rounds, attempts, the state, Flower's last words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from small_federation import SPEC
from test_deployment_files import server_values

from fedfr_edge import cli
from fedfr_edge.apps.commands import federation_client, federation_server, federation_status
from fedfr_edge.apps.commands.federation_server import ServerConfig
from fedfr_edge.apps.commands.federation_status import StatusConfig
from fedfr_edge.apps.deploy.events import Events
from fedfr_edge.apps.deploy.programs import tail
from fedfr_edge.apps.runs.summary import client_history
from fedfr_edge.config import resolve, save_config
from fedfr_edge.federation.run_folder import RunFolder
from fedfr_edge.train.backbones.backbone import build_backbone
from fedfr_edge.train.checkpoint import GlobalModel, cpu_state
from fedfr_edge.train.privacy_loss import privacy_text


def test_a_round_is_told_with_its_bytes_its_attempts_and_its_privacy() -> None:
    metrics = {"images": 4, "bytes_up": 2_000_000, "bytes_down": 1_000_000}
    attempt = {
        "answered": 1,
        "expected": 2,
        "failed": {"b": "StoreError"},
        "lost_traffic": {"a": {"bytes_down": 500_000}},
    }
    line = {"round": 3, "clients": {"a": metrics, "b": metrics}, "seconds": 1.25}
    assert federation_server._round_text(line) == ("round 3: 2 clients in 1.2 s, 4.00 MB up and 2.00 MB down")
    spent = {"epsilon": 12.3456, "epsilon_models": 0.5, "delta": 1e-5}
    more = {"attempts": [attempt], "failed": {"c": "out-of-memory"}}
    assert federation_server._round_text(line | spent | more).splitlines() == [
        "round 3: 2 clients in 1.2 s, 4.00 MB up and 2.50 MB down, attempt 2",
        f"  {privacy_text(spent)}",
        "  c left out: out-of-memory",
    ]
    assert federation_server.attempt_text(3, 1, attempt).splitlines() == [
        "round 3, attempt 1: 1 of at least 2 clients",
        "  b left out: StoreError",
    ]


def test_a_round_that_is_being_repeated_is_told_and_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run's folder holds a line of a round that is not done."""
    config = resolve(ServerConfig, "x", None, {**server_values(tmp_path), "port": 1})
    run = RunFolder(config.out)
    start = GlobalModel(SPEC, cpu_state(build_backbone(SPEC, seed=0)), torch.zeros(2, SPEC.dim))
    news = federation_server._News(config.out)
    events = Events(tmp_path / "events.jsonl")
    run.open(start, config.hyper_parameters().resolved(), 0, {})
    metrics = {"images": 4, "bytes_up": 2_000_000, "bytes_down": 1_000_000}
    start.round = 1
    run.save(start, {"round": 1, "clients": {"a": metrics}, "seconds": 1.0})
    for number in (1, 2):
        run.note_attempt(
            2, {"answered": number, "expected": 3, "failed": {"b": "StoreError"}, "seconds": 1.0}
        )
        for _ in range(2):  # what is known already is no news
            news.tell(events)
    assert cli.main(["runs", "show", str(config.out)]) == 0
    capsys.readouterr()
    told = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [(line["event"], line["round"], line.get("answered")) for line in told] == [
        ("round", 1, None),
        ("attempt", 2, 1),
        ("attempt", 2, 2),
    ]
    # A server that is started again has told them already.
    federation_server._News(config.out).tell(events)
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == 3
    found = federation_status.status(resolve(StatusConfig, "x", None, vars(config)))
    assert (found["done"], [attempt["answered"] for attempt in found["attempts"]]) == (1, [1, 2])
    assert "round 2, attempt 2: 2 of at least 3 clients\n  b left out" in federation_status._text(found)


def test_status_of_what_has_not_begun(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = resolve(ServerConfig, "x", None, {**server_values(tmp_path), "port": 1})
    save_config(config, federation_server.SECTION, tmp_path / "server.toml")
    assert cli.main(["federation", "status", "--config", str(tmp_path / "server.toml")]) == 1
    said = capsys.readouterr().out
    assert "not begun, 0 of 30 rounds" in said
    assert "SuperLink 127.0.0.1:1: no answer" in said


def test_status_counts_answers_failures_and_bytes() -> None:
    told = {"images": 10, "bytes_up": 2_500_000, "bytes_down": 10}
    rounds = [
        {"round": 1, "clients": {"a": told}, "failed": {"b": "NonFiniteError"}, "seconds": 1.0},
        {"round": 2, "clients": {"a": told}, "seconds": 1.0},
    ]
    node = {"name": "a", "node": "1", "status": "online", "online_since": "then", "offline_since": None}
    found = {
        "out": "RUN",
        "state": "unfinished",
        "done": 2,
        "last": 3,
        "written": "then",
        "clients": client_history(rounds),
        "link": {"address": "h:1", "answers": True, "run": "running"},
        "nodes": [node],
    }
    none = "answered in 0 rounds, last in -, 0.0 MB up, 0.0 MB down"
    assert federation_status._text(found).splitlines() == [
        "RUN: unfinished, 2 of 3 rounds, the last one written then",
        "  a: answered in 2 rounds, last in 2, 5.0 MB up, 0.0 MB down",
        f"  b: {none}; failed in 1, last round 1: NonFiniteError",
        "SuperLink h:1: run running",
        "  a: online since then",
    ]


def test_the_end_of_a_log_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("of the process before\n")
    start = log.stat().st_size
    with log.open("a") as file:
        file.write("new\n")
    assert tail(log, start) == "new\n"
    assert tail(log, start, size=2) == "w\n"
    log.write_text("put aside\n")  # shorter than before: a new file
    assert tail(log, start) == "put aside\n"
    assert tail(tmp_path / "absent", 0) == ""


def test_a_supernodes_last_words() -> None:
    said = (
        "\x1b[92mINFO \x1b[0m: Starting\n\x1b[91mERROR \x1b[0m: Exit Code: 305\nFailed to connect.\n"
        "certificate verify failed\n\nFor more information, visit: <x>\n\x1b[92mINFO \x1b[0m: gone\n"
    )
    assert (
        federation_client._last_words(said) == "Exit Code: 305 Failed to connect. certificate verify failed"
    )
    assert federation_client._last_words("one\nKilled\n") == "Killed"
    assert federation_client._last_words("") == ""
