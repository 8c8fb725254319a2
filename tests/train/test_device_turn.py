"""Processes take turns on what is called the same, and a killed one gives its turn back."""

from __future__ import annotations

import multiprocessing
import os
import stat
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from fedfr_edge.errors import TrainingError
from fedfr_edge.file_lock import FileLock
from fedfr_edge.train import device_turn as module
from fedfr_edge.train.device_turn import device_turn, turn


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "locks"
    made.mkdir(mode=0o700)
    monkeypatch.setattr(module, "_folder", lambda: made)
    return made


def take_turns(folder: Path, name: str, times: int, log: Path) -> None:
    """Write when a turn begins and when it ends."""
    module._folder = lambda: folder
    for _ in range(times):
        with turn(name):
            with log.open("a") as file:
                file.write(f"{os.getpid()} in\n")
            time.sleep(0.01)
            with log.open("a") as file:
                file.write(f"{os.getpid()} out\n")


def test_two_processes_are_never_on_one_device_at_once(folder: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    log = tmp_path / "log"
    processes = [context.Process(target=take_turns, args=(folder, "gpu-x", 15, log)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    lines = [line.split() for line in log.read_text().splitlines()]
    assert len(lines) == 60
    assert [what for _, what in lines] == ["in", "out"] * 30
    assert all(lines[index][0] == lines[index + 1][0] for index in range(0, 60, 2))
    assert stat.S_IMODE((folder / "device-gpu-x.lock").stat().st_mode) == 0o600


def hold(folder: Path, ready: Connection) -> None:
    module._folder = lambda: folder
    with turn("gpu-y"):
        ready.send("held")
        time.sleep(60)


def test_a_killed_process_gives_its_turn_back_and_another_device_is_free(folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=hold, args=(folder, there))
    process.start()
    try:
        assert here.poll(60)
        with turn("gpu-z"):  # would wait for ever if names did not count
            pass
        lock = FileLock(folder / "device-gpu-y.lock")
        started = time.monotonic()
        assert not lock.take(0.2)
        assert 0.2 <= time.monotonic() - started < 5
    finally:
        process.kill()
        process.join()
    with turn("gpu-y"):
        pass


def test_an_error_in_a_turn_ends_it(folder: Path) -> None:
    with pytest.raises(RuntimeError, match="out of memory"), turn("gpu-x"):
        raise RuntimeError("out of memory")
    with turn("gpu-x"):
        pass


def test_the_cpu_needs_no_turn(folder: Path) -> None:
    with device_turn("cpu"), device_turn("cpu"):
        pass
    assert list(folder.iterdir()) == []


def test_a_folder_that_others_can_write_to_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(module.os, "access", lambda path, mode: False)  # no /run/user/…
    ours = module._folder()
    assert ours == tmp_path / f"fedfr-edge-{os.getuid()}"
    assert stat.S_IMODE(ours.stat().st_mode) == 0o700
    assert module._folder() == ours
    ours.chmod(0o777)
    with pytest.raises(TrainingError, match="only this user"):
        module._folder()
    ours.rmdir()
    (tmp_path / "elsewhere").mkdir()
    ours.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TrainingError, match="only this user"):
        module._folder()


def test_a_lock_waits_for_one_that_is_about_to_end(tmp_path: Path) -> None:
    import threading

    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.take(0)
    assert not second.take(0)
    timer = threading.Timer(0.2, first.release)
    timer.start()
    assert second.take(10)
    timer.join()
    second.release()
    second.release()
