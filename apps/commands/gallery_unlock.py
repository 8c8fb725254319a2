"""``fedfr gallery unlock``: another factor was used."""

from __future__ import annotations

from dataclasses import dataclass

from fedfr_edge.cli import Command

from ..gallery_options import GalleryOptions

SECTION = "gallery.unlock"

HELP = """Say that another factor was used: face login is on again, and failures start afresh.

In: a gallery and its key. Run it when a PIN, a passphrase or a badge was checked: after the machine has
started, after too many failures, after a copy was restored. It checks none itself but the gallery's
passphrase, where that is its key; with a key file or keyring, who runs it vouches for the factor.

Out: a line in the log."""


@dataclass(frozen=True, kw_only=True)
class GalleryUnlockConfig(GalleryOptions):
    """Settings of ``fedfr gallery unlock``."""


def run(config: GalleryUnlockConfig) -> None:
    """Reset the attempts."""
    from .. import device

    with device.open_gallery(config) as vault:
        failures = vault.attempts.failures
        vault.other_factor()
    device.say(f"face login is on for {config.gallery} ({failures} failures forgotten)")


COMMAND = Command(section=SECTION, config=GalleryUnlockConfig, run=run, help=HELP)
