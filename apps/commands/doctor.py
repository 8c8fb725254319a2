"""``fedfr doctor``: what is installed, what is in effect, and what to do about each fault."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from fedfr_edge.cli import Command
from fedfr_edge.config import as_dict, option
from fedfr_edge.vision.runtime import PROVIDER_HELP, Provider

SECTION = "doctor"

HELP = """What is installed, what is in effect, and what to do about each fault.

In: this machine; a model to open as well with --model.

Out: one line for each check, and under each fault what to do; the same as JSON with --output. Exit
status 0: enrolment and login work here (optional parts may be absent); 1: they do not."""

_MARKS = {"ok": "ok", "absent": "absent", "warning": "WARNING", "fault": "FAULT"}


@dataclass(frozen=True)
class DoctorConfig:
    """Settings of ``fedfr doctor``."""

    model: Path | None = option(None, help="an exported model (.onnx) to open as well")
    detector: str = option("centerface", help="the detector to try")
    provider: Provider = option("auto", help=f"what computes: {PROVIDER_HELP}")
    folder: Path = option(Path(), help="folder whose disk is checked")
    output: Path | None = option(None, short="o", help="write the checks to this JSON file too")


def run(config: DoctorConfig) -> int:
    """Run the checks and print them."""
    from fedfr_edge import atomic

    from .. import console
    from ..checks import run_checks

    checks = run_checks(
        detector=config.detector, provider=config.provider, model=config.model, folder=config.folder
    )

    def say(text: str) -> None:
        console.out.print(text)

    width = max(len(check.name) for check in checks)
    for check in checks:
        say(f"{_MARKS[check.status]:<8}{check.name:<{width}}  {check.found}")
        if check.mend:
            say(f"{'':<8}{'':<{width}}  → {check.mend}")
    works = all(check.status != "fault" for check in checks)
    say("The device part works." if works else "The device part does not work: mend the faults above.")
    if config.output is not None:
        report = {
            "works": works,
            "checks": [dataclasses.asdict(check) for check in checks],
            "config": as_dict(config),
        }
        atomic.write_text(config.output, json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    return 0 if works else 1


COMMAND = Command(section=SECTION, config=DoctorConfig, run=run, help=HELP)
