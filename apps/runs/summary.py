"""What is said of a run as a whole: its numbers in short, each client's history, and what it is called."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedfr_edge.federation.traffic import WAYS, traffic_by_client

from .best import best_of, headline_far, loss_curve, model_names, score_curve
from .means import round_means
from .record import RunRecord


def summary(record: RunRecord) -> dict[str, Any]:
    """A run in JSON: what the list shows."""
    far = headline_far(record.scores)
    lowest = best_of(loss_curve(record.rounds), lowest=True)
    scores = {}
    for model in model_names(record.scores):
        curve = score_curve(record.scores, model, far)
        best = best_of(curve)
        if best is not None:
            scores[model] = {
                "last": {"round": max(curve), "value": curve[max(curve)]},
                "best": best.to_dict(),
            }
    return {
        "path": str(record.path),
        "method": record.config.method,
        "profile": record.config.profile,
        "backbone": record.backbone,
        "clients": record.clients,
        "seed": record.seed,
        "done": record.done,
        "rounds": record.last,
        "state": record.state,
        "changed": record.changed,
        "last": round_means(record.rounds[-1]) if record.rounds else None,
        "lowest_loss": None if lowest is None else lowest.to_dict(),
        "far": far,
        "scores": scores,
    }


def client_history(rounds: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What each client did so far.

    Args:
        rounds: lines of ``metrics.jsonl``.

    Returns:
        client id, sorted -> ``answered`` and ``failed`` (rounds), ``last_round`` (that it answered; None: in
        none), ``why`` (its last failure; None: it had none), and the bytes of both ways.
    """
    clients: dict[str, dict[str, Any]] = {}

    def of(client: str) -> dict[str, Any]:
        blank = {"answered": 0, "failed": 0, "last_round": None, "why": None, **dict.fromkeys(WAYS, 0)}
        return clients.setdefault(client, blank)

    for line in rounds:
        for client in line["clients"]:
            of(client)["answered"] += 1
            of(client)["last_round"] = line["round"]
        for client, why in line.get("failed", {}).items():
            of(client)["failed"] += 1
            of(client)["why"] = f"round {line['round']}: {why}"
        for client, told in traffic_by_client(line).items():
            for way, size in told.items():
                of(client)[way] += size
    return dict(sorted(clients.items()))


def short_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Each path without the folders that all of them share."""
    resolved = [path.resolve() for path in paths]
    shared = Path(os.path.commonpath([path.parent for path in resolved])) if resolved else Path()
    return {path: str(whole.relative_to(shared)) for path, whole in zip(paths, resolved, strict=True)}
