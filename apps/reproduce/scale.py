"""A size at which the paper is run again: a shipped recipe, and the user's differences from it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

from fedfr_edge import atomic
from fedfr_edge.config import option, resolve
from fedfr_edge.errors import ConfigError

T = TypeVar("T")
Name = Literal["table1", "table2", "table3", "figure3", "figure4"]
Scale = Literal["paper", "small", "tiny"]
Gpu = Literal["h100", "h200", "a100", "cpu"]

SECTIONS = ("data.synth", "data.split", "pretrain", "train", "reproduce", "estimate")
"""What a recipe may hold: the settings of the commands of those names, :class:`Shown`, :class:`Guesses`."""

_TRAINED = SECTIONS[:4]
# Where something is computed; finished parts stay what they are.
_FREE = {"device", "threads", "processes", "embed_batch", "image_budget", "jobs", "plot", "tensorboard"}


@dataclass(frozen=True)
class Shown:
    """Section ``[reproduce]``: how often, and what tables and figures show."""

    seeds: int = option(3, help="how many seeds: 0, 1, 2, …", low=1)
    generic_fars: tuple[float, ...] = option((1e-2, 1e-3), help="FARs of generic models", low=0, high=1)
    personal_fars: tuple[float, ...] = option((1e-2, 1e-3), help="FARs of personal models", low=0, high=1)
    ijbc_fars: tuple[float, ...] = option((1e-4, 1e-5), help="FARs on IJB-C", low=0, high=1)
    fpirs: tuple[float, ...] = option((1e-1,), help="FPIRs of both", low=0, high=1)
    unseen: int | None = option(None, help="most unseen people for generic models; default all", low=2)
    thresholds: tuple[float, ...] = option((0.4,), help="Figure 3's values of t_HN", low=-1, high=1)
    grid_clients: int = option(4, help="Figure 4's clients", low=1)
    grid_people: tuple[int, ...] = option((1,), help="Figure 4's people of a client", low=1)


@dataclass(frozen=True)
class Guesses:
    """Section ``[estimate]``: what ``--plan`` takes for granted where no store tells it."""

    public_images: float = option(70.0, help="images of a public person", low=1)
    unseen_images: float = option(70.0, help="images of an unseen person", low=1)
    unseen_people: int = option(20, help="unseen people, where [reproduce] does not limit them", low=0)
    hard_share: float = option(0.02, help="share of D_g that a client mines in a round", low=0, high=1)
    ijbc_images: int = option(0, help="images of IJB-C; 0 where it is not measured", low=0)


@dataclass(frozen=True)
class Settings:
    """A scale, settled.

    Attributes:
        scale: its name.
        table: the recipe: section -> (nested) settings.
        file: where :meth:`write` put it, for :class:`fedfr_edge.apps.study.plan.Recipe`.
    """

    scale: Scale
    table: Mapping[str, Any]
    file: Path

    @classmethod
    def read(cls, scale: Scale, differences: Path | None, device: str | None, out: Path) -> Settings:
        """The shipped recipe, with a file's differences and ``device`` put over it.

        Raises:
            ConfigError: the file cannot be read or has a section that no recipe has.
        """
        shipped = files("fedfr_edge.apps.reproduce").joinpath("recipes", f"{scale}.toml")
        table = tomllib.loads(shipped.read_text(encoding="utf-8"))
        if differences is not None:
            table = _merged(table, _read(differences))
        odd = [name for name in _section_names(table) if name not in SECTIONS and name[:6] != "train."]
        if odd:
            raise ConfigError(
                f"[{odd[0]}] in {differences} is no section of a recipe; it has {', '.join(SECTIONS)}"
            )
        if device is not None:
            more = {"device": device}
            if device == "cpu":
                more["precision"] = "float32"
            table = _merged(table, {"pretrain": {"device": device}, "train": more})
        return cls(scale, table, out / "recipe.toml")

    def write(self) -> None:
        """Write the recipe, or see that the one that lies there trains alike.

        Raises:
            ConfigError: ``out`` was begun with another recipe.
        """
        if self.file.exists():
            before, now = (dict(_settings(table)) for table in (_read(self.file), self.table))
            for name in sorted(before.keys() | now.keys()):
                if before.get(name) != now.get(name):
                    raise ConfigError(
                        f"{self.file.parent} was begun with {name} = {before.get(name, 'its default')}, now "
                        f"it is {now.get(name, 'its default')}; choose another --out, or go on with "
                        f"--recipe {self.file}"
                    )
        text = f"# Made by fedfr reproduce --scale {self.scale}.\n\n" + "\n".join(_dump(self.table))
        atomic.write_text(self.file, text)

    def section(self, name: str) -> dict[str, Any]:
        """One section's own settings, keys with underscores."""
        table: Any = self.table
        for part in name.split("."):
            table = table.get(part, {})
        return {key.replace("-", "_"): value for key, value in table.items() if not isinstance(value, dict)}

    @property
    def shown(self) -> Shown:
        """``[reproduce]``."""
        return self._known(Shown, "reproduce")

    @property
    def guesses(self) -> Guesses:
        """``[estimate]``."""
        return self._known(Guesses, "estimate")

    def _known(self, config: type[T], name: str) -> T:
        given = self.section(name)
        known = get_type_hints(config)
        odd = sorted(given.keys() - known.keys())
        if odd:
            raise ConfigError(f"unknown key {odd[0]!r} in [{name}] of the recipe; known: {', '.join(known)}")
        return resolve(config, name, None, given)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the recipe {path}: {error}; expected a TOML file") from error


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``above`` over ``below``, table by table; keys of settings with underscores, as options have them."""
    result: dict[str, Any] = {}
    for table in (below, above):
        for key, value in table.items():
            if isinstance(value, dict):
                old = result.get(key)
                result[key] = _merged(old if isinstance(old, dict) else {}, value)
            else:
                result[key.replace("-", "_")] = value
    return result


def _section_names(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Names of all tables that hold a setting; a bare setting outside any table has the name ''."""
    if any(not isinstance(value, dict) for value in table.values()) or (prefix and not table):
        yield prefix
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _section_names(value, f"{prefix}.{key}" if prefix else key)


def _settings(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """``section.key`` and value of everything that decides what is trained."""
    for key, value in table.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(value, dict):
            yield from _settings(value, name)
        elif prefix.startswith(_TRAINED) and key not in _FREE:
            yield name, value


def _dump(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """A TOML text's lines; JSON writes numbers, texts and lists as TOML has them."""
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    if plain:
        yield f"[{prefix}]"
        yield from (f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in plain.items())
        yield ""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _dump(value, f"{prefix}.{key}" if prefix else key)
