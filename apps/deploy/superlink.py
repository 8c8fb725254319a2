"""A SuperLink of our own: started, told which keys may take part, given a run, followed."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedfr_edge import atomic
from fedfr_edge.errors import ConfigError, FederationError

from .certificates import check_node_public_key
from .programs import child, environment, program, require_free_port, tail

APP = Path(__file__).resolve().parents[1] / "flower"
"""The app that ``flwr run`` ships: no code, only the names of the installed package's two components."""

_CONNECTION = "here"
_MARKS = re.compile(r"\x1b\[[0-9;]*m")


class SuperLink:
    """Flower's server on this machine.

    Args:
        host: address that it listens on.
        port: port that it listens on.
        state: folder for Flower's files and logs, mode 0700.
        tls: the authority's certificate, the server's, and its key; None for plain HTTP without node keys.
    """

    def __init__(self, host: str, port: int, state: Path, tls: tuple[Path, Path, Path] | None) -> None:
        self.host, self.port, self.state, self._tls = host, port, state, tls
        self.log = state / "superlink.log"
        self._env = environment(state / "flower")
        self._start = 0
        self._process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def running(self, patience: float = 120.0) -> Iterator[None]:
        """Start it; at the end of the block it ends, with the run that is on it.

        Raises:
            FederationError: the port is taken, or it does not answer within ``patience`` seconds.
        """
        require_free_port(self.host, self.port)
        self.connect()
        if self._tls is None:
            security = ["--insecure"]
        else:
            authority, certificate, key = self._tls
            security = ["--ssl-ca-certfile", str(authority), "--ssl-certfile", str(certificate)]
            security += ["--ssl-keyfile", str(key), "--enable-supernode-auth"]
        command = [program("flower-superlink"), *security, "--host", self.host, "--port", str(self.port)]
        self._start = self.log.stat().st_size if self.log.exists() else 0
        with child(command, self._env, self.log) as self._process:
            self._wait(patience)
            try:
                yield
            finally:
                self._process = None

    def connect(self) -> None:
        """Write down for Flower's own commands how this SuperLink is reached."""
        lines = [f'[superlink]\ndefault = "{_CONNECTION}"\n', f"[superlink.{_CONNECTION}]"]
        host = f"[{self.host}]" if ":" in self.host else self.host
        lines.append(f'address = "{host}:{self.port}"')
        lines.append(
            "insecure = true" if self._tls is None else f"root-certificates = {json.dumps(str(self._tls[0]))}"
        )
        with atomic.write_errors(self.state):
            self.state.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.state.chmod(0o700)
        atomic.write_text(self.state / "flower" / "config.toml", "\n".join(lines) + "\n")

    def check_alive(self) -> None:
        """Raise if the process has ended.

        Raises:
            FederationError: it has; with the end of its log.
        """
        if self._process is not None and self._process.poll() is not None:
            said = [line for line in tail(self.log, self._start).splitlines() if line.strip()]
            raise FederationError(
                f"the SuperLink ended ({self._process.returncode}): {' / '.join(said[-3:])[-400:]}; "
                f"see {self.log}"
            )

    def flwr(self, *arguments: str) -> dict[str, Any]:
        """One of Flower's commands, its answer as JSON.

        Raises:
            FederationError: it failed.
        """
        self.check_alive()
        command = [program("flwr"), *arguments, "--format", "json"]
        try:
            done = subprocess.run(
                command, env=self._env, capture_output=True, text=True, timeout=120, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise FederationError(
                f"flwr {arguments[0]} gave no answer within 120 s; see {self.log}"
            ) from error
        # The JSON stands after what the command says to people.
        found = done.stdout[done.stdout.find("{") :] if "{" in done.stdout else "{}"
        try:
            answer = dict(json.loads(found))
        except ValueError:
            answer = {}
        if done.returncode or not answer.get("success"):
            said = answer.get("error-message") or done.stderr or done.stdout
            lines = [line.strip(" │╭╰╮╯─") for line in _MARKS.sub("", str(said)).splitlines()]
            raise FederationError(f"flwr {arguments[0]} failed: {' '.join(filter(None, lines))[-500:]}")
        return answer

    def start_run(self, config: Mapping[str, Any], app: Path = APP) -> str:
        """Start the federated app.

        Args:
            config: run configuration; see ``apps/flower/pyproject.toml`` and ``server_app.py``.
            app: folder of the app, if it is another.

        Returns:
            the run's id.
        """
        file = self.state / "run-config.toml"
        text = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in config.items()]
        atomic.write_text(file, "\n".join(text) + "\n")
        return str(self.flwr("run", str(app), _CONNECTION, "-c", str(file))["run-id"])

    def check_listens(self) -> None:
        """Raise at once if nothing listens there; Flower's own commands try again for a while.

        Raises:
            FederationError: nothing does.
        """
        try:
            socket.create_connection((self.host, self.port), timeout=5).close()
        except OSError as error:
            raise FederationError(
                f"no SuperLink answers on {self.host}:{self.port}: {error.strerror or error}; start it with "
                "fedfr federation server"
            ) from error

    def runs(self) -> list[dict[str, Any]]:
        """The runs that it knows, each with ``run-id``, ``status`` and ``status-details``."""
        return list(self.flwr("list", _CONNECTION)["runs"])

    def status(self, run: str) -> tuple[str, str]:
        """A run's status, such as ``finished:failed``, and Flower's words on it."""
        for item in self.runs():
            if str(item["run-id"]) == run:
                return str(item["status"]), str(item.get("status-details") or "")
        raise FederationError(f"the SuperLink does not know run {run}; was it started anew? See {self.log}")

    def nodes(self) -> list[dict[str, Any]]:
        """The nodes that it knows, each with ``node-id``, ``status`` and times."""
        return list(self.flwr("supernode", "list", _CONNECTION)["nodes"])

    def register(self, key: Path) -> str:
        """Let the holder of a key take part; its node id."""
        return str(self.flwr("supernode", "register", str(key), _CONNECTION, "--name", key.stem)["node-id"])

    def unregister(self, node: str) -> None:
        """Let a node take part no longer."""
        self.flwr("supernode", "unregister", node, _CONNECTION)

    def _wait(self, patience: float) -> None:
        end = time.monotonic() + patience
        while True:
            try:
                self.check_listens()
                self.flwr("list", _CONNECTION)
            except FederationError as error:
                self.check_alive()
                if time.monotonic() > end:
                    raise FederationError(f"no answer within {patience:g} s: {error}") from error
                time.sleep(1)
            else:
                return


class Keys:
    """The folder of public keys that says who may take part: one file ``NAME.pub`` for each client.

    A file that is added lets a client in, one that is taken away shuts it out, while the server runs.

    Args:
        folder: the folder.
        link: the SuperLink that is told.
    """

    def __init__(self, folder: Path, link: SuperLink) -> None:
        self._folder, self._link = folder, link
        self._known: dict[bytes, tuple[str, str]] = {}  # key -> (name, node id)

    def files(self) -> dict[bytes, Path]:
        """The keys that are there now.

        Raises:
            ConfigError: a file holds no P-384 public key, or two hold the same.
        """
        found: dict[bytes, Path] = {}
        for path in sorted(self._folder.glob("*.pub")):
            key = check_node_public_key(path)
            if key in found:
                raise ConfigError(
                    f"{found[key]} and {path} hold the same key, expected one for each client; make another"
                )
            found[key] = path
        return found

    def update(self) -> list[str]:
        """Tell the SuperLink what has changed.

        Returns:
            one line for each change.

        Raises:
            ConfigError: see :meth:`files`.
            FederationError: the SuperLink refused.
        """
        here, said = self.files(), []
        for key in self._known.keys() - here.keys():
            name, node = self._known.pop(key)
            self._link.unregister(node)
            said.append(f"{name} may take part no longer (its key is gone from {self._folder})")
        for key in [key for key in here if key not in self._known]:
            name, node = here[key].stem, self._link.register(here[key])
            self._known[key] = (name, node)
            said.append(f"{name} may take part (node {node})")
        if said:
            names = {node: name for name, node in self._known.values()}
            atomic.write_text(self._link.state / "nodes.json", json.dumps(names, indent=1) + "\n")
        return said


def node_names(state: Path) -> dict[str, str]:
    """Node id -> name of the key's file, as the server wrote it down; empty if it never did."""
    try:
        return dict(json.loads((state / "nodes.json").read_text()))
    except (OSError, ValueError):
        return {}
