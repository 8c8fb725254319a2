"""The hardest pairs of faces, fetched from the store that was measured."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedfr_edge.data.store import FaceStore
from fedfr_edge.errors import ConfigError
from fedfr_edge.evaluation.outcome import PersonalisedResult
from fedfr_edge.evaluation.report import FacePair, Faces

from .read import Personalised

SHOWN = 8
"""Pairs of each kind on a page."""

_OPEN = re.compile(r"\s*(CC0|CC[- ]BY|public domain|PDDL|ODC|MIT|Apache|BSD)\b", re.IGNORECASE)
_BUT = re.compile(r"\bN[CD]\b|NonCommercial|NoDerivatives", re.IGNORECASE)


def is_private(licence: str) -> bool:
    """Whether a store's licence does not by itself let others see its faces: only open ones do."""
    return _OPEN.match(licence) is None or _BUT.search(licence) is not None


def open_store(path: Path, *, show_private: bool) -> FaceStore:
    """The store whose faces are to be shown.

    Raises:
        StoreError: it cannot be read.
        ConfigError: its licence does not let its faces be shown, and nobody said ``--show-private``.
    """
    store = FaceStore.open(path)
    licence = str(store.manifest.get("licence") or "not stated")
    if is_private(licence) and not show_private:
        raise ConfigError(
            f"the licence of {path} is {licence!r}, which does not let its faces be shown to others; leave "
            "--faces out, or add --show-private if the page stays with those who may see them"
        )
    return store


def hardest_faces(
    store: FaceStore,
    evaluation: Personalised,
    result: PersonalisedResult,
    name: str,
    far: float,
    left_out: list[str],
) -> Faces:
    """The false accepts with the highest scores and the false rejects with the lowest, over all clients.

    Args:
        store: see :func:`open_store`.
        evaluation: the folder that ``result`` stands in.
        result: the model that is looked at.
        name: what the page calls it.
        far: the 1:1 false-accept rate whose thresholds decide.
        left_out: gets a line about pairs that are not shown.

    Raises:
        ConfigError: another store was measured, or the folder lists no pairs.
    """
    if evaluation.record["store"]["digest"] != store.digest:
        raise ConfigError(
            f"{store.path} is not the store that {evaluation.folder} was measured on; give --faces that one"
        )
    record = next(
        one
        for one in evaluation.record["results"]
        if one["name"] == result.name and one["reading"] == result.reading
    )
    thresholds = {
        client.client: next(rate.threshold for rate in client.verification if rate.far_target == far)
        for client in result.clients
    }
    found: dict[bool, list[FacePair]] = {False: [], True: []}
    for client in record["clients"]:
        if "hardest" not in client:
            raise ConfigError(
                f"{evaluation.folder} was written without its hardest pairs; evaluate the models again"
            )
        threshold = thresholds[client["client"]]
        for kind, mated in (("false_accepts", False), ("false_rejects", True)):
            for pair in client["hardest"][kind]:
                if (pair["score"] < threshold) == mated:
                    found[mated].append(_pair(store, pair, mated, threshold, name, client["client"]))
    shown = []
    for mated, pairs in found.items():
        pairs.sort(key=lambda pair: pair.score if pair.mated else -pair.score)
        chosen = _apart(pairs)[:SHOWN]
        shown += chosen
        if len(pairs) > len(chosen):
            kind = "false rejects" if mated else "false accepts"
            left_out.append(
                f"{len(pairs) - len(chosen)} of {len(pairs)} listed {kind}"
                f" of {name}: the {len(chosen)} hardest are shown, an image at most twice."
            )
    licence = str(store.manifest.get("licence") or "not stated")
    return Faces(shown, licence, is_private(licence))


def _pair(
    store: FaceStore, pair: dict[str, Any], mated: bool, threshold: float, model: str, client: str
) -> FacePair:
    first, second = pair["names"]
    rows = [store.row_of(name) for name in (first, second)]
    if rows[0] is None or rows[1] is None:
        raise ConfigError(
            f"{store.path} has no image {first!r} or {second!r}; give the store that was measured"
        )
    return FacePair(
        first=store.images[rows[0]],
        second=store.images[rows[1]],
        names=(first, second),
        mated=mated,
        score=pair["score"],
        threshold=threshold,
        model=model,
        client=client,
    )


def _apart(pairs: Sequence[FacePair]) -> list[FacePair]:
    """Without those that show an image for the third time: one bad photograph is no eight findings."""
    seen: dict[str, int] = {}
    kept = []
    for pair in pairs:
        if all(seen.get(name, 0) < 2 for name in pair.names):
            kept.append(pair)
            for name in pair.names:
                seen[name] = seen.get(name, 0) + 1
    return kept
