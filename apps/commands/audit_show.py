"""``fedfr audit show``: a gallery's log in words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from fedfr_edge.cli import Command
from fedfr_edge.config import option

from ..gallery_options import GalleryOptions

SECTION = "audit.show"

HELP = """A gallery's log of enrolments, logins, deletions, exports and keys.

In: a gallery and its key.

Out: one line for each entry, oldest first: number, time (UTC), event, person, details. People are shown by
id; --names adds the names of those still enrolled, which stand in the gallery, not in the log. The log
itself is GALLERY/audit.jsonl."""


@dataclass(frozen=True, kw_only=True)
class AuditShowConfig(GalleryOptions):
    """Settings of ``fedfr audit show``."""

    names: bool = option(False, help="show names beside ids")
    last: int | None = option(None, help="show only so many of the newest entries", low=1)


def run(config: AuditShowConfig) -> None:
    """Print the entries."""
    from .. import device

    with device.open_gallery(config) as vault:
        names = {person.id: person.name for person in vault.gallery.people} if config.names else {}
        lines = vault.log_bytes().splitlines()
    for line in lines[-config.last :] if config.last else lines:
        device.say(_words(json.loads(line), names))


def _words(entry: dict[str, Any], names: dict[str, str]) -> str:
    known = ("number", "time", "event", "subject", "chain")
    rest = ", ".join(
        f"{key} {value}" for key, value in entry.items() if key not in known and value is not None
    )
    who = entry["subject"] or "-"
    if who in names:
        who += f" {names[who]}"
    return f"{entry['number']}  {entry['time']}  {entry['event']}  {who}  {rest}".rstrip()


COMMAND = Command(section=SECTION, config=AuditShowConfig, run=run, help=HELP)
