"""``fedfr calibrate``: thresholds for this device, from people who are not enrolled."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from fedfr_edge.cli import Command
from fedfr_edge.config import dump_config, option
from fedfr_edge.errors import GalleryError
from fedfr_edge.recognition.calibrate import DEFAULT_FARS
from fedfr_edge.recognition.manifest import far_key
from fedfr_edge.vision.runtime import PROVIDER_HELP, Provider

from ..gallery_options import GalleryOptions

if TYPE_CHECKING:
    from fedfr_edge.recognition.calibration import Calibration

SECTION = "calibrate"

HELP = """Find thresholds for this device at stated false accept rates.

In: faces of people who are not enrolled and, for honest figures, whom the model was not trained on: an
aligned-face store (with --split only its public identities), or a folder with one folder of photographs for
each person; the model and the gallery. Each face is compared with the templates of those enrolled, which
are made of several photographs and score higher with everybody than a single one; with --against public
with templates of some of the strangers, made alike, and with both.

Out: thresholds, each with the false accepts and comparisons that it rests on and the rate's upper bound at
95 % confidence. The threshold is the lowest whose bound is no higher than the rate. Comparisons of one
stranger hang together and count as fewer; where they are too few for a rate, the threshold lies above all
of them and no lower than the model's own, and the table says so. For a personal model also thresholds for
two gates; and for comparison what the model's own thresholds come to. They are kept sealed in the gallery,
logged, and taken by 'fedfr login' from then on; the settings go to GALLERY/calibrate.toml.

Do it again when the model has changed, or when many people were enrolled since."""


@dataclass(frozen=True, kw_only=True)
class CalibrateConfig(GalleryOptions):
    """Settings of ``fedfr calibrate``."""

    strangers: Path = option(argument=True, help="store, or folder of folders of photographs")
    model: Path = option(help="exported model (.onnx), the one that enrolled")
    split: Path | None = option(None, help="of the store: take its public identities alone")
    far: tuple[float, ...] = option(
        (), low=0, high=1, help=f"false accept rate; default: {', '.join(map(far_key, DEFAULT_FARS))}"
    )
    against: Literal["auto", "gallery", "public", "both"] = option(
        "auto", help="whose templates, as said above; auto: of those enrolled, public where nobody is"
    )
    images: int | None = option(
        None, low=1, help="photographs of a stranger's template; default: as those enrolled have"
    )
    faces: int = option(4000, low=2, help="use at most so many of the strangers' faces")
    seed: int = option(0, low=0, help="of the draw, where there are more")
    detector: str = option("centerface", help="centerface or yunet:, scrfd:, insightface:FILE.onnx")
    aligned: bool = option(False, help="the photographs are aligned 112×112 faces already")
    json: bool = option(False, help="print the calibration as one JSON object")
    provider: Provider = option("auto", help=f"what computes: {PROVIDER_HELP}")
    threads: int | None = option(None, low=1, help="CPU threads; default: onnxruntime's choice")


def run(config: CalibrateConfig) -> None:
    """Calibrate, keep and report."""
    from fedfr_edge import atomic
    from fedfr_edge.recognition.calibrate_device import calibrate_device
    from fedfr_edge.recognition.vault import Vault

    from .. import console, device
    from ..strangers import read_strangers

    encoder = device.open_encoder(config.model, config.provider, config.threads)
    keys = device.key_provider(config.key, config.key_file, config.gallery, new=False)
    # Looked at, and given back: logins go on while strangers are searched for faces.
    with Vault.open(config.gallery, keys, model_digest=encoder.digest) as vault:
        gallery, gallery_id = vault.gallery, vault.header.gallery
    with console.progress_bars() as progress:
        strangers = read_strangers(
            config.strangers,
            split=config.split,
            detector=device.open_eyes(config.detector, config.aligned, config.provider, config.threads),
            limit=config.faces,
            seed=config.seed,
            progress=progress,
        )
        found = calibrate_device(
            encoder,
            gallery,
            strangers,
            fars=config.far or DEFAULT_FARS,
            against=None if config.against == "auto" else config.against,
            images=config.images,
            progress=progress,
        )
    with Vault.open(config.gallery, keys, model_digest=encoder.digest) as vault:
        if vault.header.gallery != gallery_id:
            raise GalleryError(
                f"{config.gallery} is another gallery than the one that strangers were compared with; "
                "nothing was kept, calibrate again"
            )
        record = dump_config(config, SECTION)
        atomic.write_text(config.gallery / "calibrate.toml", record, mode=0o600)
        vault.calibrate(found)
    if config.json:
        click.echo(json.dumps(found.to_dict(), ensure_ascii=False))
        return
    _show(found, config.gallery)


def _show(found: Calibration, gallery: Path) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from .. import console, device

    rows = [(record.gates, record) for record in found.records]
    rows += [("as exported", record) for record in found.exported]
    two_gates = any(record.second_threshold is not None for _, record in rows)
    # Narrow, for a terminal of 80 columns.
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in ("FAR", "gates", "score", "second", "passed", "FAR at most", "1:N", "at most"):
        if two_gates or column != "second":
            table.add_column(column, justify="left" if column == "gates" else "right", no_wrap=True)
    for gates, record in rows:
        second = "" if record.second_threshold is None else f"{record.second_threshold:.4f}"
        table.add_row(
            far_key(record.far),
            gates,
            f"{record.threshold:.4f}",
            *([second] if two_gates else []),
            f"{record.false_accepts}/{record.comparisons}",
            f"{record.upper:.2g}" + ("" if record.supported else " ✗"),
            f"{record.search_false_accepts}/{record.searches}" if record.searches else "",
            "" if record.search_upper is None else f"{record.search_upper:.2g}",
        )
    console.out.print(table)
    device.say(
        f"{found.faces} faces of {found.strangers} strangers ({found.source}) against "
        f"{device.counted(found.templates, 'template')} ({found.against}); 'at most' with 95 % "
        "confidence, for strangers like these; 1:N: their faces that were taken for somebody enrolled"
    )
    if not all(record.supported for record in found.records):
        device.say(
            "✗ not shown: too few strangers for that rate; its threshold lies above all of them and no lower "
            "than the model's own. Give more people, or compare with more templates (--against both)"
        )
    device.say(f"kept in {gallery}; 'fedfr login' goes by it, --far chooses")


COMMAND = Command(section=SECTION, config=CalibrateConfig, run=run, help=HELP)
