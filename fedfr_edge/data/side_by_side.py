"""Work in several processes, with results in the order of the work."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from fedfr_edge.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")

_work: Callable[[Any], Any] | None = None  # a worker process's own


def in_order(
    open_worker: Callable[[], Callable[[Item], Result]], items: Sequence[Item], jobs: int
) -> Generator[Result, None, None]:
    """The result of each item, in order; with ``jobs`` > 1 that many processes work ahead.

    Args:
        open_worker: called once in each process; gives the function that does the work. Both it and
            the items are pickled.
        items: what to work on.
        jobs: how many processes; with one, or one item, the work is done in this process.

    Raises:
        DataError: a process was killed, for lack of memory for example.
    """
    jobs = min(jobs, len(items))
    if jobs <= 1:
        yield from map(open_worker(), items)
        return
    pool = ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),  # fork would copy this process's threads' locks
        initializer=_start_worker,
        initargs=(open_worker,),
    )
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(_do, item))
            if len(waiting) >= 4 * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise DataError(
            "a working process was killed (out of memory?); what is written is kept, run this again "
            "with fewer jobs"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(open_worker: Callable[[], Callable[[Any], Any]]) -> None:
    global _work
    _work = open_worker()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process answers Ctrl-C
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A worker waits on a pipe whose other end it holds too: it would outlive a killed parent.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(item: Any) -> Any:
    assert _work is not None
    return _work(item)
