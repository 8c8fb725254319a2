"""What a study runs: rows, seeds, places, and the settings of every step."""

from __future__ import annotations

import tomllib
import typing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedfr_edge.config import resolve
from fedfr_edge.errors import ConfigError
from fedfr_edge.train.config import METHODS, TrainConfig

if TYPE_CHECKING:
    from fedfr_edge.apps.commands.data_split import SplitConfig
    from fedfr_edge.apps.commands.pretrain import PretrainRun
    from fedfr_edge.apps.commands.train import TrainRun

PRETRAINED = "pre-trained"
"""The row of the model that the rounds start from: Table 1's pre-training set alone."""

FEDFACE = "fedface"
"""The one method whose clients send more than Θ and Φ."""

BY_METHOD = ("method", "public", "branch", "alpha_con", "alpha_bce", "second_stage")
"""Settings that are what methods differ in; for all methods at once they cannot be set."""


@dataclass(frozen=True)
class Row:
    """One row of the study's table.

    Attributes:
        method: a method of :data:`fedfr_edge.train.config.METHODS`, or :data:`PRETRAINED`.
        varied: a setting of training that is swept, and its value; None where nothing is.
    """

    method: str
    varied: tuple[str, Any] | None = None

    @property
    def name(self) -> str:
        """What tables call it, and the name of its folder."""
        return self.method if self.varied is None else f"{self.method},{self.varied[0]}={self.varied[1]}"


def rows_of(methods: typing.Sequence[str], vary: str | None, *, share_proxies: bool = False) -> list[Row]:
    """The rows in the order of the paper's tables, the pre-trained model first.

    Args:
        methods: those asked for; none for all, but for FedFace where ``share_proxies`` is off.
        vary: ``setting=value,value,…``: every method is run with each value.
        share_proxies: whether W may leave its client.

    Raises:
        ConfigError: no such setting, or a value that it cannot have; FedFace is asked for and W may not
            leave.
    """
    if FEDFACE in methods and not share_proxies:
        raise ConfigError(
            f"method {FEDFACE} sends W to the server, a stand-in for each person's face; say --share-proxies "
            "if it may, or leave the method out"
        )
    possible = [method for method in METHODS if share_proxies or method != FEDFACE]
    chosen = [method for method in possible if not methods or method in methods]
    values: list[tuple[str, Any] | None] = [None]
    if vary is not None:
        values = list(_varied(vary))
    return [Row(PRETRAINED), *(Row(method, value) for method in chosen for value in values)]


def _varied(text: str) -> list[tuple[str, Any]]:
    name, equals, values = text.partition("=")
    name = name.strip().replace("-", "_")
    hints = typing.get_type_hints(TrainConfig)
    if not equals or name not in hints or name in BY_METHOD:
        possible = ", ".join(key for key in hints if key not in BY_METHOD)
        raise ConfigError(
            f"--vary is {text!r}, expected SETTING=VALUE,VALUE,… with a setting of fedfr train: {possible}"
        )
    try:
        table = tomllib.loads(f"values = [{values}]")
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"--vary is {text!r}, expected values as in a TOML file, such as 0.3,0.5: {error}"
        ) from error
    found = table["values"]
    if not found or len({repr(value) for value in found}) != len(found):
        raise ConfigError(f"--vary is {text!r}, expected one value or more, each once")
    for value in found:  # refused before anything is run
        resolve(TrainConfig, "train", None, {name: value})
    return [(name, value) for value in found]


@dataclass(frozen=True)
class Places:
    """Where the parts of one seed lie in the study's folder.

    Attributes:
        out: the study's folder.
        seed: the seed.
    """

    out: Path
    seed: int

    @property
    def folder(self) -> Path:
        """The seed's folder."""
        return self.out / str(self.seed)

    @property
    def split(self) -> Path:
        """The seed's own split."""
        return self.folder / "split.json"

    @property
    def pretrained(self) -> Path:
        """The model of the seed's own pre-training."""
        return self.folder / "pretraining" / "model.safetensors"

    def of(self, row: Row) -> Path:
        """Folder of a row: a run as ``fedfr train`` writes it, its ``evaluation`` and ``scores.json``."""
        return self.folder / row.name


class Recipe:
    """A TOML file with the sections ``[pretrain]``, ``[train]`` and ``[data.split]`` of those commands.

    A table ``[train.METHOD]`` holds what one method shall have otherwise. Places and seeds are the study's.

    Args:
        path: the file; None for every command's defaults.

    Raises:
        ConfigError: unreadable, or :data:`BY_METHOD` settings for all methods.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        table: dict[str, Any] = {}
        if path is not None:
            try:
                table = tomllib.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise ConfigError(f"cannot read the recipe {path}: {error}; expected a TOML file") from error
        section = table.get("train", {})
        self._of_method: dict[str, dict[str, Any]] = {
            name: {key.replace("-", "_"): value for key, value in own.items()}
            for name, own in section.items()
            if isinstance(own, dict)
        }
        odd = sorted(self._of_method.keys() - METHODS.keys())
        if odd:
            raise ConfigError(
                f"[train.{odd[0]}] in {path} is no method; the methods are {', '.join(METHODS)}"
            )
        for name in BY_METHOD:
            if name in section or name.replace("_", "-") in section:
                raise ConfigError(
                    f"{name} is set in [train] of {path}, but it is what the methods differ in; leave it "
                    "out, or set it for one method in [train.METHOD]"
                )

    def split(self, **places: Any) -> SplitConfig:
        """Settings of ``fedfr data split``."""
        from fedfr_edge.apps.commands.data_split import SplitConfig

        return resolve(SplitConfig, "data.split", self.path, places)

    def pretrain(self, **places: Any) -> PretrainRun:
        """Settings of ``fedfr pretrain``."""
        from fedfr_edge.apps.commands.pretrain import PretrainRun

        return resolve(PretrainRun, "pretrain", self.path, places)

    def train(self, row: Row, **places: Any) -> TrainRun:
        """Settings of ``fedfr train`` for one row."""
        from fedfr_edge.apps.commands.train import TrainRun

        own = self._of_method.get(row.method, {})
        known = {field.name for field in fields(TrainRun)}
        odd = sorted(own.keys() - known | own.keys() & {"method"})
        if odd:
            raise ConfigError(f"{odd[0]!r} in [train.{row.method}] of {self.path} is no setting of training")
        varied = {} if row.varied is None else {row.varied[0]: row.varied[1]}
        return resolve(TrainRun, "train", self.path, {**own, **varied, "method": row.method, **places})
