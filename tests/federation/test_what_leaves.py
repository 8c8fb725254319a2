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
from fedfr_edge.federation.layout import FLAT, INTS, PHI, PROXIES
from fedfr_edge.federation.payload import Instruction, make_instruction
from fedfr_edge.federation.private_state import PrivateStore, snapshots
from fedfr_edge.federation.roster import HELLO
from fedfr_edge.train.checkpoint import GlobalModel
from fedfr_edge.train.client import METRICS, ClientData
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.exchange import model_for_clients
from fedfr_edge.train.private import PrivateState

pytestmark = pytest.mark.usefixtures("flower")

CLIENT = CLIENTS[1]
PRIVATE_KEYS = ("local_proxies", "transform", "binary", "optimizer")


def context() -> Context:
    return Context(1, 5, {"client-id": CLIENT}, RecordDict(), {})


def app_in(folder: Path, faces: Callable[[GlobalModel], ClientData], share: bool = False) -> ClientApp:
    return make_client_app(lambda _: ClientSite(CLIENT, folder, faces, share_proxies=share))


def instruction(world: World, round: int, settings: TrainConfig = SETTINGS) -> Message:
    model = model_for_clients(dataclasses.replace(world.model(), round=round - 1), settings)
    content = make_instruction(Instruction(round, "fed", 0, settings.resolved(), model))
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


def kept(folder: Path, before: int) -> PrivateState:
    with PrivateStore(folder, federation="fed", client=CLIENT) as store:
        state = store.load_before(before)
    assert state is not None
    return state


def test_w_stays_until_this_client_agrees(world: World, tmp_path: Path) -> None:
    """Also before any training: a server that asks for it learns nothing."""
    settings = dataclasses.replace(SETTINGS, method="fedface")

    def unasked(model: GlobalModel) -> ClientData:
        raise AssertionError("nobody may read faces for that")

    with pytest.raises(ClientFailure, match="PayloadError") as caught:
        app_in(tmp_path, unasked)(instruction(world, 1, settings), context())
    told = str(caught.value.__cause__)
    assert "stands for that person's face" in told
    assert "share-proxies=true in the node config, --share-proxies on fedfr train" in told
    assert not list(tmp_path.iterdir())


def test_w_is_all_that_leaves_in_addition_once_it_is_agreed(world: World, tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, method="fedface")
    faces = Faces.open(world.store, world.split, [])
    app = app_in(tmp_path, lambda model: faces.of_client(CLIENT, model), share=True)
    reply = app(instruction(world, 1, settings), context())
    state = kept(tmp_path, 2)
    assert set(reply.content["arrays"]) == {FLAT, INTS, PHI, PROXIES}
    assert np.array_equal(reply.content["arrays"][PROXIES].numpy(), state.local_proxies.numpy())
    secrets = secrets_of(state, faces, tmp_path, world)
    del secrets["binary_bias"]  # zeros, as no branch trains it: found in any message
    own = {f"local_proxies[{row}]" for row in range(len(state.local_proxies))}
    assert own <= set(leaks(reply, secrets))
    del reply.content["arrays"][PROXIES]
    assert leaks(reply, secrets) == []


def test_agreeing_sends_no_w_in_other_methods(world: World, tmp_path: Path) -> None:
    faces = Faces.open(world.store, world.split, [world.public_store])
    app = app_in(tmp_path, lambda model: faces.of_client(CLIENT, model), share=True)
    reply = app(instruction(world, 1), context())
    assert set(reply.content["arrays"]) == {FLAT, INTS, PHI}
    assert leaks(reply, secrets_of(kept(tmp_path, 2), faces, tmp_path, world)) == []


@pytest.mark.parametrize("method", ["fine-tune", "kd"])
def test_nothing_but_metrics_leaves_in_the_second_stage(world: World, tmp_path: Path, method: Any) -> None:
    settings = dataclasses.replace(SETTINGS, method=method, rounds=1)
    faces = Faces.open(world.store, world.split, [world.public_store])
    app = app_in(tmp_path, lambda model: faces.of_client(CLIENT, model))
    first = app(instruction(world, 1, settings), context())
    assert set(first.content) == {"arrays", "metrics"}
    reply = app(instruction(world, 2, settings), context())
    assert set(reply.content) == {"metrics"}
    assert set(reply.content["metrics"]) <= set(METRICS)
    assert all(type(value) in (int, float) for value in reply.content["metrics"].values())
    state = kept(tmp_path, 3)
    assert state.round == 2
    secrets = secrets_of(state, faces, tmp_path, world)
    # Single numbers of Θ_l would be found by chance; eight in a row would not.
    secrets |= {
        f"Θ_l {name}": tensor.numpy().reshape(-1)[:8].tobytes()
        for name, tensor in state.backbone.items()
        if tensor.numel() >= 8 and tensor.abs().sum() > 0
    }
    assert sum(name.startswith("Θ_l") for name in secrets) > 20
    assert leaks(reply, secrets) == []
    assert sum(len(part) for part in to_bytes(reply).values()) < 2000


def test_a_second_stage_that_gives_an_update_is_refused(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedfr_edge.train import client

    honest = client.client_round
    faces = Faces.open(world.store, world.split, [world.public_store])
    app = app_in(tmp_path, lambda model: faces.of_client(CLIENT, model))
    settings = dataclasses.replace(SETTINGS, method="fine-tune", rounds=1)
    app(instruction(world, 1, settings), context())

    def generous(private: Any, model: Any, data: Any, config: Any, *more: Any) -> Any:
        after, _, metrics = honest(private, model, data, config, *more)
        update = client.ClientUpdate(after.backbone, model.global_proxies, len(data.images))
        return after, update, metrics

    with monkeypatch.context() as patch:
        patch.setattr(client, "client_round", generous)
        with pytest.raises(ClientFailure, match="PayloadError"):
            app(instruction(world, 2, settings), context())
    assert snapshots(tmp_path) == [1]
