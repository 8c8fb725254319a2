"""Which public faces a model's thresholds are taken from, and at which false accept rates.

A threshold is only as good as its impostors. Faces that the model was trained on lie further apart than
strangers' do, so thresholds from them let more strangers in than stated; a store of identities that
training did not see gives the honest ones. Which it was stands in the manifest as ``source``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedfr_edge.data.split import Split
from fedfr_edge.data.store import FaceStore
from fedfr_edge.errors import DataError
from fedfr_edge.recognition.calibrate import allowed_false_accepts, calibrate_embeddings, count_impostors
from fedfr_edge.recognition.manifest import MIN_FALSE_ACCEPTS, Threshold
from fedfr_edge.train.public import PUBLIC_CLASSES, PUBLIC_STORES
from fedfr_edge.types import AlignedFaces, Embeddings, Labels

from .requirements import ErrorRates, measure_errors, strict_enough

FARS = (1e-1, 1e-2, 1e-3, 1e-4)
"""False accept rates to calibrate at, as far as the comparisons carry."""

MAX_FACES = 4000
"""Default for the most faces to calibrate with; 4,000 give about eight million comparisons."""


@dataclass(frozen=True)
class Calibration:
    """Faces of public identities; comparisons between different ones are the impostors.

    Attributes:
        faces: uint8 (n, 112, 112, 3) RGB.
        labels: int64 (n,), whose face each is.
        source: whose faces these are, in words, for the manifest.
        fars: false accept rates wished for.
        identities_seen: how many of these identities the model was trained on; None if unknown.
    """

    faces: AlignedFaces
    labels: Labels
    source: str
    fars: Sequence[float] = FARS
    identities_seen: int | None = None


def choose_faces(
    store: FaceStore,
    split: Split | None,
    *,
    metadata: Mapping[str, str] | None = None,
    limit: int = MAX_FACES,
    seed: int = 0,
) -> Calibration:
    """Public faces that training did not see, if there are any; else all public ones.

    The public ones are those of ``split``, or all of ``store`` where there is no split.

    Args:
        store: where the faces are.
        split: whose public identities to take; clients' faces are never used.
        metadata: the model's, which may name the identities that it was trained on: two or more others
            (``fedfr pretrain --validation`` keeps some) are then taken alone. How many of the chosen
            ones were trained on stands in ``source``.
        limit: at most so many faces, drawn with ``seed``.
        seed: of the draw.

    Raises:
        SplitError: ``split`` was made for another store.
        DataError: ``limit`` below 2.
    """
    if limit < 2:
        raise DataError(f"calibration with {limit} faces asked for, expected at least 2; give more")
    rows = np.arange(len(store), dtype=np.int64) if split is None else split.public_rows(store)
    whose = f"identities of store {store.digest[:12]}"
    if split is not None:
        whose = f"public {whose}, split seed {split.seed}"
    trained = _trained_on(metadata or {}, store)
    if trained:
        unseen = np.array([name not in trained for name in store.identities], dtype=bool)
        others = rows[unseen[store.labels[rows]]]
        if len(np.unique(store.labels[others])) >= 2:
            rows = others
    drawn = ""
    if len(rows) > limit:
        drawn = f" drawn from {len(rows)} with seed {seed}"
        rows = np.sort(np.random.default_rng(seed).choice(rows, size=limit, replace=False))
    labels = store.labels[rows]
    people = {store.identities[label] for label in np.unique(labels)}
    source = f"{len(rows)} faces{drawn} of {len(people)} {whose}"
    seen = None if trained is None else len(people & trained)
    if seen is not None:
        source += f"; training saw {seen} of these identities"
    return Calibration(store.images[rows], labels, source, identities_seen=seen)


def _trained_on(metadata: Mapping[str, str], store: FaceStore) -> set[str] | None:
    """Identities of ``store`` that a model with these metadata was trained on; None if they do not say."""
    try:
        stores, names = json.loads(metadata[PUBLIC_STORES]), json.loads(metadata[PUBLIC_CLASSES])
    except (KeyError, ValueError):
        return None
    return set(names) & set(store.identities) if store.digest in stores else set()


@dataclass(frozen=True)
class Calibrated:
    """What a model's public faces say.

    Attributes:
        thresholds: by falling FAR.
        errors: FMR and FNMR at the threshold that :mod:`.requirements` asks for; None if there is none.
    """

    thresholds: tuple[Threshold, ...] = ()
    errors: ErrorRates | None = None


NOT_CALIBRATED = Calibrated()


def calibrate_model(embed: Callable[[AlignedFaces], Embeddings], calibration: Calibration) -> Calibrated:
    """Thresholds at those of ``calibration.fars`` that at least ten false accepts can stand behind.

    Args:
        embed: the exported model itself.
        calibration: the faces to compare with one another.

    Raises:
        DataError: too few comparisons for any of the rates.
    """
    trials = count_impostors(calibration.labels)
    fars = [
        far for far in calibration.fars if trials and allowed_false_accepts(far, trials) >= MIN_FALSE_ACCEPTS
    ]
    if not fars:
        people = len(np.unique(calibration.labels))
        raise DataError(
            f"{len(calibration.faces)} faces of {people} identities give {trials} comparisons, too few for a "
            f"threshold at any of {', '.join(f'{far:g}' for far in calibration.fars)} (a FAR f needs "
            f"{MIN_FALSE_ACCEPTS}/f); give more public identities, or export with --uncalibrated"
        )
    embeddings = embed(calibration.faces)
    thresholds = calibrate_embeddings(embeddings, calibration.labels, fars, calibration.source)
    strict = strict_enough(thresholds)
    errors = None if strict is None else measure_errors(embeddings, calibration.labels, strict)
    return Calibrated(thresholds, errors)
