"""``fedfr bench device``: a login on this machine, against insightface's pipeline in the same run."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedfr_edge.cli import Command
from fedfr_edge.config import as_dict, option
from fedfr_edge.errors import ImageError, MissingPartError
from fedfr_edge.types import Progress, no_progress

from .. import console

SECTION = "bench.device"


@dataclass(frozen=True)
class BenchDevice:
    """Settings of ``fedfr bench device``."""

    model: Path = option(help="an exported float32 model")
    photos: Path = option(help="a folder of photographs, in a folder for each person")
    detector: str = option(help="scrfd:FILE.onnx, which both sides use")
    most: int = option(60, help="photographs to decide on, evenly chosen", low=1)
    threads: tuple[int, ...] = option((1, 2), help="CPU threads of both sides")
    templates: int = option(100_000, help="people in the gallery that is searched", low=2)
    dim: int = option(512, help="length of their templates", low=2)
    probes: int = option(40, help="searches", low=4)
    starts: int = option(5, help="cold starts of each side", low=1)
    seed: int = option(0, help="seed of the templates", low=0)
    json: Path | None = option(None, help="file for every figure")


def bench(config: BenchDevice, progress: Progress = no_progress) -> dict[str, Any]:
    """Run what the command runs, without printing: every figure, JSON-able.

    Raises:
        ConfigError, ModelError, ImageError: as :func:`fedfr_edge.apps.bench.device.prepare`.
        MissingPartError: insightface is not installed, or a process that was to be measured failed.
    """
    import importlib.util

    from ..bench import device, machine
    from ..bench.isolated import alone, blas_threads
    from ..device import IMAGE_SUFFIXES

    if importlib.util.find_spec("insightface") is None:
        raise MissingPartError(
            "insightface, which the login is measured against, is not installed; "
            "run: pip install 'fedfr-edge[insightface]'"
        )
    photos = sorted(file for file in config.photos.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
    if not photos:
        raise ImageError(
            f"no photographs below {config.photos}; give a folder that holds a folder per person"
        )
    result: dict[str, Any] = {"machine": machine.describe(), "settings": as_dict(config)}
    with tempfile.TemporaryDirectory() as folder:
        task, left = alone(device.prepare, config.model, config.detector, photos, Path(folder))
        count = min(config.most, len(left))
        chosen = [left[len(left) * turn // count] for turn in range(count)]
        result["threads"] = {}
        for number, threads in enumerate(config.threads, 1):
            with blas_threads(threads):
                figures = alone(device.frames, task, chosen, threads)
                figures["networks"] = alone(device.networks, task, threads)
            result["threads"][str(threads)] = figures
            progress("frame to decision", number, len(config.threads))
        with blas_threads(1):
            result["search"] = alone(device.search, config.templates, config.dim, config.probes, config.seed)
            progress("search", 1, 1)
            result["cold_start"] = device.cold_starts(task, chosen[0], config.starts, progress)
            result["memory"] = device.memory(task, chosen[:20])
            progress("memory", 1, 1)
    result["frame_to_decision_ratio"] = {
        threads: one["frame_to_decision_ratio"] for threads, one in result["threads"].items()
    }
    result["cold_start_ratio"] = result["cold_start"]["cold_start_ratio"]
    return result


def run(config: BenchDevice) -> None:
    """Run the command."""
    with console.progress_bars() as progress:
        result = bench(config, progress)
    from ..bench.outcome import tell

    tell(result, _lines(result), config, SECTION, config.json)


def _lines(result: dict[str, Any]) -> list[str]:
    from ..bench.outcome import aligned

    machine = result["machine"]
    lines = [f"{machine['processor']}, {machine['cores']} cores, load {machine['load_before']:.1f}"]
    for threads, one in result["threads"].items():
        lines.append(
            f"{threads} thread(s), {one['photographs']} photographs; ms, p50 (p95)"
            f"{'ours':>21} {'insightface':>16} {'two sizes':>16}"
        )
        sides = ("ours", "theirs", "theirs_auto")
        stages = {stage: None for side in sides for stage in one["stages"][side]}
        rows = [(stage, [one["stages"][side].get(stage) for side in sides]) for stage in stages]
        for what, spreads in [*rows, ("whole", [one["whole"][side] for side in sides])]:
            shown = " ".join(f"{_spread(spread):>16}" for spread in spreads)
            lines.append(f"  {what:<47} {shown}")
        rows_of_one = [
            (
                "  frame to decision",
                f"{one['frame_to_decision_ratio']:.2f} of insightface's "
                f"({one['frame_to_decision_ratio_auto']:.2f} where it looks at two sizes)",
            ),
            ("  same decision", f"{one['same_decisions']} of {one['photographs']}"),
        ]
        peak = one["networks"]["peak_flops_per_second"] / 1e9
        for name in ("detector", "embedding"):
            net = one["networks"][name]
            rows_of_one.append(
                (
                    f"  {name} network",
                    f"{net['flops'] / 1e9:.2f} GFLOP in {net['seconds'] * 1e3:.1f} ms, "
                    f"{net['share_of_peak']:.0%} of the peak of {peak:.0f} GFLOP/s",
                )
            )
        lines += aligned(rows_of_one)
    found, cold, memory = result["search"], result["cold_start"], result["memory"]
    lines += aligned(
        [
            (
                f"one among {found['templates']:,} templates",
                f"{_spread(found['seconds'])} ms, exact: {'yes' if found['exact'] else 'NO'}; first "
                f"{found['first_seconds'] * 1e3:.0f} ms, second {found['index_seconds'] * 1e3:.0f} ms; a "
                f"bare matrix product {found['matrix_product_seconds'] * 1e3:.1f} ms",
            ),
            (
                "cold start to first decision",
                f"{_median(cold['ours_seconds']):.2f} s, insightface "
                f"{_median(cold['theirs_seconds']):.2f} s, ratio {cold['cold_start_ratio']:.2f}",
            ),
            (
                "memory of a running login",
                ", ".join(
                    f"{name} {held['resident_bytes'] / 2**20:.0f} MiB" for name, held in memory.items()
                ),
            ),
        ]
    )
    return lines


def _spread(spread: dict[str, float] | None) -> str:
    return "" if spread is None else f"{spread['p50'] * 1e3:.2f} ({spread['p95'] * 1e3:.2f})"


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


COMMAND = Command(
    section=SECTION,
    config=BenchDevice,
    run=run,
    help="""Measure a login on this machine against insightface's pipeline, in the same run.

    Both sides use the same networks with the same number of threads and take turns, photograph by photograph:
    stages and whole, cold start, memory, each network's share of the machine's peak. A search among many
    templates is compared with every product in float64. The first photograph of each folder is enrolled.

    \b
    In:  a float32 model, SCRFD's ONNX file, photographs in a folder for each person.
    Out: a table, and with --json FILE every figure, machine and versions; FILE.toml has the settings.
    """,
)
