"""``fedfr federation server``: a SuperLink, the run on it, and an exit status that says how it went."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from fedfr_edge.cli import Command
from fedfr_edge.config import option, save_config
from fedfr_edge.errors import ConfigError, FederationError, FedFRError
from fedfr_edge.federation.traffic import BYTES_DOWN, BYTES_UP
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.privacy_loss import privacy_text

from .. import console
from ..deploy.certificates import check_certificate, check_pair
from ..deploy.events import Events
from ..deploy.programs import require_flower, stays_here, stop_on_sigterm
from ..deploy.superlink import Keys, SuperLink
from ..runs.means import megabytes, round_means
from ..runs.record import RECORD, RunRecord, read_run

SECTION = "federation.server"
_EXPECTED = (
    "expected authority, certificate, certificate-key and keys (docs/deploy.md), or insecure = true "
    "for one machine or a closed network"
)


@dataclass(frozen=True, kw_only=True)
class _Link:
    out: Path = option(help="folder of the run; one that holds rounds already is gone on with", short="o")
    pretrained: Path = option(help="global model to start from, made by fedfr pretrain (.safetensors)")
    clients: int = option(help="clients to wait for before the first round", low=1)
    seed: int = option(0, help="seed of everything random", low=0, high=2**63 - 1)
    quorum: int = option(0, help="clients that must answer in a round; 0: all of them", low=0)
    deadline: float = option(12 * 3600.0, help="seconds that a round may take", low=1)
    patience: float = option(600.0, help="seconds to wait for clients to come online", low=1)
    repeats: int = option(2, help="how often a round below the quorum is tried again", low=0)
    pause: float = option(30.0, help="seconds before each of these attempts", low=0)
    state: Path = option(help="folder for Flower's own files and logs")
    host: str = option("127.0.0.1", help="address that the SuperLink listens on; clients come in by a proxy")
    port: int = option(8000, help="port that the SuperLink listens on", low=1, high=65535)
    authority: Path | None = option(None, help="certificate of the authority that signed --certificate")
    certificate: Path | None = option(None, help="the server's certificate, made out to --host too")
    certificate_key: Path | None = option(None, help="private key of the certificate")
    keys: Path | None = option(None, help="folder of the clients' public keys: who may take part")
    insecure: bool = option(False, help="plain HTTP, and no client proves who it is")
    expose_control: bool = option(
        False, help="listen beyond this machine: whoever reaches --host can run code on every client"
    )
    poll: float = option(5.0, help="seconds between two looks at the run", low=0.2)


@dataclass(frozen=True)
class ServerConfig(TrainConfig, _Link):
    """Settings of ``fedfr federation server``: the SuperLink, the run, and its hyper-parameters."""

    def hyper_parameters(self) -> TrainConfig:
        """The part that clients are told."""
        return TrainConfig(**{field.name: getattr(self, field.name) for field in fields(TrainConfig)})

    def tls(self) -> tuple[Path, Path, Path] | None:
        """Authority, certificate and key; None for plain HTTP.

        Raises:
            ConfigError: some are set and others not.
        """
        given = (self.authority, self.certificate, self.certificate_key)
        if self.insecure:
            if any(given) or self.keys:
                raise ConfigError("insecure is on, but certificates or keys are set; set one or the other")
            return None
        if self.authority is None or self.certificate is None or self.certificate_key is None:
            missing = [name for name, path in zip(_TLS, given, strict=True) if path is None]
            raise ConfigError(f"{', '.join(missing)} not set, {_EXPECTED}")
        if self.keys is None:
            raise ConfigError(f"keys is not set, {_EXPECTED}")
        return self.authority, self.certificate, self.certificate_key


_SILENT = 10  # looks at the run in vain, one after another, before the command gives up
_TLS = ("authority", "certificate", "certificate-key")


def super_link(config: ServerConfig) -> SuperLink:
    """The SuperLink that a configuration describes, not started."""
    return SuperLink(config.host, config.port, config.state.absolute(), _absolute(config.tls()))


def run(config: ServerConfig) -> int:
    """Run the command."""
    require_flower()
    remarks = _check(config)
    events = Events(config.state / "events.jsonl")
    for remark in remarks:
        console.log.print(f"remark: {remark}")
    link = super_link(config)
    keys = None if config.keys is None else Keys(config.keys.absolute(), link)
    with stop_on_sigterm(), link.running():
        events(
            "link", f"SuperLink listens on {config.host}:{config.port}", host=config.host, port=config.port
        )
        for line in keys.update() if keys else ():
            events("keys", line)
        run_id = link.start_run(_run_config(config))
        events("started", f"run {run_id} on {config.out}, waiting for {config.clients} clients", run=run_id)
        return _follow(config, link, run_id, keys, events)


def _check(config: ServerConfig) -> list[str]:
    """What can be found wrong before anything starts; remarks on the rest."""
    config.hyper_parameters().resolved()
    if not config.pretrained.is_file():
        raise ConfigError(f"pretrained is {config.pretrained}, which is no file; make it with fedfr pretrain")
    if config.quorum > config.clients:
        raise ConfigError(f"quorum is {config.quorum} of {config.clients} clients, expected at most all")
    remarks = _check_door(config)
    tls = config.tls()
    if tls is None:
        return [*remarks, "plain HTTP, and no client proves who it is: for one machine or a closed network"]
    authority, certificate, key = tls
    found = [check_certificate(authority), check_certificate(certificate, config.host)]
    check_pair(certificate, key)
    assert config.keys is not None
    if not config.keys.is_dir():
        raise ConfigError(f"keys is {config.keys}, expected a folder of NAME.pub files, one for each client")
    return [*remarks, *(remark for remark in found if remark)]


def _check_door(config: ServerConfig) -> list[str]:
    """Flower's control interface is on the clients' port and asks nobody who they are."""
    if stays_here(config.host):
        return []
    risk = f"whoever reaches {config.host}:{config.port} can start runs, that is, run code on every client"
    if config.expose_control:
        return [f"{risk}, and nobody is asked who they are"]
    raise ConfigError(
        f"host is {config.host}: {risk}; listen on 127.0.0.1 behind the proxy of docs/deploy.md, or set "
        "expose-control = true where nobody reaches it but those who may do that, the clients among them"
    )


def _run_config(config: ServerConfig) -> dict[str, str | int | float]:
    settings = config.state.absolute() / "train.toml"
    save_config(config.hyper_parameters(), "train", settings)
    return {
        "out": str(config.out.absolute()),
        "pretrained": str(config.pretrained.absolute()),
        "config": str(settings),
        "seed": config.seed,
        "clients": config.clients,
        "quorum": config.quorum,
        "deadline": float(config.deadline),
        "patience": float(config.patience),
        "repeats": config.repeats,
        "pause": float(config.pause),
    }


def _follow(config: ServerConfig, link: SuperLink, run_id: str, keys: Keys | None, events: Events) -> int:
    news = _News(config.out)
    complaint = ""
    silent = 0
    while True:
        try:
            status, details = link.status(run_id)
            silent = 0
        except FederationError:
            # A busy machine answers late; only a SuperLink that is gone ends the run.
            link.check_alive()
            silent += 1
            if silent >= _SILENT:
                raise
            status, details = "unknown", ""
        news.tell(events)
        if status.startswith("finished"):
            break
        try:
            for text in keys.update() if keys else ():
                events("keys", text)
        except FedFRError as error:
            # A wrong file in the folder must not end a run that goes on without it.
            if str(error) != complaint:
                complaint = str(error)
                events("error", f"keys are not updated: {complaint}")
        time.sleep(config.poll)
    if status != "finished:completed":
        reason = details.removeprefix("ServerApp failed with exception: ") or "no reason given"
        events("failed", f"run {run_id} ended as {status}", run=run_id, status=status, reason=reason)
        raise FederationError(
            f"the run failed ({status}): {reason}; rounds done: {news.done}; see {link.log}"
        )
    events(
        "finished",
        f"run {run_id} is finished: {news.done} rounds in {config.out}",
        run=run_id,
        rounds=news.done,
    )
    return 0


class _News:
    """What the run's folder tells since the last look: rounds that are done, and attempts at the next one.

    Args:
        out: the folder; what it tells already is no news.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self.done, self._tries = 0, 0
        record = self._read()
        if record is not None:
            self.done, self._tries = record.done, len(record.attempts)

    def tell(self, events: Events) -> None:
        """Say what is new."""
        record = self._read()
        if record is None:
            return
        for line in record.rounds:
            if line["round"] > self.done:
                self.done, self._tries = line["round"], 0
                events("round", _round_text(line), **line)
        for number, attempt in enumerate(record.attempts[self._tries :], self._tries + 1):
            events("attempt", attempt_text(self.done + 1, number, attempt), round=self.done + 1, **attempt)
        self._tries = len(record.attempts)

    def _read(self) -> RunRecord | None:
        return read_run(self._out) if (self._out / RECORD).is_file() else None


def attempt_text(round: int, number: int, attempt: dict[str, Any]) -> str:
    """An attempt at a round that did not count, as lines for people."""
    text = f"round {round}, attempt {number}: {attempt['answered']} of at least {attempt['expected']} clients"
    text += f" ({attempt['reason']})" if "reason" in attempt else ""
    return text + _left_out(attempt)


def _left_out(part: dict[str, Any]) -> str:
    return "".join(f"\n  {client} left out: {why}" for client, why in part.get("failed", {}).items())


def _round_text(line: dict[str, Any]) -> str:
    means = round_means(line)
    text = f"round {line['round']}: {len(line['clients'])} clients in {line['seconds']:.1f} s"
    text += f", {megabytes(means, BYTES_UP)} MB up and {megabytes(means, BYTES_DOWN)} MB down"
    text += f", attempt {len(line['attempts']) + 1}" if "attempts" in line else ""
    text += f"\n  {privacy_text(line)}" if privacy_text(line) else ""
    return text + _left_out(line)


def _absolute(paths: tuple[Path, Path, Path] | None) -> tuple[Path, Path, Path] | None:
    # Flower's programs may be started elsewhere.
    return None if paths is None else (paths[0].absolute(), paths[1].absolute(), paths[2].absolute())


COMMAND = Command(
    section=SECTION,
    config=ServerConfig,
    run=run,
    help="""Start a SuperLink, run FedFR rounds on it over the clients that come, and end with the run.

    The exit status is 0 only if the run finished; the same command goes on after the last finished round.
    Where --device and --threads are set, clients decide themselves. docs/deploy.md has the whole path.

    \b
    In:  a pre-trained model, certificates, the public keys of the clients (or --insecure).
    Out: OUT/checkpoints, OUT/metrics.jsonl (as fedfr train), STATE/events.jsonl (what happened, as JSON),
         STATE/superlink.log (Flower's own words).
    """,
)
