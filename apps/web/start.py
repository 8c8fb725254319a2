"""From the command's settings to a running server."""

from __future__ import annotations

import ipaddress
import secrets
from typing import TYPE_CHECKING

from fedfr_edge import atomic
from fedfr_edge.errors import ConfigError
from fedfr_edge.recognition.capture import quality_gate
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.policy import LoginPolicy
from fedfr_edge.vision.detect import open_detector

from .. import device
from ..serving import LOCAL_NAMES, address_of, listen
from .api import make_app
from .books import Books
from .browser_files import about_browser, browser_files
from .desk import Desk
from .limits import Limits
from .server import Encryption, run
from .static_files import page_files

if TYPE_CHECKING:
    from ..commands.serve import ServeConfig


def start(config: ServeConfig) -> None:
    """Open everything, say where it is, and serve.

    Raises:
        FedFRError: something cannot be opened, or the settings contradict one another.
    """
    encryption = _encryption(config)
    names = _names(config, encryption)
    limits = Limits()
    policy = login_policy(config)
    encoder = device.open_encoder(config.model, config.provider, config.threads)
    token = secrets.token_urlsafe(24)
    files = page_files()
    if config.in_browser:
        _require_what_the_page_can(config)
        more = browser_files(encoder, config.runtime)
        about = about_browser(encoder, more, policy=policy, limits=limits)
        app = make_app(desk=None, files={**files, **more}, about=about, limits=limits, names=names)
        people = ""
    else:
        desk = _desk(config, encoder, policy, limits)
        count = desk.books.prepare()
        people = f", {device.counted(count, 'person', 'people')} in {config.gallery}"
        app = make_app(desk=desk, files=files, token=token, names=names)
    listening = listen(config.host, config.port)
    address = _shown(config, address_of(listening))
    lines = [f"page: {address}  (model {encoder.name}{people}; Ctrl-C ends it)"]
    if config.operator_file is not None:
        atomic.write_text(config.operator_file, f"{address}#operator={token}\n", mode=0o600)
    elif not config.in_browser:
        lines.append(f"operator: {address}#operator={token}")

    def ready() -> None:
        for line in lines:
            device.say(line)

    run(app, listening, limits=limits, encryption=encryption, proxy=config.proxy, ready=ready)


def login_policy(config: ServeConfig) -> LoginPolicy:
    """When somebody is let in.

    Raises:
        ConfigError: values that make no sense.
    """
    return LoginPolicy(
        far=config.far,
        threshold=config.threshold,
        gates=config.gates,
        second_threshold=config.second_threshold,
        frames=device.k_of_n(config.frames),
        liveness=config.liveness,
        quality=quality_gate,
    )


def _desk(config: ServeConfig, encoder: OnnxEncoder, policy: LoginPolicy, limits: Limits) -> Desk:
    if config.gallery is None:
        raise ConfigError("no gallery is given; give its place with --gallery, or --in-browser to have none")
    if config.runtime is not None:
        raise ConfigError("--runtime is for --in-browser; leave it away, or add that")
    detector = open_detector(config.detector, provider=config.provider, threads=config.threads)
    new = device.is_new_gallery(config.gallery)
    keys = device.key_provider(config.key, config.key_file, config.gallery, new=new)
    books = Books(
        config.gallery,
        keys,
        model_digest=encoder.digest,
        dim=encoder.dim,
        lockout=policy.lockout if config.lockout else None,
    )
    return Desk(encoder, detector, books, policy, device.open_passive(config.passive, config.threads), limits)


def _require_what_the_page_can(config: ServeConfig) -> None:
    """Refuse what only a server does: left aside in silence, it would be missed."""
    chosen = {
        "--gallery": config.gallery is not None,
        "--operator-file": config.operator_file is not None,
        "--passive": bool(config.passive),
        "--gates backbone": config.gates != "one",
        "--no-lockout": not config.lockout,
        "--detector": config.detector != "centerface",
    }
    for name, given in chosen.items():
        if given:
            raise ConfigError(f"{name} does not go with --in-browser, where the page decides; leave one away")


def _shown(config: ServeConfig, address: str) -> str:
    """What to type into a browser."""
    if config.proxy is not None and config.host_name:
        return f"https://{config.host_name[0]}/"
    port = address.rstrip("/").rpartition(":")[2]
    if config.host_name and not _is_local(config.host):
        address = f"http://{config.host_name[0]}:{port}/"
    return address if config.certificate is None else address.replace("http", "https", 1)


def _encryption(config: ServeConfig) -> Encryption | None:
    if (config.certificate is None) != (config.private_key is None):
        raise ConfigError("--certificate and --private-key belong together; give both, or none")
    if config.certificate is None or config.private_key is None:
        return None
    encryption = Encryption(config.certificate, config.private_key)
    encryption.check()
    return encryption


def _names(config: ServeConfig, encryption: Encryption | None) -> tuple[str, ...]:
    """Names that are answered; refuses what would let a face travel in the clear unasked."""
    if _is_local(config.host):
        return (*config.host_name, config.host)
    if encryption is None and not config.insecure_http:
        raise ConfigError(
            f"--host {config.host} can be reached from other machines, and nothing is encrypted: faces would "
            "travel in the clear, and browsers give the camera only to https pages. Give --certificate and "
            "--private-key, put a proxy that encrypts before 127.0.0.1 (docs/serve.md), or say "
            "--insecure-http if you must"
        )
    if config.insecure_http and encryption is None:
        device.remark(
            "warning: without https, faces, names and the operator's token can be read on the way; browsers "
            "on other machines will not give the camera to this page"
        )
    if not config.host_name and _address(config.host) in (None, *_EVERYWHERE):
        raise ConfigError(
            f"--host {config.host} says on what to listen, not under which name browsers come; give that "
            "with --host-name, for example --host-name door.example.org"
        )
    return (*config.host_name, config.host)


_EVERYWHERE = (ipaddress.ip_address("0.0.0.0"), ipaddress.ip_address("::"))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """None for a name."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_local(host: str) -> bool:
    address = _address(host)
    return host in LOCAL_NAMES or (address is not None and address.is_loopback)
