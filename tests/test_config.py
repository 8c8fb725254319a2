"""Settings: what resolve accepts, what it refuses, and that a saved file reads back the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedfr_edge.config import dump_config, option, resolve, save_config
from fedfr_edge.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Settings:
    store: Path = option(help="a store")
    epochs: int = option(4, help="passes", low=1)
    rate: float = option(1e-3, help="step", low=0, high=1)
    name: str = option("x", help="a name")
    flip: bool = option(True, help="mirror")
    mode: Literal["paper", "reference"] = option("paper", help="profile")
    fars: tuple[float, ...] = option((1e-2, 1e-3), help="rates")
    seed: int | None = option(None, help="a seed")


def write(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text)
    return path


def test_defaults_file_and_overrides_in_that_order(tmp_path: Path) -> None:
    file = write(tmp_path, '[job.train]\nstore = "a"\nepochs = 7\nrate = 1\n[other]\nepochs = "text"\n')
    settings = resolve(Settings, "job.train", file, {"epochs": 9})
    assert settings == Settings(store=Path("a"), epochs=9, rate=1.0)
    assert isinstance(settings.rate, float)


def test_a_sub_commands_table_is_not_an_unknown_key(tmp_path: Path) -> None:
    file = write(tmp_path, '[job]\nstore = "a"\n[job.sub]\nx = 1\n')
    assert resolve(Settings, "job", file).store == Path("a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "unknown key 'epoch' in [job] of .*did you mean 'epochs'"),
        ("epochs = true", "job.epochs is True, expected a whole number"),
        ("epochs = 1.5", "expected a whole number"),
        ("epochs = 0", "expected at least 1"),
        ("rate = nan", "expected a finite number"),
        ("rate = 2", "expected at most 1"),
        ('mode = "fast"', "expected one of paper, reference"),
        ("fars = 0.1", "expected a list"),
        ('flip = "yes"', "expected bool"),
        ("epochs = ", "not valid TOML"),
        ('store = ""', "expected a path"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("[", r"\[").replace("]", r"\]")):
        resolve(Settings, "job", write(tmp_path, f"[job]\n{text}\n"))


def test_required_setting_says_where_to_give_it() -> None:
    with pytest.raises(ConfigError, match="--store"):
        resolve(Settings, "job")


def test_missing_file() -> None:
    with pytest.raises(ConfigError, match="cannot read config file"):
        resolve(Settings, "job", Path("/nowhere.toml"))


@given(
    epochs=st.integers(1, 10**6),
    rate=st.floats(0, 1),
    name=st.text(st.characters(exclude_categories=["Cs"])),
    flip=st.booleans(),
    fars=st.lists(st.floats(0, 1)).map(tuple),
    seed=st.none() | st.integers(0, 2**31),
)
def test_saved_settings_read_back_the_same(tmp_path_factory, epochs, rate, name, flip, fars, seed) -> None:
    settings = Settings(Path("a b/ü"), epochs, rate, name, flip, "reference", fars, seed)
    path = tmp_path_factory.mktemp("config") / "out.toml"
    save_config(settings, "a.b", path)
    assert resolve(Settings, "a.b", path) == settings
    assert path.read_text() == dump_config(settings, "a.b")
