"""Measuring one run: its generic model on people nobody trained on, its models on the clients' people."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fedfr_edge.types import Embeddings, Labels

from .. import console

if TYPE_CHECKING:
    from fedfr_edge.data.split import Split
    from fedfr_edge.data.store import FaceStore
    from fedfr_edge.evaluation.pairs import Pair

    from ..models_for_evaluation import Backend

FARS = (1e-2, 1e-3, 1e-4)
"""False-accept rates at which the generic model is measured, as far as the trials carry them."""


FPIRS = (1e-1, 1e-2, 1e-3)
"""False-positive identification rates, likewise."""


def stranger_rows(store: FaceStore, split: Split, most: int | None = None) -> npt.NDArray[np.int64]:
    """Rows of the people who are neither public nor a client's, ascending, int64: nobody trained on them.

    Args:
        store: where they are.
        split: says who is trained on.
        most: only so many of them, drawn by the split's seed; None for all.
    """
    from fedfr_edge.data.split_choice import shuffled

    known = {*split.public, *(name for names in split.clients.values() for name in names)}
    names = [name for name in store.identities if name not in known]
    chosen = set(names if most is None else shuffled(names, split.seed, "unseen people")[:most])
    strangers = [number for number, name in enumerate(store.identities) if name in chosen]
    return np.flatnonzero(np.isin(store.labels, strangers))


def measure_strangers(
    model: Path, store: FaceStore, split: Split, backend: Backend, most: int | None = None
) -> dict[str, Any] | None:
    """TAR@FAR of a generic model over all pairs of the store's strangers, and TPIR@FPIR among them.

    None where there are too few. See :func:`search_strangers` for 1:N.

    Raises:
        FedFRError: the model cannot be read or used.
    """
    from fedfr_edge.evaluation.embedding import Shares, embed_rows
    from fedfr_edge.evaluation.metrics import carried_rates
    from fedfr_edge.evaluation.verification import compare_all, pair_counts

    from ..models_for_evaluation import open_generic

    rows = stranger_rows(store, split, most)
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
        "searches": search_strangers(embeddings, labels),
    }


def search_strangers(embeddings: Embeddings, labels: Labels) -> list[dict[str, Any]]:
    """1:N in the standard reading: two galleries, each searched by its own people and by the other's.

    Every second person is in the first gallery, the others in the second (as IJB-C has two): a template is
    the mean of the first half of a person's images, the other half are probes. A rate is the mean of the
    two galleries', with the fewest false accepts of the two beside it.

    Args:
        embeddings: float32 (n, d), unit rows.
        labels: int64 (n,).

    Returns:
        One entry for each rate of :data:`FPIRS` that the probes carry; none where a gallery or its probes
        would be empty.
    """
    from fedfr_edge.evaluation.identification import mean_templates, search_all
    from fedfr_edge.evaluation.metrics import carried_rates

    people, person = np.unique(labels, return_inverse=True)
    counts = np.bincount(person, minlength=len(people))
    # Place of each image among its person's, in the order of rows.
    order = np.argsort(person, kind="stable")
    place = np.empty(len(labels), dtype=np.int64)
    place[order] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    enrolled = place < (counts // 2)[person]
    sides = [(person % 2 == side) & (counts >= 2)[person] for side in (0, 1)]
    fewest = min(int(np.count_nonzero(side & ~enrolled)) for side in sides)
    if not fewest:
        return []
    fpirs = carried_rates(FPIRS, fewest)
    rates = []
    for own, other in (sides, sides[::-1]):
        templates, names = mean_templates(
            embeddings[own & enrolled], labels[own & enrolled], renormalise=True
        )
        probes, strangers = own & ~enrolled, other & ~enrolled
        found = search_all(templates, names, embeddings[probes], labels[probes], embeddings[strangers])
        rates.append([found.standard_rate(fpir) for fpir in fpirs])
    return [
        {
            "far_target": fpir,
            "value": float(np.mean([rate.value for rate in pair])),
            "trials": sum(rate.trials for rate in pair),
            "non_mated": sum(rate.non_mated for rate in pair),
            "false_accepts": min(rate.false_accepts for rate in pair),
        }
        for fpir, pair in zip(fpirs, zip(*rates, strict=True), strict=True)
    ]


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


def measure_ijbc(model: Path, root: Path, out: Path, backend: Backend) -> dict[str, Any]:
    """A generic model on IJB-C, standard reading, as ``fedfr evaluate ijbc`` measures it; written to ``out``.

    Its embeddings, a gigabyte of biometric data for each model, are deleted.

    Raises:
        FedFRError: see the command.
    """
    from ..commands.evaluate_ijbc import EvaluateIjbcConfig, evaluate

    evaluate(
        EvaluateIjbcConfig(
            root=root,
            model=(model,),
            out=out,
            reading="standard",
            device=backend.device,
            threads=backend.threads,
        )
    )
    shutil.rmtree(out / "embeddings", ignore_errors=True)
    record = json.loads((out / "ijbc.json").read_text(encoding="utf-8"))
    (result,) = record["results"]
    (search,) = result["identification"]
    return {
        "rates": result["verification"]["rates"],
        "searches": [
            {
                "far_target": rate["fpir_target"],
                "value": rate["value"],
                "false_accepts": min(
                    gallery["rates"][place]["false_accepts"] for gallery in search["galleries"]
                ),
            }
            for place, rate in enumerate(search["rates"])
        ],
        "missing_images": len(record["faces"]["missing"]),
    }


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
