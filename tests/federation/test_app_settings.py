"""What ``flwr run`` and ``flower-supernode`` are told, and that the shipped app fits it."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from flwr.app import Context, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from small_federation import CLIENTS, SETTINGS, World

from fedfr_edge.config import save_config
from fedfr_edge.errors import ConfigError
from fedfr_edge.federation.client_app import site_from_node_config
from fedfr_edge.federation.server_app import job_from_run_config

APP = Path(__file__).resolve().parents[2] / "apps" / "flower"
TABLE = tomllib.loads((APP / "pyproject.toml").read_text())["tool"]["flwr"]["app"]


def context(*, node: dict[str, Any] | None = None, run: dict[str, Any] | None = None) -> Context:
    return Context(1, 5, node or {}, RecordDict(), run or {})


def node_config(world: World, tmp_path: Path) -> dict[str, Any]:
    return {
        "client-id": CLIENTS[0],
        "store": str(world.store),
        "split": str(world.split),
        "public-stores": f"{world.public_store}",
        "private": str(tmp_path / "private"),
    }


def test_a_nodes_configuration_describes_its_client(world: World, tmp_path: Path) -> None:
    config = {**node_config(world, tmp_path), "threads": 1, "partition-id": 3}
    site = site_from_node_config(context(node=config))
    assert (site.client, site.private) == (CLIENTS[0], tmp_path / "private")
    assert site.settings == {"device": "cpu", "threads": 1}
    assert not site.share_proxies
    assert site_from_node_config(context(node={**config, "share-proxies": True})).share_proxies
    data = site.faces(world.model())
    assert len(data.images) == 6
    assert len(data.public_images) == 26
    site.prepare(dataclasses.replace(SETTINGS, threads=1))
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"client-id": None}, "lacks 'client-id'"),
        ({"private": None}, "lacks 'private'"),
        ({"store": 3}, "store = 3"),
        ({"threads": "2"}, "threads = '2'"),
        ({"threads": True}, "threads = True"),
        ({"share-proxies": "yes"}, "share-proxies = 'yes'"),
        ({"folder": "x"}, r"unknown \['folder'\]"),
    ],
)
def test_a_wrong_node_configuration_is_an_error(
    world: World, tmp_path: Path, change: dict[str, Any], expected: str
) -> None:
    config = {**node_config(world, tmp_path), **change}
    config = {name: value for name, value in config.items() if value is not None}
    with pytest.raises(ConfigError, match=expected):
        site_from_node_config(context(node=config))


def run_config(world: World, tmp_path: Path, **changes: Any) -> dict[str, Any]:
    required = {"out": str(tmp_path / "run"), "pretrained": str(world.pretrained)}
    return {**TABLE["config"], **required, **changes}


def test_the_shipped_run_configuration_is_complete(world: World, tmp_path: Path) -> None:
    job = job_from_run_config(context(run=run_config(world, tmp_path)))
    assert (job.out, job.pretrained) == (tmp_path / "run", world.pretrained)
    assert job.settings.resolved().rounds == 30
    assert (job.terms.clients, job.terms.least(2), job.terms.deadline) == (2, 2, 3600.0)


def test_a_settings_file_and_the_rounds(world: World, tmp_path: Path) -> None:
    save_config(SETTINGS, "train", tmp_path / "settings.toml")
    file = str(tmp_path / "settings.toml")
    assert job_from_run_config(context(run=run_config(world, tmp_path, config=file))).settings == SETTINGS
    job = job_from_run_config(context(run=run_config(world, tmp_path, config=file, rounds=9)))
    assert job.settings == dataclasses.replace(SETTINGS, rounds=9)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"out": ""}, "does not set out"),
        ({"pretrained": 3}, "pretrained = 3"),
        ({"deadline": 5}, "deadline = 5"),
        ({"clients": 0}, "quorum is 0 of 0"),
        ({"config": "/absent.toml"}, "absent"),
    ],
)
def test_a_wrong_run_configuration_is_an_error(
    world: World, tmp_path: Path, change: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        job_from_run_config(context(run=run_config(world, tmp_path, **change)))


def test_the_shipped_app_is_the_installed_one() -> None:
    assert [path.name for path in APP.iterdir()] == ["pyproject.toml"]  # no code of its own
    for key, kind in (("serverapp", ServerApp), ("clientapp", ClientApp)):
        module, name = TABLE["components"][key].split(":")
        loaded = importlib.import_module(module)
        assert isinstance(getattr(loaded, name), kind)
        # Flower looks for a plain assignment in the file before it imports it.
        tree = ast.parse(Path(str(loaded.__file__)).read_text())
        assigned = {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        assert name in assigned
