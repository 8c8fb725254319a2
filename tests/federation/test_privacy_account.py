"""Differential privacy through Flower's apps: what leaves, what is counted, and what a resume makes of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from small_federation import (
    CLIENTS,
    SETTINGS,
    World,
    assert_same_bits,
    in_process,
    plain_loop,
)

from fedfr_edge.errors import ConfigError, FederationError
from fedfr_edge.federation import rounds
from fedfr_edge.federation.attempts import ShortRound
from fedfr_edge.federation.privacy_account import PrivacyAccount
from fedfr_edge.federation.readiness import check_agreed_settings
from fedfr_edge.federation.run_folder import RunFolder
from fedfr_edge.federation.terms import Terms
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.exchange import WITHHELD
from fedfr_edge.train.privacy_loss import epsilon_of, gdp

PRIVATE = dataclasses.replace(SETTINGS, dp_clip=0.5, dp_noise=0.8, rounds=2)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def spent(line: dict[str, Any]) -> tuple[float, float]:
    return line["epsilon"], line["epsilon_models"]


def expected(own: int, models: int, others: int = 2) -> tuple[float, float]:
    """ε of so many updates, and of so many global models of ``others`` + 1 clients, at noise 0.8."""
    return epsilon_of(1e-5, gdp([0.8] * own)), epsilon_of(1e-5, gdp([0.8 * others**0.5] * models))


def test_a_run_a_kill_and_a_resume(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server dies when it has all updates of round 2 and has kept nothing: they are paid for twice."""
    in_process(world, tmp_path, dataclasses.replace(PRIVATE, rounds=1))
    (first,) = lines_of(tmp_path / "metrics.jsonl")
    assert spent(first) == pytest.approx(expected(1, 1))
    assert first["delta"] == 1e-5
    for metrics in first["clients"].values():  # the server counts bytes by itself
        told = {name: value for name, value in metrics.items() if not name.startswith("bytes")}
        assert told == WITHHELD

    save, at = RunFolder.save, "killed"

    def dies(self: RunFolder, *arguments: Any) -> None:
        raise KeyboardInterrupt(at)

    monkeypatch.setattr(RunFolder, "save", dies)
    with pytest.raises(KeyboardInterrupt, match=at):
        in_process(world, tmp_path, dataclasses.replace(PRIVATE, rounds=2))
    monkeypatch.setattr(RunFolder, "save", save)
    assert RunFolder(tmp_path).rounds() == [0, 1]
    in_process(world, tmp_path, dataclasses.replace(PRIVATE, rounds=3))

    asked = lines_of(tmp_path / "privacy.jsonl")
    assert [line["round"] for line in asked] == [1, 2, 2, 3]
    assert all(line["clients"] == list(CLIENTS) and line["noise"] == 0.8 for line in asked)
    lines = lines_of(tmp_path / "metrics.jsonl")
    assert lines[0] == first
    # Of round 2 one global model was sent out, and two updates of each client reached the server.
    assert [spent(line) for line in lines] == [
        pytest.approx(expected(own, models)) for own, models in ((1, 1), (3, 2), (4, 3))
    ]

    (tmp_path / "privacy.jsonl").unlink()
    with pytest.raises(FederationError, match=r"lacks round 1.*restore it"):
        in_process(world, tmp_path, dataclasses.replace(PRIVATE, rounds=4))


def test_noise_does_not_follow_from_the_seed(world: World, tmp_path: Path) -> None:
    one, other = (in_process(world, tmp_path / name, dataclasses.replace(PRIVATE, rounds=1)) for name in "ab")
    different = one.global_proxies - other.global_proxies
    # Two means of three noises each: √(2/3) · 0.8 · 0.5, over 80 entries.
    assert float(different.std()) == pytest.approx((2 / 3) ** 0.5 * 0.4, rel=0.5)
    start = world.model()
    for name, tensor in one.backbone.items():
        if not tensor.is_floating_point():  # counters stay
            assert torch.equal(tensor, start.backbone[name])


def test_clipping_alone_is_the_plain_loops(world: World, tmp_path: Path) -> None:
    """Equal bits, ordinary metrics, no ε and no account."""
    settings = dataclasses.replace(SETTINGS, dp_clip=0.5, rounds=1)
    model = in_process(world, tmp_path, settings)
    assert_same_bits(model, plain_loop(world, 1, settings)[0])
    (line,) = lines_of(tmp_path / "metrics.jsonl")
    assert "loss" in line["clients"]["client-00"]
    assert "epsilon" not in line
    assert not (tmp_path / "privacy.jsonl").exists()


def account(path: Path, **more: Any) -> PrivacyAccount:
    settings = TrainConfig(dp_clip=1.0, dp_noise=0.8, **more).resolved()
    return PrivacyAccount(RunFolder(path), settings)


def test_only_rounds_in_which_a_client_is_asked_count(tmp_path: Path) -> None:
    """The ε of the client that was asked most often; others' rounds do not add to it."""
    book = account(tmp_path)
    assert book.spent([]) == {"epsilon": 0.0, "epsilon_models": 0.0, "delta": 1e-5}
    for number, names in enumerate((["a", "b"], ["c", "b"], ["a", "d"], ["b", "d"]), 1):
        book.spend(number, names)
    # b never answered: nothing of it is in any global model, but its update may have come too late.
    rounds = [{"clients": {"a": {}}}, {"clients": {"c": {}}}, {"clients": {"a": {}, "d": {}}}]
    found = book.spent(rounds)
    assert found["epsilon"] == pytest.approx(epsilon_of(1e-5, gdp([0.8] * 3)))
    assert found["epsilon_models"] == pytest.approx(epsilon_of(1e-5, gdp([0.8] * 2)))
    again = account(tmp_path)
    assert again.spent(rounds) == found
    again.spend(4, ["b", "d"])
    assert again.spent(rounds)["epsilon"] == pytest.approx(epsilon_of(1e-5, gdp([0.8] * 4)))


def test_a_second_stage_costs_nothing(tmp_path: Path) -> None:
    """Nothing leaves a client in it but the constants in place of its metrics."""
    book = account(tmp_path, method="kd", rounds=1)
    book.spend(1, ["a", "b"])
    before = book.spent([{"clients": {"a": {}, "b": {}}}])
    book.spend(2, ["a", "b"])
    assert book.spent([{"clients": {"a": {}, "b": {}}}, {"clients": {"a": {}}, "stage": "kd"}]) == before


@pytest.mark.parametrize("text", ["{", "[]", '{"round": 1, "noise": -1, "clients": []}', '{"round": 1}'])
def test_a_damaged_account_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "privacy.jsonl").write_text(text + "\n")
    with pytest.raises(FederationError, match=r"cannot read .*privacy\.jsonl"):
        account(tmp_path)


def test_an_account_that_cannot_be_written_stops_the_round(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: PrivacyAccount, round: int, clients: Any) -> None:
        raise FederationError("disk full")

    monkeypatch.setattr(PrivacyAccount, "spend", full)
    with pytest.raises(FederationError, match="disk full"):
        in_process(world, tmp_path, PRIVATE, terms=Terms(3, patience=1.0))
    assert not list(tmp_path.glob("clients/*/round_*"))  # nobody has trained


def test_a_client_can_insist_on_its_noise(world: World) -> None:
    """By what it agreed to: a server that asks for less is refused."""
    agreed = {"train": {"dp_clip": 0.5, "dp_noise": 0.8}}
    spec = world.model().spec
    check_agreed_settings(agreed, PRIVATE.resolved(), spec)
    for less in ({"dp_noise": 0.1}, {"dp_clip": 5.0}, {"dp_noise": None}):
        with pytest.raises(ConfigError, match="dp_"):
            check_agreed_settings(agreed, dataclasses.replace(PRIVATE, **less), spec)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"dp_noise": 1.0}, "without dp_clip"),
        ({"dp_clip": 1.0, "dp_delta": 1e-6}, "no ε without noise"),
        ({"dp_clip": 1.0, "dp_noise": 1.0, "method": "fedface"}, "sends W"),
        ({"dp_clip": 1.0, "method": "fedface"}, "sends W"),
    ],
)
def test_settings_that_would_promise_too_much(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        TrainConfig(**settings).resolved()


def test_off_by_default() -> None:
    settings = TrainConfig().resolved()
    assert (settings.dp_clip, settings.dp_noise, settings.dp_delta) == (None, None, None)
    assert settings.weight_of({"images": 7.0, "hard_negatives": 3.0}) == 7.0
    pooled = TrainConfig(client_weight="pool", dp_clip=1.0).resolved()
    assert pooled.weight_of({"images": 7.0, "hard_negatives": 3.0}) == 1.0


def test_a_repeated_round_is_paid_for(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too few answers at first: what those gave counts, though their mean was never taken."""
    once, calls = rounds.one_round, []

    def short(*arguments: Any, **more: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            raise ShortRound("short", asked=3, answered=2, least=3, failed={}, seconds=0.0)
        return once(*arguments, **more)

    monkeypatch.setattr(rounds, "one_round", short)
    terms = Terms(3, patience=1.0, repeats=1, pause=0.0)
    in_process(world, tmp_path, dataclasses.replace(PRIVATE, rounds=1), terms=terms)
    (line,) = lines_of(tmp_path / "metrics.jsonl")
    assert spent(line) == pytest.approx(expected(2, 1))
