"""``fedfr enrol``: photographs of one person into the encrypted gallery."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedfr_edge.cli import Command
from fedfr_edge.config import dump_config, option
from fedfr_edge.errors import ConfigError
from fedfr_edge.recognition.manifest import DEFAULT_FAR

SECTION = "enrol"

HELP = """Enrol a person from photographs into an encrypted gallery.

In: photographs that show the person alone (files or a folder), and a model that 'fedfr export'
wrote. Photographs without a face, with several, too small, dark, bright, blurred, turned away or
cut off, or that cannot be read are skipped and listed; nobody is enrolled if none is left.

Out: GALLERY (a folder, mode 0700; AES-256-GCM, a key for each person; made if it is not there), its key, a
line in its log, and GALLERY/enrol.toml with the settings, but without the name and the photographs. No
photograph is kept. Exit status 0: enrolled; 1: not, and the gallery is as it was.

The default key lies beside the gallery (GALLERY.key): that keeps out who gets hold of the gallery
alone. Put it on another medium with --key-file, or use --key passphrase."""


@dataclass(frozen=True)
class EnrolConfig:
    """Settings of ``fedfr enrol``."""

    model: Path = option(help="exported model (.onnx)")
    gallery: Path = option(help="the encrypted gallery; made if it is not there")
    photos: tuple[Path, ...] = option((), argument=True, help="photographs, or a folder of them")
    name: str | None = option(None, help="the person's name; default: the folder's name")
    replace: bool = option(False, help="put the new template in the place of that name's old one")
    detector: str = option("centerface", help="centerface, yunet:FILE.onnx or insightface:FILE.onnx")
    quality: bool = option(True, help="skip photographs whose face is poor, as said above")
    aligned: bool = option(False, help="the images are aligned 112×112 faces already")
    key: Literal["file", "passphrase", "keyring"] = option("file", help="where the gallery's key is kept")
    key_file: Path | None = option(None, help="the key file, made if it is not there; default: GALLERY.key")
    far: float = option(
        DEFAULT_FAR, low=0, high=1, help="false accept rate at which unlike photographs are remarked"
    )
    provider: Literal["cpu", "cuda"] = option("cpu", help="execution provider; refuses if not in effect")
    threads: int | None = option(None, low=1, help="CPU threads; default: onnxruntime's choice")


def run(config: EnrolConfig) -> None:
    """Enrol and report."""
    from fedfr_edge import atomic
    from fedfr_edge.recognition.enrolment import enrol
    from fedfr_edge.recognition.gallery import Gallery
    from fedfr_edge.recognition.vault import Vault

    from .. import console, device

    name = config.name
    if name is None:
        if len(config.photos) != 1 or not config.photos[0].is_dir():
            raise ConfigError("no name is given and none can be taken from a folder; give --name")
        name = config.photos[0].resolve().name
    if not config.photos:
        raise ConfigError("no photographs are given; name files or a folder after 'fedfr enrol'")
    files = device.photo_files(config.photos)
    encoder = device.open_encoder(config.model, config.provider, config.threads)
    detector = device.open_eyes(config.detector, config.aligned, config.threads)
    new = device.is_new_gallery(config.gallery)
    keys = device.key_provider(config.key, config.key_file, config.gallery, new=new)
    gallery = Gallery(encoder.digest, encoder.dim)
    if not new:  # looked at, and given back: logins go on while photographs are searched for faces
        with Vault.open(config.gallery, keys, model_digest=encoder.digest) as vault:
            gallery = vault.gallery
    calibrated = encoder.manifest.threshold_at(config.far)
    with console.progress_bars() as progress:
        result = enrol(
            device.read_photos(files),
            name=name,
            encoder=encoder,
            gallery=gallery,
            detector=detector,
            threshold=None if calibrated is None else calibrated.threshold,
            gate=device.quality_gate if config.quality else None,
            replace=config.replace,
            progress=progress,
        )
    template = gallery.template_of(result.person)
    # Made only now, so that an enrolment that fails leaves no key behind.
    with Vault.open_or_make(config.gallery, keys, model_digest=encoder.digest, dim=encoder.dim) as vault:
        # The record lies in the clear beside the encrypted people: it must not say who they are.
        record = dump_config(dataclasses.replace(config, name=None, photos=()), SECTION)
        atomic.write_text(config.gallery / "enrol.toml", record, mode=0o600)
        (person,) = vault.enrol([(name, template)], replace=config.replace)
        count = len(vault.gallery)
    for label, reason, detail in result.skipped:
        device.say(f"skipped {label} ({reason.value}): {detail}")
    for text in result.remarks:
        device.say(f"remark: {text}")
    device.say(
        f"enrolled {person.name} (id {person.id}) from {len(result.used)} of {len(files)} photographs; "
        f"{count} in {config.gallery}"
    )


COMMAND = Command(section=SECTION, config=EnrolConfig, run=run, help=HELP)
