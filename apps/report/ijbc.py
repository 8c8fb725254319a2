"""IJB-C's results as tables, from ``ijbc.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedfr_edge.errors import ConfigError, DataError
from fedfr_edge.evaluation.metrics import LEAST_FALSE_ACCEPTS
from fedfr_edge.evaluation.tables import FOOTNOTE, Table, percent, rate_text

from .read import Ijbc


def ijbc_tables(found: Sequence[Ijbc], labels: Sequence[str], left_out: list[str]) -> list[Table]:
    """1:1, and 1:N in each reading; every model of every folder a row.

    Raises:
        ConfigError: other faces or settings in one folder than in another.
        DataError: a file lacks what it should hold.
    """
    for other in found[1:]:
        if any(
            found[0].record.get(key) != other.record.get(key)
            for key in ("templates", "faces", "detector_score")
        ):
            raise ConfigError(
                f"{found[0].folder} and {other.folder} were measured on other faces of IJB-C or pooled "
                "otherwise, so their figures cannot stand side by side; report them apart"
            )
    try:
        rows = [
            (f"{label} {result['name']}".strip(), result)
            for one, label in zip(found, labels, strict=True)
            for result in one.record["results"]
        ]
        for one in found[:1]:
            missing = len(one.record["faces"]["missing"])
            if missing:
                left_out.append(
                    f"{missing:,} of {one.record['faces']['listed']:,} faces of IJB-C, missing or damaged."
                )
        tables = [_verification(rows, left_out)] + [
            _identification(rows, reading, left_out)
            for reading in dict.fromkeys(
                part["reading"] for _, result in rows for part in result["identification"]
            )
        ]
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        file: Path = found[0].folder / "ijbc.json"
        raise DataError(f"cannot read {file} ({error!r}); restore the file or evaluate again") from error
    return [table for table in tables if table is not None]


def _verification(rows: Sequence[tuple[str, Any]], left_out: list[str]) -> Table | None:
    parts = [(name, result["verification"]) for name, result in rows if result["verification"] is not None]
    if not parts:
        return None
    first = parts[0][1]
    header = ("model", *(f"TAR@FAR {rate_text(rate['far_target'])}" for rate in first["rates"]))
    body = tuple((name, *(_rate(rate) for rate in part["rates"])) for name, part in parts)
    if first["left_out_pairs"]:
        left_out.append(f"{first['left_out_pairs']:,} template pairs of IJB-C, for want of their images.")
    note = (
        f"Per cent. {first['mated_pairs']:,} mated and {first['non_mated_pairs']:,} non-mated template pairs."
    )
    return Table("IJB-C, 1:1", header, body, (note, *_footnote(body)))


def _identification(rows: Sequence[tuple[str, Any]], reading: str, left_out: list[str]) -> Table | None:
    parts = [
        (name, part)
        for name, result in rows
        for part in result["identification"]
        if part["reading"] == reading
    ]
    if not parts:
        return None
    first = parts[0][1]
    header = (
        "model",
        *(f"TPIR@FPIR {rate_text(rate['fpir_target'])}" for rate in first["rates"]),
        *(f"rank {rank}" for rank in first["retrieval"]),
    )
    body = []
    for name, part in parts:
        cells = []
        for place, rate in enumerate(part["rates"]):
            fewest = min(gallery["rates"][place]["false_accepts"] for gallery in part["galleries"])
            cells.append(_share(rate["value"]) + ("" if fewest >= LEAST_FALSE_ACCEPTS else f" †{fewest}"))
        body.append((name, *cells, *(_share(value) for value in part["retrieval"].values())))
    sizes = "; ".join(
        f"{one['gallery']}: {one['people']:,} people, {one['mated_probes']:,} mated and "
        f"{one['non_mated_probes']:,} non-mated probes"
        for one in first["galleries"]
    )
    lost = sum(one["left_out_probes"] for one in first["galleries"])
    if lost and reading == "standard":
        left_out.append(f"{lost:,} probes of IJB-C, for want of their images or their mates'.")
    how = (
        "mean of the galleries, each searched on its own"
        if reading == "standard"
        else "galleries joined as in the published code, which is a closed set: no FPIR of the standard"
    )
    return Table(
        f"IJB-C, 1:N, {reading} reading",
        header,
        tuple(body),
        (f"Per cent, {how}. {sizes}.", *_footnote(body)),
    )


def _rate(rate: Mapping[str, Any]) -> str:
    return _share(rate["value"]) + ("" if rate["supported"] else f" †{rate['false_accepts']}")


def _share(value: float | None) -> str:
    return "–" if value is None else percent(value)


def _footnote(body: Sequence[Sequence[str]]) -> tuple[str, ...]:
    return (FOOTNOTE,) if any("†" in cell for row in body for cell in row) else ()
