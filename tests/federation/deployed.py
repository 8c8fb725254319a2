"""A federation on this machine, made with the files and commands of ``docs/deploy.md``: TLS, node keys."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from deploy_document import Block, Machine, blocks
from small_federation import SPEC, assert_same_bits, assert_same_state, make_store

from fedfr_edge.config import dump_config
from fedfr_edge.federation.data import Faces
from fedfr_edge.federation.private_state import PrivateStore
from fedfr_edge.federation.run_folder import RunFolder
from fedfr_edge.train.backbones.backbone import build_backbone
from fedfr_edge.train.checkpoint import GlobalModel, cpu_state, load_global, save_global
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.loop import run_rounds
from fedfr_edge.train.private import PrivateState

CLIENTS = ("client-00", "client-01")
PUBLIC = ["uma", "vik", "xue"]
_LOOPS: dict[object, tuple[GlobalModel, dict[str, PrivateState]]] = {}


def the_blocks(where: str, language: str = "bash", rest: str = "") -> list[Block]:
    found = [b for b in blocks() if (b.language, b.where, b.rest.strip()) == (language, where, rest)]
    assert found
    return found


@dataclass(frozen=True)
class Deployed:
    """Server and clients, each with a folder, keys and files of its own; nothing runs yet.

    Attributes:
        server: the server's machine.
        clients: client id -> its machine.
        start: the pre-trained model.
        started: the commands that were started.
    """

    server: Machine
    clients: dict[str, Machine]
    start: GlobalModel
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    def prepare(
        cls,
        folder: Path,
        link: int,
        door: int,
        helpers: Mapping[str, int],
        *,
        known: Iterable[str] = CLIENTS,
    ) -> Deployed:
        """Stores, certificates, keys and the clients' files.

        Args:
            folder: where all machines lie.
            link: the SuperLink's port.
            door: the port that clients are told.
            helpers: client id -> a port for its SuperNode's helpers.
            known: whose keys the server has.
        """
        server = Machine(folder / "server", "client-00", {"8000": link}).prepare()
        clients = {name: Machine(folder / name, name, {"8443": door}).prepare() for name in helpers}
        for name, machine in clients.items():
            write_client_file(machine, f"port = {helpers[name]}\n")
        made = cls(server, clients, _make_data(server, clients))
        (certificates,) = [b for b in the_blocks("server") if "openssl" in b.text]
        server.run(certificates.text)
        (key,) = the_blocks("client")
        for name, machine in clients.items():
            machine.run(key.text)
            shutil.copy(server.etc / "ca.crt", machine.etc / "ca.crt")
            if name in known:
                shutil.copy(machine.etc / f"{name}.pub", server.etc / "keys" / f"{name}.pub")
        return made

    def write_server_file(self, settings: TrainConfig, rounds: int, *, seed: int = 7, more: str = "") -> None:
        (block,) = [b for b in blocks() if b.language == "toml" and b.where == "server"]
        text = self.server.here(block.text)
        assert "rounds = 30\n" in text
        text = text.replace(
            "rounds = 30\n", f"rounds = {rounds}\nseed = {seed}\npoll = 1.0\npatience = 200\n"
        )
        (first, *lines) = dump_config(settings, "train").splitlines()
        assert first == "[train]"
        kept = [line for line in lines if not line.startswith("rounds ")]
        Path(self.server.here(block.rest.strip())).write_text(text + more + "\n".join(kept) + "\n")

    def start_server(self) -> subprocess.Popen[bytes]:
        return self._start(self.server, "server")

    def start_client(self, name: str) -> subprocess.Popen[bytes]:
        return self._start(self.clients[name], "client")

    def power_cut(self) -> None:
        """All machines' at once; nothing is left running."""
        for machine in (self.server, *self.clients.values()):
            machine.power_cut()
        for process in self.started:
            process.wait(20)

    def _start(self, machine: Machine, where: str) -> subprocess.Popen[bytes]:
        (block,) = the_blocks(where, rest="background")
        self.started.append(machine.start(block.text))
        return self.started[-1]

    def run(self) -> RunFolder:
        """The run's folder on the server."""
        return RunFolder(self.server.var / "run")

    def check_rounds(self, settings: TrainConfig, rounds: int, clients: Iterable[str] = CLIENTS) -> None:
        """Θ, Φ and every private state are, bit for bit, those of the loop without Flower."""
        machines = {name: self.clients[name] for name in clients}
        faces = {
            name: Faces.open(machine.var / "faces", None, [machine.var / "public"])
            for name, machine in machines.items()
        }
        # The same in several deployments, whose stores have equal content: computed once.
        key = (settings, rounds, *((name, opened.store.digest) for name, opened in faces.items()))
        if key not in _LOOPS:
            data = {name: opened.of_client(name, self.start) for name, opened in faces.items()}
            _LOOPS[key] = run_rounds(self.start, data, settings, 7, rounds)[:2]
        expected, states = _LOOPS[key]
        run = self.run()
        assert run.rounds()[: rounds + 1] == list(range(rounds + 1))
        assert_same_bits(load_global(run.checkpoint(rounds)), expected)
        federation = json.loads((run.path / "federation.json").read_text())["federation"]
        for name, machine in machines.items():
            private = machine.var / "private"
            assert private.stat().st_mode & 0o777 == 0o700
            with PrivateStore(private, federation=federation, client=name) as store:
                kept = store.load_before(rounds + 1)
            assert kept is not None
            assert_same_state(kept, states[name])


def write_client_file(machine: Machine, more: str) -> None:
    (block,) = [b for b in blocks() if b.language == "toml" and b.where == "client"]
    # Several clients on one machine need a port each; and a test does not wait for half a minute.
    Path(machine.here(block.rest.strip())).write_text(machine.here(block.text) + "retry = 2.0\n" + more)


@contextmanager
def background(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """End a command at the end, as a service manager does."""
    try:
        yield process
    finally:
        process.terminate()
        process.wait(40)


def wait_until(true: Callable[[], object], seconds: float, *machines: Machine) -> None:
    end = time.monotonic() + seconds
    while not true():
        said = "\n".join(f"{machine.folder}: {machine.said()[-3000:]}" for machine in machines)
        assert time.monotonic() < end, said
        time.sleep(0.1)


def _make_data(server: Machine, clients: Mapping[str, Machine]) -> GlobalModel:
    """Each client has a store of its own people and a copy of the public ones; the server has none."""
    for number, (name, machine) in enumerate(clients.items()):
        people = [f"{name}-a", f"{name}-b"]
        make_store(machine.var / "faces", people, 3 + number, seed=10 + number)
        make_store(machine.var / "public", PUBLIC, 4, seed=2)
    model = GlobalModel(
        SPEC,
        cpu_state(build_backbone(SPEC, seed=4)),
        torch.randn(len(PUBLIC), SPEC.dim, generator=torch.Generator().manual_seed(3)),
        metadata={"public_classes": json.dumps(PUBLIC), "training_data_licence": "noise"},
    )
    save_global(model, server.var / "pretrained.safetensors")
    return model
