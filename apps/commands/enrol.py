"""``fedfr enrol``: photographs of one person into the encrypted gallery."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fedfr_edge.cli import Command
from fedfr_edge.config import dump_config, option
from fedfr_edge.errors import ConfigError
from fedfr_edge.recognition.manifest import DEFAULT_FAR
from fedfr_edge.recognition.template import Combine
from fedfr_edge.vision.runtime import PROVIDER_HELP, Provider

if TYPE_CHECKING:
    from fedfr_edge.recognition.encoder import OnnxEncoder
    from fedfr_edge.recognition.gallery import Gallery
    from fedfr_edge.recognition.proposal import Enrolment, Existing

SECTION = "enrol"

HELP = """Enrol a person from photographs into an encrypted gallery.

In: photographs that show the person alone (files or a folder), and a model that 'fedfr export'
wrote. Photographs without a face, with several, too small, dark, bright, blurred, turned away or
cut off, or that cannot be read are skipped and listed, as are a photograph that is there twice and those
unlike the rest (--no-drop-outliers keeps them); nobody is enrolled if none is left. Somebody enrolled who
is hard to tell from the new person is reported.

Of several photographs the mean is kept (--combine mean), or their geometric median, which a few wrong ones
hardly move (robust), or each of them, of which the best counts at a login (all). --add adds photographs to
somebody who is enrolled, whom they must look like; --replace enrols them anew. Either way they get a new
id and a new key.

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
    combine: Combine = option("mean", help="what is kept of several photographs, as said above")
    add: bool = option(False, help="add the photographs to that name's template")
    replace: bool = option(False, help="put the new template in the place of that name's old one")
    drop_outliers: bool = option(True, help="leave out photographs unlike the rest")
    detector: str = option("centerface", help="centerface or yunet:, scrfd:, insightface:FILE.onnx")
    quality: bool = option(True, help="skip photographs whose face is poor, as said above")
    aligned: bool = option(False, help="the images are aligned 112×112 faces already")
    key: Literal["file", "passphrase", "keyring"] = option("file", help="where the gallery's key is kept")
    key_file: Path | None = option(None, help="the key file, made if it is not there; default: GALLERY.key")
    far: float = option(
        DEFAULT_FAR,
        low=0,
        high=1,
        help="false accept rate of the logins to come: by their threshold people too like are reported",
    )
    provider: Provider = option("auto", help=f"what computes: {PROVIDER_HELP}")
    threads: int | None = option(None, low=1, help="CPU threads; default: onnxruntime's choice")


def run(config: EnrolConfig) -> None:
    """Enrol and report."""
    from fedfr_edge import atomic
    from fedfr_edge.recognition.enrol_policy import policy_for
    from fedfr_edge.recognition.enrolment import gather
    from fedfr_edge.recognition.gallery import Gallery
    from fedfr_edge.recognition.proposal import propose, require_free
    from fedfr_edge.recognition.vault import Vault

    from .. import console, device

    name = config.name
    if name is None:
        if len(config.photos) != 1 or not config.photos[0].is_dir():
            raise ConfigError("no name is given and none can be taken from a folder; give --name")
        name = config.photos[0].resolve().name
    if not config.photos:
        raise ConfigError("no photographs are given; name files or a folder after 'fedfr enrol'")
    if config.add and config.replace:
        raise ConfigError("both --add and --replace are given; leave one of them away")
    existing: Existing = "add" if config.add else "replace" if config.replace else "refuse"
    files = device.photo_files(config.photos)
    encoder = device.open_encoder(config.model, config.provider, config.threads)
    detector = device.open_eyes(config.detector, config.aligned, config.provider, config.threads)
    new = device.is_new_gallery(config.gallery)
    keys = device.key_provider(config.key, config.key_file, config.gallery, new=new)
    gallery = Gallery(encoder.digest, encoder.dim)
    if not new:  # looked at, and given back: logins go on while photographs are searched for faces
        with Vault.open(config.gallery, keys, model_digest=encoder.digest) as vault:
            gallery = vault.gallery
    require_free(gallery, name, existing)
    with console.progress_bars() as progress:
        looks, skipped = gather(
            device.read_photos(files),
            encoder=encoder,
            detector=detector,
            gate=device.quality_gate if config.quality else None,
            progress=progress,
        )

    def proposed(people: Gallery) -> Enrolment:
        policy = policy_for(
            encoder.manifest,
            combine=config.combine,
            drop_outliers=config.drop_outliers,
            threshold=_login_threshold(encoder, people, config.far),
        )
        return propose(looks, name=name, gallery=people, policy=policy, existing=existing, skipped=skipped)

    proposed(gallery)  # An enrolment that fails leaves no gallery and no key behind.
    with Vault.open_or_make(config.gallery, keys, model_digest=encoder.digest, dim=encoder.dim) as vault:
        result = proposed(vault.gallery)  # Others may have changed it since.
        # The record lies in the clear beside the encrypted people: it must not say who they are.
        record = dump_config(dataclasses.replace(config, name=None, photos=()), SECTION)
        atomic.write_text(config.gallery / "enrol.toml", record, mode=0o600)
        (person,) = vault.enrol([(name, result.template)], replace=existing != "refuse")
        count = len(vault.gallery)
    for label, reason, detail in result.skipped:
        device.say(f"skipped {label} ({reason.value}): {detail}")
    for left_out in result.dropped:
        device.say(f"left out {left_out.label} ({left_out.code}): {left_out.text}")
    for text in result.remarks:
        device.say(f"remark: {text}")
    before = result.added_to
    device.say(
        f"enrolled {person.name} (id {person.id}) from {len(result.used)} of {len(files)} photographs"
        + ("" if before is None else f", added to {before.images}")
        + f"; {count} in {config.gallery}"
    )


def _login_threshold(encoder: OnnxEncoder, gallery: Gallery, far: float) -> float | None:
    """The threshold that a login against one person will use; None if nothing was calibrated at that rate."""
    from fedfr_edge.errors import ModelError
    from fedfr_edge.recognition.policy import LoginPolicy, operating_point

    policy = LoginPolicy(far=far)
    try:
        point = operating_point(policy, encoder.manifest, encoder.digest, gallery.calibration, 1)
    except ModelError:
        return None
    return point.threshold


COMMAND = Command(section=SECTION, config=EnrolConfig, run=run, help=HELP)
