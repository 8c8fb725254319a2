"""``fedfr bench federation``: what a round costs beyond training, against the plain loop in the same run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedfr_edge.cli import Command
from fedfr_edge.config import as_dict, option
from fedfr_edge.errors import ConfigError
from fedfr_edge.types import Progress, no_progress

from .. import console
from ..bench.federation_echo import ENGINES

SECTION = "bench.federation"


@dataclass(frozen=True)
class BenchFederation:
    """Settings of ``fedfr bench federation``."""

    backbone: tuple[str, ...] = option(
        ("mobilefacenet:42", "sphereface20", "sphereface64"),
        help="NAME or NAME:WIDTH, whose parameters travel (these have 1, 25 and 50 million)",
    )
    engine: tuple[str, ...] = option(
        ENGINES, help="in-process, processes or superlink, set against the plain loop"
    )
    dim: int = option(512, help="length of an embedding", low=2)
    clients: int = option(2, help="clients in a round", low=1)
    rounds: int = option(3, help="rounds of each engine; the median counts", low=1)
    processes: int = option(2, help="client processes of the process engine", low=1)
    images_per_second: float = option(
        1000.0,
        help="a GPU's training speed, assumed, beside the one measured on this CPU: what a round of the "
        "paper's size is worked out with",
        low=0.1,
    )
    batch: int = option(8, help="images of the step that is timed on the CPU", low=2)
    seed: int = option(0, help="seed of the weights", low=0)
    json: Path | None = option(None, help="file for every figure")


def bench(config: BenchFederation, progress: Progress = no_progress) -> dict[str, Any]:
    """Run what the command runs, without printing: every figure, JSON-able.

    Raises:
        ConfigError: no such engine or backbone.
        FederationError: Flower's own programs failed.
    """
    from ..bench import federation, machine
    from ..bench.federation_echo import read_spec
    from ..bench.isolated import alone

    odd = [name for name in config.engine if name not in ENGINES]
    if odd:
        raise ConfigError(f"engine is {odd[0]!r}, expected {', '.join(ENGINES)}")
    for name in config.backbone:
        read_spec(name, config.dim)
    result: dict[str, Any] = {"machine": machine.describe(), "settings": as_dict(config), "backbones": {}}
    for number, name in enumerate(config.backbone, 1):
        figures = alone(
            federation.measure,
            name,
            dim=config.dim,
            engines=config.engine,
            clients=config.clients,
            rounds=config.rounds,
            processes=config.processes,
            seed=config.seed,
        )
        measured = alone(
            federation.training_speed, name, dim=config.dim, batch=config.batch, steps=2, seed=config.seed
        )
        figures["paper_round"] = {
            kind: _shares(speed, federation.paper_round(speed), figures["overhead_per_turn"])
            for kind, speed in {"measured_cpu": measured, "assumed_gpu": config.images_per_second}.items()
        }
        result["backbones"][name] = figures
        progress("backbones", number, len(config.backbone))
    return result


def _shares(speed: float, seconds: float, overhead: dict[str, float]) -> dict[str, Any]:
    """What the overhead is of a client's training in a round of the paper's size, by engine."""
    shares = {engine: value / seconds for engine, value in overhead.items()}
    return {"images_per_second": speed, "seconds": seconds, "share": shares}


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
        f"{'parameters':>10}  {'engine':<10} {'a round':>9} {'overhead':>9}   "
        "of a client's round of the paper's size",
    ]
    for one in result["backbones"].values():
        medians, over, paper = one["median_seconds"], one["overhead_per_turn"], one["paper_round"]
        cpu, gpu = paper["measured_cpu"], paper["assumed_gpu"]
        lines.append(f"{one['parameters'] / 1e6:8.1f} M  {'plain':<10} {medians['plain']:7.2f} s")
        for engine, value in over.items():
            lines.append(
                f"{'':>10}  {engine:<10} {medians[engine]:7.2f} s {value:7.2f} s   "
                f"{cpu['share'][engine]:.3%} on this CPU ({cpu['images_per_second']:.1f} images/s), "
                f"{gpu['share'][engine]:.1%} at {gpu['images_per_second']:g} images/s (assumed)"
            )
        if "superlink_parts" in one:
            for clock, key in (("seconds", "superlink_parts"), ("CPU seconds", "superlink_cpu")):
                parts = [f"{name.replace('_', ' ')} {value:.2f}" for name, value in one[key].items()]
                lines.append(f"{'':>10}  superlink, {clock}: {', '.join(parts)}")
    return lines


COMMAND = Command(
    section=SECTION,
    config=BenchFederation,
    run=run,
    help="""Measure what a federated round costs beyond training, against the plain loop in the same run.

    Clients answer with what they were sent; what is left is carrying, checking and averaging, by the plain
    loop without Flower, by Flower's apps in one process, by client processes, and by a real SuperLink with a
    SuperNode for each client on this machine. What a round takes beyond the plain loop, for each client that
    trains in turn, is set beside a client's training in a round of the paper's size (6,000 images, 4 epochs),
    at this CPU's images per second (of CPU time, one thread), and at those assumed for a GPU.

    \b
    In:  nothing; weights are made from the seed.
    Out: a table, and with --json FILE every figure, machine and versions; FILE.toml has the settings.
    """,
)
