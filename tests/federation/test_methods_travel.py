"""Every method gives the same bits through Flower and in the plain loop, and sends what it should."""

from __future__ import annotations

import dataclasses
import json
import stat
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

from fedfr_edge.errors import ConfigError, FederationError, QuorumError
from fedfr_edge.federation.data import Faces
from fedfr_edge.federation.private_state import PrivateStore, snapshots
from fedfr_edge.federation.proxy_store import ProxyStore
from fedfr_edge.federation.report import Report
from fedfr_edge.federation.run_folder import RunFolder
from fedfr_edge.federation.terms import Terms
from fedfr_edge.train.checkpoint import GlobalModel, load_global
from fedfr_edge.train.client import ClientData
from fedfr_edge.train.config import METHODS, Method, TrainConfig
from fedfr_edge.train.private import PrivateState
from fedfr_edge.train.seeds import participants

# Proxies of noise that a hardly trained network embeds lie close together: the regulariser has to act.
SPREAD = {"spread_margin": 0.0, "spread_rate": 0.05}


def settings_of(method: Method, **changes: object) -> TrainConfig:
    return dataclasses.replace(SETTINGS, method=method, **SPREAD, **changes)  # type: ignore[arg-type]


def kept_state(world: World, out: Path, client: str) -> PrivateState:
    run = RunFolder(out)
    federation = json.loads((run.path / "federation.json").read_text())["federation"]
    with PrivateStore(out / "clients" / client, federation=federation, client=client) as store:
        state = store.load_before(10**6)
    assert state is not None
    return state


def server_proxies(out: Path, round: int) -> dict[str, torch.Tensor]:
    federation = json.loads((out / "federation.json").read_text())["federation"]
    return ProxyStore(out / "proxies", federation).load(round)


def check_states(world: World, out: Path, settings: TrainConfig) -> None:
    """Every client's newest private state is the plain loop's; with FedFace its W lies at the server."""
    _, states = plain_loop(world, settings.last_round, settings)
    assert sorted(states) == sorted(path.name for path in (out / "clients").iterdir())
    spread = server_proxies(out, settings.last_round) if settings.shares_proxies else {}
    assert set(spread) == (set(states) if settings.shares_proxies else set())
    for client, expected in states.items():
        state = kept_state(world, out, client)
        if settings.shares_proxies:
            assert not torch.equal(state.local_proxies, spread[client])
            state = dataclasses.replace(state, local_proxies=spread[client])
        assert_same_state(state, expected)


@pytest.mark.parametrize("method", METHODS)
def test_flower_and_the_plain_loop_give_equal_bits(world: World, tmp_path: Path, method: Method) -> None:
    """Through Flower's own serialisation; the tests below pass messages as they are."""
    settings = settings_of(method)
    expected, _ = plain_loop(world, settings.last_round, settings)
    assert settings.last_round == (3 if method in ("fine-tune", "kd") else 2)
    model = in_process(world, tmp_path, settings, wire=True)
    assert_same_bits(model, expected)
    check_states(world, tmp_path, settings)
    start = world.model()
    assert torch.equal(model.global_proxies, start.global_proxies) == (not settings.uses_public)
    assert any(not torch.equal(tensor, start.backbone[name]) for name, tensor in model.backbone.items())


def test_the_methods_differ(world: World) -> None:
    """Or equal bits would say nothing about a method."""
    first = "net.conv1.weight"
    found = {
        method: plain_loop(world, settings_of(method).last_round, settings_of(method))[0].backbone[first]
        for method in METHODS
    }
    # These three share their federated rounds: they differ in what each client makes of the model.
    alike = {"contrastive", "fine-tune", "kd"}
    names = [method for method in METHODS if method not in alike or method == "contrastive"]
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            assert not torch.equal(found[one], found[other]), (one, other)
    assert all(torch.equal(found[method], found["contrastive"]) for method in alike)


@pytest.mark.parametrize("method", ["fedfr", "fedface", "kd"])
def test_a_share_of_the_clients(world: World, tmp_path: Path, method: Method) -> None:
    settings = settings_of(method, participation=0.5, rounds=3)
    model = in_process(world, tmp_path, settings)
    assert_same_bits(model, plain_loop(world, settings.last_round, settings)[0])
    check_states(world, tmp_path, settings)
    asked = {line["round"]: sorted(line["clients"]) for line in RunFolder(tmp_path).metrics()}
    for number in range(1, 4):
        assert asked[number] == participants(CLIENTS, 0.5, 7, number)
        assert len(asked[number]) == 2
    assert len({tuple(names) for names in asked.values()}) > 1
    if method == "kd":  # a personal model for everybody, also for those not drawn last
        assert asked[4] == list(CLIENTS)
    # A client goes on from its own newest snapshot, not from the round before.
    for client in CLIENTS:
        took_part = [number for number, names in asked.items() if client in names]
        assert snapshots(tmp_path / "clients" / client) == took_part[-3:]


def test_a_share_of_the_clients_stopped_and_gone_on_with(world: World, tmp_path: Path) -> None:
    settings = settings_of("fedface", participation=0.5, rounds=3)
    for last in (1, 3):
        model = in_process(world, tmp_path, dataclasses.replace(settings, rounds=last))
        assert model.round == last
    assert_same_bits(model, plain_loop(world, 3, settings)[0])
    check_states(world, tmp_path, settings)


@pytest.mark.parametrize("method", ["fine-tune", "kd"])
def test_the_second_stage_makes_personal_models_and_leaves_the_generic_one(
    world: World, tmp_path: Path, method: Method
) -> None:
    reports: list[Report] = []
    last = in_process(world, tmp_path, settings_of(method), on_round=reports.append)
    run = RunFolder(tmp_path)
    assert run.rounds() == [0, 1, 2, 3]
    assert_same_bits(dataclasses.replace(last, round=2), load_global(run.checkpoint(2)))
    assert [report.stage for report in reports] == ["federated", "federated", method]
    lines = run.metrics()
    assert ["stage" in line for line in lines] == [False, False, True]
    assert lines[2]["stage"] == method
    assert sorted(lines[2]["clients"]) == list(CLIENTS)
    for client in CLIENTS:
        assert snapshots(tmp_path / "clients" / client) == [1, 2, 3]
        state = kept_state(world, tmp_path, client)
        assert any(not torch.equal(tensor, last.backbone[name]) for name, tensor in state.backbone.items())

    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    in_process(world, tmp_path, settings_of(method))  # nothing is left to do
    with pytest.raises(ConfigError, match=rf"rounds is 5, but .* round 3 was its second stage \({method}\)"):
        in_process(world, tmp_path, settings_of(method, rounds=5))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


def test_more_rounds_before_the_second_stage_is_done(world: World, tmp_path: Path) -> None:
    """A run that stopped after its last federated round may still be given more of them."""

    class Stop(Exception):
        pass

    def stop(report: Report) -> None:
        if report.round == 2:
            raise Stop

    with pytest.raises(Stop):
        in_process(world, tmp_path, settings_of("fine-tune"), on_round=stop)
    model = in_process(world, tmp_path, settings_of("fine-tune", rounds=3))
    assert [line.get("stage") for line in RunFolder(tmp_path).metrics()] == [None, None, None, "fine-tune"]
    assert_same_bits(model, plain_loop(world, 4, settings_of("fine-tune", rounds=3))[0])


def test_a_kill_in_the_second_stage_changes_no_bit(world: World, tmp_path: Path) -> None:
    faces = Faces.open(world.store, world.split, [world.public_store])
    settings = settings_of("kd")

    def dies(client: str, model: GlobalModel) -> ClientData:
        if model.round == 2 and client == "client-01":
            raise KeyboardInterrupt
        return faces.of_client(client, model)

    with pytest.raises(KeyboardInterrupt):
        in_process(world, tmp_path, settings, faces_of=dies)
    assert RunFolder(tmp_path).rounds() == [0, 1, 2]
    model = in_process(world, tmp_path, settings)
    assert_same_bits(model, plain_loop(world, 3, settings)[0])
    check_states(world, tmp_path, settings)


def test_clients_of_a_method_without_public_faces_are_sent_none(world: World, tmp_path: Path) -> None:
    faces = Faces.open(world.store, world.split, [])  # the public store is not even there
    seen: list[tuple[int, ...]] = []

    def watched(client: str, model: GlobalModel) -> ClientData:
        seen.append(tuple(model.global_proxies.shape))
        data = faces.of_client(client, model)
        assert (len(data.public_images), len(data.public_labels)) == (0, 0)
        return data

    model = in_process(world, tmp_path, settings_of("fedavg"), faces_of=watched)
    assert set(seen) == {(0, model.spec.dim)}
    assert not (tmp_path / "proxies").exists()
    assert_same_bits(model, plain_loop(world, 2, settings_of("fedavg"))[0])


def test_the_server_keeps_the_clients_proxies(world: World, tmp_path: Path) -> None:
    settings = settings_of("fedface", rounds=5)
    in_process(world, tmp_path, settings)
    folder = tmp_path / "proxies"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"round_{number:04d}.safetensors" for number in (3, 4, 5)]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
    found = server_proxies(tmp_path, 5)
    assert {client: tuple(rows.shape) for client, rows in found.items()} == dict.fromkeys(CLIENTS, (2, 16))


@pytest.mark.parametrize("where", ["before the checkpoint", "after it"])
def test_a_kill_around_the_proxies_changes_no_bit(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    settings = settings_of("fedface", rounds=3)
    save = RunFolder.save

    def dies(run: RunFolder, model: GlobalModel, report: dict[str, object]) -> None:
        if where == "after it" or model.round < 2:
            save(run, model, report)
        if model.round == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", dies)
        with pytest.raises(KeyboardInterrupt):
            in_process(world, tmp_path, settings)
    assert (tmp_path / "proxies" / "round_0002.safetensors").exists()
    assert RunFolder(tmp_path).rounds() == ([0, 1, 2] if where == "after it" else [0, 1])
    assert_same_bits(in_process(world, tmp_path, settings), plain_loop(world, 3, settings)[0])
    check_states(world, tmp_path, settings)


def test_going_back_takes_the_proxies_along(world: World, tmp_path: Path) -> None:
    settings = settings_of("fedface", rounds=3)
    in_process(world, tmp_path, settings)
    for number in (2, 3):
        RunFolder(tmp_path).checkpoint(number).unlink()
    again = dataclasses.replace(settings, rounds=2)
    assert_same_bits(in_process(world, tmp_path, again), plain_loop(world, 2, again)[0])
    check_states(world, tmp_path, again)
    assert sorted(path.name for path in (tmp_path / "proxies").iterdir()) == [
        "round_0001.safetensors",
        "round_0002.safetensors",
    ]


def test_lost_or_damaged_proxies_are_an_error(world: World, tmp_path: Path) -> None:
    settings = settings_of("fedface", rounds=1)
    in_process(world, tmp_path, settings)
    path = tmp_path / "proxies" / "round_0001.safetensors"
    data = path.read_bytes()
    flipped = bytearray(data)
    flipped[-1] ^= 1
    for content in (bytes(flipped), data[:-1], b""):
        path.write_bytes(content)
        with pytest.raises(FederationError, match=r"proxies .*round_0001"):
            in_process(world, tmp_path, dataclasses.replace(settings, rounds=2))
    path.unlink()
    with pytest.raises(FederationError, match=r"proxies .*round_0001"):
        in_process(world, tmp_path, dataclasses.replace(settings, rounds=2))
    assert RunFolder(tmp_path).rounds() == [0, 1]


def test_a_quorum_is_of_those_asked(world: World, tmp_path: Path) -> None:
    faces = Faces.open(world.store, world.split, [world.public_store])
    settings = settings_of("fedavg", participation=0.5, rounds=1)
    drawn = participants(CLIENTS, 0.5, 7, 1)

    def fails(client: str, model: GlobalModel) -> ClientData:
        if client == drawn[0]:
            raise ValueError("no faces today")
        return faces.of_client(client, model)

    def run(out: Path, quorum: int) -> GlobalModel:
        terms = Terms(len(CLIENTS), quorum, patience=1.0)
        return in_process(world, out, settings, faces_of=fails, terms=terms)

    with pytest.raises(QuorumError, match=r"1 of 2 clients may train in round 1, expected at least 2"):
        run(tmp_path / "all", 0)
    run(tmp_path / "one", 1)
    (line,) = RunFolder(tmp_path / "one").metrics()
    assert list(line["clients"]) == drawn[1:]
    assert list(line["failed"]) == drawn[:1]
    with pytest.raises(
        ConfigError, match=r"quorum is 3, but a round asks 2 of the 3 clients \(participation 0.5"
    ):
        run(tmp_path / "three", 3)
    assert not (tmp_path / "three").exists()


def test_central_is_one_client(world: World, tmp_path: Path) -> None:
    in_process(world, tmp_path / "run", settings_of("central"))
    assert [path.name for path in (tmp_path / "run" / "clients").iterdir()] == ["central"]
    with pytest.raises(ConfigError, match=r"central trains one client .* found 3 clients"):
        in_process(world, tmp_path / "three", settings_of("central"), terms=Terms(3))
