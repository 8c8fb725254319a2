"""What is done beside a run after each of its rounds: scores, TensorBoard, the plot."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedfr_edge.types import Progress, no_progress

from .plot import Plotter, pretrain_figure, run_figure
from .scores import Scorer, read_scores
from .tensorboard import EventFiles

if TYPE_CHECKING:
    from fedfr_edge.evaluation.report.canvas import Drawing
    from fedfr_edge.federation.run_folder import RunFolder


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


class _Beside:
    """What follows a run and ends with it."""

    _plot: Plotter | None = None
    _events: EventFiles | None = None

    def close(self) -> None:
        """Finish what is open."""
        if self._plot is not None:
            self._plot.close()
        if self._events is not None:
            self._events.close()


class Watch(_Beside):
    """Follows one run; the files that it writes can all be made anew from the run's own.

    Args:
        run: the run's folder.
        title: of the plot.
        last: number of the last round.
        plot: whether to write ``run.svg`` and ``run.png``.
        tensorboard: whether to write event files into ``tensorboard/``.
        scorer: scores rounds, or None.
        progress: told about scoring.
        on_scores: given each new line of ``scores.jsonl``.
        remark: told what the user should know.
    """

    def __init__(
        self,
        run: RunFolder,
        *,
        title: str,
        last: int,
        plot: bool,
        tensorboard: bool,
        scorer: Scorer | None,
        progress: Progress = no_progress,
        on_scores: Callable[[dict[str, Any]], None] = lambda line: None,
        remark: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._run, self._last = run, last
        self._scorer, self._progress, self._on_scores = scorer, progress, on_scores
        self._events = EventFiles(run.path / "tensorboard") if tensorboard else None
        if plot and can_plot():

            def drawing() -> Drawing | None:
                return run_figure(title, run.metrics(), read_scores(scores_file(run.path)))

            self._plot = Plotter(drawing, run.path, "run", remark)

    def opened(self, newest: int) -> None:
        """Catch up with the rounds that are done already, up to ``newest``."""
        if self._scorer is not None:
            self._scorer.catch_up(newest, self._last, self._progress, self._on_scores)
        if self._events is not None:
            for record in self._run.metrics():
                if record["round"] <= newest:
                    self._events.round(record)
            for line in read_scores(scores_file(self._run.path)):
                self._events.scores(line)
            self._events.flush()
        if self._plot is not None:
            self._plot()

    def after(self, record: Mapping[str, Any]) -> None:
        """Take in a finished round, a line of ``metrics.jsonl``."""
        number = int(record["round"])
        if self._events is not None:
            self._events.round(record)
        if self._scorer is not None and self._scorer.due(number, self._last):
            line = self._scorer.score(number, self._progress)
            self._on_scores(line)
            if self._events is not None:
                self._events.scores(line)
        if self._events is not None:
            self._events.flush()
        if self._plot is not None:
            self._plot()


class PretrainWatch(_Beside):
    """The same for pre-training, epoch by epoch.

    Args:
        out: its folder.
        title: of the plot.
        plot: whether to write ``pretrain.svg`` and ``pretrain.png``.
        tensorboard: whether to write event files into ``tensorboard/``.
        remark: told what the user should know.
    """

    def __init__(
        self, out: Path, *, title: str, plot: bool, tensorboard: bool, remark: Callable[[str], None]
    ) -> None:
        self._out, self._tensorboard = out, tensorboard
        self._records: list[dict[str, Any]] = []
        if plot and can_plot():
            self._plot = Plotter(lambda: pretrain_figure(title, self._records), out, "pretrain", remark)

    def after(self, record: dict[str, Any]) -> None:
        """Take in an epoch; those of before a kill come again, and first."""
        self._records.append(record)
        if self._tensorboard and self._events is None:  # not before the settings are known to fit the folder
            self._events = EventFiles(self._out / "tensorboard")
        if self._events is not None:
            self._events.epoch(record)
            self._events.flush()
        if self._plot is not None:
            self._plot()


def scores_file(run: Path) -> Path:
    """Where a run's scores are."""
    return run / "scores.jsonl"
