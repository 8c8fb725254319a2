"""The bytes of a whole round, searched for everything that must stay on a client.

In the long test they are recorded between real SuperNodes and a SuperLink; in the others they are what
Flower's own serialisation makes of the messages. What is found by a search for plain bytes is no proof
against a client that hides its leak (in another order, enciphered): that client is not this package, and
what its message may hold at all is the guard's to say (``test_payload.py``).
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ConfigRecord, Message, MessageType
from flwr.app.message import array as flower_array
from small_federation import CLIENTS, SETTINGS, World, in_process
from test_flwr_run import (
    APP,
    environment,
    flwr,
    free_ports,
    node_config,
    running,
    wait_for_end,
    wait_for_port,
)
from wire_search import Relay, Search, model_pieces, rows_of, secrets_of

from fedfr_edge.config import save_config
from fedfr_edge.federation import client_app, flower_private
from fedfr_edge.federation.data import Faces
from fedfr_edge.federation.layout import FLAT, PHI
from fedfr_edge.federation.private_state import PrivateStore
from fedfr_edge.federation.report import Report
from fedfr_edge.federation.run_folder import RunFolder
from fedfr_edge.federation.terms import Terms
from fedfr_edge.train.client import ClientUpdate, client_round
from fedfr_edge.train.private import PrivateState
from fedfr_edge.train.seeds import RoundSeed

ONE = dataclasses.replace(SETTINGS, rounds=1)
SEED = 7


def state_of(run: Path, folder: Path, client: str) -> PrivateState:
    """A client's private state after round 1."""
    federation = flower_federation(run)
    with PrivateStore(folder, federation=federation, client=client) as store:
        state = store.load_before(2)
    assert state is not None
    return state


def flower_federation(run: Path) -> str:
    return str(json.loads((run / "federation.json").read_text())["federation"])


def update_of(world: World, client: str) -> ClientUpdate:
    """What the client sends in round 1; equal bits whichever way it is trained, see test_bit_equality.py."""
    start = world.model()
    data = Faces.open(world.store, world.split, [world.public_store]).of_client(client, start)
    _, update, _ = client_round(None, start, data, ONE.resolved(), RoundSeed(SEED, 1, client))
    assert update is not None
    return update


class Wire:
    """Every message of an in-process run as bytes; arrays in chunks whose borders suit nobody.

    1501 bytes is more than the longest thing that is looked for, so at most one border falls into it.
    """

    CHUNK = 1501

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.sent: list[bytes] = []
        to_bytes = flower_private.to_bytes

        def recorded(message: Message) -> dict[str, bytes]:
            parts = to_bytes(message)
            self.sent += parts.values()
            return parts

        patch.setattr(flower_private, "to_bytes", recorded)
        patch.setattr(flower_array, "FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE", self.CHUNK)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire(monkeypatch)


def test_a_wire_round_in_process_carries_the_model_and_nothing_private(
    world: World, tmp_path: Path, wire: Wire
) -> None:
    reports: list[Report] = []
    in_process(world, tmp_path, ONE, seed=SEED, wire=True, on_round=reports.append)
    # Arrays were cut: the longest parts are the lists of their chunks.
    assert max(map(len, wire.sent)) < 10_000 < len(wire.sent) * Wire.CHUNK / 10
    start = world.model()
    public = model_pieces("Θ_g", start.backbone, start.global_proxies)
    wanted: dict[str, bytes] = {}
    for client in CLIENTS:
        state = state_of(tmp_path, tmp_path / "clients" / client, client)
        wanted |= secrets_of(world, client, state, start)
        update = update_of(world, client)
        public |= model_pieces(f"{client} Θ_l", update.backbone, update.global_proxies)
    assert len(public) > 1000
    assert Search(public).found_in(wire.sent) == set(public)
    assert len(wanted) > 3 * 6 * 2 * 112 * 9
    assert Search(wanted).found_in(wire.sent) == set()

    # The bytes that the report counts are those of the arrays and records, but for names and hashes.
    (report,) = reports
    counted = sum(item["bytes_up"] for item in report.clients.values())
    counted += next(iter(report.clients.values()))["bytes_down"] * len(CLIENTS)
    assert counted < sum(map(len, wire.sent)) < 1.2 * counted  # a hash of 64 letters for each 1501 bytes


def leak(reply: Message, client: str, state: PrivateState, world: World) -> str:
    """Plant something else in each client's reply; its name in :func:`.wire_search.secrets_of`."""
    arrays = reply.content["arrays"]
    if client == CLIENTS[0]:
        flat = np.concatenate([arrays[FLAT].numpy(), state.local_proxies[1].numpy()])
        arrays[FLAT] = Array(flat)
        return "W[1]"
    if client == CLIENTS[1]:
        faces = Faces.open(world.store, world.split, [world.public_store])
        image = np.asarray(faces.of_client(client, world.model()).images[2])
        reply.content["note"] = ConfigRecord({"text": image.tobytes()})
        return "image 2, row 77"
    phi = arrays[PHI].numpy()
    phi[3] = state.binary_proxies[0].numpy()
    arrays[PHI] = Array(phi)
    return "Ω[0]"


def test_the_wire_search_finds_a_planted_leak(
    world: World, tmp_path: Path, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted: dict[str, str] = {}
    make = client_app.make_client_app

    def leaky(find_site: Callable[[Any], Any]) -> Callable[[Message, Any], Message]:
        honest = make(find_site)

        def app(message: Message, context: Any) -> Message:
            reply = honest(message, context)
            if message.metadata.message_type == MessageType.TRAIN:
                client = str(context.node_config["client-id"])
                state = state_of(tmp_path, tmp_path / "clients" / client, client)
                planted[client] = leak(reply, client, state, world)
            return reply

        return app

    monkeypatch.setattr(client_app, "make_client_app", leaky)
    reports: list[Report] = []
    terms = Terms(len(CLIENTS), quorum=1, patience=1.0)
    in_process(world, tmp_path, ONE, seed=SEED, wire=True, terms=terms, on_round=reports.append)
    wanted: dict[str, bytes] = {}
    for client in CLIENTS:
        state = state_of(tmp_path, tmp_path / "clients" / client, client)
        wanted |= secrets_of(world, client, state, world.model())
    found = Search(wanted).found_in(wire.sent)
    assert {f"{client}: {name}" for client, name in planted.items()} <= found
    # All of the image's rows, and of the others' secrets nothing.
    rows = {f"{CLIENTS[1]}: image 2, row {height}" for height in range(112)}
    assert found == rows | {f"{CLIENTS[0]}: W[1]", f"{CLIENTS[2]}: Ω[0]"}
    # What has the wrong shape, the server refuses; a row in the place of another it cannot know.
    (report,) = reports
    assert set(report.failed) == set(CLIENTS[:2])
    assert set(report.clients) == {CLIENTS[2]}


@pytest.mark.parametrize("place", [0, 1, 7, 31, 32, 40, 63])
def test_the_wire_search_finds_a_row_across_a_border(place: int) -> None:
    row = np.random.default_rng(1).normal(size=16).astype(np.float32)
    noise = np.random.default_rng(2).bytes(1000)
    search = Search(rows_of("W", row[None]))
    whole = row.tobytes()
    assert search.found_in([noise + whole[:place] + b"\r\n5f\r\n" + whole[place:] + noise]) == {"W[0]"}
    assert search.found_in([noise + whole[:place], whole[place:] + noise]) == {"W[0]"}
    assert search.found_in([noise, noise[:5], b""]) == set()
    assert search.found_in([noise + row.astype(np.float64).tobytes()]) == {"W[0] float64"}


LEAKY = '''
"""The client app of this package, with something planted in each reply."""

import dataclasses

import numpy as np
from flwr.app import Array, ConfigRecord, MessageType
from flwr.clientapp import ClientApp

from fedfr_edge.federation.client_app import make_client_app, site_from_node_config
from fedfr_edge.federation.payload import read_instruction
from fedfr_edge.federation.private_state import PrivateStore


def site_of(context):
    site = site_from_node_config(context)
    return dataclasses.replace(site, private=site.private.with_name(site.client + "-leaky"))


honest = make_client_app(site_of)


class Leaky(ClientApp):
    def __call__(self, message, context):
        reply = honest(message, context)
        if message.metadata.message_type != MessageType.TRAIN:
            return reply
        site, asked = site_of(context), read_instruction(message.content)
        with PrivateStore(site.private, federation=asked.federation, client=site.client) as store:
            state = store.load_before(2)
        arrays = reply.content["arrays"]
        if site.client == "client-00":
            flat = np.concatenate([arrays["theta/flat"].numpy(), state.local_proxies[1].numpy()])
            arrays["theta/flat"] = Array(flat)
        else:
            image = np.asarray(site.faces(asked.model).images[2])
            reply.content["note"] = ConfigRecord({"text": image.tobytes()})
        return reply


app = Leaky()
'''


def leaky_app(folder: Path) -> Path:
    """The shipped Flower app with another client component."""
    shutil.copytree(APP, folder)
    (folder / "leaky").mkdir()
    (folder / "leaky" / "__init__.py").write_text("")
    (folder / "leaky" / "client_app.py").write_text(LEAKY)
    project = folder / "pyproject.toml"
    text = project.read_text()
    honest = 'clientapp = "fedfr_edge.federation.client_app:app"'
    assert honest in text
    project.write_text(text.replace(honest, 'clientapp = "leaky.client_app:app"'))
    return folder


@pytest.mark.long
def test_the_wire_between_supernodes_and_superlink_carries_nothing_private(
    world: World, tmp_path: Path
) -> None:
    names = CLIENTS[:2]
    link_port, *node_ports = free_ports(3)
    address = f"127.0.0.1:{link_port}"
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text(
        f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "{address}"\ninsecure = true\n'
    )
    save_config(ONE, "train", tmp_path / "settings.toml")
    chunks = {"FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE": "100003"}  # Θ in several, none at a number's border
    env = environment(tmp_path, "home") | chunks

    def run(app: Path, out: Path) -> str:
        settings = (
            f'out="{out}" pretrained="{world.pretrained}" config="{tmp_path / "settings.toml"}" rounds=1 '
            f"seed={SEED} clients=2 patience=200.0 deadline=300.0 repeats=0"
        )
        started = flwr("run", str(app), "here", "-c", settings, env=env)
        return wait_for_end(str(started["run-id"]), env)

    with ExitStack() as stack:
        link = ("flower-superlink", "--insecure", "--host", "127.0.0.1", "--port", str(link_port))
        stack.enter_context(running(tmp_path / "link.log", *link, env=env))
        wait_for_port(link_port)
        relays = [stack.enter_context(Relay(link_port).running()) for _ in names]
        for client, relay, port in zip(names, relays, node_ports, strict=True):
            config = node_config(world, tmp_path, client)
            node = ("flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{relay.port}")
            more = ("--host", "127.0.0.1", "--port", str(port), "--node-config", config)
            own = environment(tmp_path, f"home-{client}") | chunks
            stack.enter_context(running(tmp_path / f"{client}.log", *node, *more, env=own))
        honest = run(APP, tmp_path / "run")
        told = [relay.take() for relay in relays]
        leaky = run(leaky_app(tmp_path / "leaky"), tmp_path / "leaky-run")
        leaked = [relay.take() for relay in relays]
    logs = "\n".join(path.read_text()[-3000:] for path in sorted(tmp_path.glob("*.log")))
    assert honest == "finished:completed", logs

    start = world.model()
    everything = [stream for up, down in told for stream in (*up, *down)]
    assert not any(b"content-encoding" in stream.lower() for stream in everything)
    given = model_pieces("Θ_g", start.backbone, start.global_proxies)
    wanted: dict[str, bytes] = {}
    (line,) = RunFolder(tmp_path / "run").metrics()
    for client, (up, down) in zip(names, told, strict=True):
        state = state_of(tmp_path / "run", tmp_path / "private" / client, client)
        wanted |= secrets_of(world, client, state, start)
        update = update_of(world, client)
        taken = model_pieces("Θ_l", update.backbone, update.global_proxies)
        assert Search(given).found_in(down) == set(given)
        assert Search(taken).found_in(up) == set(taken)
        counted = line["clients"][client]
        for way, streams in (("bytes_up", up), ("bytes_down", down)):
            # Around the content: Flower's hashes, HTTP headers, polling, and the app itself.
            assert counted[way] < sum(map(len, streams)) < counted[way] + 400_000
            print(f"{client} {way}: {counted[way]} counted, {sum(map(len, streams))} on the wire")
    assert Search(wanted).found_in(everything) == set()

    # The server refuses both, so no answer counts; but it had them.
    assert leaky == "finished:failed", logs
    wanted = {}
    for client in names:
        state = state_of(tmp_path / "leaky-run", tmp_path / "private" / f"{client}-leaky", client)
        wanted |= secrets_of(world, client, state, start)
    found = Search(wanted).found_in(stream for up, _ in leaked for stream in up)
    rows = {f"{names[1]}: image 2, row {height}" for height in range(112)}
    assert found == rows | {f"{names[0]}: W[1]"}
