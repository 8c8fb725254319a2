"""Profiles, and what a profile must not override."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedfr_edge.config import resolve, save_config
from fedfr_edge.errors import ConfigError
from fedfr_edge.train.config import PROFILES, TrainConfig


def test_the_paper_is_the_default() -> None:
    settings = TrainConfig().resolved()
    assert (settings.rounds, settings.epochs, settings.momentum) == (30, (4,), 0.0)
    assert (settings.learning_rate, settings.weight_decay) == (1e-3, 5e-4)
    assert (settings.scale, settings.margin, settings.bce_scale, settings.bce_margin) == (30, 0.4, 30, 0.4)
    assert (settings.temperature, settings.bce_positive, settings.bce_power) == (0.5, 0.7, 3)
    assert (settings.alpha_cos, settings.alpha_con, settings.alpha_bce) == (1, 5, 10)
    assert (settings.mining_threshold, settings.client_weight) == (0.4, "local")
    assert settings.average_global_proxies is True
    assert settings.first_previous == "global"


def test_the_reference_profile_makes_its_departures_and_yields_to_what_was_set() -> None:
    settings = TrainConfig(profile="reference", momentum=0.0, epochs=(3,)).resolved()
    assert (settings.momentum, settings.epochs) == (0.0, (3,))
    assert (settings.rounds, settings.lr_schedule, settings.client_weight) == (20, "step", "pool")
    assert settings.average_global_proxies is False
    assert settings.first_previous == "random"
    assert settings.drop_last is True


@pytest.mark.parametrize("profile", ["paper", "reference"])
def test_no_setting_is_left_open_and_resolving_twice_is_harmless(profile: str) -> None:
    settings = TrainConfig(profile=profile).resolved()  # type: ignore[arg-type]
    # Differential privacy is what nobody gets who did not ask for it: None is off.
    assert {name for name, value in vars(settings).items() if value is None} == {
        "dp_clip",
        "dp_noise",
        "dp_delta",
    }
    assert settings.resolved() == settings
    assert set(PROFILES["paper"]) == set(PROFILES["reference"])


def test_the_last_number_of_epochs_goes_on() -> None:
    settings = TrainConfig(profile="reference")
    assert [settings.epochs_of(round) for round in range(1, 7)] == [10, 8, 6, 4, 4, 4]


def test_weights_of_the_average() -> None:
    metrics = {"images": 60.0, "hard_negatives": 15.0}
    assert TrainConfig().weight_of(metrics) == 60
    assert TrainConfig(profile="reference").weight_of(metrics) == 75


def test_switching_everything_off_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing would be learned"):
        TrainConfig(alpha_cos=0, alpha_con=0, alpha_bce=0).resolved()


def test_resolved_settings_survive_a_file(tmp_path: Path) -> None:
    settings = TrainConfig(profile="reference", alpha_con=2.5).resolved()
    save_config(settings, "train", tmp_path / "train.toml")
    assert resolve(TrainConfig, "train", tmp_path / "train.toml") == settings
