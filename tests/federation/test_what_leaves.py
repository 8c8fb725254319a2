"""Nothing of a client's private state, data or file names is in the bytes that leave it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp
from small_federation import CLIENTS, SETTINGS, World

from fedfr_edge.errors import StoreError
from fedfr_edge.federation.client_app import ClientFailure, ClientSite, make_client_app
from fedfr_edge.federation.data import Faces
from fedfr_edge.federation.flower_private import to_bytes
from fedfr_edge.federation.layout import PHI
from fedfr_edge.federation.payload import Instruction, make_instruction
from fedfr_edge.federation.private_state import PrivateStore, snapshots
from fedfr_edge.federation.roster import HELLO
from fedfr_edge.train.checkpoint import GlobalModel
from fedfr_edge.train.client import ClientData
from fedfr_edge.train.private import PrivateState

pytestmark = pytest.mark.usefixtures("flower")

CLIENT = CLIENTS[1]
PRIVATE_KEYS = ("local_proxies", "transform", "binary", "optimizer")


def context() -> Context:
    return Context(1, 5, {"client-id": CLIENT}, RecordDict(), {})


def app_in(folder: Path, faces: Callable[[GlobalModel], ClientData]) -> ClientApp:
    return make_client_app(lambda _: ClientSite(CLIENT, folder, faces))


def instruction(world: World, round: int) -> Message:
    model = dataclasses.replace(world.model(), round=round - 1)
    content = make_instruction(Instruction(round, "fed", 0, SETTINGS.resolved(), model))
    return Message(content, 5, MessageType.TRAIN)


def secrets_of(state: PrivateState, faces: Faces, folder: Path, world: World) -> dict[str, bytes]:
    """What must not be found: every private row as it lies in memory, faces, names, paths."""
    found = {}
    for name in ("local_proxies", "transform_weight", "binary_proxies"):
        for row, values in enumerate(getattr(state, name).numpy()):
            found[f"{name}[{row}]"] = values.tobytes()
            found[f"{name}[{row}] in double precision"] = values.astype(np.float64).tobytes()
    for name in ("transform_bias", "binary_bias"):
        found[name] = getattr(state, name).numpy().tobytes()
    assert faces.split is not None
    rows = faces.split.client_rows(faces.store, CLIENT, "train")
    # A stretch out of the middle of each face.
    found |= {f"face {row}": faces.store.images[row, 50, 20:60].tobytes() for row in rows}
    found |= {f"identity {name}": name.encode() for name in faces.split.clients[CLIENT]}
    found |= {f"path {path}": str(path).encode() for path in (folder, world.store, world.split)}
    return found | {f"key {name}": name.encode() for name in PRIVATE_KEYS}


def leaks(reply: Message, secrets: dict[str, bytes]) -> list[str]:
    parts = list(to_bytes(reply).values())
    return [name for name, value in secrets.items() if any(value in part for part in parts)]


@pytest.fixture
def trained(world: World, tmp_path: Path) -> tuple[Message, dict[str, bytes], PrivateState]:
    """The reply of a second round, and what it must not hold."""
    faces = Faces.open(world.store, world.split, [world.public_store])
    app = app_in(tmp_path, lambda model: faces.of_client(CLIENT, model))
    for number in (1, 2):
        reply = app(instruction(world, number), context())
    assert snapshots(tmp_path) == [1, 2]
    with PrivateStore(tmp_path, federation="fed", client=CLIENT) as store:
        state = store.load_before(3)
        before = store.load_before(2)
    assert state is not None
    assert before is not None
    secrets = secrets_of(state, faces, tmp_path, world)
    secrets |= {
        f"before: {name}": value for name, value in secrets_of(before, faces, tmp_path, world).items()
    }
    return reply, secrets, state


def test_a_reply_holds_nothing_private(trained: tuple[Message, dict[str, bytes], PrivateState]) -> None:
    reply, secrets, _ = trained
    # 2 rows of W and Ω, 16 of Π, twice each; 2 vectors; faces, names, paths, keys; all for two rounds.
    assert len(secrets) >= 2 * (2 * 20 + 2 + 8 + 2 + 3 + 4)
    assert leaks(reply, secrets) == []
    assert set(reply.content) == {"arrays", "metrics"}


def hidden_row(reply: Message, state: PrivateState) -> None:
    """A row of W in the place of a row of Φ: the right array, the right shape."""
    phi = reply.content["arrays"][PHI].numpy()
    phi[1] = state.local_proxies[1].numpy()
    reply.content["arrays"][PHI] = Array(phi)


def extra_array(reply: Message, state: PrivateState) -> None:
    reply.content["arrays"]["x"] = Array(state.transform_weight.numpy())


def as_text(reply: Message, state: PrivateState) -> None:
    reply.content["config"] = ConfigRecord({"note": f"{CLIENT}-a smiled"})


def as_double(reply: Message, state: PrivateState) -> None:
    reply.content["more"] = ArrayRecord({"x": Array(state.binary_bias.numpy())})
    reply.content["more"]["y"] = Array(state.binary_proxies.numpy().astype(np.float64))


def as_key(reply: Message, state: PrivateState) -> None:
    reply.content["arrays"]["local_proxies"] = Array(np.zeros(1, np.float32))


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (hidden_row, "local_proxies[1]"),
        (extra_array, "transform_weight[15]"),
        (as_text, f"identity {CLIENT}-a"),
        (as_double, "binary_proxies[0] in double precision"),
        (as_double, "binary_bias"),
        (as_key, "key local_proxies"),
    ],
)
def test_the_search_finds_a_planted_leak(
    trained: tuple[Message, dict[str, bytes], PrivateState],
    plant: Callable[[Message, PrivateState], None],
    expected: str,
) -> None:
    reply, secrets, state = trained
    plant(reply, state)
    assert expected in leaks(reply, secrets)


def test_an_error_leaves_as_the_name_of_its_class(world: World, tmp_path: Path) -> None:
    def faces(model: GlobalModel) -> ClientData:
        raise StoreError(f"no image '{CLIENT}-a/3' in {world.store}")

    with pytest.raises(ClientFailure) as caught:
        app_in(tmp_path, faces)(instruction(world, 1), context())
    # The text that Flower's runtime sends, see its run_clientapp.
    assert f"{type(caught.value)}:<'{caught.value}'>" == (
        "<class 'fedfr_edge.federation.client_app.ClientFailure'>:<'StoreError'>"
    )
    assert isinstance(caught.value.__cause__, StoreError)


def test_a_client_says_its_id_and_no_more(world: World, tmp_path: Path) -> None:
    def faces(model: GlobalModel) -> Any:
        raise AssertionError("nobody asked for faces")

    question = Message(RecordDict(), 5, HELLO)
    reply = app_in(tmp_path / "private", faces)(question, context())
    assert {name: dict(record) for name, record in reply.content.items()} == {"hello": {"client-id": CLIENT}}
    assert not (tmp_path / "private").exists()


def test_a_round_that_the_guard_refuses_leaves_no_state_behind(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedfr_edge.train import client

    honest = client.client_round

    def talkative(*arguments: Any) -> Any:
        private, update, metrics = honest(*arguments)
        return private, update, {**metrics, "mean_of_w": float(private.local_proxies.mean())}

    faces = Faces.open(world.store, world.split, [world.public_store])
    app = app_in(tmp_path, lambda model: faces.of_client(CLIENT, model))
    with monkeypatch.context() as patch:
        patch.setattr(client, "client_round", talkative)
        with pytest.raises(ClientFailure, match="PayloadError"):
            app(instruction(world, 1), context())
    assert snapshots(tmp_path) == []
    app(instruction(world, 1), context())
    assert snapshots(tmp_path) == [1]
