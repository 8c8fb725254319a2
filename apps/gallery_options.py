"""Settings that all commands on a gallery share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedfr_edge.config import option


@dataclass(frozen=True, kw_only=True)
class GalleryOptions:
    """Which gallery, and where its key is."""

    gallery: Path = option(help="the encrypted gallery")
    key: Literal["file", "passphrase", "keyring"] = option("file", help="where the gallery's key is kept")
    key_file: Path | None = option(None, help="the key file; default: GALLERY.key")
