"""``fedfr bench train``: what training costs on this machine, against plain loops in the same run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fedfr_edge.cli import Command
from fedfr_edge.config import as_dict, option
from fedfr_edge.types import Progress, no_progress

from .. import console
from ..bench.outcome import aligned, tell

SECTION = "bench.train"


@dataclass(frozen=True)
class BenchTrain:
    """Settings of ``fedfr bench train``."""

    backbone: tuple[str, ...] = option(
        ("mobilefacenet", "sphereface20"), help="backbone whose round and pre-training are measured"
    )
    width: int = option(64, help="channels of its first stage; 64 is the published network", low=1)
    dim: int = option(512, help="length of an embedding", low=2)
    input_size: int = option(112, help="side at which the network looks at a face: 112, 56 or 28")
    local: int = option(24, help="the client's own images", low=2)
    public: int = option(32, help="public images", low=4)
    mined: float = option(0.5, help="share of them that is to be mined", low=0, high=1)
    batch: int = option(16, help="images in a step", low=2)
    epochs: int = option(4, help="local epochs E", low=1)
    learning_rate: float = option(1e-3, help="of the rounds", low=0)
    warm_up: int = option(20, help="steps that the weights are trained before, as a round's are", low=0)
    pairs: int = option(3, help="rounds of each loop, in alternation; medians of the pairs count", low=1)
    mining_local: int = option(1000, help="local features for mining; the paper's size is 6500", low=1)
    mining_public: int = option(40000, help="public features for mining; the paper's size is 420000", low=100)
    clients: int = option(40, help="updates to average", low=1)
    parameters: float = option(10.0, help="millions of parameters of each; SphereFace-64 has 50", low=0.1)
    device: str = option("cpu", help="torch device of rounds and pre-training: cpu, cuda, …")
    precision: Literal["float32", "bf16", "fp16"] = option(
        "float32", help="of our rounds on a GPU; the plain loop stays at float32"
    )
    threads: int = option(1, help="torch threads on the CPU", low=1)
    seed: int = option(0, help="seed of weights, images and order", low=0)
    json: Path | None = option(None, help="file for every figure")


def bench(config: BenchTrain, progress: Progress = no_progress) -> dict[str, Any]:
    """Run what the command runs, without printing: every figure, JSON-able."""
    from fedfr_edge.train.backbones.spec import BackboneSpec

    from ..bench import aggregation, machine, mining, pretraining, rounds
    from ..bench.isolated import alone
    from ..bench.task import RoundTask

    result: dict[str, Any] = {"machine": machine.describe(), "settings": as_dict(config), "backbones": {}}
    for name in config.backbone:
        spec = BackboneSpec(name, config.dim, config.width, config.input_size)
        task = RoundTask(
            spec,
            config.local,
            config.public,
            config.batch,
            config.epochs,
            config.mined,
            config.seed,
            config.learning_rate,
            config.warm_up,
            config.device,
            config.precision,
            config.threads,
        )
        figures = rounds.measure(task, config.pairs, progress)
        figures["pretraining"] = alone(
            pretraining.measure,
            spec,
            images=3 * config.batch,
            batch=config.batch,
            device=config.device,
            threads=config.threads,
            seed=config.seed,
        )
        progress(f"pre-training {name}", 1, 1)
        result["backbones"][name] = figures
    result["round_ratio"] = {name: one["round_ratio"] for name, one in result["backbones"].items()}
    result["mining"] = alone(
        mining.measure,
        config.mining_local,
        config.mining_public,
        config.dim,
        pairs=config.pairs,
        threads=config.threads,
        seed=config.seed,
    )
    progress("mining", 1, 1)
    result["aggregation"] = alone(aggregation.measure, config.clients, config.parameters, config.seed)
    progress("aggregation", 1, 1)
    return result


def run(config: BenchTrain) -> None:
    """Run the command."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's own chatter, in the processes to come
    with console.progress_bars() as progress:
        result = bench(config, progress)
    tell(result, _lines(result), config, SECTION, config.json)


def _lines(result: dict[str, Any]) -> list[str]:
    rows: list[tuple[str, str]] = []
    machine = result["machine"]
    rows.append(("machine", f"{machine['processor']}, {machine['cores']} cores, torch {machine['torch']}"))
    for name, one in result["backbones"].items():
        before, after = (
            sorted(one[f"{who}_seconds"])[len(one["ours_seconds"]) // 2] for who in ("plain", "ours")
        )
        rows += [
            (f"{name}: a client's round", f"{before:.1f} s plain, {after:.1f} s ours"),
            ("  ratio", f"{one['round_ratio']:.3f} by the clock, {one['round_ratio_cpu']:.3f} of CPU time"),
            ("  ratio by arithmetic alone", f"{one['arithmetic_ratio']:.3f}"),
            (
                "  losses of all steps differ by at most",
                f"{one['largest_loss_difference']:.1e} (same layers in the plain loop)",
            ),
            (
                "  with PyTorch's layers there",
                f"{one['first_step_loss_difference']:.1e} in the first step, "
                f"{one['loss_difference_with_other_layers']:.1e} in all",
            ),
            (
                "  what bounds it",
                ", ".join(
                    f"{kind} {share:.0%}"
                    for kind, share in sorted(one["profile"].items(), key=lambda item: -item[1])
                    if share >= 0.005
                ),
            ),
        ]
        speed = one["pretraining"]
        rows.append(
            (
                "  pre-training",
                f"{speed['images_per_second']:.1f} images/s, {speed['share_of_peak']:.0%} of the peak of "
                f"{speed['peak_flops_per_second'] / 1e9:.0f} GFLOP/s",
            )
        )
    mining, mean = result["mining"], result["aggregation"]
    rows += [
        (
            f"mining {mining['local']} × {mining['public']}",
            f"{mining['ratio']:.2f} of the bare product by the clock, {mining['ratio_cpu']:.2f} of CPU time",
        ),
        ("  memory beyond the features", f"{mining['extra_bytes'] / 2**20:.0f} MiB"),
        ("  the set equals brute force", "yes" if mining["equals_brute_force"] else "NO"),
        (
            f"averaging {mean['clients']} × {mean['parameters'] / 1e6:.0f} M parameters",
            f"{mean['peak_models']:.2f} models at most, {mean['seconds']:.1f} s",
        ),
    ]
    return aligned(rows)


COMMAND = Command(
    section=SECTION,
    config=BenchTrain,
    run=run,
    help="""Measure training on this machine, against plain loops in the same run.

    A client's round (mining, frozen features, epochs) takes turns with a loop that recomputes and decodes
    everything in every step; mining is set beside the bare matrix product, averaging beside the size
    of a model, pre-training beside the machine's peak.

    \b
    In:  nothing; images and weights are made from the seed.
    Out: a table, and with --json FILE every figure, machine and versions; FILE.toml has the settings.
    """,
)
