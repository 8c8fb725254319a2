"""One round in a few numbers: the one place that says how clients' metrics are put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedfr_edge.federation.traffic import WAYS, traffic_by_client

LOSSES = ("loss", "loss_cos", "loss_con", "loss_bce", "loss_branch", "loss_kd")
"""Loss terms in the order in which they are shown; the first is their weighted sum."""


def round_means(record: Mapping[str, Any]) -> dict[str, float]:
    """Numbers of one round.

    Args:
        record: a line of ``metrics.jsonl``.

    Returns:
        ``clients`` (how many count), ``images`` and ``hard_negatives`` (sums), each loss term that is on
        (mean over the clients, weighted by their images), ``seconds`` (of the whole round), and where
        they were measured ``bytes_up`` and ``bytes_down`` (sums, of clients that were left out too).
    """
    clients = list(record["clients"].values())
    means = {
        "clients": float(len(clients)),
        "images": float(sum(metrics["images"] for metrics in clients)),
        "hard_negatives": float(sum(metrics.get("hard_negatives", 0.0) for metrics in clients)),
        "seconds": float(record["seconds"]),
    }
    traffic = traffic_by_client(record).values()
    for way in WAYS:
        if any(way in told for told in traffic):
            means[way] = float(sum(told.get(way, 0) for told in traffic))
    for term in LOSSES:
        known = [metrics for metrics in clients if term in metrics]
        weight = sum(metrics["images"] for metrics in known)
        if weight:
            means[term] = sum(metrics[term] * metrics["images"] for metrics in known) / weight
    return means


def megabytes(means: Mapping[str, float], way: str) -> str:
    """A round's traffic one way in MB (10⁶ bytes), or a dash where it was not measured."""
    return f"{means[way] / 1e6:.2f}" if way in means else "–"


def client_range(record: Mapping[str, Any], name: str) -> tuple[float, float] | None:
    """The lowest and the highest client of one number; None where no client has it."""
    values = [float(metrics[name]) for metrics in record["clients"].values() if name in metrics]
    return (min(values), max(values)) if values else None
