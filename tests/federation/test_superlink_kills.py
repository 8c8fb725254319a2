"""SIGKILL over a real SuperLink: the run goes on to the bits of one that nothing hit.

Server and clients are those of ``docs/deploy.md``, with TLS and node keys, started by the same commands. A
machine's power is cut: all its processes end at once, the command's own and Flower's. Then the command is
started again, as systemd would.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deploy_document import Machine
from deployed import CLIENTS, Deployed, wait_until
from small_federation import SETTINGS
from test_flwr_run import free_ports

from fedfr_edge.federation.private_state import snapshots
from fedfr_edge.file_lock import FileLock

pytestmark = pytest.mark.long

ONE, OTHER = CLIENTS
ROUNDS = 2
# Long enough that a round is still trained a second after it was begun, on a fast machine too.
SLOW = dataclasses.replace(SETTINGS, epochs=(20,))
PAUSE = "pause = 3.0\n"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Deployed]:
    """A deployment of which nothing runs yet; at the end nothing does any more."""
    link, *helpers = free_ports(1 + len(CLIENTS))
    found = Deployed.prepare(tmp_path, link, link, dict(zip(CLIENTS, helpers, strict=True)))
    found.write_server_file(SLOW, ROUNDS, more=PAUSE)
    yield found
    found.power_cut()


def trains(machine: Machine, round: int) -> bool:
    """Whether a client's round is being trained: it holds its private folder and has not kept the round."""
    folder = machine.var / "private"
    if not folder.is_dir() or snapshots(folder) != list(range(1, round)):
        return False
    lock = FileLock(folder / ".lock")
    held = not lock.take(0)
    lock.release()
    return held


def wait_for_training(found: Deployed, round: int, *clients: str) -> None:
    """Until these clients have been at a round's epochs for a second."""
    machines = [found.clients[name] for name in clients]
    everybody = (found.server, *found.clients.values())
    wait_until(lambda: all(trains(machine, round) for machine in machines), 300, *everybody)
    time.sleep(1)
    for machine in machines:
        assert trains(machine, round), "the round was over too soon; give it more epochs"


def lines(found: Deployed) -> list[dict[str, Any]]:
    path = found.run().path / "metrics.jsonl"
    return [json.loads(text) for text in path.read_text().splitlines()] if path.exists() else []


def check_end(found: Deployed, status: int) -> list[dict[str, Any]]:
    """The run is finished, with the bits of a run that nothing hit; its metrics."""
    assert status == 0, found.server.said()[-4000:]
    found.check_rounds(SLOW, ROUNDS)
    for name in CLIENTS:
        left = [path.name for path in (found.clients[name].var / "private").glob(".*.tmp")]
        assert left == [], name
    done = lines(found)
    assert [line["round"] for line in done] == list(range(1, ROUNDS + 1))
    assert [sorted(line["clients"]) for line in done] == [list(CLIENTS)] * ROUNDS
    return done


def test_the_server_is_killed_in_the_middle_of_a_round(made: Deployed) -> None:
    """The clients' commands are not touched: they bring their SuperNodes back to the new SuperLink."""
    clients = [made.start_client(name) for name in CLIENTS]
    made.start_server()
    wait_for_training(made, 2, *CLIENTS)
    made.server.power_cut()
    assert made.run().rounds() == [0, 1]
    check_end(made, made.start_server().wait(400))
    assert [client.poll() for client in clients] == [None, None]


def test_a_client_is_killed_in_the_middle_of_an_epoch(made: Deployed) -> None:
    """Below the quorum of all clients the round is not averaged but repeated, once the client is back."""
    made.start_client(ONE)
    made.start_client(OTHER)
    server = made.start_server()
    wait_for_training(made, 2, ONE)
    made.clients[ONE].power_cut()
    time.sleep(2)
    made.start_client(ONE)
    done = check_end(made, server.wait(400))
    assert "attempts" not in done[0]
    (attempt,) = done[1]["attempts"]
    assert (attempt["answered"], attempt["expected"], list(attempt["failed"])) == (1, 2, [ONE])
    assert "Node Unavailable" in attempt["failed"][ONE]
    # It came back sooner than the SuperLink missed it; its command went on trying.
    said = made.clients[ONE].said()
    assert "still counts an earlier process of it online" in said


def test_server_and_client_are_killed_together(made: Deployed) -> None:
    for name in CLIENTS:
        made.start_client(name)
    made.start_server()
    wait_for_training(made, 2, *CLIENTS)
    made.server.power_cut()
    made.clients[ONE].power_cut()
    assert made.run().rounds() == [0, 1]
    made.start_client(ONE)
    check_end(made, made.start_server().wait(400))


@pytest.mark.parametrize(
    ("program", "reason"),
    [("flower-supernode", "Node Unavailable"), ("flwr-clientapp", "ClientApp stopped responding")],
)
def test_one_process_of_a_client_is_killed(made: Deployed, program: str, reason: str) -> None:
    """As the system does when memory runs out: the client's command lives, and all goes on."""
    clients = [made.start_client(name) for name in CLIENTS]
    server = made.start_server()
    wait_for_training(made, 2, ONE)
    (process,) = made.clients[ONE].processes(program)
    os.kill(process, signal.SIGKILL)
    done = check_end(made, server.wait(400))
    (attempt,) = done[1]["attempts"]
    assert reason in attempt["failed"][ONE]
    assert clients[0].poll() is None


def test_a_refusal_costs_no_training_and_is_told_by_its_code(made: Deployed) -> None:
    """Asked over a SuperLink whether it may train; the same command goes on once the cause is mended."""
    agreed = made.clients[OTHER].etc / "agreed.toml"
    agreed.write_text("[train]\nmargin = 0.1\n")
    file = made.clients[OTHER].etc / "client.toml"
    file.write_text(f'{file.read_text()}agreed = "{agreed}"\n')
    for name in CLIENTS:
        made.start_client(name)
    assert made.start_server().wait(300) == 1
    last = made.server.said().strip().splitlines()[-1]
    assert f"{OTHER}: refused before training: other-settings" in last, made.server.said()[-4000:]
    assert made.run().rounds() == [0]
    for machine in made.clients.values():
        assert snapshots(machine.var / "private") == []
    log = (made.clients[OTHER].var / "client" / "supernode.log").read_text()
    assert "margin is 0.4, this client agreed to 0.1" in log
    # No process of the client has to be started anew.
    agreed.write_text("[train]\nmargin = 0.4\n")
    done = check_end(made, made.start_server().wait(400))
    (attempt,) = done[0]["attempts"]  # a refusal would recur: it was not repeated
    assert attempt["failed"] == {OTHER: "refused before training: other-settings"}
