"""How accurate the files of one model are, side by side, on faces that their thresholds are not taken from.

The faces are the test images of the split's clients, compared as the personalised protocol does
(*standard* reading of :mod:`fedfr_edge.evaluation.personalised`, 1:1): each of a client's own images
with its other ones and with those of all other clients; TAR at one FAR, mean over the clients. A generic
model is measured on all clients, a personal one on its own. Where there is no split, or the client is
not in it, the calibration faces take their place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedfr_edge.data.split import Split
from fedfr_edge.data.store import FaceStore
from fedfr_edge.evaluation.metrics import LEAST_FALSE_ACCEPTS, allowed_false_accepts, tar_at_far
from fedfr_edge.recognition.calibrate import count_impostors
from fedfr_edge.recognition.manifest import DEFAULT_FAR
from fedfr_edge.types import AlignedFaces, Embeddings, Labels

from .calibration import Calibration

MAX_JUDGES = 2000
"""Default for the most faces to judge with."""

_FARS = (DEFAULT_FAR, 1e-2, 1e-1)


@dataclass(frozen=True)
class Judges:
    """Faces by which the files of one model are compared.

    Attributes:
        faces: uint8 (n, 112, 112, 3) RGB.
        labels: int64 (n,), whose face each is.
        clients: client -> bool (n,), which faces are its own; its model is measured on them.
        source: whose faces these are, in words.
    """

    faces: AlignedFaces
    labels: Labels
    clients: Mapping[str, npt.NDArray[np.bool_]]
    source: str

    @property
    def far(self) -> float:
        """The FAR to measure at: that of a login, or the next milder one that ten false accepts support."""
        fewest = min(self._non_mated(own) for own in self.clients.values())
        for far in _FARS:
            if allowed_false_accepts(fewest, far) >= LEAST_FALSE_ACCEPTS:
                return far
        return _FARS[-1]

    def accuracy(self, embeddings: Embeddings) -> float:
        """TAR at :attr:`far`, 0 to 1, mean over the clients; NaN without two images of one person.

        Args:
            embeddings: float32 (n, d), unit rows, of ``faces``.
        """
        far = self.far
        values = [self._of_client(embeddings, own, far) for own in self.clients.values()]
        known = [value for value in values if not math.isnan(value)]
        return sum(known) / len(known) if known else math.nan

    def _of_client(self, embeddings: Embeddings, own: npt.NDArray[np.bool_], far: float) -> float:
        scores = embeddings[own] @ embeddings.T
        same = self.labels[own, None] == self.labels[None, :]
        # Each pair of the client's own images once: its column lies behind its row.
        counted = ~own[None, :] | (np.flatnonzero(own)[:, None] < np.arange(len(own)))
        non_mated = scores[counted & ~same]
        if not len(non_mated):
            return math.nan
        return tar_at_far(scores[counted & same], non_mated, far).value

    def _non_mated(self, own: npt.NDArray[np.bool_]) -> int:
        count = int(own.sum())
        return count * int((~own).sum()) + count_impostors(self.labels[own])


def choose_judges(
    store: FaceStore,
    split: Split | None,
    calibration: Calibration,
    *,
    client: str | None,
    limit: int = MAX_JUDGES,
    seed: int = 0,
) -> Judges:
    """Test images of the split's clients, person by person until there are ``limit`` faces.

    Args:
        store: where the faces are.
        split: whose clients; None takes faces of ``calibration``.
        calibration: the public faces.
        client: whose personal model is measured; half of the faces are then of its people. None for a
            generic model.
        limit: about so many faces at most.
        seed: of the order in which people are drawn.
    """
    rows: dict[str, npt.NDArray[np.int64]] = {}
    if split is not None:
        found = {name: split.client_rows(store, name, "test") for name in sorted(split.clients)}
        rows = {name: of_client for name, of_client in found.items() if len(of_client)}
    if not rows or (client is not None and client not in rows):
        return _of_calibration(calibration, limit, seed)
    rng = np.random.default_rng(seed)
    if client is None:
        chosen = _draw(np.concatenate(list(rows.values())), store.labels, limit, rng)
    else:
        others = [of_client for name, of_client in rows.items() if name != client]
        chosen = _draw(rows[client], store.labels, limit // 2, rng)
        if others:
            strangers = _draw(np.concatenate(others), store.labels, limit - limit // 2, rng)
            chosen = np.concatenate([chosen, strangers])
    measured = [name for name in rows if client is None or name == client]
    owned = {name: np.isin(chosen, rows[name]) for name in measured}
    owned = {name: own for name, own in owned.items() if own.any()}
    people = len(np.unique(store.labels[chosen]))
    mated = sum(_mated(store.labels[chosen[own]]) for own in owned.values())
    source = (
        f"{len(chosen)} test images of {people} people of {len(rows)} clients, store {store.digest[:12]}, "
        f"measured for {client or f'{len(owned)} clients'}, {mated:,} mated pairs"
    )
    return Judges(store.images[chosen], store.labels[chosen], owned, source)


def _of_calibration(calibration: Calibration, limit: int, seed: int) -> Judges:
    rows = np.arange(len(calibration.labels), dtype=np.int64)
    chosen = _draw(rows, calibration.labels, limit, np.random.default_rng(seed))
    labels = calibration.labels[chosen]
    source = (
        f"{len(chosen)} of the public faces that the thresholds are taken from, {len(np.unique(labels))} "
        f"people, {_mated(labels):,} mated pairs (no client's test images at hand)"
    )
    return Judges(calibration.faces[chosen], labels, {"public": np.ones(len(chosen), bool)}, source)


def _mated(labels: Labels) -> int:
    """Pairs of images of one person."""
    return math.comb(len(labels), 2) - count_impostors(labels)


def _draw(
    rows: npt.NDArray[np.int64], labels: Labels, limit: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Rows of people drawn one after another, all images of each, while there are at most ``limit``."""
    people = rng.permutation(np.unique(labels[rows]))
    taken: list[npt.NDArray[np.int64]] = []
    for person in people:
        of_person = rows[labels[rows] == person]
        if len(taken) >= 2 and sum(map(len, taken)) + len(of_person) > limit:
            break
        taken.append(of_person)
    return np.sort(np.concatenate(taken))
