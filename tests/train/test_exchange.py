"""Who takes part in a round, and what clients are sent and the server keeps."""

from __future__ import annotations

import collections

import pytest
import torch
from tiny_training import config, model

from fedfr_edge.train.aggregate import WeightedMean
from fedfr_edge.train.client import ClientUpdate
from fedfr_edge.train.config import METHODS
from fedfr_edge.train.exchange import clients_asked, model_after_round, model_for_clients
from fedfr_edge.train.seeds import drawn, participants

NAMES = [f"client-{number:02d}" for number in range(10)]


@pytest.mark.parametrize(
    ("clients", "share", "count"),
    [(10, 1.0, 10), (10, 0.25, 3), (10, 0.24, 2), (3, 0.5, 2), (1, 0.01, 1), (40, 1e-9, 1), (40, 0.1, 4)],
)
def test_a_share_is_rounded_and_never_nobody(clients: int, share: float, count: int) -> None:
    assert drawn(clients, share) == count
    assert len(participants(map(str, range(clients)), share, 1, 1)) == count


def test_the_draw_depends_on_seed_and_round_and_not_on_the_order() -> None:
    first = participants(NAMES, 0.3, 5, 1)
    assert first == participants(reversed(NAMES), 0.3, 5, 1) == sorted(first)
    assert len({tuple(participants(NAMES, 0.3, 5, number)) for number in range(1, 9)}) > 4
    assert len({tuple(participants(NAMES, 0.3, seed, 1)) for seed in range(8)}) > 4


def test_everybody_has_the_same_chance() -> None:
    rounds = 2000
    count = collections.Counter(
        name for number in range(rounds) for name in participants(NAMES, 0.3, 0, number)
    )
    # 600 expected of each, standard deviation 20.5; five of them on either side.
    assert all(abs(count[name] - 600) < 103 for name in NAMES)


def test_the_second_stage_asks_everybody() -> None:
    settings = config(method="kd", rounds=2, participation=0.3)
    asked = [clients_asked(NAMES, settings, 5, number) for number in (1, 2, 3)]
    assert asked[0] == participants(NAMES, 0.3, 5, 1)
    assert [len(names) for names in asked] == [3, 3, 10]


def test_a_share_is_of_all_clients_also_if_some_are_away() -> None:
    settings = config(participation=0.3)
    assert len(clients_asked(NAMES[:6], settings, 5, 1, total=10)) == 3
    assert len(clients_asked(NAMES[:6], settings, 5, 1)) == 2
    assert clients_asked(NAMES[:2], settings, 5, 1, total=10) == NAMES[:2]
    assert clients_asked(NAMES, settings, 5, 1, total=10) == clients_asked(NAMES, settings, 5, 1)
    assert clients_asked([], settings, 5, 1) == []


@pytest.mark.parametrize("method", METHODS)
def test_phi_travels_only_where_public_faces_are_used(method: str) -> None:
    start, settings = model(), config(method=method, rounds=8)
    sent = model_for_clients(start, settings)
    assert len(sent.global_proxies) == (
        0 if METHODS[method]["public"] == "none" else len(start.global_proxies)
    )
    mean = WeightedMean()
    moved = {
        name: value + 1 if value.is_floating_point() else value for name, value in start.backbone.items()
    }
    mean.add(ClientUpdate(moved, sent.global_proxies + 1, 5), 5.0)
    after = model_after_round(start, mean, settings)
    expected = start.global_proxies + (0 if METHODS[method]["public"] == "none" else 1)
    assert torch.equal(after.global_proxies, expected)
    assert after.round == start.round + 1
    assert all(torch.equal(after.backbone[name], value) for name, value in moved.items())


def test_the_second_stage_leaves_the_model_as_it_is() -> None:
    start, settings = model(), config(method="fine-tune", rounds=2)
    start.round = 2
    after = model_after_round(start, WeightedMean(), settings)
    assert after.round == 3
    assert torch.equal(after.global_proxies, start.global_proxies)
    assert all(torch.equal(after.backbone[name], value) for name, value in start.backbone.items())
