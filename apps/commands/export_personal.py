"""``fedfr export personal``: one client's personal model as one ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedfr_edge.cli import Command
from fedfr_edge.config import option
from fedfr_edge.errors import ConfigError

from ..export_steps import ExportSettings, check_out, export_calibrated, need_exporter

if TYPE_CHECKING:
    from fedfr_edge.train.checkpoint import PersonalModel

SECTION = "export.personal"


@dataclass(frozen=True, kw_only=True)
class ExportPersonalConfig(ExportSettings):
    """Settings of ``fedfr export personal``."""

    run: Path | None = option(None, help="folder of a training run; needs --client")
    client: str | None = option(None, help="whose model of --run, for example client-00")
    private: Path | None = option(None, help="a client's private folder, instead of --run and --client")
    checkpoint: Path | None = option(None, help="a personal model's .safetensors, instead of a folder")
    round: int | None = option(None, help="round of the folder; the newest if not given", low=1)


def run(config: ExportPersonalConfig) -> None:
    """Export the personal model and print the report."""
    _check(config)
    check_out(config.out)
    need_exporter()
    from fedfr_edge.export.write import export_personal

    model, source = _load(config)
    run = config.run
    if config.private is not None and (config.private.parent.parent / "checkpoints").is_dir():
        run = config.private.parent.parent
    export_calibrated(config, SECTION, model, export_personal, source=source, run=run)


def _check(config: ExportPersonalConfig) -> None:
    sources = (config.run, config.private, config.checkpoint)
    if sum(source is not None for source in sources) != 1:
        raise ConfigError(
            "give exactly one of --run (with --client), --private and --checkpoint, to say which personal "
            "model to export"
        )
    if (config.run is None) != (config.client is None):
        raise ConfigError("--run and --client belong together: give both, or neither")
    if config.checkpoint is not None and config.round is not None:
        raise ConfigError("--round chooses within a folder; leave it out with --checkpoint")


def _load(config: ExportPersonalConfig) -> tuple[PersonalModel, Path]:
    """The model and the file that it was read from."""
    if config.checkpoint is not None:
        from fedfr_edge.train.checkpoint import load_personal

        return load_personal(config.checkpoint), config.checkpoint
    from fedfr_edge.federation.private_state import load_personal_from

    folder = config.private
    if config.run is not None and config.client is not None:
        folder = config.run / "clients" / config.client
    assert folder is not None  # _check saw to it
    model = load_personal_from(folder, config.round)
    return model, folder / f"round_{model.round:04d}.safetensors"


COMMAND = Command(
    section=SECTION,
    config=ExportPersonalConfig,
    run=run,
    help="""Write one client's personal model as one ONNX file: uint8 faces in, unit embeddings out.

    The file gives two embeddings, one in the space that the client's people were learned in (for its
    logins) and one of the backbone alone. It is compared with torch before it is written. Its thresholds
    come from comparisons between public identities, in the first of the two spaces. --variants and
    --package: as for 'fedfr export generic'.

    In: a personal model (--run and --client, --private, or --checkpoint) and a store of public faces
    (--store, --split).

    Out: the .onnx file, readable by its owner only, with a manifest inside; beside it variants, the card as
    .md and the resolved settings as .toml.
    """,
)
