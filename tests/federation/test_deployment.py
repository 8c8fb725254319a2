"""docs/deploy.md as it stands: server, two clients, TLS, node keys, the proxy, with real processes."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from deploy_document import BIN, DEPLOY, Block, Machine, blocks
from small_federation import SETTINGS, SPEC, assert_same_bits, assert_same_state, make_store
from test_flwr_run import free_ports

from fedfr_edge.config import dump_config
from fedfr_edge.federation.data import Faces
from fedfr_edge.federation.private_state import PrivateStore
from fedfr_edge.federation.run_folder import RunFolder
from fedfr_edge.train.backbones.backbone import build_backbone
from fedfr_edge.train.checkpoint import GlobalModel, cpu_state, load_global, save_global
from fedfr_edge.train.loop import run_rounds

pytestmark = pytest.mark.long

CLIENTS = ("client-00", "client-01")
PUBLIC = ["uma", "vik", "xue"]
NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed: the proxy is not tested")


@dataclass
class Facts:
    """What was seen of the one federation that all tests here look at."""

    server: Machine
    clients: dict[str, Machine]
    stranger: Machine
    proxy_port: int
    link_port: int
    start: GlobalModel
    refused: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    outside: dict[str, Any] = field(default_factory=dict)
    ends: dict[str, tuple[int, str]] = field(default_factory=dict)


def the_blocks(where: str, language: str = "bash", rest: str = "") -> list[Block]:
    found = [b for b in blocks() if (b.language, b.where, b.rest.strip()) == (language, where, rest)]
    assert found
    return found


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    folder = tmp_path_factory.mktemp("deployment")
    link, proxy, *helpers = free_ports(5)
    door = proxy if NGINX else link
    server = Machine(folder / "server", "client-00", {"8000": link}).prepare()
    clients = {}
    for name, port in zip((*CLIENTS, "stranger"), helpers, strict=True):
        clients[name] = Machine(folder / name, name, {"8443": door}).prepare()
        write_client_file(clients[name], port)
    start = make_data(server, clients)
    found = Facts(server, clients, clients.pop("stranger"), proxy, link, start)
    make_keys(found)
    for block in [b for b in blocks() if b.language == "toml" and b.where == "server"]:
        write_server_file(server, block)
    with ExitStack() as running:
        if NGINX:
            running.enter_context(nginx(found))
        for machine in clients.values():
            running.enter_context(background(machine, the_blocks("client", rest="background")[0].text))
        see_two_rounds(found)
        see_one_more_round(found)
        see_a_run_that_fails(found)
    return found


def write_client_file(machine: Machine, port: int) -> None:
    (block,) = [b for b in blocks() if b.language == "toml" and b.where == "client"]
    # Several clients on one machine need a port each; and a test does not wait for half a minute.
    text = machine.here(block.text) + f"port = {port}\nretry = 2.0\n"
    if machine.name == "stranger":
        text += "give-up = 4.0\n"
    Path(machine.here(block.rest.strip())).write_text(text)


def write_server_file(machine: Machine, block: Block, rounds: int = 2, seed: int = 7) -> None:
    text = machine.here(block.text)
    assert "rounds = 30\n" in text
    text = text.replace("rounds = 30\n", f"rounds = {rounds}\nseed = {seed}\npoll = 1.0\npatience = 200\n")
    (first, *settings) = dump_config(SETTINGS, "train").splitlines()
    assert first == "[train]"
    kept = [line for line in settings if not line.startswith("rounds ")]
    Path(machine.here(block.rest.strip())).write_text(text + "\n".join(kept) + "\n")


def make_data(server: Machine, clients: dict[str, Machine]) -> GlobalModel:
    """Each client has a store of its own people and a copy of the public ones; the server has none."""
    for number, (name, machine) in enumerate(clients.items()):
        people = [f"{name}-a", f"{name}-b"]
        make_store(machine.var / "faces", people, 3 + number, seed=10 + number)
        make_store(machine.var / "public", PUBLIC, 4, seed=2)
    import torch

    model = GlobalModel(
        SPEC,
        cpu_state(build_backbone(SPEC, seed=4)),
        torch.randn(len(PUBLIC), SPEC.dim, generator=torch.Generator().manual_seed(3)),
        metadata={"public_classes": json.dumps(PUBLIC), "training_data_licence": "noise"},
    )
    save_global(model, server.var / "pretrained.safetensors")
    return model


def make_keys(found: Facts) -> None:
    (certificates,) = [b for b in the_blocks("server") if "openssl" in b.text]
    found.server.run(certificates.text)
    (key,) = the_blocks("client")
    for name, machine in [*found.clients.items(), ("stranger", found.stranger)]:
        machine.run(key.text)
        shutil.copy(found.server.etc / "ca.crt", machine.etc / "ca.crt")
        if name != "stranger":
            shutil.copy(machine.etc / f"{name}.pub", found.server.etc / "keys" / f"{name}.pub")


@contextmanager
def nginx(found: Facts) -> Iterator[None]:
    """nginx with the shipped file, but for its paths, ports and name."""
    folder = found.server.folder / "nginx"
    folder.mkdir()
    door = Machine(found.server.folder, "-", {"8443": found.proxy_port, "8000": found.link_port})
    (folder / "fedfr.conf").write_text(door.here((DEPLOY / "nginx-fedfr.conf").read_text()))
    places = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log stderr; worker_processes 1;\n"
        + ("user root;\n" if os.geteuid() == 0 else "")
        + f"events {{}}\nhttp {{ access_log {folder}/access.log; {places} include {folder}/fedfr.conf; }}\n"
    )
    command = [str(NGINX), "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", "stderr"]
    with (folder / "output").open("wb") as output:
        checked = subprocess.run([*command, "-t"], stderr=output, check=False).returncode
        assert checked == 0, (folder / "output").read_text()
        process = subprocess.Popen(command, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def background(machine: Machine, script: str) -> Iterator[subprocess.Popen[bytes]]:
    process = machine.start(script)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(40)


def wait_until(true: Callable[[], object], seconds: float, machine: Machine) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, machine.output.read_text()[-4000:]
        time.sleep(0.3)


def serve(found: Facts, meanwhile: Callable[[], None] = lambda: None) -> tuple[int, str]:
    """The server's command until it ends by itself; its exit status and what it said."""
    (block,) = the_blocks("server", rest="background")
    output = found.server.output
    before = output.stat().st_size if output.exists() else 0
    with background(found.server, block.text) as process:
        wait_until(
            lambda: process.poll() is not None or "waiting for" in output.read_text()[before:],
            300,
            found.server,
        )
        meanwhile()
        status = process.wait(500)
    return status, output.read_text()[before:]


def see_two_rounds(found: Facts) -> None:
    (show,) = [b for b in the_blocks("server") if "status" in b.text]
    (client,) = the_blocks("client", rest="background")

    def meanwhile() -> None:
        found.outside = {
            path: answer(found, path)
            for path in (
                "/v1/control/list-runs",
                "/v1/control/start-run",
                "/v1/runtime/get-nodes",
                "/v1/fleet/register-node",
                "/v1/fleet/../control/list-runs",
                "/v1/control/list-runs/..%2f..%2ffleet/get-run",
                "//v1/control/list-runs",
                "/v1/fleet/get-run",
                "/",
            )
        }
        found.outside["flwr"] = flwr_through_the_door(found)
        with background(found.stranger, client.text) as process:
            found.refused["status"] = process.wait(200)
        found.refused["said"] = found.stranger.output.read_text()
        found.status = json.loads(found.server.run(show.text.strip() + " --json"))

    found.ends["two rounds"] = serve(found, meanwhile)


def see_one_more_round(found: Facts) -> None:
    (block,) = [b for b in blocks() if b.language == "toml" and b.where == "server"]
    write_server_file(found.server, block, rounds=3)
    found.ends["one more"] = serve(found)


def see_a_run_that_fails(found: Facts) -> None:
    (block,) = [b for b in blocks() if b.language == "toml" and b.where == "server"]
    write_server_file(found.server, block, rounds=4, seed=8)
    found.ends["another seed"] = serve(found)


def answer(found: Facts, path: str) -> int | None:
    """HTTP status of an empty POST through the proxy."""
    if NGINX is None:
        return None
    trust = ssl.create_default_context(cafile=str(found.server.etc / "ca.crt"))
    request = urllib.request.Request(f"https://localhost:{found.proxy_port}{path}", data=b"", method="POST")
    try:
        with urllib.request.urlopen(request, context=trust, timeout=20) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        with error:
            return int(error.code)


def flwr_through_the_door(found: Facts) -> dict[str, dict[str, Any]]:
    """Flower's own commands, by one who has the authority's certificate."""
    home = found.stranger.folder / "flwr"
    home.mkdir()
    said = {}
    for name, port in (("proxy", found.proxy_port), ("link", found.link_port)):
        if name == "proxy" and NGINX is None:
            continue
        (home / "config.toml").write_text(
            f'[superlink]\ndefault = "x"\n[superlink.x]\naddress = "localhost:{port}"\n'
            f'root-certificates = "{found.stranger.etc / "ca.crt"}"\n'
        )
        done = subprocess.run(
            [str(BIN / "flwr"), "list", "x", "--format", "json"],
            env={
                **found.stranger.environment(),
                "FLWR_HOME": str(home),
                "FLWR_TELEMETRY_ENABLED": "0",
                "FLWR_DISABLE_UPDATE_CHECK": "1",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        said[name] = json.loads(done.stdout[done.stdout.index("{") :])
    return said


def test_the_document_leads_to_the_bits_of_the_plain_loop(facts: Facts) -> None:
    status, said = facts.ends["two rounds"]
    assert status == 0, said
    assert "round 1: 2 clients" in said
    assert "round 2: 2 clients" in said
    assert "is finished: 2 rounds" in said
    check_rounds(facts, 2)


def test_the_same_command_goes_further(facts: Facts) -> None:
    status, said = facts.ends["one more"]
    assert status == 0, said
    assert "round 3: 2 clients" in said
    assert "round 2:" not in said
    check_rounds(facts, 3)
    # The clients were not touched: their own command brought them back to a server that was started anew.
    for name, machine in facts.clients.items():
        events = [
            json.loads(line) for line in (machine.var / "client" / "events.jsonl").read_text().splitlines()
        ]
        assert [event["event"] for event in events][:1] == ["start"]
        assert name in events[0]["text"]


def check_rounds(facts: Facts, rounds: int) -> None:
    data = {
        name: Faces.open(machine.var / "faces", None, [machine.var / "public"]).of_client(name, facts.start)
        for name, machine in facts.clients.items()
    }
    expected, states, _ = run_rounds(facts.start, data, SETTINGS, 7, rounds)
    run = RunFolder(facts.server.var / "run")
    assert_same_bits(load_global(run.checkpoint(rounds)), expected)
    federation = json.loads((run.path / "federation.json").read_text())["federation"]
    for name, machine in facts.clients.items():
        private = machine.var / "private"
        assert private.stat().st_mode & 0o777 == 0o700
        with PrivateStore(private, federation=federation, client=name) as store:
            kept = store.load_before(rounds + 1)
        assert kept is not None
        assert_same_state(kept, states[name])


def test_a_run_that_fails_is_told_by_the_exit_status(facts: Facts) -> None:
    status, said = facts.ends["another seed"]
    assert status == 1
    last = said.strip().splitlines()[-1]
    assert last.startswith("error: the run failed (finished:failed): seed is 8, but the run in"), said
    assert "rounds done: 3" in last


def test_a_node_with_an_unknown_key_is_refused_and_told_why(facts: Facts) -> None:
    assert facts.refused["status"] == 1
    last = facts.refused["said"].strip().splitlines()[-1]
    assert last.startswith("error: localhost:"), last
    assert "refuses this client: its key is not among the server's keys" in last
    assert "stranger.pub" in last
    assert not (facts.stranger.var / "private").exists()
    log = (facts.server.var / "server" / "superlink.log").read_text()
    assert "No SuperNode found with the given public key" in log


def test_the_status_names_clients_and_nodes(facts: Facts) -> None:
    found = facts.status
    assert found["link"]["answers"]
    assert {node["name"] for node in found["nodes"]} == set(CLIENTS)
    assert found["well"]
    assert found["last"] == 2


def test_nothing_was_asked_of_the_internet(facts: Facts) -> None:
    for machine in (facts.server, facts.stranger, *facts.clients.values()):
        assert (machine.folder / "watched.processes").exists()
        watched = machine.folder / "watched"
        assert not watched.exists(), watched.read_text()


def test_no_process_is_left(facts: Facts) -> None:
    folder = str(facts.server.folder.parent).encode()

    def left() -> list[bytes]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if folder in (process / "environ").read_bytes():
                    found.append((process / "cmdline").read_bytes())
            except OSError:
                continue
        return found

    end = time.monotonic() + 20
    while left() and time.monotonic() < end:
        time.sleep(0.5)
    assert left() == []


@needs_nginx
def test_clients_take_part_through_the_proxy(facts: Facts) -> None:
    for machine in facts.clients.values():
        assert f":{facts.proxy_port}" in (machine.etc / "client.toml").read_text()
    lines = (facts.server.folder / "nginx" / "access.log").read_text().splitlines()
    paths = {line.split('"')[1].split()[1] for line in lines if " 200 " in line}
    assert {"/v1/fleet/activate-node", "/v1/fleet/push-object", "/v1/fleet/pull-messages"} <= paths
    assert all(path.startswith("/v1/fleet/") for path in paths)


@needs_nginx
def test_the_proxy_lets_no_control_request_through(facts: Facts) -> None:
    outside = dict(facts.outside)
    told = outside.pop("flwr")
    # flwr's exit status is 0 either way. The same words to the SuperLink itself are answered.
    assert (told["proxy"]["success"], told["link"]["success"]) == (False, True), told
    # What a SuperNode needs gets through, to be refused there for want of a signature and a body; so does the
    # same request in another spelling, as that request and no other.
    needed = outside.pop("/v1/fleet/get-run")
    assert needed in {400, 401, 415, 422}
    assert outside.pop("/v1/control/list-runs/..%2f..%2ffleet/get-run") == needed
    assert outside == dict.fromkeys(outside, 403)
    assert "/v1/control/start-run" in outside
    reached = (facts.server.var / "server" / "superlink.log").read_text()
    assert "Exception in ASGI" not in reached
