"""``fedfr gallery rekey``: a new key, or another place for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedfr_edge.cli import Command
from fedfr_edge.config import option

from ..gallery_options import GalleryOptions

SECTION = "gallery.rekey"

HELP = """Give a gallery a new key, kept where it was or elsewhere.

In: a gallery and its key. A new passphrase is asked for, or taken from FEDFR_NEW_PASSPHRASE.

Out: everybody's key is wrapped under the new key; the old one is destroyed, and copies of the gallery made
before open only for who kept the old key or passphrase.

--accept-restored opens a copy of the gallery that was refused as rolled back, or whose log does not fit, and
takes it for the newest from now on: for a backup that you put back yourself. The log is put aside
(audit-until-….jsonl), a new one begins, and face login is off until 'fedfr gallery unlock'."""


@dataclass(frozen=True, kw_only=True)
class GalleryRekeyConfig(GalleryOptions):
    """Settings of ``fedfr gallery rekey``."""

    new_key: Literal["file", "passphrase", "keyring"] | None = option(
        None, help="where the new key is kept; default: where the old one is"
    )
    new_key_file: Path | None = option(None, help="the new key file; default: the old one, or GALLERY.key")
    accept_restored: bool = option(False, help="take a copy that does not fit for the newest one")


def run(config: GalleryRekeyConfig) -> None:
    """Open with the old key, wrap under the new one."""
    from .. import device

    kind = config.new_key or config.key
    file = config.new_key_file
    if file is None and kind == config.key == "file":
        file = config.key_file
    with device.open_gallery(config, accept_restored=config.accept_restored) as vault:
        new = device.key_provider(
            kind, file, config.gallery, new=True, variable=device.NEW_VARIABLE, prompt="New passphrase"
        )
        destroyed = vault.key_is_destroyed
        vault.rekey(new)
        count = len(vault.gallery)
    device.say(
        f"{config.gallery}, with {device.counted(count, 'person', 'people')}, is under a new key ({kind})"
    )
    if destroyed:
        device.say("copies of the gallery made before no longer open: their key is destroyed")
    else:
        device.say("copies of the gallery made before still open with the old passphrase: destroy them")


COMMAND = Command(section=SECTION, config=GalleryRekeyConfig, run=run, help=HELP)
