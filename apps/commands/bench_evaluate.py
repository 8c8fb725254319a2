"""``fedfr bench evaluate``: what evaluating a client costs, against the bare matrix product."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedfr_edge.cli import Command
from fedfr_edge.config import as_dict, option

from ..bench.outcome import aligned, tell

SECTION = "bench.evaluate"


@dataclass(frozen=True)
class BenchEvaluate:
    """Settings of ``fedfr bench evaluate``."""

    clients: int = option(40, help="clients of the protocol; one of them is evaluated", low=2)
    people: int = option(100, help="people of each client", low=2)
    images: int = option(40, help="test images of each person", low=2)
    train_images: int = option(60, help="training images of each, which make the 1:N templates", low=1)
    dim: int = option(512, help="length of an embedding", low=2)
    pairs: int = option(3, help="evaluations and bare products, in turns; medians count", low=1)
    intervals: int = option(200, help="replicates of one more evaluation, with intervals; 0 for none", low=0)
    device: str = option("cpu", help="where the scores are made: cpu (numpy), cuda, … (torch)")
    threads: int = option(2, help="threads of the matrix product on the CPU", low=1)
    seed: int = option(0, help="seed of the embeddings", low=0)
    json: Path | None = option(None, help="file for every figure")


def bench(config: BenchEvaluate) -> dict[str, Any]:
    """Run what the command runs, without printing: every figure, JSON-able."""
    from ..bench import evaluate, machine
    from ..bench.isolated import alone, blas_threads

    result: dict[str, Any] = {"machine": machine.describe(), "settings": as_dict(config)}
    with blas_threads(config.threads):
        result |= alone(
            evaluate.measure,
            config.clients,
            config.people,
            config.images,
            config.train_images,
            config.dim,
            pairs=config.pairs,
            intervals=config.intervals,
            device=config.device,
            seed=config.seed,
        )
    return result


def run(config: BenchEvaluate) -> None:
    """Run the command."""
    result = bench(config)
    tell(result, _lines(result), config, SECTION, config.json)


def _lines(result: dict[str, Any]) -> list[str]:
    machine, settings = result["machine"], result["settings"]
    bare = sorted(result["bare_seconds"])[len(result["bare_seconds"]) // 2]
    rows = [
        ("machine", f"{machine['processor']}, {settings['threads']} of {machine['cores']} cores"),
        (
            "one client of",
            f"{result['clients']} × {result['people']} people × {result['test_images']} images",
        ),
        ("  pairs", f"{result['mated']:,} mated, {result['non_mated']:,} non-mated"),
        ("  bare matrix product", f"{bare:.2f} s"),
        (
            "  evaluation, 1:1 and 1:N",
            f"{result['seconds']:.2f} s, {result['pairs_per_second'] / 1e6:.0f} M pairs/s",
        ),
        (
            "  ratio",
            f"{result['matmul_ratio']:.3f} by the clock, {result['matmul_ratio_cpu']:.3f} of CPU time",
        ),
        ("  memory beyond the embeddings", f"{result['peak_extra_bytes'] / 2**20:.0f} MiB"),
    ]
    if result["interval_replicates"]:
        rows.append(
            (
                f"  95 % intervals, {result['interval_replicates']} replicates",
                f"{result['interval_seconds']:.1f} s more, "
                f"{result['peak_extra_bytes_with_intervals'] / 2**20:.0f} MiB",
            )
        )
    rows.append(("  rates equal a full sort", "yes" if result["equals_full_sort"] else "NO"))
    return aligned(rows)


COMMAND = Command(
    section=SECTION,
    config=BenchEvaluate,
    run=run,
    help="""Measure the evaluation of one client of the paper's size against the bare matrix product.

    Random embeddings of 100 people and of 3,900 strangers, 40 images each: 78,000 mated and 631.92 million
    non-mated pairs, exact thresholds, and all searches. Evaluation and bare product take turns.

    \b
    In:  nothing; embeddings are made from the seed (350 MB).
    Out: a table, and with --json FILE every figure, machine and versions; FILE.toml has the settings.
    """,
)
