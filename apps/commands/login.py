"""``fedfr login``: compare a photograph with the gallery and decide."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from fedfr_edge.cli import Command
from fedfr_edge.config import option
from fedfr_edge.recognition.manifest import DEFAULT_FAR, far_key

if TYPE_CHECKING:
    from fedfr_edge.recognition.login import Decision

SECTION = "login"

HELP = """Compare a photograph with the gallery and decide.

In: one photograph (of several faces the large and central one is compared), the gallery that
'fedfr enrol' made, and the same model. With --name the question is "is it this person?", without
it is "who is it?", and nobody may be the answer.

Out: the decision with its reason code, score and threshold, on standard output (--json: one JSON
object), and a line in the gallery's log. Exit status 0: accepted; 1: refused, or an error; an error goes to
standard error and begins with "error:".

The threshold is the model's own, calibrated when it was exported; --far chooses among the rates it
was calibrated at. The rate is that of one comparison: with N people enrolled, a stranger has N
chances.

After 5 failures in a row each further login is refused for 30 s, then 60 s, and so on up to an hour; after
50, and after the machine has started, face login is off until another factor was used ('fedfr gallery
unlock'). A photograph without a usable face is no failure. --no-lockout neither counts nor refuses."""


@dataclass(frozen=True)
class LoginConfig:
    """Settings of ``fedfr login``."""

    model: Path = option(help="exported model (.onnx), the one that enrolled")
    gallery: Path = option(help="the encrypted gallery")
    photo: Path = option(argument=True, help="the photograph")
    name: str | None = option(None, help="name or id of the person it is said to be; default: search all")
    far: float | None = option(
        None,
        low=0,
        high=1,
        help=f"false accept rate of one comparison; default: {far_key(DEFAULT_FAR)}, or the strictest rate "
        "that the model was calibrated at if that is milder",
    )
    threshold: float | None = option(None, low=-1, high=1, help="score needed, instead of the model's own")
    detector: str = option("centerface", help="centerface, yunet:FILE.onnx or insightface:FILE.onnx")
    aligned: bool = option(False, help="the image is an aligned 112×112 face already")
    key: Literal["file", "passphrase", "keyring"] = option("file", help="where the gallery's key is kept")
    key_file: Path | None = option(None, help="the key file; default: GALLERY.key")
    lockout: bool = option(True, help="pause after failures in a row; ask for another factor after a start")
    json: bool = option(False, help="print the decision as one JSON object")
    provider: Literal["cpu", "cuda"] = option("cpu", help="execution provider; refuses if not in effect")
    threads: int | None = option(None, low=1, help="CPU threads; default: onnxruntime's choice")


@dataclass(frozen=True)
class Answer:
    """A decision and what it rests on.

    Attributes:
        decision: the answer itself.
        far: false accept rate of one comparison at its threshold; None with ``--threshold``.
        supported: whether ten false accepts or more stand behind that rate; None with ``--threshold``.
        rests_on: the same in words.
        model_digest: sha256 of the model file.
    """

    decision: Decision
    far: float | None
    supported: bool | None
    rests_on: str
    model_digest: str


def run(config: LoginConfig) -> int:
    """Decide, report, and say so in the exit status."""
    from .. import device

    answer = decide(config)
    if config.json:
        click.echo(json.dumps(_as_json(answer), ensure_ascii=False))
    else:
        for line in _lines(answer):
            device.say(line)
    return 0 if answer.decision.accepted else 1


def decide(config: LoginConfig) -> Answer:
    """Decide and log; what the command does but for printing.

    Raises:
        FedFRError: the photograph, the model, the gallery or its key cannot be used.
    """
    from fedfr_edge.recognition.lockout import WITHOUT_LIVENESS
    from fedfr_edge.recognition.login import Decision, login, operating_threshold
    from fedfr_edge.recognition.vault import Vault
    from fedfr_edge.vision.image import read_image

    from .. import device

    image = read_image(config.photo)
    encoder = device.open_encoder(config.model, config.provider, config.threads)
    rests_on = "given by --threshold"
    far = supported = None
    if config.threshold is not None:
        threshold = config.threshold
    else:
        record = operating_threshold(encoder.manifest, config.far)
        threshold, far, supported = record.threshold, record.far, record.supported
        rests_on = (
            f"FAR {far_key(far)} per comparison: {record.false_accepts} of {record.non_mated} non-mated "
            f"comparisons of {record.source}"
        )
    keys = device.key_provider(config.key, config.key_file, config.gallery, new=False)
    # Open until the decision is on disk: attempts come one after another, and none is told before it counts.
    with Vault.open(config.gallery, keys, model_digest=encoder.digest) as vault:
        people = len(vault.gallery)
        block = vault.blocked(WITHOUT_LIVENESS) if config.lockout else None
        if block is not None:
            decision = Decision(False, block.reason, None, None, threshold, 0, block.detail)
        else:
            decision = login(
                image,
                encoder=encoder,
                gallery=vault.gallery,
                detector=device.open_eyes(config.detector, config.aligned, config.threads),
                threshold=threshold,
                claim=config.name,
            )
        vault.record(decision, count=config.lockout)
    if far is not None and config.name is None and people > 1:
        rests_on += f"; up to {min(1.0, far * people):g} for {people} people"
    return Answer(decision, far, supported, rests_on, encoder.digest)


def _lines(answer: Answer) -> list[str]:
    from fedfr_edge.vision.quality import advice

    decision = answer.decision
    if decision.accepted and decision.person is not None:
        lines = [f"accepted: {decision.person.name}"]
    else:
        lines = [f"refused ({decision.reason.value}): {decision.detail}"]
    score = "not compared" if decision.score is None else f"{decision.score:.4f}"
    lines.append(f"score {score}, threshold {decision.threshold:.4f} ({answer.rests_on})")
    if answer.supported is False:
        lines.append("remark: fewer than 10 false accepts stand behind that rate; it may be far off")
    if decision.faces_seen > 1:
        lines.append(f"remark: {decision.faces_seen} faces seen, the large and central one was compared")
    if decision.quality:
        lines.append(f"remark: {advice(decision.quality)}")
    return lines


def _as_json(answer: Answer) -> dict[str, Any]:
    decision = answer.decision
    person = decision.person
    return {
        "accepted": decision.accepted,
        "reason": decision.reason.value,
        "detail": decision.detail,
        "person": None if person is None else {"id": person.id, "name": person.name},
        "score": decision.score,
        "threshold": decision.threshold,
        "far": answer.far,
        "far_supported": answer.supported,
        "faces_seen": decision.faces_seen,
        "quality": list(decision.quality),
        "model": answer.model_digest,
    }


COMMAND = Command(section=SECTION, config=LoginConfig, run=run, help=HELP)
