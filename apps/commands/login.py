"""``fedfr login``: compare a face with the gallery and decide."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from fedfr_edge.cli import Command
from fedfr_edge.config import option
from fedfr_edge.errors import ConfigError
from fedfr_edge.recognition.manifest import DEFAULT_FAR, far_key
from fedfr_edge.vision.runtime import PROVIDER_HELP, Provider

if TYPE_CHECKING:
    from fedfr_edge.recognition.decision import Decision
    from fedfr_edge.recognition.gallery import Gallery
    from fedfr_edge.recognition.policy import LoginPolicy

    Claims = Callable[[Gallery], tuple[Gallery, str | None]]

SECTION = "login"

HELP = """Compare a face with the gallery and decide.

In: photographs or a folder of them, a film (--video), or a webcam (--camera); the gallery that 'fedfr enrol'
made, and the same model. Of several faces the large and central one is compared. With --name the question
is "is it this person?", without it is "who is it?", and nobody may be the answer.

Out: the decision with its reason code, score and threshold, on standard output (--json: one JSON
object), and a line in the gallery's log. Exit status 0: accepted; 1: refused, or an error; an error goes to
standard error and begins with "error:".

Of photographs the first usable one decides; with a webcam or a film three of up to five usable frames must
be recognised as the same person (--frames K/N: K of N). --liveness asks for turns and steps in random order
instead, on a line that says what to do next: that takes a webcam, or a film of somebody who followed it. With
a webcam or a film, frames of a poor face do not count (too small, dark, bright, blurred, turned away, cut
off, dark glasses).

The threshold is the one that 'fedfr calibrate' found on this device, else the model's own from when it was
exported; --far chooses among the rates that either was calibrated at. The rate is that of one comparison:
with N people enrolled, a stranger has up to N chances. --gates backbone asks the space of a personal model's
backbone too, which must not contradict.

After 5 failures in a row (10 with --liveness) each further login is refused for 30 s, then 60 s, and so on
up to an hour; after 50 (100), and after the machine has started, face login is off until another factor was
used ('fedfr gallery unlock'). A photograph without a usable face is no failure. --no-lockout neither counts
nor refuses.

--pam is for Linux-PAM's pam_exec (docs/pam.md): the person is $PAM_USER, the answer one word, and nothing
takes longer than --seconds. Exit status 0: accepted; 1: refused; 3: face login pauses; 4: it could not be
tried."""


@dataclass(frozen=True)
class LoginConfig:
    """Settings of ``fedfr login``."""

    model: Path = option(help="exported model (.onnx), the one that enrolled")
    gallery: Path = option(help="the encrypted gallery")
    photos: tuple[Path, ...] = option((), argument=True, help="photographs, or a folder of them")
    video: Path | None = option(None, help="a film (MP4, AVI, WebM, GIF, …)")
    camera: int | None = option(None, low=0, help="a webcam, counted from 0")
    seconds: float | None = option(
        None,
        low=0.1,
        help="time limit; default: 15 for a webcam, 45 with --liveness, 10 with --pam, none for a film",
    )
    name: str | None = option(None, help="name or id of the person it is said to be; default: search all")
    far: float | None = option(
        None,
        low=0,
        high=1,
        help=f"false accept rate of one comparison; default: {far_key(DEFAULT_FAR)}, or, where nothing was "
        "calibrated here, the strictest rate that the model was calibrated at if that is milder",
    )
    threshold: float | None = option(None, low=-1, high=1, help="score needed, instead of a calibrated one")
    gates: Literal["one", "backbone"] = option(
        "one", help="ask the model's own space alone, or its backbone's too (personal models)"
    )
    second_threshold: float | None = option(
        None, low=-1, high=1, help="with --threshold: score needed in the backbone's space"
    )
    frames: str | None = option(
        None,
        help="K/N: of up to N usable frames K must be recognised as the same person; default: 3/5 with a "
        "webcam or a film, 1/1 for photographs",
    )
    liveness: bool = option(False, help="ask for turns and steps in random order, against photographs")
    passive: tuple[str, ...] = option(
        (), help="SCALE:FILE.onnx, a network that tells a live face from a picture of one"
    )
    detector: str = option("centerface", help="centerface or yunet:, scrfd:, insightface:FILE.onnx")
    aligned: bool = option(False, help="the photographs are aligned 112×112 faces already")
    key: Literal["file", "passphrase", "keyring"] = option("file", help="where the gallery's key is kept")
    key_file: Path | None = option(None, help="the key file; default: GALLERY.key")
    lockout: bool = option(True, help="pause after failures in a row; ask for another factor after a start")
    json: bool = option(False, help="print the decision as one JSON object")
    pam: bool = option(False, help="answer to pam_exec, as said above")
    provider: Provider = option("auto", help=f"what computes: {PROVIDER_HELP}")
    threads: int | None = option(None, low=1, help="CPU threads; default: onnxruntime's choice")


def run(config: LoginConfig) -> int:
    """Decide, report, and say so in the exit status."""
    from .. import device

    if config.pam:
        from .. import pam

        return pam.run(config)
    decision = decide(config)
    if config.json:
        click.echo(json.dumps(as_json(decision), ensure_ascii=False))
    else:
        for line in _lines(decision):
            device.say(line)
    return 0 if decision.accepted else 1


def decide(config: LoginConfig, claims: Claims | None = None) -> Decision:
    """Decide and log; what the command does but for printing.

    Args:
        config: the command's settings.
        claims: takes the people enrolled and gives those to compare with, and who it is said to be; default:
            everybody, and ``config.name``.

    Raises:
        FedFRError: the frames, the model, the gallery or its key cannot be used.
    """
    from fedfr_edge.recognition.lockout import FAILURES
    from fedfr_edge.recognition.session import LoginSession, locked_out
    from fedfr_edge.recognition.vault import Vault

    from .. import device
    from ..attend import follow_login
    from ..sources import open_source

    policy = login_policy(config)
    seconds = config.seconds
    if seconds is None and config.camera is not None:
        seconds = 45.0 if config.liveness else 15.0
    with open_source(config.camera, config.video, config.photos) as source:
        # The gallery below knows the digest of the whole file: its weights need no check of their own.
        encoder = device.open_encoder(config.model, config.provider, config.threads, verify_weights=False)
        detector = device.open_eyes(config.detector, config.aligned, config.provider, config.threads)
        passive = device.open_passive(config.passive, config.threads)
        keys = device.key_provider(config.key, config.key_file, config.gallery, new=False)
        # Open until the decision is on disk: attempts come one after another, none is told before it counts.
        with Vault.open(config.gallery, keys, model_digest=encoder.digest) as vault:
            gallery, claim = (vault.gallery, config.name) if claims is None else claims(vault.gallery)
            block = vault.blocked(policy.lockout) if config.lockout else None
            if block is not None:
                decision = locked_out(block, encoder=encoder, gallery=gallery, policy=policy, claim=claim)
            else:
                session = LoginSession(
                    encoder=encoder,
                    gallery=gallery,
                    detector=detector,
                    policy=policy,
                    claim=claim,
                    passive=passive,
                )
                try:
                    decision = follow_login(session, source, seconds)
                except BaseException:
                    # A camera that is lost, a key that is pressed: what was compared in vain counts.
                    decision = session.give_up()
                    if decision.reason in FAILURES:
                        vault.record(decision, count=config.lockout)
                    raise
            vault.record(decision, count=config.lockout)
    return decision


def login_policy(config: LoginConfig) -> LoginPolicy:
    """How careful to be.

    Raises:
        ConfigError: values that make no sense, or contradict one another.
    """
    from fedfr_edge.recognition.capture import quality_gate
    from fedfr_edge.recognition.policy import LoginPolicy

    from .. import device

    filmed = config.camera is not None or config.video is not None
    if config.liveness and not filmed:
        raise ConfigError(
            "photographs cannot show that somebody is alive; leave --liveness away, or film them"
        )
    if config.liveness and config.frames is not None:
        raise ConfigError("--liveness has frames of its own, those between the moves; leave --frames away")
    if config.aligned and filmed:
        raise ConfigError("--aligned is for photographs; leave it away for a camera or a film")
    return LoginPolicy(
        far=config.far,
        threshold=config.threshold,
        gates=config.gates,
        second_threshold=config.second_threshold,
        frames=device.k_of_n(config.frames or ("3/5" if filmed else "1/1")),
        liveness=config.liveness,
        quality=quality_gate if filmed else None,
    )


def _lines(decision: Decision) -> list[str]:
    from fedfr_edge.vision.quality import advice

    if decision.accepted and decision.person is not None:
        lines = [f"accepted: {decision.person.name}"]
    else:
        lines = [f"refused ({decision.reason.value}): {decision.detail}"]
    score = "not compared" if decision.score is None else f"{decision.score:.4f}"
    lines.append(f"score {score}, threshold {decision.threshold:.4f} ({decision.rests_on})")
    if decision.second is not None:
        second = decision.second
        lines.append(f"in the backbone's space: score {second.score:.4f}, threshold {second.threshold:.4f}")
    if decision.far_supported is False:
        lines.append("remark: the trials behind that rate are too few to show it; it may be far off")
    if decision.faces_seen > 1:
        lines.append(f"remark: {decision.faces_seen} faces seen, the large and central one was compared")
    if decision.quality:
        lines.append(f"remark: {advice(decision.quality)}")
    return lines


def as_json(decision: Decision) -> dict[str, Any]:
    """Every field of a decision, for programs."""
    person, second = decision.person, decision.second
    return {
        "accepted": decision.accepted,
        "reason": decision.reason.value,
        "detail": decision.detail,
        "person": None if person is None else {"id": person.id, "name": person.name},
        "score": decision.score,
        "threshold": decision.threshold,
        "second": None if second is None else {"score": second.score, "threshold": second.threshold},
        "far": decision.far,
        "far_supported": decision.far_supported,
        "rests_on": decision.rests_on,
        "wait_seconds": decision.wait_seconds,
        "faces_seen": decision.faces_seen,
        "quality": list(decision.quality),
        "model": decision.model,
        "provider": decision.provider,
    }


COMMAND = Command(section=SECTION, config=LoginConfig, run=run, help=HELP)
