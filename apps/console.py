"""What the commands share on a terminal: result lines, tables and progress bars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Column, Table
from rich.text import Text

from fedfr_edge.types import Progress

from .progress import Ledger, Work, clock_text

out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
"""Results go here (standard output); progress and remarks go to :data:`log`.

Both print texts as they are: a name or a path may hold what looks like markup."""

log = Console(stderr=True, highlight=False, markup=False, emoji=False)


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """A :data:`fedfr_edge.types.Progress` that shows nested works; see :mod:`.progress`.

    Bars go to standard error: outer ones stay, those of a client's round appear and vanish. Where that is
    no terminal, one line is printed for each round, for each client in it, and as each other work ends.
    """
    if not log.is_terminal:
        yield _Lines(log).ledger
        return
    with _LiveBars() as bars:
        yield bars.ledger


class _Lines:
    """Progress as lines, for a log file."""

    def __init__(self, console: Console) -> None:
        self.ledger = Ledger(self)
        self._console = console

    def begin(self, work: Work) -> None:
        """Say nothing yet."""

    def update(self, work: Work) -> None:
        """Say what has ended: a client's round, one more round, or a work as a whole."""
        if work.inner:
            if work.finished and work.what.startswith("steps "):
                self._console.print(f"{work.who}, round {work.round}: {work.total} steps")
        elif work.finished or (work.what == "rounds" and work.done > work.first):
            left = None if work.finished else self.ledger.left(work)
            more = "" if left is None else f", about {clock_text(left)} left"
            self._console.print(f"{work.what}: {work.done}/{work.total}{more}")

    def end(self, work: Work) -> None:
        """Say nothing more."""


class _LiveBars:
    """Progress as rich bars that follow a ledger."""

    def __init__(self) -> None:
        self.ledger = Ledger(self)
        columns = (
            # As wide as a client's line, so that lines that come and go do not move the others.
            TextColumn("{task.description}", markup=False, table_column=Column(min_width=20)),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _Times(self.ledger),
        )
        self._bars = _Sorted(*columns, console=log, redirect_stdout=out.is_terminal)
        self._hooked = out.is_terminal
        self._tasks: dict[Work, TaskID] = {}

    def __enter__(self) -> _LiveBars:
        self._bars.__enter__()
        if self._hooked:
            # Results printed meanwhile go to the same terminal: above the bars, not into them.
            out.push_render_hook(self._bars.live)
        return self

    def __exit__(self, *error: object) -> None:
        for work in [work for work in self._tasks if work.inner]:  # left behind by an error
            self.end(work)
        if self._hooked:
            out.pop_render_hook()
        self._bars.__exit__(None, None, None)

    def begin(self, work: Work) -> None:
        """Add its bar."""
        self._tasks[work] = self._bars.add_task(work.label, total=work.total, work=work)

    def update(self, work: Work) -> None:
        """Move its bar."""
        self._bars.update(self._tasks[work], completed=work.done, total=work.total)

    def end(self, work: Work) -> None:
        """Take its bar away."""
        self._bars.remove_task(self._tasks.pop(work))


class _Sorted(Bars):
    """Bars in the order of their works: outer ones first, then client by client."""

    def make_tasks_table(self, tasks: Iterable[Task]) -> Table:
        return super().make_tasks_table(sorted(tasks, key=lambda task: task.fields["work"].place))


class _Times(ProgressColumn):
    """How long a work has taken, and how long it will take."""

    max_refresh = 0.5

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        super().__init__()

    def render(self, task: Task) -> Text:
        work: Work = task.fields["work"]
        taken = clock_text(task.finished_time if task.finished_time is not None else task.elapsed or 0)
        if work.finished:
            return Text(taken)
        left = self._ledger.left(work)
        return Text(f"{taken}, {'?' if left is None else clock_text(left)} left")
