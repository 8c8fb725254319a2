"""Measurements in processes of their own: memory that another measurement needed does not count."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def fresh_process() -> ProcessPoolExecutor:
    """One process that shares nothing with this one; it keeps its state between calls."""
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def alone(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a module's function in a process of its own."""
    with fresh_process() as process:
        return process.submit(function, *args, **kwargs).result()


@contextlib.contextmanager
def blas_threads(count: int) -> Iterator[None]:
    """New processes have so many threads for numpy's products; they look when they load numpy."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def peak_bytes() -> int:
    """The most memory that this process ever held, in bytes."""
    # Not ru_maxrss where it can be helped: on Linux a new process inherits that from its parent.
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident_bytes() -> int:
    """What this process holds in memory now, in bytes; the most it ever held where that is not told."""
    return _status("VmRSS") or peak_bytes()


class Allocated:
    """The most memory that this process itself filled inside the ``with``, beyond what it held before.

    Looked at every other millisecond. Pages of program files do not count, which a system that is short
    of memory takes away and brings back as it likes; what it has swapped out does.

    Attributes:
        extra: bytes, once it has ended.
    """

    def __enter__(self) -> Allocated:
        self._before = self._most = self._now()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.extra = max(self._most, self._now()) - self._before

    def _look(self) -> None:
        while not self._over.wait(0.002):
            self._most = max(self._most, self._now())

    @staticmethod
    def _now() -> int:
        own = _status("RssAnon")
        return peak_bytes() if own is None else own + (_status("VmSwap") or 0)


def _status(name: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    sizes = [int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":")]
    return sizes[0] if sizes else None
