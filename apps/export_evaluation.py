"""Results of ``fedfr evaluate`` for a model's card, once they are seen to be of that very model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedfr_edge.errors import ConfigError, DataError
from fedfr_edge.evaluation.tables import DASH, Table, percent, rate_text

from .file_digest import sha256_of
from .models_for_evaluation import GENERIC


def read_evaluations(folders: Sequence[Path], client: str | None, models: Sequence[Path]) -> list[Table]:
    """Tables of what ``fedfr evaluate personalised`` and ``fedfr evaluate pairs`` found.

    Args:
        folders: their ``--out``.
        client: whose personal model; its rates are then shown. None for the generic model: means.
        models: files of the model; results must be of one of them. Those that do not exist are skipped.

    Raises:
        DataError: a folder without such results, or damaged ones.
        ConfigError: results of other models.
    """
    digests = {sha256_of(model) for model in models if model.is_file()}
    tables: list[Table] = []
    for folder in folders:
        readers: dict[str, Callable[[Any], list[Table]]] = {
            "personalised.json": lambda record: _personalised(record, client, digests),
            "pairs.json": lambda record: _pairs(record, digests),
        }
        found = [name for name in readers if (folder / name).is_file()]
        if not found:
            raise DataError(
                f"{folder} holds no results, expected the --out folder of 'fedfr evaluate personalised' "
                "or 'fedfr evaluate pairs'; correct --evaluation"
            )
        for name in found:
            tables += _read(folder / name, readers[name], digests, models[0])
    return tables


def _read(file: Path, reader: Callable[[Any], list[Table]], digests: set[str], model: Path) -> list[Table]:
    try:
        record = json.loads(file.read_text())
        if not digests.intersection(one["sha256"] for one in record["models"]):
            raise ConfigError(
                f"{file} is of other models than {model}; evaluate this one, or leave --evaluation out"
            )
        return reader(record)
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}; check the path") from error
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise DataError(
            f"{file} holds no results of this version's 'fedfr evaluate' ({error!r}); run it again"
        ) from error


def _pairs(record: Mapping[str, Any], digests: set[str]) -> list[Table]:
    ours = [one["path"] for one in record["models"] if one["sha256"] in digests]
    called = tuple(name for path in ours for name in (path, Path(path).name))
    source = (
        f"{record['pairs']['count']:,} pairs of {Path(record['pairs']['path']).name}, "
        f"store {record['store']['digest'][:12]} (terms: {_licence(record)})"
    )
    note = f"Measured on {_names(record, digests)}. {_DAGGER}"
    return [_pairs_table(one, source, note) for one in record["results"] if one["name"].startswith(called)]


def _pairs_table(result: Mapping[str, Any], source: str, note: str) -> Table:
    trials = (f"{result['mated_pairs']:,}", f"{result['non_mated_pairs']:,}")
    accuracy = result["accuracy"] if result["folds"] else result["best_accuracy"]
    rows: list[tuple[str, ...]] = [("accuracy", percent(accuracy), DASH, *trials)]
    rows += [_row("TAR@FAR", rate) for rate in result["rates"]]
    return Table(f"Pairs: {source}", _HEADER, tuple(rows), (note,))


def _personalised(record: Mapping[str, Any], client: str | None, digests: set[str]) -> list[Table]:
    results = [one for one in record["results"] if one["reading"] == "standard"] or record["results"]
    fitting = [one for one in results if (one["name"] == GENERIC) == (client is None)]
    source = (
        f"store {record['store']['digest'][:12]} (terms: {_licence(record)}), split seed "
        f"{record['split']['seed']}, measured on {_names(record, digests)}. {_DAGGER}"
    )
    return [_personalised_table(one, client, source) for one in fitting]


def _personalised_table(result: Mapping[str, Any], client: str | None, source: str) -> Table:
    rates = result
    if client is not None:
        rates = next(one for one in result["clients"] if one["client"] == client)
    rows = [_row("TAR@FAR", rate) for rate in rates["verification"]]
    rows += [_row("TPIR@FPIR", rate) for rate in rates["identification"]]
    people = client or f"Mean over {len(result['clients'])} clients"
    title = f"Personalised protocol, {result['reading']} reading: {result['name']}"
    return Table(title, _HEADER, tuple(rows), (f"{people}; {source}",))


def _names(record: Mapping[str, Any], digests: set[str]) -> str:
    """The files that were measured: a checkpoint and what is exported from it differ a little."""
    return ", ".join(Path(one["path"]).name for one in record["models"] if one["sha256"] in digests)


_HEADER = ("rate", "%", "95 %", "mated trials", "non-mated")
_DAGGER = "†: rests on fewer than ten false accepts."


def _row(kind: str, rate: Mapping[str, Any]) -> tuple[str, ...]:
    value, span = DASH, DASH
    if rate["carried"] and rate["value"] is not None:
        value = percent(rate["value"]) + ("" if rate["supported"] else " †")
        interval = rate.get("interval")
        if interval is not None:
            span = f"{percent(interval['low'])} … {percent(interval['high'])}"
    # Of one client, or the least and most over clients.
    mated = rate.get("trials_per_client") or [rate["trials"]]
    non_mated = rate.get("non_mated_per_client") or [rate["non_mated"]]
    trials = (" to ".join(f"{count:,}" for count in sorted(set(counts))) for counts in (mated, non_mated))
    return (f"{kind} {rate_text(rate['far_target'])}", value, span, *trials)


def _licence(record: Mapping[str, Any]) -> str:
    return record["store"].get("licence") or "unknown"
