"""Measuring one run: its generic model on people nobody trained on, its models on the clients' people."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import console

if TYPE_CHECKING:
    from fedfr_edge.data.split import Split
    from fedfr_edge.data.store import FaceStore
    from fedfr_edge.evaluation.pairs import Pair

    from ..models_for_evaluation import Backend

FARS = (1e-2, 1e-3, 1e-4)
"""False-accept rates at which the generic model is measured, as far as the trials carry them."""


def stranger_rows(store: FaceStore, split: Split) -> npt.NDArray[np.int64]:
    """Rows of the people who are neither public nor a client's, ascending, int64: nobody trained on them."""
    known = {*split.public, *(name for names in split.clients.values() for name in names)}
    strangers = [number for number, name in enumerate(store.identities) if name not in known]
    return np.flatnonzero(np.isin(store.labels, strangers))


def measure_strangers(model: Path, store: FaceStore, split: Split, backend: Backend) -> dict[str, Any] | None:
    """TAR@FAR of a generic model over all pairs of the store's strangers; None where there are too few.

    Raises:
        FedFRError: the model cannot be read or used.
    """
    from fedfr_edge.evaluation.embedding import Shares, embed_rows
    from fedfr_edge.evaluation.metrics import carried_rates
    from fedfr_edge.evaluation.verification import compare_all, pair_counts

    from ..models_for_evaluation import open_generic

    rows = stranger_rows(store, split)
    labels = store.labels[rows]
    mated, non_mated = pair_counts(labels)
    if not mated or not non_mated:
        return None
    encoder, _ = open_generic(model, backend)
    with console.progress_bars() as progress:
        share = Shares(progress, "embedding strangers", len(rows))
        (embeddings,) = embed_rows(encoder, store.images, rows, share.add)
    fars = carried_rates(FARS, non_mated)
    comparisons = compare_all(embeddings, labels, fars)
    return {
        "people": len(np.unique(labels)),
        "images": len(rows),
        "rates": [comparisons.rate(far).to_dict() for far in fars],
    }


def measure_pairs(model: Path, store: FaceStore, pairs: list[Pair], backend: Backend) -> dict[str, Any]:
    """A generic model on a list of pairs; see :func:`fedfr_edge.evaluation.pairs.evaluate_pairs`.

    Raises:
        FedFRError: the model cannot be read or used, or no pair can be scored.
    """
    from fedfr_edge.evaluation.pairs import evaluate_pairs

    from ..models_for_evaluation import GENERIC, open_for_pairs

    (encoder,) = open_for_pairs(model, backend, GENERIC)
    with console.progress_bars() as progress:
        result = evaluate_pairs(encoder, store.images, store.row_of, pairs, progress=progress)
    record = result.to_dict()
    record["missing_images"] = len(result.missing)
    return record


def measure_personalised(
    store: Path,
    split: Path,
    out: Path,
    backend: Backend,
    *,
    run: Path | None = None,
    generic: Path | None = None,
) -> list[dict[str, Any]]:
    """What ``fedfr evaluate personalised`` finds in the standard reading, written to ``out`` too.

    Args:
        store: the store.
        split: its split.
        out: folder of the results.
        backend: what computes.
        run: folder of a run: its generic and all personal models.
        generic: instead, a generic model alone.

    Raises:
        FedFRError: see the command.
    """
    from ..commands.evaluate_personalised import EvaluatePersonalisedConfig, evaluate

    config = EvaluatePersonalisedConfig(
        store=store,
        split=split,
        out=out,
        run=run,
        generic=generic,
        reading="standard",
        device=backend.device,
        threads=backend.threads,
    )
    return [result.to_dict() for result in evaluate(config)]


def sha256_of(path: Path) -> str:
    """Digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
