"""The list of public files (models, the browser's runtime): what there is, where it is, whether intact."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from fedfr_edge.errors import ConfigError

from .file_digest import sha256_of

FOLDER_VARIABLE = "FEDFR_MODELS"
"""Environment variable that names the folder of model files."""

State = Literal["here", "absent", "damaged"]


@dataclass(frozen=True)
class KnownModel:
    """One public model file.

    Attributes:
        name: what to call it.
        file: its file name.
        what: what it is.
        use: the option to give, such as ``--detector yunet:{path}``; ``{path}`` stands for the file.
        address: http or https.
        sha256: hexadecimal.
        bytes: its size.
        licence: its terms.
        terms: whether these must be accepted expressly.
    """

    name: str
    file: str
    what: str
    use: str
    address: str
    sha256: str
    bytes: int
    licence: str
    terms: bool = False

    def state(self, folder: Path) -> State:
        """Whether the file lies in ``folder``, with the right bytes."""
        path = folder / self.file
        try:
            found = sha256_of(path)
        except FileNotFoundError:
            return "absent"
        except OSError:
            return "damaged"
        return "here" if found == self.sha256 else "damaged"


def known_models(file: Path | None = None) -> dict[str, KnownModel]:
    """The list, by name.

    Args:
        file: a list of one's own, such as one with the addresses of a mirror; None for the package's.

    Raises:
        ConfigError: ``file`` cannot be read, or an entry is not as it should be.
    """
    where = str(file) if file is not None else "the list of models"
    try:
        if file is not None:
            text = file.read_text()
        else:
            text = resources.files("fedfr_edge.models").joinpath("known.toml").read_text()
        entries = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"cannot read {where}: {error.strerror}; check the path") from error
    except ValueError as error:
        raise ConfigError(f"{where} is not valid TOML: {error}") from error
    return {name: _entry(name, values, where) for name, values in entries.items()}


def choose(known: dict[str, KnownModel], names: tuple[str, ...]) -> list[KnownModel]:
    """The models called ``names``.

    Raises:
        ConfigError: a name that is not in the list.
    """
    for name in names:
        if name not in known:
            raise ConfigError(f"there is no model {name!r}, expected some of {', '.join(known)}; correct it")
    return [known[name] for name in dict.fromkeys(names)]


def default_folder() -> Path:
    """Where model files go: ``$FEDFR_MODELS``, else ``fedfr-edge/models`` under the user's data folder."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "fedfr-edge" / "models"


def shipped_models() -> list[Path]:
    """The exported models that came with the package, each with its card beside it."""
    folder = resources.files("fedfr_edge.models")
    return sorted(Path(str(one)) for one in folder.iterdir() if one.name.endswith(".onnx"))


def _entry(name: str, values: Any, where: str) -> KnownModel:
    kinds: dict[str, type] = {
        "file": str,
        "what": str,
        "use": str,
        "address": str,
        "sha256": str,
        "bytes": int,
        "licence": str,
    }
    if not isinstance(values, dict):
        raise ConfigError(f"{name!r} in {where} is a value, expected a table [{name}]")
    for key, kind in kinds.items():
        if type(values.get(key)) is not kind:
            raise ConfigError(
                f"{key} of [{name}] in {where} is {values.get(key)!r}, expected {kind.__name__}"
            )
    unknown = sorted(set(values) - set(kinds) - {"terms"})
    if unknown:
        raise ConfigError(
            f"unknown key {unknown[0]!r} of [{name}] in {where}; known: {', '.join(kinds)}, terms"
        )
    if Path(values["file"]).name != values["file"] or values["file"].startswith("."):
        raise ConfigError(f"file of [{name}] in {where} is {values['file']!r}, expected a bare file name")
    if urlsplit(values["address"]).scheme not in ("http", "https"):
        raise ConfigError(f"address of [{name}] in {where} is {values['address']!r}, expected http or https")
    if len(values["sha256"]) != 64 or not set(values["sha256"]) <= set("0123456789abcdef"):
        raise ConfigError(f"sha256 of [{name}] in {where} is no digest, expected 64 hexadecimal digits")
    return KnownModel(name=name, **values)
