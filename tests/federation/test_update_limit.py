"""A client gives as many updates as it is willing to, and says so with a code when it is through."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_federation import CLIENTS, SETTINGS, World

from fedfr_edge.errors import ConfigError, PrivateStateError, QuorumError
from fedfr_edge.federation.client_app import ClientSite, site_from_node_config
from fedfr_edge.federation.data import Faces
from fedfr_edge.federation.engine import run_in_process
from fedfr_edge.federation.private_state import PrivateStore, snapshots
from fedfr_edge.federation.refusal import lasting
from fedfr_edge.federation.run_folder import RunFolder
from fedfr_edge.federation.server_app import Job
from fedfr_edge.federation.terms import Terms
from fedfr_edge.train.config import TrainConfig

LIMITED = "client-01"
REASON = "refused before training: limit-reached"


def run(
    world: World, out: Path, limit: int, *, settings: TrainConfig = SETTINGS, rounds: int, quorum: int
) -> RunFolder:
    faces = Faces.open(world.store, world.split, [world.public_store])

    def site(client: str) -> ClientSite:
        return ClientSite(
            client,
            out / "clients" / client,
            lambda model: faces.of_client(client, model),
            max_updates=limit if client == LIMITED else 0,
        )

    terms = Terms(len(CLIENTS), quorum, patience=1.0, repeats=5, pause=60.0)
    job = Job(out, world.pretrained, dataclasses.replace(settings, rounds=rounds), 7, terms)
    run_in_process(job, CLIENTS, site)
    return RunFolder(out)


def given(out: Path, client: str) -> int:
    return PrivateStore(out / "clients" / client, federation="", client=client).updates()


def test_the_others_go_on_without_the_client(world: World, tmp_path: Path) -> None:
    folder = run(world, tmp_path / "run", 1, rounds=3, quorum=2)
    first, second, third = folder.metrics()
    assert (list(first["clients"]), "failed" in first) == (list(CLIENTS), False)
    for line in (second, third):
        assert line["failed"] == {LIMITED: REASON}
        assert LIMITED not in line["clients"]
    assert [given(folder.path, client) for client in CLIENTS] == [3, 1, 3]
    assert snapshots(folder.path / "clients" / LIMITED) == [1]
    # Once it has refused it is sent no model in vain, but asked first.
    assert second["lost_traffic"] == {LIMITED: {"bytes_down": second["clients"]["client-00"]["bytes_down"]}}
    assert "lost_traffic" not in third


def test_a_round_that_needs_the_client_is_not_repeated(world: World, tmp_path: Path) -> None:
    """A repetition would take a minute. A new run on the same folder finds out before anybody trains."""
    out = tmp_path / "run"
    with pytest.raises(QuorumError, match=f"{LIMITED}: {REASON}"):
        run(world, out, 1, rounds=2, quorum=0)
    assert lasting(REASON)
    with pytest.raises(QuorumError, match=r"2 of 3 clients may train"):
        run(world, out, 1, rounds=2, quorum=0)
    assert snapshots(out / "clients" / "client-00") == [1, 2]
    # The client changes its mind; the round that was cut short is done again, and counted again.
    run(world, out, 2, rounds=2, quorum=0)
    assert [given(out, client) for client in CLIENTS] == [3, 2, 3]


def test_a_second_stage_gives_no_update(world: World, tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, method="fine-tune", second_epochs=1)
    folder = run(world, tmp_path / "run", 1, settings=settings, rounds=1, quorum=0)
    assert folder.metrics()[-1]["stage"] == "fine-tune"
    assert [given(folder.path, client) for client in CLIENTS] == [1, 1, 1]


def test_the_count_is_the_clients_own_file(tmp_path: Path) -> None:
    store = PrivateStore(tmp_path / "private", federation="f", client="c")
    assert store.updates() == 0
    with store:
        store.count_update()
        store.count_update()
    file = tmp_path / "private" / "updates.json"
    assert (json.loads(file.read_text()), file.stat().st_mode & 0o777) == ({"updates": 2}, 0o600)
    with store:  # the folder is still known for its own
        store.count_update()
    assert store.updates() == 3
    file.write_text("{")
    with pytest.raises(PrivateStateError, match=r"nobody knows how many updates this client has given"):
        store.updates()


def test_the_node_config_sets_it() -> None:
    values: dict[str, Any] = {"client-id": "c", "store": "/s", "private": "/p"}
    assert site_from_node_config(SimpleNamespace(node_config=values)).max_updates == 0  # type: ignore[arg-type]
    context: Any = SimpleNamespace(node_config=values | {"max-updates": 30})
    assert site_from_node_config(context).max_updates == 30
    context.node_config["max-updates"] = "30"
    with pytest.raises(ConfigError, match=r"max-updates = '30', expected int"):
        site_from_node_config(context)
