"""``fedfr study``: every method of the paper with several seeds, side by side, in one command."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import fedfr_edge
from fedfr_edge.cli import Command
from fedfr_edge.config import as_dict, option, save_config
from fedfr_edge.extras import require
from fedfr_edge.train.config import Method

from .. import console

if TYPE_CHECKING:
    from fedfr_edge.evaluation.tables import Table

    from ..study.run import Study

SECTION = "study"


@dataclass(frozen=True)
class StudyConfig:
    """Settings of ``fedfr study``."""

    store: Path = option(help="aligned-face store that everything is drawn from", argument=True)
    out: Path = option(help="folder of the study; finished parts in it are kept", short="o")
    recipe: Path | None = option(
        None, help="TOML file with [pretrain], [train] and [data.split], and [train.METHOD] for one method"
    )
    method: tuple[Method, ...] = option(
        (), help="a method to run; default: all, fedface only with --share-proxies"
    )
    share_proxies: bool = option(
        False, help="let fedface's clients send W, which stands for their people's faces"
    )
    seeds: int = option(3, help="how many seeds: 0, 1, 2, …", low=1)
    seed: tuple[int, ...] = option((), help="these seeds instead", low=0)
    split: tuple[Path, ...] = option((), help="split for all seeds, or one for each, in their order")
    split_per_seed: bool = option(False, help="draw each seed a split of its own, as [data.split] says")
    pretrained: tuple[Path, ...] = option(
        (), help="model to start from, for all seeds or one for each; default: pre-train one for each seed"
    )
    public_store: tuple[Path, ...] = option((), help="store whose identities are all public too")
    vary: str | None = option(
        None, help="SETTING=VALUE,VALUE: run every method with each value, such as mining_threshold=0.3,0.5"
    )
    pairs: Path | None = option(None, help="pairs in LFW's format, to measure the generic models on too")
    pairs_store: Path | None = option(None, help="aligned-face store of the pairs' images")
    ijbc: Path | None = option(None, help="IJB-C's folder, to measure the generic models on too")
    unseen: int | None = option(
        None, help="measure generic models on at most so many people whom nobody trained on", low=2
    )
    device: str = option("cpu", help="where models are evaluated: cpu, cuda, cuda:1, …")
    threads: int = option(1, help="CPU threads of an evaluation", low=1)

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds to run, each once."""
        return tuple(dict.fromkeys(self.seed)) or tuple(range(self.seeds))


def run(config: StudyConfig) -> int:
    """Run what is missing, write and print the tables; 1 if a part failed."""
    from ..result_tables import print_table
    from ..study.run import run_study

    require("torch", "safetensors", "flwr")
    study = run_study(config)
    for table in write(study):
        print_table(table, turned=False)
    for (row, seed), why in study.failures.items():
        console.out.print(f"failed: {row}, seed {seed}: {why}")
    console.out.print(f"written to {config.out} (all measures in study.md)")
    return 1 if study.failures else 0


def write(study: Study) -> list[Table]:
    """Write ``study.json``, ``study.md`` and the settings; returns the tables for a terminal."""
    from fedfr_edge import atomic

    from ..study.orderings import compare
    from ..study.scores import Scores
    from ..study.tables import ordering_table, score_tables, shown_measures, time_table, to_markdown

    config = study.config
    rows, seeds = [row.name for row in study.rows], config.all_seeds
    scores = Scores.of(rows, seeds, study.records)
    outcomes = compare(scores)
    orderings = [ordering_table(outcomes, shown_measures(scores))] if outcomes else []
    record = {
        "version": fedfr_edge.__version__,
        "settings": as_dict(config),
        "seeds": list(seeds),
        "rows": rows,
        "means": scores.to_list(),
        "orderings": [outcome.to_dict() for outcome in outcomes],
        "failures": [{"row": row, "seed": seed, "error": why} for (row, seed), why in study.failures.items()],
        "runs": list(study.records.values()),
    }
    facts = [
        f"store {config.store.name}",
        f"seeds {', '.join(map(str, seeds))}",
        "a split of its own for each seed" if config.split_per_seed or len(config.split) > 1 else "one split",
        f"fedfr-edge {fedfr_edge.__version__}",
    ]
    tables = [*score_tables(scores, scores.measures()), *orderings, time_table(rows, seeds, study.records)]
    atomic.write_text(config.out / "study.md", to_markdown(tables, facts, study.failures))
    text = json.dumps(record, ensure_ascii=False, allow_nan=False, indent=1)
    atomic.write_text(config.out / "study.json", text + "\n")
    save_config(config, SECTION, config.out / "study.toml")
    return [*score_tables(scores, shown_measures(scores)), *orderings]


COMMAND = Command(
    section=SECTION,
    config=StudyConfig,
    run=run,
    help="""Run every method of the paper with several seeds and put them side by side.

    For each seed: a pre-training (or a given model), then each method as fedfr train runs it, measured on
    the personalised protocol and, as a generic model, on people nobody trained on: those of the store that
    the split leaves out, and a list of pairs if one is given. Run the same command again to go on after an
    interruption; a method that fails does not end the others.

    \b
    In:  a store, a split (or --split-per-seed), and a recipe with the settings of the steps.
    Out: OUT/<seed>/<method>/ (a run, its evaluation and scores.json), OUT/study.json, OUT/study.md, the
         tables with mean ± standard deviation over the seeds, and the paper's orderings with the paired
         difference of each. Exit status 1: a part failed.
    """,
)
