"""``fedfr export generic``: the global model as one ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fedfr_edge.cli import Command
from fedfr_edge.config import option
from fedfr_edge.errors import ConfigError

from ..export_steps import ExportSettings, check_out, export_calibrated, need_exporter, round_file

SECTION = "export.generic"


@dataclass(frozen=True, kw_only=True)
class ExportGenericConfig(ExportSettings):
    """Settings of ``fedfr export generic``."""

    checkpoint: Path | None = option(
        None, help="a global model, such as RUN/checkpoints/round_0030.safetensors"
    )
    run: Path | None = option(None, help="folder of a training run, instead of --checkpoint")
    round: int | None = option(None, help="round of --run; the newest if not given", low=0)


def run(config: ExportGenericConfig) -> None:
    """Export the global model and print the report."""
    if (config.checkpoint is None) == (config.run is None):
        raise ConfigError("give exactly one of --checkpoint and --run, to say which global model to export")
    if config.checkpoint is not None and config.round is not None:
        raise ConfigError("--round chooses within --run; leave it out with --checkpoint")
    check_out(config.out)
    need_exporter()
    from fedfr_edge.export.write import export_generic
    from fedfr_edge.train.checkpoint import load_global

    source = config.checkpoint or round_file(config.run or Path(), config.round)
    export_calibrated(config, SECTION, load_global(source), export_generic, source=source, run=config.run)


COMMAND = Command(
    section=SECTION,
    config=ExportGenericConfig,
    run=run,
    help="""Write the global model as one ONNX file: uint8 faces in, unit embeddings out.

    The file is compared with torch before it is written; where they disagree, nothing is written. Its
    thresholds come from comparisons between public identities. Identities that training did not see give
    the most honest ones: name a store that holds only such, without --split. --variants tries fp16 and int8
    beside it, shows size, time and accuracy side by side, keeps what is worth it and says which to use here.

    In: a global model (--checkpoint, or --run and --round) and a store of public faces (--store, --split).

    Out: the .onnx file, with a manifest inside; beside it variants as NAME.fp16.onnx and NAME.int8.onnx, the
    model's card as .md and the resolved settings as .toml; with --package the folder NAME.insightface.
    """,
)
