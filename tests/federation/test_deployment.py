"""docs/deploy.md as it stands: server, two clients, TLS, node keys, the proxy, with real processes."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from deploy_document import BIN, Machine
from deployed import CLIENTS, Deployed, background, the_blocks, wait_until
from door import NGINX, ask, needs_nginx, nginx
from small_federation import SETTINGS
from test_flwr_run import free_ports

pytestmark = pytest.mark.long


@dataclass
class Facts:
    """What was seen of the one federation that all tests here look at."""

    made: Deployed
    stranger: Machine
    proxy_port: int
    link_port: int
    refused: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    outside: dict[str, Any] = field(default_factory=dict)
    ends: dict[str, tuple[int, str]] = field(default_factory=dict)

    @property
    def server(self) -> Machine:
        return self.made.server

    @property
    def clients(self) -> dict[str, Machine]:
        """Those that are known."""
        return {name: self.made.clients[name] for name in CLIENTS}


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    folder = tmp_path_factory.mktemp("deployment")
    link, proxy, *helpers = free_ports(5)
    names = (*CLIENTS, "stranger")
    made = Deployed.prepare(folder, link, proxy if NGINX else link, dict(zip(names, helpers, strict=True)))
    found = Facts(made, made.clients["stranger"], proxy, link)
    file = found.stranger.etc / "client.toml"
    file.write_text(file.read_text() + "give-up = 4.0\n")
    made.write_server_file(SETTINGS, 2)
    with ExitStack() as running:
        if NGINX:
            running.enter_context(nginx(found.server, proxy, link))
        for name in CLIENTS:
            running.enter_context(background(made.start_client(name)))
        see_two_rounds(found)
        see_one_more_round(found)
        see_a_run_that_fails(found)
    return found


def serve(found: Facts, meanwhile: Callable[[], None] = lambda: None) -> tuple[int, str]:
    """The server's command until it ends by itself; its exit status and what it said."""
    before = len(found.server.said())
    with background(found.made.start_server()) as process:
        wait_until(
            lambda: process.poll() is not None or "waiting for" in found.server.said()[before:],
            300,
            found.server,
        )
        meanwhile()
        status = process.wait(500)
    return status, found.server.said()[before:]


def see_two_rounds(found: Facts) -> None:
    (show,) = [b for b in the_blocks("server") if "status" in b.text]

    def meanwhile() -> None:
        paths = (
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
        if NGINX:
            found.outside = {path: ask(found.server, found.proxy_port, path) for path in paths}
        found.outside["flwr"] = flwr_through_the_door(found)
        with background(found.made.start_client("stranger")) as process:
            found.refused["status"] = process.wait(200)
        found.refused["said"] = found.stranger.said()
        found.status = json.loads(found.server.run(show.text.strip() + " --json"))

    found.ends["two rounds"] = serve(found, meanwhile)


def see_one_more_round(found: Facts) -> None:
    found.made.write_server_file(SETTINGS, 3)
    found.ends["one more"] = serve(found)


def see_a_run_that_fails(found: Facts) -> None:
    found.made.write_server_file(SETTINGS, 4, seed=8)
    found.ends["another seed"] = serve(found)


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
    facts.made.check_rounds(SETTINGS, 2)


def test_the_same_command_goes_further(facts: Facts) -> None:
    status, said = facts.ends["one more"]
    assert status == 0, said
    assert "round 3: 2 clients" in said
    assert "round 2:" not in said
    facts.made.check_rounds(SETTINGS, 3)
    # The clients were not touched: their own command brought them back to a server that was started anew.
    for name, machine in facts.clients.items():
        events = [
            json.loads(line) for line in (machine.var / "client" / "events.jsonl").read_text().splitlines()
        ]
        assert [event["event"] for event in events][:1] == ["start"]
        assert name in events[0]["text"]


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
    machines = (facts.server, facts.stranger, *facts.clients.values())

    def left() -> list[str]:
        return [command for machine in machines for command in machine.processes().values()]

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
