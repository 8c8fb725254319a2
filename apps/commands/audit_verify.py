"""``fedfr audit verify``: whether a gallery's log is whole."""

from __future__ import annotations

from dataclasses import dataclass

from fedfr_edge.cli import Command

from ..gallery_options import GalleryOptions

SECTION = "audit.verify"

HELP = """Check that nobody edited, cut, reordered or extended a gallery's log.

In: a gallery and its key.

Out: "whole" and the newest chain value, or what is wrong, line by line. Each line carries the hash of all
before it; number of lines and newest hash are sealed in the gallery. Exit status 0: whole; 1: not, or an
error.

A newest line that is missing is not told: it is put back, because the gallery holds it. Who puts back an
older copy of gallery, log and counter together is not found out; note the chain value elsewhere for that."""


@dataclass(frozen=True, kw_only=True)
class AuditVerifyConfig(GalleryOptions):
    """Settings of ``fedfr audit verify``."""


def run(config: AuditVerifyConfig) -> int:
    """Print what was found."""
    from fedfr_edge.recognition.audit import verify

    from .. import device

    with device.open_gallery(config, inspect=True) as vault:
        head = vault.head
        faults = verify(vault.log_bytes(), vault.start_of_log, head)
    for fault in faults:
        device.say(f"{fault.kind}: {fault.detail}")
    if faults:
        device.say(f"the log of {config.gallery} is not whole; {head.lines} lines were sealed")
        return 1
    device.say(f"whole: {head.lines} lines, newest chain value {head.chain}")
    return 0


COMMAND = Command(section=SECTION, config=AuditVerifyConfig, run=run, help=HELP)
