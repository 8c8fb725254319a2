"""How many client processes are chosen, and that the choice is told."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from small_federation import CLIENTS, SETTINGS, World, assert_same_bits, plain_loop

from fedfr_edge.apps.commands import train as command
from fedfr_edge.cores import usable_cores
from fedfr_edge.errors import FederationError
from fedfr_edge.federation import processes
from fedfr_edge.federation.data import Faces
from fedfr_edge.federation.processes import choose_processes, seconds_of_work
from fedfr_edge.federation.run_folder import RunFolder
from fedfr_edge.file_lock import FileLock
from fedfr_edge.train.checkpoint import load_global


@pytest.mark.parametrize(
    ("cores", "asked", "threads", "clients", "device", "seconds", "wanted", "text"),
    [
        (2, 0, 1, 8, "cpu", 1e9, 2, "2 client processes of 1 thread each (2 cores)"),
        (8, 0, 2, 40, "cpu", 1e9, 4, "4 client processes of 2 threads each (8 cores)"),
        (8, 0, 1, 3, "cpu", 1e9, 3, "3 client processes of 1 thread each (8 cores, 3 clients in a round)"),
        (1, 0, 1, 8, "cpu", 1e9, 1, "1 client process of 1 thread (1 core)"),
        (2, 0, 4, 8, "cpu", 1e9, 1, "1 client process of 4 threads (2 cores)"),
        (8, 0, 1, 8, "cuda:1", 0.0, 1, "1 client process of 1 thread (clients take turns on cuda:1)"),
        (8, 3, 1, 8, "cuda", 0.0, 3, "3 client processes of 1 thread each (as asked)"),
        (8, 9, 1, 2, "cpu", 1e9, 2, "2 client processes of 1 thread each (2 clients in a round)"),
        (2, 2, 1, 8, "cpu", 0.1, 2, "2 client processes of 1 thread each (as asked)"),
        (2, 0, 1, 8, "cpu", 11.0, 1, "1 client process of 1 thread (about 11 s of work; starting 2 would"),
        (2, 0, 1, 8, "cpu", 13.0, 2, "2 client processes of 1 thread each (2 cores)"),
    ],
)
def test_the_choice(
    monkeypatch: pytest.MonkeyPatch, cores: int, asked: int, threads: int, clients: int, device: str,
    seconds: float, wanted: int, text: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(processes, "usable_cores", lambda: cores)
    choice = choose_processes(asked, threads=threads, clients=clients, device=device, seconds=seconds)
    assert choice.processes == wanted
    assert choice.text.startswith(text)


def test_cores_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 5, 7}, raising=False)
    assert usable_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1


def test_the_estimate_grows_with_the_work(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr(processes.time, "perf_counter", lambda: float(next(ticks)))  # a pass takes 1 s
    faces = Faces.open(world.store, world.split, [world.public_store])

    def estimate(**changes: object) -> float:
        settings = dataclasses.replace(SETTINGS, **changes)  # type: ignore[arg-type]
        return seconds_of_work(faces, world.model(), settings)

    # 20 training images of the clients, four forward passes each in an epoch; 26 public images a round.
    own, public = 20 * 4.0, 26
    assert estimate() == pytest.approx((2 * own + 2 * public) / 4)
    assert estimate(rounds=6, epochs=(3, 2)) == pytest.approx((13 * own + 6 * public) / 4)
    assert estimate(participation=0.5) == pytest.approx((own + 2 * public) / 4)
    assert estimate(method="fedavg") == pytest.approx(2 * own / 4)


def test_the_command_uses_and_tells_the_choice(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, object]] = []
    from fedfr_edge.federation import engine

    real = engine.run_here

    def run_here(*given: object, **more: object) -> None:
        asked.append(more)
        real(*given, **{**more, "processes": 1})  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "run_here", run_here)
    monkeypatch.setattr(processes, "usable_cores", lambda: 2)
    remarks: list[str] = []
    config = command.TrainRun(
        pretrained=world.pretrained,
        store=world.store,
        split=world.split,
        public_store=(world.public_store,),
        out=tmp_path / "run",
        seed=7,
        processes=2,
        plot=False,
        **{name: getattr(SETTINGS, name) for name in ("rounds", "epochs", "batch_size", "mining_threshold")},
        learning_rate=SETTINGS.learning_rate,
    )
    newest = command.train(config, remark=remarks.append)
    assert asked[0]["processes"] == 2
    assert remarks[0] == "2 client processes of 1 thread each (as asked)"
    assert_same_bits(load_global(newest), plain_loop(world, 2)[0])
    # So small a run is not worth starting processes for, and its clients are still those of the split.
    command.train(dataclasses.replace(config, out=tmp_path / "other", processes=0, rounds=1), remark=print)
    assert asked[1]["processes"] == 1
    assert sorted(path.name for path in (tmp_path / "other" / "clients").iterdir()) == list(CLIENTS)


def test_two_servers_never_work_on_one_run(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    lock = FileLock(tmp_path / ".lock")
    assert lock.take(0)
    with pytest.raises(FederationError, match="another process is at work"), run.alone(patience=0.1):
        pass
    lock.release()
    left = tmp_path / "checkpoints" / ".round_0001.safetensors.ab.tmp"
    left.parent.mkdir()
    left.touch()
    with run.alone(patience=0.1):
        assert not left.exists()
    with run.alone(patience=0.1):
        pass
