"""Looking at a lock without taking it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from fedfr_edge.file_lock import FileLock, is_held

HOLD = """
import sys
from pathlib import Path
from fedfr_edge.file_lock import FileLock
lock = FileLock(Path(sys.argv[1]))
print(lock.take(0), flush=True)
sys.stdin.read()
"""


def test_a_lock_is_seen_while_another_process_holds_it(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    assert not is_held(path)
    assert not path.exists()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    assert is_held(path)
    holder.kill()
    holder.communicate()
    assert not is_held(path)


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / ".lock")
    assert lock.take(0)
    before = os.stat(lock.path)
    assert is_held(lock.path)
    lock.release()
    assert not is_held(lock.path)
    assert lock.take(0)
    lock.release()
    after = os.stat(lock.path)
    assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)
