"""``fedfr enrol``: looks of one person into the encrypted gallery."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from fedfr_edge.cli import Command
from fedfr_edge.config import dump_config, option
from fedfr_edge.errors import ConfigError
from fedfr_edge.recognition.template import Combine
from fedfr_edge.vision.runtime import PROVIDER_HELP, Provider

if TYPE_CHECKING:
    from fedfr_edge.recognition.encoder import OnnxEncoder
    from fedfr_edge.recognition.enrol_policy import EnrolPolicy
    from fedfr_edge.recognition.gallery import Gallery
    from fedfr_edge.recognition.proposal import Enrolment, Existing
    from fedfr_edge.vision.detect import Detector

    from ..enrol_looks import Gathered

SECTION = "enrol"

HELP = """Enrol a person into an encrypted gallery.

In: photographs that show the person alone (files or a folder), a film that does (--video), or a webcam
(--camera: a line on the terminal says what to do, until enough looks are taken); and a model that
'fedfr export' wrote. Photographs without a face, with several, too small, dark, bright, blurred, turned away,
cut off, with dark glasses, or that cannot be read are skipped and listed, as are a photograph that is there
twice and those unlike the rest (--no-drop-outliers keeps them); nobody is enrolled if none is left. Of a film
two or three frames a second are taken like photographs. Somebody enrolled who is hard to tell from the new
person is reported.

Of several photographs the mean is kept (--combine mean), or their geometric median, which a few wrong ones
hardly move (robust), or each of them, of which the best counts at a login (all). --add adds photographs to
somebody who is enrolled, whom they must look like; --replace enrols them anew. Either way they get a new
id and a new key.

Out: GALLERY (a folder, mode 0700; AES-256-GCM, a key for each person; made if it is not there), its key, a
line in its log, and GALLERY/enrol.toml with the settings, but without the name and the photographs. No
photograph is kept. What was done is printed (--json: as one JSON object), and for a personal model what was
measured of people whom it was not trained on (in MODEL.enrolment.json beside it, which 'fedfr evaluate
enrolment' writes). Exit status 0: enrolled; 1: not, and the gallery is as it was.

The default key lies beside the gallery (GALLERY.key): that keeps out who gets hold of the gallery
alone. Put it on another medium with --key-file, or use --key passphrase."""


@dataclass(frozen=True)
class EnrolConfig:
    """Settings of ``fedfr enrol``."""

    model: Path = option(help="exported model (.onnx)")
    gallery: Path = option(help="the encrypted gallery; made if it is not there")
    photos: tuple[Path, ...] = option((), argument=True, help="photographs, or a folder of them")
    video: Path | None = option(None, help="a film (MP4, AVI, WebM, GIF, …)")
    camera: int | None = option(None, low=0, help="a webcam, counted from 0")
    seconds: float | None = option(
        None, low=0.1, help="time limit; default: 60 for a webcam, none for a film"
    )
    looks: int = option(5, low=1, high=50, help="looks to take with a webcam")
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
    far: float | None = option(
        None,
        low=0,
        high=1,
        help="false accept rate of the logins to come, by whose threshold people too like are reported; "
        "default: that of 'fedfr login'",
    )
    json: bool = option(False, help="print what was done as one JSON object")
    provider: Provider = option("auto", help=f"what computes: {PROVIDER_HELP}")
    threads: int | None = option(None, low=1, help="CPU threads; default: onnxruntime's choice")


def run(config: EnrolConfig) -> None:
    """Enrol and report."""
    from fedfr_edge import atomic
    from fedfr_edge.recognition.enrol_policy import policy_for
    from fedfr_edge.recognition.gallery import Gallery
    from fedfr_edge.recognition.known_rates import known_of_new_people
    from fedfr_edge.recognition.proposal import propose, require_free
    from fedfr_edge.recognition.vault import Vault

    from .. import device

    name, existing = _checked(config)
    encoder = device.open_encoder(config.model, config.provider, config.threads)
    known = known_of_new_people(
        config.model, encoder.manifest, encoder.digest, config.combine, config.drop_outliers
    )
    detector = device.open_eyes(config.detector, config.aligned, config.provider, config.threads)
    new = device.is_new_gallery(config.gallery)
    keys = device.key_provider(config.key, config.key_file, config.gallery, new=new)
    gallery = Gallery(encoder.digest, encoder.dim)
    if not new:  # looked at, and given back: logins go on while faces are searched for
        with Vault.open(config.gallery, keys, model_digest=encoder.digest) as vault:
            gallery = vault.gallery
    require_free(gallery, name, existing)

    def policy(people: Gallery) -> EnrolPolicy:
        return policy_for(
            encoder.manifest,
            combine=config.combine,
            drop_outliers=config.drop_outliers,
            threshold=_login_threshold(encoder, people, config.far),
        )

    gathered = _gather(config, encoder, detector, gallery, name, existing, policy(gallery))

    def proposed(people: Gallery) -> Enrolment:
        return propose(
            gathered.looks,
            name=name,
            gallery=people,
            policy=policy(people),
            existing=existing,
            skipped=gathered.skipped,
        )

    proposed(gallery)  # An enrolment that fails leaves no gallery and no key behind.
    with Vault.open_or_make(config.gallery, keys, model_digest=encoder.digest, dim=encoder.dim) as vault:
        result = proposed(vault.gallery)  # Others may have changed it since.
        # The record lies in the clear beside the encrypted people: it must not say who they are.
        record = dump_config(dataclasses.replace(config, name=None, photos=(), video=None), SECTION)
        atomic.write_text(config.gallery / "enrol.toml", record, mode=0o600)
        (person,) = vault.enrol([(name, result.template)], replace=existing != "refuse")
        count = len(vault.gallery)
    result = dataclasses.replace(result, person=person)
    if config.json:
        answer = _as_json(result, gathered, count) | {"known_of_new_people": known}
        click.echo(json.dumps(answer, ensure_ascii=False))
    else:
        for line in _lines(result, gathered):
            device.say(line)
        before = "" if result.added_to is None else f", added to {result.added_to.images}"
        device.say(
            f"enrolled {person.name} (id {person.id}) from {len(result.used)} of {gathered.total} "
            f"{gathered.kind}{before}; {count} in {config.gallery}"
        )
        if known is not None:
            device.say(known)


def _checked(config: EnrolConfig) -> tuple[str, Existing]:
    """The name, and what to do if it is taken.

    Raises:
        ConfigError: no name, no source, or settings that contradict one another.
    """
    sources = [bool(config.photos), config.video is not None, config.camera is not None]
    if sum(sources) != 1:
        several = "photographs, --video and --camera: more than one is given, expected one"
        found = several if sum(sources) else "no photographs are given"
        raise ConfigError(
            f"{found}; name files or a folder after 'fedfr enrol', or --video FILE, or --camera INDEX"
        )
    if config.add and config.replace:
        raise ConfigError("both --add and --replace are given; leave one of them away")
    name = config.name
    if name is None:
        if len(config.photos) != 1 or not config.photos[0].is_dir():
            raise ConfigError("no name is given and none can be taken from a folder; give --name")
        name = config.photos[0].resolve().name
    return name, "add" if config.add else "replace" if config.replace else "refuse"


def _gather(
    config: EnrolConfig,
    encoder: OnnxEncoder,
    detector: Detector | None,
    gallery: Gallery,
    name: str,
    existing: Existing,
    policy: EnrolPolicy,
) -> Gathered:
    from fedfr_edge.recognition.capture import quality_gate
    from fedfr_edge.recognition.guided import EnrolSession

    from .. import console, enrol_looks

    gate = quality_gate if config.quality else None
    if config.video is not None:
        return enrol_looks.from_film(
            config.video,
            encoder=encoder,
            detector=enrol_looks.needs_eyes(detector),
            gate=gate,
            seconds=config.seconds,
        )
    if config.camera is not None:
        session = EnrolSession(
            encoder=encoder,
            gallery=gallery,
            detector=enrol_looks.needs_eyes(detector),
            name=name,
            looks=config.looks,
            policy=policy,
            existing=existing,
        )
        return enrol_looks.from_camera(config.camera, session, config.seconds or 60.0)
    with console.progress_bars() as progress:
        return enrol_looks.from_photos(
            config.photos, encoder=encoder, detector=detector, gate=gate, progress=progress
        )


def _lines(result: Enrolment, gathered: Gathered) -> Iterator[str]:
    if gathered.kind == "photographs":
        for label, reason, detail in result.skipped:
            yield f"skipped {label} ({reason.value}): {detail}"
        for left_out in result.dropped:
            yield f"left out {left_out.label} ({left_out.code}): {left_out.text}"
    else:  # frames have no names: how many of each
        for code, number in Counter(reason.value for _, reason, _ in result.skipped).items():
            yield f"skipped {number} of the {gathered.kind} ({code})"
        for code, number in Counter(left_out.code for left_out in result.dropped).items():
            yield f"left out {number} of the {gathered.kind} ({code})"
    for text in result.remarks:
        yield f"remark: {text}"


def _as_json(result: Enrolment, gathered: Gathered, count: int) -> dict[str, Any]:
    person, before = result.person, result.added_to
    return {
        "person": None if person is None else {"id": person.id, "name": person.name},
        "used": list(result.used),
        "skipped": [
            {"label": label, "reason": reason.value, "detail": detail}
            for label, reason, detail in result.skipped
        ],
        "dropped": [{"label": each.label, "code": each.code, "detail": each.text} for each in result.dropped],
        "too_like": [{"id": each.person.id, "name": each.person.name} for each in result.too_like],
        "remarks": list(result.remarks),
        "added_to": None if before is None else before.id,
        gathered.kind: gathered.total,
        "people": count,
    }


def _login_threshold(encoder: OnnxEncoder, gallery: Gallery, far: float | None) -> float | None:
    """The threshold that a login against one person will use; None if nothing was calibrated at that rate."""
    from fedfr_edge.errors import ModelError
    from fedfr_edge.recognition.policy import LoginPolicy, operating_point

    policy = LoginPolicy(far=far)
    try:
        point = operating_point(policy, encoder, gallery.calibration, 1)
    except ModelError:
        return None
    return point.threshold


COMMAND = Command(section=SECTION, config=EnrolConfig, run=run, help=HELP)
