"""The personalised protocol of FedFR: how well a device knows its own people among strangers.

A client's own images of test are compared with each other and with the test images of all other
clients, in the embedding space of that client's model; rates are averaged over the clients.

============  ========================================  =========================================
              *standard*                                *paper*
============  ========================================  =========================================
1:1 mated     all pairs of one local person's images    the same: 78,000 for 100 people × 40
1:1 non-mated local × other clients' images **and**     local × other clients' images:
              pairs of two local people: 631.92 M       624.0 M
1:N gallery   mean of a person's training embeddings,   the same mean, left unscaled
              scaled to unit length
1:N rates     ISO/IEC 19795 (:mod:`.identification`)    the published code's
============  ========================================  =========================================

The standard reading counts two people of one household as impostors of one another, which a login
has to withstand too (the published code does so as well; the paper's text does not).
Counts are those of the paper's setting, 40 clients with 100 people and 40 test images each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import DataError
from fedfr_edge.evaluation.embedding import OneSpace, Shares, SpacesEncoder, embed_rows
from fedfr_edge.evaluation.identification import mean_templates, search_all
from fedfr_edge.evaluation.metrics import carried_rates
from fedfr_edge.evaluation.outcome import (
    PLOT_BINS,
    PLOT_FMRS,
    ClientResult,
    PersonalisedResult,
    Reading,
)
from fedfr_edge.evaluation.tail import ScoreTail, bin_counts
from fedfr_edge.evaluation.verification import (
    Comparisons,
    cross_scores,
    mated_scores,
    non_mated_scores,
    pair_counts,
)
from fedfr_edge.types import AlignedFaces, Embeddings, Encoder, Labels, Progress, no_progress

FARS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""1:1 false-accept rates reported by default, as far as the trials carry them."""

FPIRS = (1e-1, 1e-2, 1e-3)
"""1:N false-positive identification rates reported by default, likewise."""


@dataclass(frozen=True)
class ClientRows:
    """Which rows of the image array belong to a client.

    Attributes:
        gallery: int64, training images of its people (they make the 1:N templates).
        probes: int64, test images of the same people.
    """

    gallery: npt.NDArray[np.int64]
    probes: npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClientEmbeddings:
    """What one client's model makes of the images it meets; float32 (n, d) unit rows, int64 labels.

    Attributes:
        gallery: its people's training images, with ``gallery_labels``.
        local: its people's test images, with ``local_labels``.
        others: all other clients' test images.
    """

    gallery: Embeddings
    gallery_labels: Labels
    local: Embeddings
    local_labels: Labels
    others: Embeddings


@dataclass(frozen=True)
class TrialCounts:
    """How many trials one client has.

    Attributes:
        mated: 1:1 mated pairs.
        non_mated: 1:1 non-mated pairs.
        mated_probes: 1:N probes of its own people.
        non_mated_probes: 1:N probes of strangers.
    """

    mated: int
    non_mated: int
    mated_probes: int
    non_mated_probes: int


def count_trials(
    clients: Mapping[str, ClientRows], labels: Labels, reading: Reading
) -> dict[str, TrialCounts]:
    """Every client's number of trials, from the rows alone (nothing is embedded)."""
    total = sum(len(rows.probes) for rows in clients.values())
    counts = {}
    for client, rows in sorted(clients.items()):
        local, others = len(rows.probes), total - len(rows.probes)
        mated, between_local = pair_counts(labels[rows.probes])
        non_mated = local * others + (between_local if reading == "standard" else 0)
        counts[client] = TrialCounts(mated, non_mated, local, others)
    return counts


def evaluate_client(
    client: str,
    embeddings: ClientEmbeddings,
    *,
    reading: Reading = "standard",
    fars: Sequence[float] = FARS,
    fpirs: Sequence[float] = FPIRS,
) -> ClientResult:
    """All rates of one client from embeddings.

    Raises:
        DataError: no strangers' images, or a local person with test images but no training image.
    """
    if not len(embeddings.others):
        raise DataError(
            f"{client} is the only client with test images; the personalised protocol takes its "
            "strangers from other clients: split the store over at least two"
        )
    lost = np.setdiff1d(embeddings.local_labels, embeddings.gallery_labels)
    if lost.size:
        raise DataError(
            f"{lost.size} people of {client} have test images but no training image to enrol, "
            f"the first is identity {lost[0]}; give each person at least one"
        )
    between_local = pair_counts(embeddings.local_labels)[1] if reading == "standard" else 0
    total = len(embeddings.local) * len(embeddings.others) + between_local
    tail = ScoreTail.for_rates(total, tuple(fars))
    for block in cross_scores(embeddings.local, embeddings.others):
        tail.add(block)
    if reading == "standard":
        for block in non_mated_scores(embeddings.local, embeddings.local_labels):
            tail.add(block)
    comparisons = Comparisons(mated_scores(embeddings.local, embeddings.local_labels), tail)
    templates, people = mean_templates(
        embeddings.gallery, embeddings.gallery_labels, renormalise=reading == "standard"
    )
    searches = search_all(
        templates, people, embeddings.local, embeddings.local_labels, embeddings.others, tuple(fpirs)
    )
    rate = searches.standard_rate if reading == "standard" else searches.paper_rate
    return ClientResult(
        client=client,
        verification=tuple(comparisons.rate(far) for far in fars),
        identification=tuple(rate(fpir) for fpir in fpirs),
        rank_one=searches.rank_one_rate,
        gallery=len(people),
        tar_curve=comparisons.tar_curve(PLOT_FMRS),
        mated_histogram=bin_counts(comparisons.mated, PLOT_BINS),
        non_mated_histogram=tail.histogram.reshape(PLOT_BINS, -1).sum(axis=1),
    )


def evaluate_personalised(
    encoders: Mapping[str, Encoder],
    images: AlignedFaces,
    labels: Labels,
    clients: Mapping[str, ClientRows],
    *,
    name: str | None = None,
    reading: Reading = "standard",
    fars: Sequence[float] | None = None,
    fpirs: Sequence[float] | None = None,
    progress: Progress = no_progress,
) -> PersonalisedResult:
    """One encoder per client (the same object for several clients is embedded with only once).

    Args:
        encoders: client name -> its encoder, for every client of ``clients``.
        images: uint8 (n, 112, 112, 3), may be a memory map.
        labels: int64 (n,).
        clients: client name -> its rows.
        name: what to call the result; default is the first encoder's name.
        reading: see the module.
        fars: 1:1 false-accept rates; by default those of :data:`FARS` that the trials carry.
        fpirs: 1:N false-positive identification rates; by default likewise.
        progress: told of embedding and scoring.
    """
    title = name or next(iter(encoders.values())).name
    wrapped = {id(encoder): OneSpace(encoder, title) for encoder in encoders.values()}
    models = {client: wrapped[id(encoder)] for client, encoder in encoders.items()}
    (result,) = evaluate_models(
        models, images, labels, clients, readings=(reading,), fars=fars, fpirs=fpirs, progress=progress
    )
    return result


def evaluate_models(
    models: Mapping[str, SpacesEncoder],
    images: AlignedFaces,
    labels: Labels,
    clients: Mapping[str, ClientRows],
    *,
    readings: Sequence[Reading] = ("standard",),
    fars: Sequence[float] | None = None,
    fpirs: Sequence[float] | None = None,
    progress: Progress = no_progress,
) -> list[PersonalisedResult]:
    """Every space of every client's model, in every reading, from one pass over the images.

    Returns:
        Results ordered by reading, then by the order of the models' names.

    Raises:
        DataError: a client without a model, or see :func:`evaluate_client`.
        ModelError: an embedding that is not finite or not of unit length.
    """
    missing = sorted(set(clients) - set(models))
    if missing:
        raise DataError(f"no model for {', '.join(missing)}; give every client of the split one")
    _check_apart(clients, labels)
    counts = [count for reading in readings for count in count_trials(clients, labels, reading).values()]
    fars = fars or carried_rates(FARS, min(count.non_mated for count in counts))
    fpirs = fpirs or carried_rates(FPIRS, min(count.non_mated_probes for count in counts))
    names = next(iter(models.values())).names
    shown = ", ".join(names)
    found: dict[tuple[Reading, str], list[ClientResult]] = {}
    probes = np.concatenate([rows.probes for _, rows in sorted(clients.items())])
    groups = [
        (
            model,
            members,
            np.unique(np.concatenate([probes, *(clients[client].gallery for client in members)])),
        )
        for model, members in _by_model(models, clients)
    ]
    embedding = Shares(progress, f"embedding ({shown})", sum(len(rows) for _, _, rows in groups))
    scored = 0
    for model, members, rows in groups:
        spaces = embed_rows(model, images, rows, embedding.add)
        for client in members:
            for space, embeddings in zip(names, spaces, strict=True):
                part = _part_of_client(clients[client], probes, rows, embeddings, labels)
                for reading in readings:
                    outcome = evaluate_client(client, part, reading=reading, fars=fars, fpirs=fpirs)
                    found.setdefault((reading, space), []).append(outcome)
            scored += 1
            progress(f"scoring ({shown})", scored, len(clients))
    return [
        PersonalisedResult(
            space, reading, tuple(sorted(found[reading, space], key=lambda result: result.client))
        )
        for reading in readings
        for space in names
    ]


def _by_model(
    models: Mapping[str, SpacesEncoder], clients: Mapping[str, ClientRows]
) -> list[tuple[SpacesEncoder, list[str]]]:
    """Clients grouped by the model object they use, in sorted order."""
    groups: dict[int, tuple[SpacesEncoder, list[str]]] = {}
    for client in sorted(clients):
        groups.setdefault(id(models[client]), (models[client], []))[1].append(client)
    return list(groups.values())


def _check_apart(clients: Mapping[str, ClientRows], labels: Labels) -> None:
    """Strangers must be other people: no identity may have test images in two clients."""
    owner: dict[int, str] = {}
    for client, rows in sorted(clients.items()):
        for identity in np.unique(labels[rows.probes]).tolist():
            if owner.setdefault(identity, client) != client:
                raise DataError(
                    f"identity {identity} has test images in {owner[identity]} and in {client}; "
                    "strangers must be other people: make the split anew"
                )


def _part_of_client(
    rows: ClientRows,
    probes: npt.NDArray[np.int64],
    embedded: npt.NDArray[np.int64],
    embeddings: Embeddings,
    labels: Labels,
) -> ClientEmbeddings:
    """Pick one client's share out of embeddings of the (sorted) rows ``embedded``."""
    others = np.setdiff1d(probes, rows.probes)
    return ClientEmbeddings(
        gallery=embeddings[np.searchsorted(embedded, rows.gallery)],
        gallery_labels=labels[rows.gallery],
        local=embeddings[np.searchsorted(embedded, rows.probes)],
        local_labels=labels[rows.probes],
        others=embeddings[np.searchsorted(embedded, others)],
    )
