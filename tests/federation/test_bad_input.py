"""What is wrong on a client is found before anybody trains; one side is told the reason, the other a code."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small_federation import CLIENTS, SETTINGS, World, make_store

from fedfr_edge.data.split import Split
from fedfr_edge.data.store import FaceStore
from fedfr_edge.errors import ConfigError, QuorumError
from fedfr_edge.federation import client_app, payload
from fedfr_edge.federation.client_app import ClientSite
from fedfr_edge.federation.data import Faces
from fedfr_edge.federation.engine import run_in_process
from fedfr_edge.federation.private_state import PrivateStore
from fedfr_edge.federation.readiness import check_agreed_settings, read_agreed
from fedfr_edge.federation.refusal import CODES, is_code, lasting
from fedfr_edge.federation.run_folder import RunFolder
from fedfr_edge.federation.server_app import Job
from fedfr_edge.federation.terms import Terms
from fedfr_edge.train.backbones.backbone import build_backbone
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.train.checkpoint import cpu_state, save_global
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.private import PrivateState

ODD = "client-01"
Change = Callable[[World, Path, ClientSite], ClientSite]


def run(
    world: World,
    out: Path,
    change: Change,
    *,
    quorum: int = 0,
    settings: TrainConfig = SETTINGS,
    repeats: int = 5,
) -> RunFolder:
    """Run with one client changed; a repetition would take a minute."""
    faces = Faces.open(world.store, world.split, [world.public_store])

    def site(client: str) -> ClientSite:
        usual = ClientSite(client, out / "clients" / client, lambda model: faces.of_client(client, model))
        return change(world, out.parent, usual) if client == ODD else usual

    terms = Terms(len(CLIENTS), quorum, patience=1.0, repeats=repeats, pause=60.0)
    run_in_process(Job(out, world.pretrained, settings, 7, terms), CLIENTS, site)
    return RunFolder(out)


def faces_from(site: ClientSite, store: Path, split: Path | None, *public: Path) -> ClientSite:
    """Its stores are opened anew for each message, as on a SuperNode."""
    return dataclasses.replace(
        site, faces=lambda model: Faces.open(store, split, public).of_client(site.client, model)
    )


def device_with_a_public_person(world: World, tmp: Path, site: ClientSite) -> ClientSite:
    """All of a device's store is its own; ``zoe`` is one of the people that the model was pre-trained on."""
    if not (tmp / "own").exists():
        make_store(tmp / "own", ["anna", "zoe"], 4, seed=5)
    return faces_from(site, tmp / "own", None, world.public_store)


def split_with_a_public_person(world: World, tmp: Path, site: ClientSite) -> ClientSite:
    """A further public store holds one of the client's own people."""
    if not (tmp / "more").exists():
        make_store(tmp / "more", ["vik", "uma", f"{ODD}-a"], 4, seed=5)
    return faces_from(site, world.store, world.split, tmp / "more")


def empty_store(world: World, tmp: Path, site: ClientSite) -> ClientSite:
    folder = tmp / "empty"
    if not folder.exists():
        make_store(folder, ["anna"], 1, seed=5)

    def faces(model: object) -> object:
        opened = Faces.open(folder, None, [world.public_store])
        data = Faces.open(world.store, world.split, [world.public_store]).of_client(ODD, model)  # type: ignore[arg-type]
        assert opened.split is None
        return dataclasses.replace(
            data, images=np.zeros((0, 112, 112, 3), np.uint8), labels=np.zeros(0, np.int64)
        )

    return dataclasses.replace(site, faces=faces)  # type: ignore[arg-type]


def no_store(world: World, tmp: Path, site: ClientSite) -> ClientSite:
    return faces_from(site, tmp / "home of anna", None, world.public_store)


def other_public_people(world: World, tmp: Path, site: ClientSite) -> ClientSite:
    """Its D_g has three people where the server's Φ has five rows."""
    return faces_from(site, world.store, world.split)


def split_of_another_store(world: World, tmp: Path, site: ClientSite) -> ClientSite:
    if not (tmp / "split.json").exists():
        other = make_store(tmp / "other", list(FaceStore.open(world.store).identities), 6, seed=6)
        split = Split.load(world.split)
        dataclasses.replace(split, store_digest=other.digest).save(tmp / "split.json")
    return faces_from(site, world.store, tmp / "split.json", world.public_store)


def agreed(section: str, name: str, value: object) -> Change:
    def change(world: World, tmp: Path, site: ClientSite) -> ClientSite:
        return dataclasses.replace(site, agreed={section: {name: value}})

    return change


def folder_of_another_client(world: World, tmp: Path, site: ClientSite) -> ClientSite:
    folder = tmp / "private of anna"
    with PrivateStore(folder, federation="another", client="client-77"):
        pass
    return dataclasses.replace(site, private=folder)


CASES: dict[str, tuple[Change, str, str]] = {
    "a device's own person is public": (
        device_with_a_public_person,
        "public-among-own",
        "1 people are public and the client's own, first 'zoe'",
    ),
    "a split's own person is public": (
        split_with_a_public_person,
        "public-among-own",
        f"1 people are public and the client's own, first '{ODD}-a'",
    ),
    "no images": (empty_store, "no-images", "client-01 has no image to train on"),
    "no store": (no_store, "store", "home of anna"),
    "other public people": (
        other_public_people,
        "other-public",
        "3 people are public here, the model was pre-trained on 5",
    ),
    "a split of another store": (split_of_another_store, "split", "the split was made for store"),
    "another backbone was agreed to": (
        agreed("backbone", "name", "mobilefacenet"),
        "other-backbone",
        "the server's [backbone] name is 'iresnet18', this client agreed to 'mobilefacenet'",
    ),
    "another setting was agreed to": (
        agreed("train", "method", "fedavg"),
        "other-settings",
        "the server's [train] method is 'fedfr', this client agreed to 'fedavg'",
    ),
    "a private folder of another client": (
        folder_of_another_client,
        "private-state",
        "belongs to client 'client-77' of federation 'another'",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_before_anybody_trains(
    world: World, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    change, code, said = CASES[name]
    out = tmp_path / "run"
    # The user of this one machine may read all of it; the reason in the brackets is what a server is told.
    with pytest.raises(QuorumError) as caught:
        run(world, out, change)
    assert f"({ODD}: refused before training: {code})" in str(caught.value)
    # The client's own log has it in full.
    own = [record.getMessage() for record in caplog.records if "refuses to train" in record.getMessage()]
    assert len(own) == 1
    assert said in own[0]
    # The server's record has the code, and neither a name nor a path.
    (line,) = [json.loads(text) for text in (out / "metrics.jsonl").read_text().splitlines()]
    (attempt,) = line["attempts"]  # and was not tried again: it would be the same
    assert attempt["failed"] == {ODD: f"refused before training: {code}"}
    for word in ("zoe", "anna", str(tmp_path), "client-77"):
        assert word not in (out / "metrics.jsonl").read_text()
    # No half-finished round: nobody has trained, not those either with whom nothing is wrong.
    assert RunFolder(out).rounds() == [0]
    assert not list(out.glob("clients/*/round_*"))


def test_the_others_go_on_if_the_quorum_allows_it(world: World, tmp_path: Path) -> None:
    folder = run(world, tmp_path / "run", agreed("train", "margin", 0.1), quorum=2)
    lines = folder.metrics()
    assert [sorted(line["clients"]) for line in lines] == [["client-00", "client-02"]] * 2
    assert [line["failed"] for line in lines] == [{ODD: "refused before training: other-settings"}] * 2


def test_what_was_agreed_to_and_is_so_is_no_obstacle(world: World, tmp_path: Path) -> None:
    one = dataclasses.replace(SETTINGS, rounds=1)
    folder = run(world, tmp_path / "run", agreed("train", "epochs", [1]), settings=one)
    assert list(folder.metrics()[0]["clients"]) == list(CLIENTS)


def test_another_version_is_refused(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's messages have a format, or a setting, that this client does not know."""
    real = payload.instruction_config

    def newer(instruction: payload.Instruction) -> dict[str, object]:
        config = real(instruction)
        return {**config, "settings": json.dumps({**json.loads(config["settings"]), "new_idea": 1})}

    monkeypatch.setattr(payload, "instruction_config", newer)
    with pytest.raises(QuorumError, match="client-00: refused before training: other-version"):
        run(world, tmp_path / "run", lambda world, tmp, site: site)
    monkeypatch.setattr(
        payload, "instruction_config", lambda instruction: {**real(instruction), "format": payload.FORMAT + 1}
    )
    with pytest.raises(QuorumError, match="client-00: refused before training: other-version"):
        run(world, tmp_path / "again", lambda world, tmp, site: site)
    assert not list(tmp_path.glob("*/clients/*/round_*"))


def test_a_phi_of_another_size_is_refused(world: World, tmp_path: Path) -> None:
    """The server's Φ has rows that its own list of people does not name."""
    model = world.model()
    odd = dataclasses.replace(model, global_proxies=torch.cat([model.global_proxies, torch.ones(1, 16)]))
    save_global(odd, tmp_path / "odd.safetensors")
    with pytest.raises(QuorumError, match=r"client-00: refused before training: model"):
        run(
            dataclasses.replace(world, pretrained=tmp_path / "odd.safetensors"),
            tmp_path / "run",
            lambda w, t, s: s,
        )
    assert not list(tmp_path.glob("run/clients/*/round_*"))


def test_private_state_of_another_backbone_is_refused(world: World, tmp_path: Path) -> None:
    """Of the same federation and client, as after a checkpoint was exchanged by hand."""
    out = tmp_path / "run"
    one = dataclasses.replace(SETTINGS, rounds=1)
    folder = run(world, out, lambda world, tmp, site: site, settings=one)
    folder.open(world.model(), one.resolved(), 7, {})
    spec = BackboneSpec("iresnet18", dim=16, width=8, input_size=28)
    with PrivateStore(out / "clients" / ODD, federation=folder.federation, client=ODD) as store:
        state = store.load_before(2)
        assert state is not None
        values = dataclasses.asdict(dataclasses.replace(state, backbone={}))
        store.save(PrivateState(**values | {"backbone": cpu_state(build_backbone(spec, seed=1))}), spec, {})
    with pytest.raises(QuorumError, match=f"{ODD}: refused before training: other-backbone"):
        run(world, out, lambda world, tmp, site: site)
    assert folder.rounds() == [0, 1]


def test_a_file_of_agreed_values(tmp_path: Path) -> None:
    file = tmp_path / "agreed.toml"
    file.write_text('[train]\nmethod = "fedfr"\nepochs = [1]\n[backbone]\nwidth = 4\n')
    found = read_agreed(file)
    spec = BackboneSpec("iresnet18", dim=16, width=4, input_size=28)
    check_agreed_settings(found, SETTINGS, spec)
    with pytest.raises(ConfigError, match=r"\[backbone\] width is 8, this client agreed to 4"):
        check_agreed_settings(found, SETTINGS, dataclasses.replace(spec, width=8))
    with pytest.raises(ConfigError, match="no setting"):
        check_agreed_settings({"train": {"methode": 1}}, SETTINGS, spec)
    file.write_text("[other]\nx = 1\n")
    with pytest.raises(ConfigError, match=r"expected the sections \[train\] and \[backbone\]"):
        read_agreed(file)
    with pytest.raises(ConfigError, match="cannot read"):
        read_agreed(tmp_path / "none")
    assert client_app.ClientSite("a", tmp_path, lambda model: None).agreed == {}  # type: ignore[arg-type,return-value]


def test_codes_are_words_and_last() -> None:
    assert all(is_code(code) for code in CODES)
    assert not is_code("/home/anna")
    assert not is_code("no image of anna")
    assert lasting("refused before training: store")
    assert lasting("PayloadError: phi of …")
    assert not lasting("WriteError")
    assert not lasting("MemoryError")
