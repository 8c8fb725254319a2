"""Reading files in several processes, with results in the order of the files."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from fedfr_edge.data.readers.outcome import FaceReader, Outcome
from fedfr_edge.errors import DataError

_reader: FaceReader | None = None  # a worker process's own


def read_in_order(reader: FaceReader, paths: Sequence[Path], jobs: int) -> Generator[Outcome, None, None]:
    """The outcome of each path, in order; with ``jobs`` > 1 that many processes read ahead.

    Raises:
        DataError: a process was killed, for lack of memory for example.
    """
    jobs = min(jobs, len(paths))
    if jobs <= 1:
        yield from map(reader.read, paths)
        return
    pool = ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),  # fork would copy this process's threads' locks
        initializer=_start_worker,
        initargs=(reader,),
    )
    waiting: deque[Future[Outcome]] = deque()
    try:
        for path in paths:
            waiting.append(pool.submit(_read, path))
            if len(waiting) >= 4 * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise DataError(
            "a reading process was killed (out of memory?); what is written is kept, run this again "
            "with fewer jobs"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(reader: FaceReader) -> None:
    global _reader
    _reader = reader
    _reader.open()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process answers Ctrl-C
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A worker waits on a pipe whose other end it holds too: it would outlive a killed parent.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _read(path: Path) -> Outcome:
    assert _reader is not None
    return _reader.read(path)
