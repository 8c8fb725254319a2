"""``fedfr gallery list``: who is enrolled."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from fedfr_edge.cli import Command
from fedfr_edge.config import option

from ..gallery_options import GalleryOptions

SECTION = "gallery.list"

HELP = """Who is enrolled in a gallery.

In: a gallery and its key.

Out: name, id in the log, images and time of enrolment of each person, then the gallery's model, time of
making, failures in a row and length of its log (--json: one JSON object). No template is shown."""


@dataclass(frozen=True, kw_only=True)
class GalleryListConfig(GalleryOptions):
    """Settings of ``fedfr gallery list``."""

    json: bool = option(False, help="print one JSON object")


def run(config: GalleryListConfig) -> None:
    """Print the people, by name."""
    from .. import device

    with device.open_gallery(config) as vault:
        people, header = vault.gallery.people, vault.header
        failures, lines = vault.attempts.failures, vault.head.lines
    if config.json:
        about = {"gallery": header.gallery, "model": header.model, "created": header.created}
        rows = [{**asdict(person), "enrolled": _time(person.enrolled)} for person in people]
        text = json.dumps({**about, "failures": failures, "log": lines, "people": rows}, ensure_ascii=False)
        device.say(text)
        return
    for person in people:
        device.say(
            f"{person.name}  {person.id}  {device.counted(person.images, 'image')}  {_time(person.enrolled)}"
        )
    device.say(
        f"{device.counted(len(people), 'person', 'people')} in {config.gallery} (id {header.gallery}, made "
        f"{header.created}, model {header.model[:12]}); {device.counted(failures, 'failure')} in a row, "
        f"{device.counted(lines, 'line')} in the log"
    )


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


COMMAND = Command(section=SECTION, config=GalleryListConfig, run=run, help=HELP)
