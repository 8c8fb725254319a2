"""``fedfr federation client``: a SuperNode with its own faces and private folder, kept running."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from fedfr_edge.cli import Command
from fedfr_edge.config import option
from fedfr_edge.errors import ConfigError, FederationError, SplitError

from .. import console
from ..deploy.certificates import check_certificate, check_node_key
from ..deploy.events import Events
from ..deploy.programs import (
    check_address,
    child,
    environment,
    program,
    require_flower,
    require_free_port,
    stop_on_sigterm,
    tail,
)

SECTION = "federation.client"
_REFUSED = "[code: 2004]"
_ACTIVE = "Starting Flower SuperNode"
_HOST = "127.0.0.1"  # where the SuperNode and its own helpers talk to one another


@dataclass(frozen=True)
class ClientConfig:
    """Settings of ``fedfr federation client``."""

    client_id: str = option(help="who this client is; no other client of the federation has the same id")
    server: str = option(help="host:port where the server lets clients in")
    store: Path = option(help="aligned-face store of this client's people")
    private: Path = option(help="folder for the private state (personal models); made with mode 0700")
    state: Path = option(help="folder for Flower's own files and logs")
    split: Path | None = option(None, help="which people and images of the store are this client's; else all")
    public_store: tuple[Path, ...] = option((), help="store of public people; those of pre-training")
    authority: Path | None = option(None, help="certificate of the authority that signed the server's")
    key: Path | None = option(None, help="this client's private key (OpenSSH, P-384)")
    insecure: bool = option(False, help="plain HTTP, and no proof of who this client is")
    share_proxies: bool = option(
        False, help="agree that W, a stand-in for the people's faces, leaves; method fedface needs it"
    )
    agreed: Path | None = option(
        None, help="TOML file of settings that the server's must equal, or this client does not train"
    )
    max_updates: int = option(
        0, help="updates that leave this client at most, repeated rounds included; 0: any number", low=0
    )
    device: str = option("cpu", help="where to train: cpu, cuda, cuda:1")
    threads: int = option(1, help="torch threads on a CPU", low=1)
    port: int = option(9094, help="port on this machine for the SuperNode's helpers", low=1, high=65535)
    retry: float = option(30.0, help="seconds before a SuperNode that ended is started again", low=0.1)
    give_up: float = option(
        300.0, help="seconds of refusals after which the command ends; 0: it never does", low=0
    )


def run(config: ClientConfig) -> None:
    """Run the command; it goes on until it is stopped."""
    require_flower()
    remark = _check(config)
    if remark:
        console.log.print(f"remark: {remark}")
    events = Events(config.state / "events.jsonl")
    require_free_port(_HOST, config.port)
    with stop_on_sigterm():
        _keep_running(config, events)


def _keep_running(config: ClientConfig, events: Events) -> None:
    """Start the SuperNode again whenever it ends: it does not try again itself where the server still counts
    its predecessor online, or has been started anew."""
    log = config.state / "supernode.log"
    refused_since: float | None = None
    while True:
        start = log.stat().st_size if log.exists() else 0
        events("start", f"{config.client_id}: SuperNode starts, server {config.server}")
        with child(
            supernode_command(config), environment(config.state.absolute() / "flower"), log
        ) as process:
            status = process.wait()
        said = tail(log, start)
        if _REFUSED in said:
            now = time.monotonic()
            refused_since = refused_since or now
            why = (
                f"{config.server} refuses this client: its key is not among the server's keys, or the server "
                "still counts an earlier process of it online (for up to a minute)"
            )
            if config.give_up and now - refused_since >= config.give_up:
                raise FederationError(
                    f"{why}; {config.give_up:g} s of refusals: give the server {config.key}.pub; see {log}"
                )
        else:
            refused_since = None
            why = _last_words(said) or f"exit status {status}"
        events(
            "ended", f"{config.client_id}: SuperNode ended: {why}; again in {config.retry:g} s", reason=why
        )
        time.sleep(config.retry)


def _check(config: ClientConfig) -> str | None:
    """What can be found wrong before anything starts; a remark, perhaps."""
    from fedfr_edge.data.split import Split
    from fedfr_edge.data.store import FaceStore

    check_address(config.server, "server")
    if not config.client_id:
        raise ConfigError("client-id is empty, expected a name of this client's own")
    store = FaceStore.open(config.store)
    if config.split is not None:
        split = Split.load(config.split)
        split.check(store)
        if config.client_id not in split.clients:
            raise SplitError(
                f"{config.split} has no client {config.client_id!r}, it has "
                f"{', '.join(sorted(split.clients)) or 'none'}; set client-id to one of them"
            )
    elif not len(store):
        raise ConfigError(f"{config.store} holds no image; import some with fedfr data import")
    for path in config.public_store:
        FaceStore.open(path)
    if config.agreed is not None:
        from fedfr_edge.federation.telemetry import switch_off_telemetry

        switch_off_telemetry()
        from fedfr_edge.federation.readiness import read_agreed

        read_agreed(config.agreed)
    if config.insecure:
        if config.authority or config.key:
            raise ConfigError("insecure is on, but authority or key is set; set one or the other")
        return "plain HTTP, and no proof of who this client is: for one machine or a closed network"
    if config.authority is None or config.key is None:
        raise ConfigError(
            "authority or key is not set, expected both (docs/deploy.md), or insecure = true for one machine "
            "or a closed network"
        )
    check_node_key(config.key)
    return check_certificate(config.authority)


def supernode_command(config: ClientConfig) -> list[str]:
    """The SuperNode's program and its arguments."""
    if config.insecure:
        security = ["--insecure"]
    else:
        assert config.authority is not None
        assert config.key is not None
        security = ["--root-certificates", str(config.authority.absolute())]
        security += ["--auth-supernode-private-key", str(config.key.absolute())]
    return [
        *(program("flower-supernode"), *security, "--superlink", config.server),
        *("--host", _HOST, "--port", str(config.port), "--node-config", node_config(config)),
    ]


def node_config(config: ClientConfig) -> str:
    """What ``client_app.site_from_node_config`` reads, as ``--node-config`` takes it.

    Raises:
        ConfigError: a value that Flower's way of writing them cannot hold.
    """
    values: dict[str, str | int | bool] = {
        "client-id": config.client_id,
        "store": str(config.store.absolute()),
        "private": str(config.private.absolute()),
        "device": config.device,
        "threads": config.threads,
        "share-proxies": config.share_proxies,
    }
    if config.split is not None:
        values["split"] = str(config.split.absolute())
    if config.max_updates:
        values["max-updates"] = config.max_updates
    if config.agreed is not None:
        values["agreed"] = str(config.agreed.absolute())
    if config.public_store:
        values["public-stores"] = os.pathsep.join(str(path.absolute()) for path in config.public_store)
    for name, value in values.items():
        if isinstance(value, str) and re.search(r"[\"'\\\n]", value):
            raise ConfigError(f"{name} is {value!r}, which has a quote, backslash or line break; rename it")
    return " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in values.items())


def _last_words(said: str) -> str:
    """What the SuperNode gave as its reason, without Flower's hints and what its helpers said meanwhile."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in said.splitlines()]
    lines = [line for line in lines if line]
    start = next((at for at, line in enumerate(lines) if "Exit Code:" in line), None)
    if start is None:
        return lines[-1][:400] if lines else ""
    words = [lines[start][lines[start].index("Exit Code:") :]]
    for line in lines[start + 1 :]:
        if line.startswith(("INFO", "WARNING", "ERROR", "For more information")):
            break
        words.append(line)
    return " ".join(words)[:400]


COMMAND = Command(
    section=SECTION,
    config=ClientConfig,
    run=run,
    help="""Take part in a federation as one client, until stopped.

    Starts a SuperNode and starts it again whenever it ends. Ends by itself only if the settings are wrong, or
    if the server has refused this client for --give-up seconds. docs/deploy.md has the whole path.

    \b
    In:  this client's aligned faces, the public stores that pre-training used, its key and the authority's
         certificate (or --insecure).
    Out: PRIVATE (this client's personal models; nothing of it leaves), STATE/events.jsonl (what happened, as
         JSON), STATE/supernode.log (Flower's own words).
    """,
)
