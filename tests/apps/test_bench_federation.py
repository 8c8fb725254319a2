"""``fedfr bench federation``, in small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fedfr_edge.apps.bench import isolated
from fedfr_edge.apps.bench.federation_echo import read_spec
from fedfr_edge.apps.commands.bench_federation import BenchFederation, bench
from fedfr_edge.cli import main
from fedfr_edge.errors import ConfigError
from fedfr_edge.train import client
from fedfr_edge.train.backbones.spec import BackboneSpec

TINY = ("mobilefacenet:2",)


def check(one: dict[str, Any], engines: dict[str, int], rounds: int) -> None:
    """``engines``: name -> how many clients of it train one after another."""
    assert set(one["seconds"]) == {"plain", *engines}
    assert all(len(values) == rounds and min(values) > 0 for values in one["seconds"].values())
    assert set(one["overhead_per_turn"]) == set(engines)
    paper = one["paper_round"]
    assert paper["assumed_gpu"]["images_per_second"] == 100
    for kind in paper.values():
        assert kind["seconds"] == pytest.approx(6000 * 4 / kind["images_per_second"])
    for engine, turns in engines.items():
        difference = one["median_seconds"][engine] - one["median_seconds"]["plain"]
        assert one["overhead_per_turn"][engine] == pytest.approx(difference / turns)
        assert paper["assumed_gpu"]["share"][engine] == pytest.approx(difference / turns / 240)


def test_the_engine_of_one_process_against_the_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The measurement itself asserts that what comes back is what was sent."""
    monkeypatch.setattr(client, "client_round", client.client_round)  # put back after the test
    monkeypatch.setattr(isolated, "alone", lambda function, *args, **more: function(*args, **more))
    engine = ("in-process",)
    config = BenchFederation(TINY, engine, dim=8, clients=3, rounds=2, images_per_second=100.0, batch=2)
    check(bench(config)["backbones"]["mobilefacenet:2"], {"in-process": 3}, rounds=2)


@pytest.mark.long
def test_every_engine_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    options = ["--backbone", "mobilefacenet:8", "--dim", "64", "--rounds", "1", "--images-per-second", "100"]
    assert main(["bench", "federation", *options, "--json", str(file)]) == 0
    one = json.loads(file.read_text())["backbones"]["mobilefacenet:8"]
    check(one, {"in-process": 2, "processes": 1, "superlink": 1}, rounds=1)
    # One round: its parts follow one another without a gap, so they are all of it.
    parts, cpu = one["superlink_parts"], one["superlink_cpu"]
    assert sum(parts.values()) == pytest.approx(one["median_seconds"]["superlink"])
    assert min(parts.values()) > 0
    assert min(cpu.values()) > 0
    assert cpu["imports_torch"] > cpu["client_app"]  # a tiny model
    assert (tmp_path / "figures.toml").exists()


def test_a_backbone_and_its_width() -> None:
    assert read_spec("sphereface20", 64) == BackboneSpec("sphereface20", 64)
    assert read_spec("mobilefacenet:42", 64) == BackboneSpec("mobilefacenet", 64, 42)
    for text in ("mobilefacenet:", "mobilefacenet:thin", "resnet:8"):
        with pytest.raises(ConfigError):
            read_spec(text, 64)


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ConfigError, match="in-process, processes, superlink"):
        bench(BenchFederation(TINY, ("ray",)))
