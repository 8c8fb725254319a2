"""Settings: frozen dataclasses that are at once TOML sections, command-line options and a record.

A command declares its settings once::

    @dataclass(frozen=True)
    class PretrainConfig:
        store: Path = option(help="aligned-face store to learn from")
        epochs: int = option(10, help="passes over the store", low=1)

:func:`resolve` merges defaults, one section of a TOML file and overrides, in that order, and
rejects unknown keys and wrong types; :func:`save_config` writes the outcome beside a result, in a
form that :func:`resolve` reads back.

Field types: ``bool``, ``int``, ``float``, ``str``, ``Path``, ``Literal[...]`` of strings,
``tuple[T, ...]`` of those, and ``T | None``.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from fedfr_edge import atomic
from fedfr_edge.errors import ConfigError

T = TypeVar("T")
_MISSING = dataclasses.MISSING


def option(
    default: Any = _MISSING,
    *,
    help: str,
    low: float | None = None,
    high: float | None = None,
    argument: bool = False,
    short: str | None = None,
) -> Any:
    """Declare a setting.

    Args:
        default: its value when nobody sets it; without one the setting is required.
        help: one line for ``--help``.
        low: least value allowed (numbers).
        high: greatest value allowed (numbers).
        argument: also accept it by position on the command line.
        short: one-letter option, for example ``"o"``.
    """
    metadata = {"help": help, "low": low, "high": high, "argument": argument, "short": short}
    return dataclasses.field(default=default, metadata=metadata)


def resolve(
    config: type[T], section: str, file: Path | None = None, overrides: Mapping[str, Any] | None = None
) -> T:
    """Build ``config`` from defaults, ``[section]`` of a TOML ``file`` and ``overrides``.

    A TOML file may hold sections of several commands; a dot in ``section`` means a nested table.

    Raises:
        ConfigError: unreadable file, unknown key, wrong type, value out of range, or a required
            setting that is missing.
    """
    hints = typing.get_type_hints(config)
    fields = {field.name: field for field in dataclasses.fields(config)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    if file is not None:
        for key, value in _read_section(file, section).items():
            name = key.replace("-", "_")
            if name not in fields:
                near = difflib.get_close_matches(name, fields, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(fields)}"
                raise ConfigError(f"unknown key {key!r} in [{section}] of {file}{hint}")
            values[name] = value
    values.update(overrides or {})
    for name, value in values.items():
        values[name] = _convert(value, hints[name], f"{section}.{name}")
        _check_range(values[name], fields[name].metadata, f"{section}.{name}")
    for name, field in fields.items():
        if name not in values and field.default is _MISSING:
            raise ConfigError(
                f"{name!r} is not set: give --{name.replace('_', '-')} on the command line or "
                f"{name} = … in [{section}] of a --config file"
            )
    return config(**values)


def save_config(config: object, section: str, path: Path) -> None:
    """Write ``config`` to ``path`` as a TOML section that :func:`resolve` reads back."""
    atomic.write_text(path, dump_config(config, section))


def dump_config(config: object, section: str) -> str:
    """The TOML text of ``config`` under ``[section]``; settings that are None are left out."""
    lines = [f"[{section}]"]
    for name, value in as_dict(config).items():
        if value is not None:
            lines.append(f"{name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def as_dict(config: object) -> dict[str, Any]:
    """The settings as plain JSON-able values (paths become strings, tuples lists)."""
    return {
        field.name: _plain(getattr(config, field.name))
        for field in dataclasses.fields(config)  # type: ignore[arg-type]
    }


def _read_section(file: Path, section: str) -> dict[str, Any]:
    try:
        table: Any = tomllib.loads(file.read_text())
    except OSError as error:
        raise ConfigError(f"cannot read config file {file}: {error.strerror}; check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid TOML: {error}") from error
    for part in section.split("."):
        table = table.get(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{part!r} in {file} is a value, expected a table [{section}]")
    # A nested table belongs to a sub-command, not to this one.
    return {key: value for key, value in table.items() if not isinstance(value, dict)}


def _convert(value: Any, hint: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        (inner,) = [argument for argument in arguments if argument is not type(None)]
        return _convert(value, inner, where)
    if origin is tuple:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise _wrong(value, "a list", where)
        return tuple(_convert(item, arguments[0], where) for item in value)
    if origin is Literal:
        if value not in arguments:
            raise _wrong(value, "one of " + ", ".join(map(str, arguments)), where)
        return value
    if hint is Path and isinstance(value, str | Path):
        if str(value) == "":
            raise _wrong(value, "a path", where)
        return Path(value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise _wrong(value, "a finite number", where)
        return float(value)
    # bool is an int in Python, but "epochs = true" is a mistake.
    if type(value) is hint:
        return value
    raise _wrong(value, {int: "a whole number", float: "a number"}.get(hint, hint.__name__), where)


def _check_range(value: Any, metadata: Mapping[str, Any], where: str) -> None:
    low, high = metadata.get("low"), metadata.get("high")
    for item in value if isinstance(value, tuple) else (value,):
        if low is not None and item is not None and item < low:
            raise _wrong(item, f"at least {low}", where)
        if high is not None and item is not None and item > high:
            raise _wrong(item, f"at most {high}", where)


def _wrong(value: Any, expected: str, where: str) -> ConfigError:
    return ConfigError(f"{where} is {value!r}, expected {expected}")


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A JSON string is a TOML basic string once DEL, which JSON leaves bare, is escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return repr(value)
