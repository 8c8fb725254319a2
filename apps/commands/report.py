"""``fedfr report``: results on one page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import fedfr_edge
from fedfr_edge.cli import Command
from fedfr_edge.config import option, save_config
from fedfr_edge.errors import ConfigError

from .. import console

SECTION = "report"


@dataclass(frozen=True)
class ReportConfig:
    """Settings of ``fedfr report``."""

    run: tuple[Path, ...] = option(
        help="folders with results: of fedfr evaluate, of an evaluated training run, of a study",
        argument=True,
    )
    out: Path = option(help="folder for the page, its figures and its numbers", short="o")
    title: str | None = option(None, help="heading of the page")
    faces: Path | None = option(
        None, help="aligned-face store that was measured: also show the hardest pairs of faces"
    )
    show_private: bool = option(
        False, help="show faces even where the store's licence does not let others see them"
    )


def run(config: ReportConfig) -> None:
    """Read, write, and say where."""
    from fedfr_edge.evaluation.report import write_numbers, write_report

    from ..report.gather import gather
    from ..report.read import read_inputs
    from ..report.study_pages import gather_study

    if not config.run:
        raise ConfigError("no folder is given; name one or more with results")
    inputs = read_inputs(config.run)
    store = None
    if config.faces is not None:
        from ..report.faces import open_store

        store = open_store(config.faces, show_private=config.show_private)
    data = (gather_study if inputs.studies else gather)(inputs, config.title, store)
    page = write_report(config.out, data)
    write_numbers(config.out, data, {"version": fedfr_edge.__version__, "inputs": inputs.to_list()})
    save_config(config, SECTION, config.out / "report.toml")
    for text in data.left_out:
        console.out.print(f"left out: {text}")
    console.out.print(f"page: {page} (numbers in report.json, tables in report.md, figures beside it)")


COMMAND = Command(
    section=SECTION,
    config=ReportConfig,
    run=run,
    help="""Put results on one page that a person can read in a minute.

    Models side by side with their trials, thresholds and 95 % intervals, the methods as in the paper's
    tables, ROC, DET and TPIR-FPIR curves, scores, every client, paired differences. Results of other people
    or other pairs are refused: what cannot be compared is not put side by side.

    In: folders of fedfr evaluate personalised and pairs, of training runs with an evaluation, or of a
    study. Faces are shown only with --faces STORE.

    Out: report.html (one file, nothing is fetched from anywhere), report.json, report.md, and the figures
    as .svg and .png.
    """,
)
