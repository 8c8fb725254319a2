"""Clients that fail, each in a real process of its own: the round ends in time with those that answered.

The processes are those of ``ProcessGrid``: the ClientApp, the guard, the private folder and the server's loop
are the ones that SuperNodes run, and a test takes seconds instead of a minute.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from faulty_sites import FaultySites, full_disk
from flwr.app import Message
from small_federation import CLIENTS, SETTINGS, World, assert_same_bits, in_process, plain_loop

from fedfr_edge.errors import QuorumError, WriteError
from fedfr_edge.federation import process_grid
from fedfr_edge.federation.data import Faces
from fedfr_edge.federation.engine import run_in_processes
from fedfr_edge.federation.private_state import load_personal_from, snapshots
from fedfr_edge.federation.report import Report
from fedfr_edge.federation.run_folder import RunFolder
from fedfr_edge.federation.server_app import Job
from fedfr_edge.federation.sites import LocalSites
from fedfr_edge.federation.terms import Terms
from fedfr_edge.train.checkpoint import GlobalModel, load_global
from fedfr_edge.train.loop import run_rounds

ONE = dataclasses.replace(SETTINGS, rounds=1)
REASONS = {
    "late": r"no answer within 15 s|the message expired while the client was training",
    "killed": r"the client's process was ended by SIGKILL, as the system does when memory runs out",
    "out of memory": r"^out-of-memory$",
    "torch out of memory": r"^out-of-memory$",
    "NaN": r"PayloadError: a client's theta/flat holds 1 values that are not finite",
    "wrong shape": r"PayloadError: phi of .* is float32 of shape \(4, 16\), expected .*\(5, 16\)",
    "full disk": r"WriteError",
    "older version": r"refused before training: other-version",
}


PAIRS = [
    ("killed", "NaN", 300.0),
    ("out of memory", "wrong shape", 300.0),
    ("torch out of memory", "full disk", 300.0),
    ("late", "older version", 15.0),  # the others do not come near it: no process has to start within it
]


def run(
    world: World,
    out: Path,
    faults: dict[str, str],
    *,
    settings: Any = ONE,
    once: bool = False,
    on_round: Any = lambda report: None,
    **terms: Any,
) -> GlobalModel:
    job = Job(
        out=out,
        pretrained=world.pretrained,
        settings=settings,
        seed=7,
        terms=Terms(len(CLIENTS), **{"patience": 1.0, "quorum": 1, "deadline": 300.0} | terms),
        on_round=on_round,
    )
    inner = LocalSites(world.store, world.split, (world.public_store,), out / "clients")
    marks = out.parent / "marks"
    marks.mkdir(exist_ok=True)
    run_in_processes(job, CLIENTS, FaultySites(inner, faults, marks, once), processes=2)
    folder = RunFolder(out)
    return load_global(folder.checkpoint(folder.rounds()[-1]))


def of_those(world: World, *names: str) -> GlobalModel:
    """The round of these clients alone, without Flower."""
    faces = Faces.open(world.store, world.split, [world.public_store])
    model = world.model()
    data = {name: faces.of_client(name, model) for name in names}
    return run_rounds(model, data, ONE, 7, 1)[0]


@pytest.mark.parametrize(("one", "other", "deadline"), PAIRS)
def test_a_round_ends_in_time_with_those_that_answered(
    world: World, tmp_path: Path, one: str, other: str, deadline: float
) -> None:
    """Two of three clients fail, each in its own way; the third's answer alone is the average."""
    out = tmp_path / "run"
    started = time.monotonic()
    model = run(world, out, {"client-00": one, "client-01": other}, deadline=deadline)
    # Beyond the limit, the start of two processes, with grace for a busy machine.
    assert time.monotonic() - started < deadline + 90
    (line,) = RunFolder(out).metrics()
    assert list(line["clients"]) == ["client-02"]
    assert sorted(line["failed"]) == ["client-00", "client-01"]
    # Weights over those who answered: the bits of a round of that client alone.
    assert_same_bits(model, of_those(world, "client-02"))
    for client, fault in (("client-00", one), ("client-01", other)):
        assert re.search(REASONS[fault], line["failed"][client]), (fault, line["failed"])
        # Who did not finish has kept nothing half done; whoever sent nonsense has kept its own good state.
        kept = snapshots(out / "clients" / client)
        assert kept == ([1] if fault in ("NaN", "wrong shape") else []), fault
    assert not list(out.glob("clients/*/.*.tmp"))


class Twice(process_grid.ProcessGrid):
    """Delivers every reply twice, the second time with the next look."""

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        again = getattr(self, "_again", [])
        self._again = list(super().pull_messages(message_ids))
        return [*again, *self._again, *self._again]


def test_a_duplicate_reply_counts_once(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_grid, "ProcessGrid", Twice)
    expected, _ = plain_loop(world, 2)
    assert_same_bits(run(world, tmp_path / "run", {}, settings=SETTINGS), expected)


def test_a_full_disk_of_the_server_ends_the_run_and_harms_nothing(world: World, tmp_path: Path) -> None:
    expected, _ = plain_loop(world, 2)
    with contextlib.ExitStack() as stack:

        def fills_up(report: Report) -> None:
            # The server's process alone: its clients' were started before.
            if report.round == 1:
                stack.enter_context(full_disk())

        with pytest.raises(WriteError, match=r"cannot write .*round_0002.safetensors: File too large"):
            run(world, tmp_path / "run", {}, settings=SETTINGS, on_round=fills_up)
    folder = RunFolder(tmp_path / "run")
    assert folder.rounds() == [0, 1]
    assert not list((tmp_path / "run" / "checkpoints").glob(".*.tmp"))
    assert_same_bits(run(world, tmp_path / "run", {}, settings=SETTINGS), expected)


@pytest.mark.parametrize("fault", ["killed", "full disk"])
def test_a_round_below_the_quorum_is_repeated_and_gives_the_same_bits(
    world: World, tmp_path: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Two clients have trained the round already; they start it again from what they had before it."""
    expected, states = plain_loop(world, 2)
    out = tmp_path / "run"
    told: list[Report] = []
    model = run(
        world,
        out,
        {"client-01": fault},
        settings=SETTINGS,
        once=True,
        quorum=0,
        repeats=1,
        on_round=told.append,
    )
    assert_same_bits(model, expected)
    for client in CLIENTS:
        personal = load_personal_from(out / "clients" / client)
        for name, tensor in states[client].backbone.items():
            assert personal.backbone[name].equal(tensor)
    first, second = RunFolder(out).metrics()
    (attempt,) = first["attempts"]
    assert (attempt["answered"], attempt["expected"]) == (2, 3)
    assert list(attempt["failed"]) == ["client-01"]
    assert "attempts" not in second
    assert told[0].attempts == first["attempts"]
    assert "round 1, attempt 1 of 2: 2 of 3 clients" in caplog.text


def test_after_the_last_attempt_the_run_ends_and_says_why(world: World, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(QuorumError, match=r"2 of 3 clients .*client-01: WriteError.*attempt 2"):
        run(world, out, {"client-01": "full disk"}, quorum=3, repeats=1)
    folder = RunFolder(out)
    assert folder.rounds() == [0]
    assert folder.metrics() == []  # no finished round
    (line,) = [json.loads(text) for text in (out / "metrics.jsonl").read_text().splitlines()]
    assert [attempt["failed"]["client-01"] for attempt in line["attempts"]] == ["WriteError"] * 2
    # The same command, the cause mended, goes on; the attempts stay on record.
    assert_same_bits(run(world, out, {}, quorum=3), plain_loop(world, 1, ONE)[0])
    (line,) = folder.metrics()
    assert len(line["attempts"]) == 2


def test_what_would_recur_is_not_repeated(world: World, tmp_path: Path) -> None:
    """A training that diverges does so again: the round follows from its inputs."""
    out = tmp_path / "run"
    wild = dataclasses.replace(ONE, learning_rate=1e12)
    with pytest.raises(QuorumError, match="client-00: NonFiniteError"):
        in_process(world, out, wild, terms=Terms(3, patience=1.0, repeats=5, pause=100.0))
    (line,) = [json.loads(text) for text in (out / "metrics.jsonl").read_text().splitlines()]
    assert len(line["attempts"]) == 1


def test_the_reference_of_these_tests_is_not_the_whole_federation(world: World) -> None:
    """Or the round with failures could hold anything: one client's round differs from all clients'."""
    with pytest.raises(AssertionError):
        assert_same_bits(of_those(world, "client-02"), plain_loop(world, 1, ONE)[0])
