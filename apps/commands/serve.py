"""``fedfr serve``: enrolment and login in a browser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedfr_edge.cli import Command
from fedfr_edge.config import option
from fedfr_edge.recognition.manifest import DEFAULT_FAR, far_key
from fedfr_edge.vision.runtime import PROVIDER_HELP, Provider

SECTION = "serve"

HELP = """Enrolment and login in a browser, with its camera.

In: an exported model and the encrypted gallery (made if it is not there). Whoever reaches the page may try to
log in; to enrol, to delete and to read the log needs the operator: the second address that is printed.

Out: a page at http://127.0.0.1:8620/, until Ctrl-C or SIGTERM. Decisions, pauses after failures and the log
are those of the gallery, so 'fedfr login' and 'fedfr audit show' know of them. No picture is kept.

\b
With --in-browser the page decides by itself: the model runs in the browser, no picture leaves it, and the
people stay in the browser's own store. That needs npm's onnxruntime-web ('fedfr models get onnxruntime-web',
or --runtime).

Browsers give the camera to a page only over https or from this very machine. So to serve other machines
takes --host, --host-name, and --certificate with --private-key (or a proxy that encrypts, docs/serve.md)."""


@dataclass(frozen=True)
class ServeConfig:
    """Settings of ``fedfr serve``."""

    model: Path = option(help="exported model (.onnx)")
    gallery: Path | None = option(None, help="the encrypted gallery; made if it is not there")
    host: str = option(
        "127.0.0.1", help="address to listen on; the default is reached from this machine alone"
    )
    port: int = option(8620, low=0, high=65535, help="port to listen on; 0: a free one")
    host_name: tuple[str, ...] = option((), help="a name under which browsers reach it, beside localhost")
    certificate: Path | None = option(None, help="certificate chain for https (PEM)")
    private_key: Path | None = option(None, help="its private key (PEM)")
    insecure_http: bool = option(False, help="let other machines come without https")
    proxy: str | None = option(None, help="address of a proxy in front, whose X-Forwarded-For is believed")
    operator_file: Path | None = option(
        None, help="write the operator's address there (mode 0600) instead of printing it"
    )
    in_browser: bool = option(False, help="the page decides by itself; no picture leaves the browser")
    runtime: Path | None = option(
        None, help="npm's onnxruntime-web, .tgz or folder; default: what 'fedfr models get' got"
    )
    far: float | None = option(
        None,
        low=0,
        high=1,
        help=f"false accept rate of one comparison; default: {far_key(DEFAULT_FAR)}, or as "
        "near as the model was calibrated",
    )
    threshold: float | None = option(None, low=-1, high=1, help="score needed, instead of a calibrated one")
    gates: Literal["one", "backbone"] = option(
        "one", help="backbone: a personal model's backbone must not contradict"
    )
    second_threshold: float | None = option(
        None, low=-1, high=1, help="with --threshold: score needed in the backbone's space"
    )
    frames: str = option("3/5", help="K/N: of up to N usable frames K must be recognised as the same person")
    liveness: bool = option(False, help="ask for turns and steps in random order, against photographs")
    passive: tuple[str, ...] = option(
        (), help="SCALE:FILE.onnx, a network that tells a live face from a picture of one"
    )
    lockout: bool = option(True, help="pause after failures in a row; ask for another factor after a start")
    detector: str = option("centerface", help="centerface or yunet:, scrfd:, insightface:FILE.onnx")
    key: Literal["file", "passphrase", "keyring"] = option("file", help="where the gallery's key is kept")
    key_file: Path | None = option(None, help="the key file; default: GALLERY.key")
    provider: Provider = option("auto", help=f"what computes: {PROVIDER_HELP}")
    threads: int | None = option(None, low=1, help="CPU threads; default: onnxruntime's choice")


def run(config: ServeConfig) -> None:
    """Serve until it is told to end."""
    from ..serving import require_web

    require_web()
    from ..web.start import start

    start(config)


COMMAND = Command(section=SECTION, config=ServeConfig, run=run, help=HELP)
