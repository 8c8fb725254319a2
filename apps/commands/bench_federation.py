"""``fedfr bench federation``: what a round costs beyond training, against the plain loop in the same run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedfr_edge.cli import Command
from fedfr_edge.config import as_dict, option
from fedfr_edge.types import Progress, no_progress

from .. import console

SECTION = "bench.federation"


@dataclass(frozen=True)
class BenchFederation:
    """Settings of ``fedfr bench federation``."""

    backbone: tuple[str, ...] = option(
        ("mobilefacenet", "sphereface20", "sphereface64"),
        help="whose parameters travel; the table gives their number",
    )
    dim: int = option(512, help="length of an embedding", low=2)
    clients: int = option(2, help="clients in a round", low=1)
    rounds: int = option(3, help="rounds of each engine, in turns; the median counts", low=1)
    processes: int = option(2, help="client processes of the process engine", low=1)
    images_per_second: float = option(
        0.0,
        help="training speed that a round of the paper's size is worked out with; 0: measured here",
        low=0,
    )
    batch: int = option(8, help="images of the step that is timed for it", low=1)
    seed: int = option(0, help="seed of the weights", low=0)
    json: Path | None = option(None, help="file for every figure")


def bench(config: BenchFederation, progress: Progress = no_progress) -> dict[str, Any]:
    """Run what the command runs, without printing: every figure, JSON-able."""
    from ..bench import federation, machine
    from ..bench.isolated import alone

    result: dict[str, Any] = {"machine": machine.describe(), "settings": as_dict(config), "backbones": {}}
    for number, name in enumerate(config.backbone, 1):
        figures = alone(
            federation.measure,
            name,
            dim=config.dim,
            clients=config.clients,
            rounds=config.rounds,
            processes=config.processes,
            seed=config.seed,
        )
        speed = config.images_per_second or alone(
            federation.training_speed, name, dim=config.dim, batch=config.batch, steps=2, seed=config.seed
        )
        seconds = federation.paper_round(speed)
        figures |= {
            "images_per_second": speed,
            "paper_round_seconds": seconds,
            "share_of_paper_round": {
                engine: value / seconds for engine, value in figures["overhead_per_client"].items()
            },
        }
        result["backbones"][name] = figures
        progress("backbones", number, len(config.backbone))
    return result


def run(config: BenchFederation) -> None:
    """Run the command."""
    with console.progress_bars() as progress:
        result = bench(config, progress)
    from ..bench.outcome import tell

    tell(result, _lines(result), config, SECTION, config.json)


def _lines(result: dict[str, Any]) -> list[str]:
    machine, settings = result["machine"], result["settings"]
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, load {machine['load_before']:.1f}; "
        f"{settings['clients']} clients that do not train, {settings['rounds']} rounds",
        f"{'parameters':>10} {'plain':>8} {'in-process':>11} {'processes':>10}   of a paper-sized round",
    ]
    for one in result["backbones"].values():
        medians, shares = one["median_seconds"], one["share_of_paper_round"]
        lines.append(
            f"{one['parameters'] / 1e6:8.1f} M {medians['plain']:6.2f} s {medians['in-process']:9.2f} s "
            f"{medians['processes']:8.2f} s   {shares['in-process']:.3%} and {shares['processes']:.3%} of "
            f"{one['paper_round_seconds'] / 60:.0f} minutes ({one['images_per_second']:.1f} images/s)"
        )
    return lines


COMMAND = Command(
    section=SECTION,
    config=BenchFederation,
    run=run,
    help="""Measure what a federated round costs beyond training, against the plain loop in the same run.

    Clients answer with what they were sent; what is left is carrying, checking and averaging, by the plain
    loop without Flower, by Flower's apps in one process, and by client processes. The overhead for each
    client is set beside its training in a round of the paper's size (6,000 images, 4 epochs), worked out
    from this machine's images per second with one thread, or from those given.

    \b
    In:  nothing; weights are made from the seed.
    Out: a table, and with --json FILE every figure, machine and versions; FILE.toml has the settings.
    """,
)
