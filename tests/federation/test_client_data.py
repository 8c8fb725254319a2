"""Which faces a client gets, and which row of Φ each public one belongs to."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from small_federation import CLIENTS, World, make_store

from fedfr_edge.data.split import Split
from fedfr_edge.data.store import FaceStore
from fedfr_edge.errors import CheckpointError, SplitError
from fedfr_edge.federation.data import CENTRAL, Faces
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.exchange import model_for_clients
from fedfr_edge.train.public import public_classes


def open_faces(world: World) -> Faces:
    return Faces.open(world.store, world.split, [world.public_store])


def test_a_client_gets_its_own_training_faces(world: World) -> None:
    store = FaceStore.open(world.store)
    for number, client in enumerate(CLIENTS):
        data = open_faces(world).of_client(client, world.model())
        count = 3 + number % 2
        names = [f"{client}-{letter}/{index}" for letter in "ab" for index in range(count)]
        expected = np.stack([store.images[store.names.index(name)] for name in names])
        assert data.client == client
        assert np.array_equal(data.images[:], expected)
        assert data.labels.tolist() == [0] * count + [1] * count


def test_public_faces_belong_to_the_row_that_the_model_names(world: World) -> None:
    """Φ's order is the model's, not that of the split or of the stores."""
    names = json.loads(world.model().metadata["public_classes"])
    data = open_faces(world).of_client(CLIENTS[0], world.model())
    stores = [FaceStore.open(world.store), FaceStore.open(world.public_store)]
    owner = {
        store.images[row].tobytes(): store.identities[store.labels[row]]
        for store in stores
        for row in range(len(store))
    }
    images = data.public_images[:]
    assert len(images) == 3 * 6 + 2 * 4
    assert [names[label] for label in data.public_labels] == [owner[face.tobytes()] for face in images]
    assert set(data.public_labels.tolist()) == set(range(5))


def test_clients_of_one_process_share_the_public_embeddings(world: World) -> None:
    faces = open_faces(world)
    first, second = (faces.of_client(client, world.model()) for client in CLIENTS[:2])
    assert first.public_embeddings is not None
    assert first.public_embeddings is second.public_embeddings


def test_other_public_people_than_the_models_are_refused(world: World) -> None:
    with pytest.raises(SplitError, match=r"3 people are public here, .* 5: 2 differ, first 'uma' \(missing"):
        Faces.open(world.store, world.split, []).of_client(CLIENTS[0], world.model())
    model = world.model()
    fewer = dataclasses.replace(
        model,
        metadata={"public_classes": '["xue", "yan", "zoe", "uma"]'},
        global_proxies=model.global_proxies[:4],
    )
    with pytest.raises(SplitError, match=r"'vik' \(public here but unknown"):
        open_faces(world).public_faces(fewer)
    with pytest.raises(CheckpointError):
        open_faces(world).public_faces(dataclasses.replace(model, metadata={}))


def test_people_held_out_of_pretraining_are_no_hard_negatives_either(world: World) -> None:
    model = world.model()
    names = list(public_classes(model))
    held_out = names.pop(1)
    strangers = dataclasses.replace(
        model,
        metadata={"public_classes": json.dumps(names), "held_out_classes": json.dumps([held_out])},
        global_proxies=model.global_proxies[:4],
    )
    everybody, rest = (open_faces(world).of_client(CLIENTS[0], one) for one in (model, strangers))
    absent = everybody.public_labels == 1
    assert absent.any()
    assert np.array_equal(rest.public_images[:], everybody.public_images[np.flatnonzero(~absent)])
    assert [names[label] for label in rest.public_labels] == [
        public_classes(model)[label] for label in everybody.public_labels[~absent]
    ]


def test_a_public_person_who_is_a_clients_is_refused(world: World, tmp_path: Path) -> None:
    make_store(tmp_path / "more", [f"{CLIENTS[1]}-a"], 2, seed=5)
    with pytest.raises(SplitError, match=f"{CLIENTS[1]}-a"):
        Faces.open(world.store, world.split, [world.public_store, tmp_path / "more"])


def test_an_unknown_client_is_refused(world: World) -> None:
    with pytest.raises(SplitError, match="no client 'client-77'"):
        open_faces(world).of_client("client-77", world.model())


def test_a_devices_own_store_needs_no_split(world: World, tmp_path: Path) -> None:
    store = make_store(tmp_path / "own", ["anna", "ben"], 3, seed=6)
    model = world.model()
    public = dataclasses.replace(
        model, metadata={"public_classes": '["uma", "vik"]'}, global_proxies=model.global_proxies[:2]
    )
    data = Faces.open(tmp_path / "own", None, [world.public_store]).of_client("client-00", public)
    assert np.array_equal(data.images[:], store.images[:])
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert sorted(set(data.public_labels.tolist())) == [0, 1]


def test_without_phi_no_public_store_is_needed_and_nobody_is_named(world: World, tmp_path: Path) -> None:
    """Of another public set, of none, and with a model that names nobody: no method looks at them."""
    bare = dataclasses.replace(model_for_clients(world.model(), TrainConfig(method="fedavg")), metadata={})
    full = open_faces(world).of_client(CLIENTS[1], world.model())
    for faces in (open_faces(world), Faces.open(world.store, world.split, [])):
        data = faces.of_client(CLIENTS[1], bare)
        assert data.public_images[:].shape == (0, 112, 112, 3)
        assert (data.public_images[:].dtype, data.public_labels.dtype) == (np.uint8, np.int64)
        assert data.public_labels.shape == (0,)
        assert np.array_equal(data.images[:], full.images[:])
    own = make_store(tmp_path / "own", ["anna"], 3, seed=6)
    data = Faces.open(tmp_path / "own", None, []).of_client("anna's phone", bare)
    assert np.array_equal(data.images[:], own.images[:])
    assert len(data.public_images) == 0


def test_central_holds_the_training_faces_of_all_clients(world: World) -> None:
    faces = open_faces(world)
    data = faces.of_client(CENTRAL, world.model())
    parts = [faces.of_client(client, world.model()) for client in CLIENTS]
    assert np.array_equal(data.images[:], np.concatenate([part.images[:] for part in parts]))
    # Two people of each client: numbered on from client to client.
    expected = np.concatenate([part.labels + 2 * number for number, part in enumerate(parts)])
    assert np.array_equal(data.labels, expected)
    assert data.client == CENTRAL
    assert np.array_equal(data.public_labels, parts[0].public_labels)


def test_who_trains(world: World, tmp_path: Path) -> None:
    faces = open_faces(world)
    assert faces.clients(TrainConfig()) == list(CLIENTS)
    assert faces.clients(TrainConfig(method="central")) == [CENTRAL]
    assert faces.split is not None
    split = faces.split
    named = dataclasses.replace(
        split, clients={CENTRAL if c == CLIENTS[0] else c: people for c, people in split.clients.items()}
    )
    named.save(tmp_path / "named.json")
    other = Faces.open(world.store, tmp_path / "named.json", [world.public_store])
    assert other.clients(TrainConfig()) == sorted([CENTRAL, *CLIENTS[1:]])
    assert len(other.of_client(CENTRAL, world.model()).images) == 6  # that client, not all of them
    with pytest.raises(SplitError, match="is called 'central'"):
        other.clients(TrainConfig(method="central"))
    Split(0, split.store_digest, split.public, {}, {}, {}).save(tmp_path / "empty.json")
    for settings in (TrainConfig(), TrainConfig(method="central")):
        with pytest.raises(SplitError, match="no clients"):
            Faces.open(world.store, tmp_path / "empty.json", [world.public_store]).clients(settings)
