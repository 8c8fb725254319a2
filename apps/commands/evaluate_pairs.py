"""``fedfr evaluate pairs``: models on a list of pairs, LFW's or that of an imported ``.bin``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import fedfr_edge
from fedfr_edge.cli import Command
from fedfr_edge.config import option, save_config
from fedfr_edge.errors import ConfigError

from .. import console

if TYPE_CHECKING:
    from fedfr_edge.evaluation.pairs import PairsResult

SECTION = "evaluate.pairs"

SHOWN = 10
"""Missing images that are named on the terminal; the result file lists all."""


@dataclass(frozen=True)
class EvaluatePairsConfig:
    """Settings of ``fedfr evaluate pairs``."""

    store: Path = option(help="aligned-face store that holds the images of the list")
    model: tuple[Path, ...] = option(help="a model, exported .onnx or checkpoint .safetensors")
    out: Path = option(help="folder for the results", short="o")
    pairs: Path | None = option(
        None, help="the list of pairs (LFW's pairs.txt); else the one that came with the store"
    )
    fars: tuple[float, ...] = option(
        (), help="false-accept rate; default: 1e-1 to 1e-3 as far as the pairs carry", low=0, high=1
    )
    allow_missing: bool = option(
        False,
        help="leave out, count and list pairs with an image that the store lacks; else that is an error",
    )
    flip: bool = option(False, help="add the embedding of each face's mirror image (twice the time)")
    intervals: int = option(
        200, help="replicates of the bootstrap by person behind the 95 % intervals; 0 for none", low=0
    )
    intervals_seed: int = option(0, help="seed of those draws", low=0)
    device: str = option("cpu", help="where models run: cpu, cuda, cuda:1, …")
    threads: int = option(1, help="CPU threads of a model", low=1)


def run(config: EvaluatePairsConfig) -> None:
    """Evaluate, write, and print the table."""
    from fedfr_edge import atomic
    from fedfr_edge.data.store import FaceStore
    from fedfr_edge.evaluation.bootstrap import Resampling
    from fedfr_edge.evaluation.compare import compare_lists, difference_table
    from fedfr_edge.evaluation.mirror import Mirrored
    from fedfr_edge.evaluation.pairs import check_images, evaluate_pairs, read_pairs
    from fedfr_edge.evaluation.tables import pairs_table

    from ..file_digest import sha256_of
    from ..models_for_evaluation import Backend, open_for_pairs
    from ..result_tables import print_table

    store = FaceStore.open(config.store)
    path_of_pairs = _list_of(config)
    pairs = read_pairs(path_of_pairs)
    if not config.allow_missing:
        check_images(pairs, store.row_of)
    backend = Backend(config.device, config.threads)
    results: list[PairsResult] = []
    with console.progress_bars() as progress:
        for path in config.model:
            same_name = [other for other in config.model if other.name == path.name]
            name = path.name if len(same_name) == 1 else str(path)
            for encoder in open_for_pairs(path, backend, name):
                results.append(
                    evaluate_pairs(
                        Mirrored(encoder) if config.flip else encoder,
                        store.images,
                        store.row_of,
                        pairs,
                        fars=config.fars or None,
                        labels=store.labels,
                        resampling=Resampling(config.intervals, config.intervals_seed)
                        if config.intervals
                        else None,
                        progress=progress,
                    )
                )
    comparisons = compare_lists(results)
    tables = [pairs_table(results), *([difference_table(comparisons)] if comparisons else [])]
    record = {
        "version": fedfr_edge.__version__,
        "store": {"path": str(store.path), "digest": store.digest, "licence": store.manifest.get("licence")},
        "models": [{"path": str(path), "sha256": sha256_of(path)} for path in config.model],
        "pairs": {"path": str(path_of_pairs), "count": len(pairs)},
        "flip": config.flip,
        "device": config.device,
        "intervals": {"replicates": config.intervals, "seed": config.intervals_seed, "resampled": "people"},
        "results": [result.to_dict() for result in results],
        "comparisons": [comparison.to_dict() for comparison in comparisons],
    }
    atomic.write_text(config.out / "pairs.md", "\n".join(table.to_markdown() for table in tables))
    atomic.write_text(
        config.out / "pairs.json", json.dumps(record, ensure_ascii=False, allow_nan=False, indent=1)
    )
    save_config(config, SECTION, config.out / "pairs.toml")
    print_table(tables[0])
    for table in tables[1:]:
        print_table(table, turned=False)
    _name_missing(results[0])
    console.out.print(f"written to {config.out}")


def _list_of(config: EvaluatePairsConfig) -> Path:
    """The list that was named, or the one beside the store's images."""
    from fedfr_edge.apps.commands.data_import import PAIRS

    if config.pairs is not None:
        return config.pairs
    if not (config.store / PAIRS).is_file():
        raise ConfigError(
            f"{config.store} came with no list of pairs, as an imported .bin does; name one with --pairs"
        )
    return config.store / PAIRS


def _name_missing(result: PairsResult) -> None:
    if not result.missing:
        return
    more = f" and {len(result.missing) - SHOWN} more" if len(result.missing) > SHOWN else ""
    console.log.print(
        f"{len(result.missing)} images of the list are not in the store, {result.left_out} pairs left out: "
        f"{', '.join(result.missing[:SHOWN])}{more} (all in pairs.json)",
        markup=False,
    )


COMMAND = Command(
    section=SECTION,
    config=EvaluatePairsConfig,
    run=run,
    help="""Measure models on a list of pairs: accuracy by folds, TAR@FAR, EER and AUC.

    Accuracy: folds are consecutive pairs, ten for LFW and .bin sets; each is decided at the threshold that
    is best on all others. 95 % intervals come from drawing people anew, and several models are compared on
    the same draws.

    In: a store; a list of pairs (LFW's pairs.txt, any number of folds, or a list that names images: a line
    pairs <TAB> count <TAB> folds, then name <TAB> name <TAB> 1 or 0), unless the store was imported from a
    .bin; one model or more. A pair with an image that the store lacks is an error, or with --allow-missing
    left out, counted and listed.

    Out: the table, and in --out pairs.json, pairs.md and the resolved settings as pairs.toml.
    """,
)
