"""``fedfr evaluate pairs``: models on a list of pairs in LFW's format."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import fedfr_edge
from fedfr_edge.cli import Command
from fedfr_edge.config import option, save_config

from .. import console

if TYPE_CHECKING:
    from fedfr_edge.evaluation.pairs import PairsResult

SECTION = "evaluate.pairs"

SHOWN = 10
"""Missing images that are named on the terminal; the result file lists all."""


@dataclass(frozen=True)
class EvaluatePairsConfig:
    """Settings of ``fedfr evaluate pairs``."""

    store: Path = option(help="aligned-face store with images named like Abel_Pacheco/Abel_Pacheco_0001")
    pairs: Path = option(help="the list of pairs (LFW's pairs.txt)")
    model: tuple[Path, ...] = option(help="a model, exported .onnx or checkpoint .safetensors")
    out: Path = option(help="folder for the results", short="o")
    fars: tuple[float, ...] = option(
        (), help="false-accept rate; default: 1e-1 to 1e-3 as far as the pairs carry", low=0, high=1
    )
    device: str = option("cpu", help="where models run: cpu, cuda, cuda:1, …")
    threads: int = option(1, help="CPU threads of a model", low=1)


def run(config: EvaluatePairsConfig) -> None:
    """Evaluate, write, and print the table."""
    from fedfr_edge import atomic
    from fedfr_edge.data.store import FaceStore
    from fedfr_edge.evaluation.pairs import evaluate_pairs, read_pairs
    from fedfr_edge.evaluation.tables import pairs_table

    from ..models_for_evaluation import Backend, open_for_pairs
    from ..result_tables import print_table

    store = FaceStore.open(config.store)
    pairs = read_pairs(config.pairs)
    backend = Backend(config.device, config.threads)
    results: list[PairsResult] = []
    with console.progress_bars() as progress:
        for path in config.model:
            same_name = [other for other in config.model if other.name == path.name]
            name = path.name if len(same_name) == 1 else str(path)
            for encoder in open_for_pairs(path, backend, name):
                results.append(
                    evaluate_pairs(
                        encoder,
                        store.images,
                        store.row_of,
                        pairs,
                        fars=config.fars or None,
                        progress=progress,
                    )
                )
    table = pairs_table(results)
    record = {
        "version": fedfr_edge.__version__,
        "store": {"path": str(store.path), "digest": store.digest, "licence": store.manifest.get("licence")},
        "pairs": {"path": str(config.pairs), "count": len(pairs)},
        "device": config.device,
        "results": [result.to_dict() for result in results],
    }
    atomic.write_text(config.out / "pairs.md", table.to_markdown())
    atomic.write_text(
        config.out / "pairs.json", json.dumps(record, ensure_ascii=False, allow_nan=False, indent=1)
    )
    save_config(config, SECTION, config.out / "pairs.toml")
    print_table(table)
    _name_missing(results[0])
    console.out.print(f"written to {config.out}")


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

    In: a store, a list of pairs in the format of LFW's pairs.txt (any number of folds), and one model or
    more. Pairs with an image that the store lacks are left out, counted and listed.

    Out: the table, and in --out pairs.json, pairs.md and the resolved settings as pairs.toml.
    """,
)
