"""``fedfr gallery delete``: forget somebody."""

from __future__ import annotations

from dataclasses import dataclass

from fedfr_edge.cli import Command
from fedfr_edge.config import option

from ..gallery_options import GalleryOptions

SECTION = "gallery.delete"

HELP = """Delete a person from a gallery.

In: a gallery, its key, and the person's name or id.

Out: their template and their key are gone from the gallery, and the keys of all others are wrapped under a
new gallery key. With --key file or keyring the old one is destroyed: copies of the gallery made before no
longer open, unless the key was copied too. With --key passphrase they open with that passphrase: destroy
them. Their id stays in the log.

A gallery holds no photographs and no private state of training. A personal model that was trained on the
person is not changed; delete it and the client's private folder (RUN/clients/CLIENT) where that is meant."""


@dataclass(frozen=True, kw_only=True)
class GalleryDeleteConfig(GalleryOptions):
    """Settings of ``fedfr gallery delete``."""

    name: str = option(help="name or id of the person", argument=True)


def run(config: GalleryDeleteConfig) -> None:
    """Delete, and say what is gone and what is not."""
    from .. import device

    with device.open_gallery(config) as vault:
        person = vault.delete(config.name)
        left = len(vault.gallery)
        destroys = vault.key_is_destroyed
    device.say(
        f"deleted {person.name} (id {person.id}): template and key; "
        f"{device.counted(left, 'person', 'people')} left"
    )
    if destroys:
        device.say("copies of the gallery made before no longer open: their key is destroyed")
    else:
        device.say("copies of the gallery made before still open with the passphrase: destroy them")
    device.say(
        "not reached: exports, photographs, and what training keeps of them (a personal model, "
        "RUN/clients/CLIENT)"
    )


COMMAND = Command(section=SECTION, config=GalleryDeleteConfig, run=run, help=HELP)
