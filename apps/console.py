"""What the commands share on a terminal: result lines, tables and progress bars."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from fedfr_edge.types import Progress

out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
"""Results go here (standard output); progress and remarks go to :data:`log`.

Both print texts as they are: a name or a path may hold what looks like markup."""

log = Console(stderr=True, highlight=False, markup=False, emoji=False)


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """A :data:`fedfr_edge.types.Progress` that draws one bar per kind of work.

    Bars go to standard error; where that is no terminal, one line is printed as each ends.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=log, disable=not log.is_terminal, redirect_stdout=out.is_terminal) as bars:
        tasks: dict[str, int] = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in tasks or bars.tasks[tasks[what]].finished:
                tasks[what] = int(bars.add_task(what, total=total))
            bars.update(bars.tasks[tasks[what]].id, completed=done, total=total)
            if done >= total and not log.is_terminal:
                log.print(f"{what}: {total}/{total}")

        yield progress
