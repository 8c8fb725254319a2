"""Flower's path and the plain loop give the same bits, also in wire mode and after a stop."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from small_federation import (
    CLIENTS,
    SETTINGS,
    World,
    assert_same_bits,
    assert_same_state,
    in_process,
    plain_loop,
)

from fedfr_edge.federation.data import Faces
from fedfr_edge.federation.private_state import PrivateStore, load_personal_from, snapshots
from fedfr_edge.federation.run_folder import RunFolder
from fedfr_edge.train.checkpoint import GlobalModel, load_global
from fedfr_edge.train.client import ClientData


def check_private_states(world: World, out: Path, rounds: int) -> None:
    _, states = plain_loop(world, rounds)
    federation = RunFolder(out)
    federation.open(world.model(), SETTINGS.resolved(), 7, {})
    for client in CLIENTS:
        folder = out / "clients" / client
        with PrivateStore(folder, federation=federation.federation, client=client) as store:
            kept = store.load_before(rounds + 1)
        assert kept is not None
        assert_same_state(kept, states[client])


@pytest.mark.parametrize("wire", [False, True], ids=["in process", "wire"])
def test_flower_and_the_plain_loop_give_equal_bits(world: World, tmp_path: Path, wire: bool) -> None:
    expected, _ = plain_loop(world, 2)
    model = in_process(world, tmp_path, wire=wire)
    assert_same_bits(model, expected)
    check_private_states(world, tmp_path, 2)
    # Both parts must have moved, or equality would say little.
    start = world.model()
    assert not torch.equal(model.global_proxies, start.global_proxies)
    moved = [name for name, tensor in model.backbone.items() if not torch.equal(tensor, start.backbone[name])]
    assert len(moved) > 0.9 * len(model.backbone)
    assert any(model.backbone[name].dtype == torch.int64 for name in moved)


def test_the_authors_reading_passes_through_flower_too(world: World, tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, profile="reference")
    expected, _ = plain_loop(world, 2, settings)
    model = in_process(world, tmp_path, settings)
    assert_same_bits(model, expected)
    assert torch.equal(model.global_proxies, world.model().global_proxies)
    paper, _ = plain_loop(world, 2)
    assert any(not torch.equal(tensor, paper.backbone[name]) for name, tensor in model.backbone.items())


def test_another_seed_gives_other_bits(world: World, tmp_path: Path) -> None:
    one = in_process(world, tmp_path / "one", dataclasses.replace(SETTINGS, rounds=1))
    other = in_process(world, tmp_path / "other", dataclasses.replace(SETTINGS, rounds=1), seed=8)
    assert not torch.equal(one.global_proxies, other.global_proxies)


def test_stopping_between_rounds_changes_no_bit(world: World, tmp_path: Path) -> None:
    first = in_process(world, tmp_path, dataclasses.replace(SETTINGS, rounds=1))
    assert first.round == 1
    again = in_process(world, tmp_path, dataclasses.replace(SETTINGS, rounds=3))
    expected, _ = plain_loop(world, 3)
    assert_same_bits(again, expected)
    check_private_states(world, tmp_path, 3)


def test_a_kill_in_the_middle_of_a_round_changes_no_bit(world: World, tmp_path: Path) -> None:
    """The first client has stored its state of round 2 when the process dies: that one is not built on."""
    faces = Faces.open(world.store, world.split, [world.public_store])
    asked: list[str] = []

    def dies(client: str, model: GlobalModel) -> ClientData:
        asked.append(client)
        if asked.count("client-01") == 3:  # the check before training, round 1, round 2
            raise KeyboardInterrupt
        return faces.of_client(client, model)

    with pytest.raises(KeyboardInterrupt):
        in_process(world, tmp_path, faces_of=dies)
    assert RunFolder(tmp_path).rounds() == [0, 1]
    assert snapshots(tmp_path / "clients" / "client-00") == [1, 2]
    assert snapshots(tmp_path / "clients" / "client-01") == [1]
    model = in_process(world, tmp_path)
    assert_same_bits(model, plain_loop(world, 2)[0])
    check_private_states(world, tmp_path, 2)


def test_going_back_to_an_earlier_checkpoint_takes_the_clients_with_it(world: World, tmp_path: Path) -> None:
    in_process(world, tmp_path, dataclasses.replace(SETTINGS, rounds=3))
    run = RunFolder(tmp_path)
    for number in (2, 3):
        run.checkpoint(number).unlink()
    in_process(world, tmp_path)
    assert_same_bits(load_global(run.checkpoint(2)), plain_loop(world, 2)[0])
    check_private_states(world, tmp_path, 2)
    assert [line["round"] for line in run.metrics()] == [1, 2]


def test_the_personal_model_is_the_state_before_aggregation(world: World, tmp_path: Path) -> None:
    model = in_process(world, tmp_path)
    _, states = plain_loop(world, 2)
    for client in CLIENTS:
        personal = load_personal_from(tmp_path / "clients" / client)
        assert (personal.client, personal.round, personal.spec) == (client, 2, model.spec)
        assert torch.equal(personal.transform_weight, states[client].transform_weight)
        assert personal.metadata["training_data_licence"] == "noise"
        for name, tensor in personal.backbone.items():
            assert torch.equal(tensor, states[client].backbone[name])
        name = "net.conv1.weight"
        assert not torch.equal(personal.backbone[name], model.backbone[name])
