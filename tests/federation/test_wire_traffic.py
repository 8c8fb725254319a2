"""What a round costs in bytes, and what half precision makes of that."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from small_federation import CLIENTS, SETTINGS, SPEC, World, assert_same_bits, in_process, plain_loop

from fedfr_edge.errors import PayloadError
from fedfr_edge.federation.data import Faces
from fedfr_edge.federation.layout import FLAT, INTS, PHI, PROXIES, Layout
from fedfr_edge.federation.payload import guard, make_reply, read_reply
from fedfr_edge.federation.report import Report
from fedfr_edge.federation.run_folder import RunFolder
from fedfr_edge.federation.traffic import content_bytes
from fedfr_edge.train.checkpoint import GlobalModel
from fedfr_edge.train.client import ClientUpdate, client_round
from fedfr_edge.train.seeds import RoundSeed

ONE = dataclasses.replace(SETTINGS, rounds=1)
HALF = dataclasses.replace(ONE, update_dtype="float16")
METRICS = {"images": 8.0, "hard_negatives": 0.0, "steps": 1.0}


def test_content_bytes_are_the_arrays_and_the_records() -> None:
    values = np.zeros((3, 5), np.float32)
    metrics = MetricRecord({"images": 3, "loss": 0.5})
    config = ConfigRecord({"note": "ä" * 50})
    arrays = ArrayRecord({"a": Array(values), "b": Array(values.astype(np.int64))})
    content = RecordDict({"x": arrays, "m": metrics, "c": config})
    expected = 128 + 60 + 128 + 120 + len(metrics.deflate()) + len(config.deflate())
    assert content_bytes(content) == expected
    assert len(config.deflate()) > 100


def reports_of(world: World, out: Path, settings: object, *, wire: bool = False) -> list[Report]:
    reports: list[Report] = []
    in_process(world, out, settings, wire=wire, on_round=reports.append)  # type: ignore[arg-type]
    return reports


def test_bytes_are_told_client_by_client_and_half_precision_halves_them(world: World, tmp_path: Path) -> None:
    (full,) = reports_of(world, tmp_path / "full", ONE)
    (half,) = reports_of(world, tmp_path / "half", HALF, wire=True)
    model = world.model()
    floats = sum(tensor.numel() for tensor in model.backbone.values() if tensor.is_floating_point())
    floats += model.global_proxies.numel()
    assert set(full.clients) == set(half.clients) == set(CLIENTS)
    for client in CLIENTS:
        one, other = full.clients[client], half.clients[client]
        assert one["bytes_up"] - other["bytes_up"] == 2 * floats
        # The settings' text says float16 in the place of float32: as long. Metadata is the same.
        assert one["bytes_down"] == other["bytes_down"]
        assert 4 * floats < one["bytes_up"] < 4 * floats + 2000
        assert 4 * floats < one["bytes_down"] < 4 * floats + 6000
    lines = RunFolder(tmp_path / "full").metrics()
    assert lines[0]["clients"][CLIENTS[0]]["bytes_up"] == full.clients[CLIENTS[0]]["bytes_up"]


def test_half_precision_gives_the_bits_of_the_plain_loop(world: World, tmp_path: Path) -> None:
    two = dataclasses.replace(HALF, rounds=2)
    got = in_process(world, tmp_path, two, wire=True)
    assert_same_bits(got, plain_loop(world, 2, two)[0])


def test_half_precision_moves_the_mean_no_further_than_it_says(world: World) -> None:
    """Clients train the same in round 1; only what arrives differs, and the mean by no more than that."""
    full, half, start = plain_loop(world, 1, ONE)[0], plain_loop(world, 1, HALF)[0], world.model()
    faces = Faces.open(world.store, world.split, [world.public_store])
    updates = []
    for client in CLIENTS:
        data = faces.of_client(client, start)
        updates.append(client_round(None, start, data, ONE.resolved(), RoundSeed(7, 1, client))[1])
    moved = 0
    for name, before in [*start.backbone.items(), ("Φ", start.global_proxies)]:
        exact, got = (model.global_proxies if name == "Φ" else model.backbone[name] for model in (full, half))
        if not before.is_floating_point():
            assert torch.equal(exact, got)
            continue
        trained = torch.stack([u.global_proxies if name == "Φ" else u.backbone[name] for u in updates if u])
        largest = (trained - before).abs().amax(0)
        # 2⁻²²: float32's rounding of a subtraction, an addition and twice the mean.
        bound = 2.0**-11 * largest + 2.0**-25 + 2.0**-22 * torch.maximum(before.abs(), exact.abs())
        assert bool(((exact - got).abs() <= bound).all()), name
        moved += int((exact != got).sum())
    assert moved > 1000


def test_no_row_of_phi_stays_so_sending_only_those_that_moved_would_save_nothing(world: World) -> None:
    """CosFace's softmax gives every row a gradient, also without weight decay and hard negatives."""
    start, client = world.model(), CLIENTS[0]
    data = Faces.open(world.store, world.split, [world.public_store]).of_client(client, start)
    settings = dataclasses.replace(ONE, weight_decay=0.0, mining_threshold=1.0).resolved()
    _, update, metrics = client_round(None, start, data, settings, RoundSeed(7, 1, client))
    assert update is not None
    assert metrics["hard_negatives"] == 0
    assert bool((update.global_proxies != start.global_proxies).any(dim=1).all())


def test_what_the_client_keeps_is_not_rounded(world: World) -> None:
    full, half = plain_loop(world, 1, ONE)[1], plain_loop(world, 1, HALF)[1]
    for client in CLIENTS:
        mine, theirs = full[client].to_arrays(), half[client].to_arrays()
        assert all(np.array_equal(array, theirs[name]) for name, array in mine.items())


LAYOUT = Layout.of(SPEC, 5, floats="float16")


def update_of(model: GlobalModel) -> ClientUpdate:
    return ClientUpdate(dict(model.backbone), model.global_proxies + 0.25, 8)


def test_the_guard_knows_which_precision_was_agreed(world: World) -> None:
    model = world.model()
    update = update_of(model)
    half = make_reply(LAYOUT, update, METRICS, model)
    full = make_reply(Layout.of(SPEC, 5), update, METRICS)
    dtypes = {key: array.dtype for key, array in half["arrays"].items()}
    assert dtypes == {FLAT: "float16", INTS: "int64", PHI: "float16"}
    got, _ = read_reply(half, LAYOUT, start=model)
    assert got is not None
    assert torch.equal(got.global_proxies, update.global_proxies)
    for content, layout in ((half, Layout.of(SPEC, 5)), (full, LAYOUT)):
        with pytest.raises(PayloadError, match="float16"):
            guard(content, layout)
    bad = half["arrays"][PHI].numpy()
    bad[0, 0] = np.nan
    half["arrays"][PHI] = Array(bad)
    with pytest.raises(PayloadError, match="not finite"):
        guard(half, LAYOUT)


def test_w_of_fedface_travels_whole(world: World) -> None:
    model = world.model()
    own = torch.full((2, SPEC.dim), 1 / 3)
    layout = Layout.of(SPEC, 5, 2, "float16")
    reply = make_reply(layout, dataclasses.replace(update_of(model), local_proxies=own), METRICS, model)
    assert reply["arrays"][PROXIES].dtype == "float32"
    got, _ = read_reply(reply, LAYOUT, shares_proxies=True, start=model)
    assert got is not None
    assert got.local_proxies is not None
    assert torch.equal(got.local_proxies, own)


def test_a_change_needs_the_model_that_it_is_a_change_of(world: World) -> None:
    model = world.model()
    with pytest.raises(PayloadError, match="change of a model that was not given"):
        make_reply(LAYOUT, update_of(model), METRICS)
    with pytest.raises(PayloadError, match="change of a model that was not given"):
        read_reply(make_reply(LAYOUT, update_of(model), METRICS, model), LAYOUT)
