"""``fedfr gallery import``: people of an export into a gallery."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fedfr_edge.cli import Command
from fedfr_edge.config import option

from ..gallery_options import GalleryOptions

SECTION = "gallery.import"

HELP = """Take the people of an export into a gallery.

In: FILE that 'fedfr gallery export' wrote, its passphrase (asked for, or from FEDFR_EXPORT_PASSPHRASE), and
a gallery of the same model, made if it is not there.

Out: everybody of FILE is in the gallery, under new ids and keys; or nobody, if one of the names is there
already (--replace puts the new ones in their place)."""


@dataclass(frozen=True, kw_only=True)
class GalleryImportConfig(GalleryOptions):
    """Settings of ``fedfr gallery import``."""

    file: Path = option(help="the export", argument=True)
    replace: bool = option(False, help="put people in the place of those of the same name")


def run(config: GalleryImportConfig) -> None:
    """All or none."""
    from fedfr_edge.recognition.transfer import read_export
    from fedfr_edge.recognition.vault import Vault

    from .. import device

    export = read_export(config.file, device.passphrase(device.EXPORT_VARIABLE, "Passphrase of the export"))
    keys = device.key_provider(
        config.key, config.key_file, config.gallery, new=device.is_new_gallery(config.gallery)
    )
    with Vault.open_or_make(config.gallery, keys, model_digest=export.model, dim=export.dim) as vault:
        people = vault.enrol(export.people, replace=config.replace, event="import", source=export.gallery)
        count = len(vault.gallery)
    device.say(f"{device.counted(len(people), 'person', 'people')} imported; {count} in {config.gallery}")


COMMAND = Command(section=SECTION, config=GalleryImportConfig, run=run, help=HELP)
