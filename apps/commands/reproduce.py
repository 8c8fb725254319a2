"""``fedfr reproduce``: the paper's tables and figures again, at the paper's size or a smaller one."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import fedfr_edge
from fedfr_edge.cli import Command
from fedfr_edge.config import as_dict, option, save_config
from fedfr_edge.errors import ConfigError, MissingPartError
from fedfr_edge.extras import require

from .. import console
from ..reproduce.scale import Gpu, Name, Scale

if TYPE_CHECKING:
    from fedfr_edge.evaluation.tables import Table

    from ..reproduce.outcome import Reproduction
    from ..reproduce.scale import Settings

SECTION = "reproduce"


@dataclass(frozen=True)
class ReproduceConfig:
    """Settings of ``fedfr reproduce``."""

    target: Name = option(help="what of the paper", argument=True)
    scale: Scale = option(
        "tiny",
        help="tiny: rendered people, minutes; small: a few dozen real people; paper: MS-Celeb-1M and a GPU",
    )
    out: Path | None = option(
        None, help="folder, shared by all targets of a scale; default fedfr-reproduce-SCALE", short="o"
    )
    store: Path | None = option(None, help="aligned-face store; tiny renders one of its own")
    recipe: Path | None = option(
        None, help="TOML file with differences from the scale's recipe: [pretrain], [train], [data.split], …"
    )
    seeds: int | None = option(None, help="how many seeds; default: the recipe's", low=1)
    seed: tuple[int, ...] = option((), help="these seeds instead", low=0)
    share_proxies: bool = option(
        False, help="figure4: let fedface's clients send W, which stands for their people's faces"
    )
    pairs: Path | None = option(None, help="pairs in LFW's format, to measure the generic models on too")
    pairs_store: Path | None = option(None, help="aligned-face store of the pairs' images")
    ijbc: Path | None = option(None, help="IJB-C's folder, to measure the generic models on too")
    published: Path | None = option(None, help="TOML file with more of the paper's own figures")
    plan: bool = option(False, help="run nothing: tell time, memory, disk and traffic beforehand")
    gpu: Gpu = option("h100", help="plan: what computes")
    images_per_second: float | None = option(
        None, help="plan: images of training a second that were measured, instead of --gpu's peak", low=1e-9
    )
    device: str | None = option(None, help="cpu, cuda, …; default: the recipe's")
    threads: int = option(1, help="CPU threads of an evaluation", low=1)

    @property
    def folder(self) -> Path:
        """Where everything goes."""
        return self.out or Path(f"fedfr-reproduce-{self.scale}")


def run(config: ReproduceConfig) -> int:
    """Run what is missing, write and print; 1 if a part failed. With ``plan``, only estimate."""
    from ..reproduce.run import reproduce
    from ..reproduce.scale import Settings
    from ..reproduce.tables import ORDERING_NOTES, for_terminal, ordering_lines
    from ..result_tables import print_table

    settings = Settings.read(config.scale, config.recipe, config.device, config.folder)
    if config.plan:
        _print_plan(config, settings)
        return 0
    if config.images_per_second is not None:
        raise ConfigError("--images-per-second is for --plan; leave it out, or add --plan")
    require("torch", "safetensors", "flwr")
    started = time.monotonic()
    found = reproduce(config, settings)
    for table in write(config, found, time.monotonic() - started):
        for piece in for_terminal(table, console.out.width):
            print_table(piece, turned=False)
    for part in found.parts:
        if part.differences:
            console.out.print(f"Orderings of the paper – {part.title}", style="bold")
            for line in ordering_lines(part):
                console.out.print(line)
    if any(part.differences for part in found.parts):
        console.out.print("\n".join(ORDERING_NOTES) + "\n")
    for remark in found.remarks:
        console.out.print(f"remark: {remark}")
    for (row, seed), why in found.failures.items():
        console.out.print(f"failed: {row}, seed {seed}: {why}")
    name = f"reproduce-{config.target}"
    console.out.print(f"written to {config.folder / name}.md and .json; the figure in .svg and .png")
    return 1 if found.failures else 0


def _print_plan(config: ReproduceConfig, settings: Settings) -> None:
    from ..reproduce.estimate import plan
    from ..result_tables import print_table

    found = plan(config, settings)
    print_table(found.time, turned=False)
    for what, much, made_of in found.space:
        console.out.print(f"{what:21} {much:>9}  {made_of}")
    console.out.print("\nAssumptions")
    for what, text in found.assumptions:
        console.out.print(f"{what:21} {text}")


def write(config: ReproduceConfig, found: Reproduction, seconds: float) -> list[Table]:
    """Write OUT/reproduce-TARGET.{md,json,svg,png,toml}; returns the tables."""
    from fedfr_edge import atomic

    from ..reproduce.drawing import drawing
    from ..reproduce.tables import tables, to_markdown
    from ..reproduce.target import TARGETS
    from ..runs.plot import write_drawing

    target, folder = TARGETS[config.target], config.folder
    name = f"reproduce-{config.target}"
    shown = None
    try:
        shown = drawing(name, target.title, found)
    except MissingPartError as error:  # hours of training are not lost with a picture
        found.remarks.append(str(error))
    if shown is not None:
        write_drawing(shown, folder, name)
    facts = [
        f"scale {config.scale}; settings of every step in recipe.toml",
        f"seeds {', '.join(map(str, found.seeds))}, each with a split, a pre-training and rounds of its own",
        f"fedfr-edge {fedfr_edge.__version__}",
    ]
    text = to_markdown(found, target.title, target.about, facts)
    if shown is not None:
        text += f"\n![{target.title}]({name}.svg)\n"
    atomic.write_text(folder / f"{name}.md", text)
    record = {
        "version": fedfr_edge.__version__,
        "target": config.target,
        "scale": config.scale,
        "settings": as_dict(config),
        "seeds": list(found.seeds),
        "seconds": round(seconds, 1),
        "parts": [part.to_dict() for part in found.parts],
        "hard_negatives": {f"{x:g}": counts for x, counts in found.hard_negatives.items()},
        "published": [as_dict(figure) for figure in found.published],
        "failures": [{"row": row, "seed": seed, "error": why} for (row, seed), why in found.failures.items()],
        "remarks": found.remarks,
    }
    atomic.write_text(
        folder / f"{name}.json", json.dumps(record, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    )
    save_config(config, SECTION, folder / f"{name}.toml")
    return tables(found, target.title)


COMMAND = Command(
    section=SECTION,
    config=ReproduceConfig,
    run=run,
    help="""Run a table or a figure of the paper again, and put the outcome beside the paper's.

    Each target is a study (fedfr study) with the rows of that table or figure. Targets of one scale share
    OUT, and with it all that they have in common. Run the same command again to go on after an
    interruption. --plan tells what it will cost.

    \b
    In:  nothing (tiny), or an aligned-face store (small, paper); a list of pairs if there is one.
    Out: OUT/<seed>/… as fedfr study leaves it (figure4 in OUT/figure4), OUT/recipe.toml, and
         OUT/reproduce-TARGET.md, .json, .svg and .png: figures with spread and 95 % interval, the paper's
         beside them, and the orderings that the paper reports with the interval of each difference.
         Exit status 1: a part failed.
    """,
)
