"""``fedfr gallery export``: a gallery as one file under a passphrase."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fedfr_edge.cli import Command
from fedfr_edge.config import option

from ..gallery_options import GalleryOptions

SECTION = "gallery.export"

HELP = """Write a gallery's people to one file under a passphrase, for another device.

In: a gallery and its key, and a passphrase for the file (asked for, or from FEDFR_EXPORT_PASSPHRASE).

Out: FILE (mode 0600): names and templates, AES-256-GCM under a key that Argon2id makes of the passphrase.
The gallery stays as it is; its log says that it was exported. Deleting somebody later does not reach FILE."""


@dataclass(frozen=True, kw_only=True)
class GalleryExportConfig(GalleryOptions):
    """Settings of ``fedfr gallery export``."""

    out: Path = option(help="the file to write; must not be there", short="o")


def run(config: GalleryExportConfig) -> None:
    """Log first: an export that the log does not know must not exist."""
    from fedfr_edge.errors import GalleryError
    from fedfr_edge.recognition.transfer import write_export

    from .. import device

    if config.out.exists():
        raise GalleryError(f"{config.out} exists already; choose another name for the export")
    with device.open_gallery(config) as vault:
        passphrase = device.passphrase(device.EXPORT_VARIABLE, "Passphrase of the export", new=True)
        vault.log("export", people=len(vault.gallery))
        write_export(config.out, vault.gallery, vault.header.gallery, passphrase)
        count = len(vault.gallery)
    exported = device.counted(count, "person", "people")
    device.say(f"{exported} exported to {config.out}; read it with 'fedfr gallery import'")


COMMAND = Command(section=SECTION, config=GalleryExportConfig, run=run, help=HELP)
