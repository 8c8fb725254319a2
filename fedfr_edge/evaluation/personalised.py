"""The personalised protocol of FedFR: how well a device knows its own people among strangers.

A client's own images of test are compared with each other and with the test images of all other
clients, in the embedding space of that client's model; rates are averaged over the clients.

=============  ===========================  ======================  ================================
               *standard*                   *paper*                 *reference*
=============  ===========================  ======================  ================================
1:1 mated      all pairs of one local person's images: 78,000 for 100 people × 40
-------------  -------------------------------------------------------------------------------------
1:1 non-mated  local × other clients'       local × other clients'  as *standard*
               images **and** pairs of two  images: 624.0 M
               local people: 631.92 M
1:1 rates      exact                        exact                   off 2,001 bins (:mod:`.reference`)
1:N gallery    mean of a person's training  as *standard*           the same mean, left unscaled
               embeddings, scaled to unit
               length
1:N rates      ISO/IEC 19795                as *standard*           the published code's
               (:mod:`.identification`)                             (:mod:`.identification`)
=============  ===========================  ======================  ================================

The standard reading counts two people of one household as impostors of one another, which a login
has to withstand too (the published code does so as well; the paper's text does not). On 1:N the paper
says no more than that the mean of a person's training features is the gallery, that all 160,000 test
images are probes, and that TPIR at FPIR is reported; these are the standard's words, so they are read
as the standard defines them. *reference* is what the published code computes, to reproduce its figures.
Counts are those of the paper's setting, 40 clients with 100 people and 40 test images each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import DataError
from fedfr_edge.evaluation.bootstrap import People, Resampling, Weights
from fedfr_edge.evaluation.embedding import OneSpace, Shares, SpacesEncoder, embed_rows
from fedfr_edge.evaluation.hardest import hard_pairs
from fedfr_edge.evaluation.identification import Searches, mean_templates, search_all
from fedfr_edge.evaluation.metrics import Rate, carried_rates
from fedfr_edge.evaluation.outcome import (
    PLOT_BINS,
    PLOT_FMRS,
    PLOT_FPIRS,
    ClientResult,
    PersonalisedResult,
    Reading,
)
from fedfr_edge.evaluation.products import HostProducts, Products
from fedfr_edge.evaluation.reference import non_mated_counts, reference_counts, reference_rate
from fedfr_edge.evaluation.replicates import ClientTrials, with_intervals
from fedfr_edge.evaluation.tail import ScoreTail, bin_counts
from fedfr_edge.evaluation.verification import (
    Comparisons,
    guess_floor,
    mated_pairs,
    pair_counts,
    sweep,
    sweep_within,
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
        others: all other clients' test images, with ``others_labels``.
    """

    gallery: Embeddings
    gallery_labels: Labels
    local: Embeddings
    local_labels: Labels
    others: Embeddings
    others_labels: Labels


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
        non_mated = local * others + (0 if reading == "paper" else between_local)
        counts[client] = TrialCounts(mated, non_mated, local, others)
    return counts


def evaluate_client(
    client: str,
    embeddings: ClientEmbeddings,
    *,
    readings: Sequence[Reading] = ("standard",),
    fars: Sequence[float] = FARS,
    fpirs: Sequence[float] = FPIRS,
    drawn: People | None = None,
    products: Products | None = None,
) -> list[ClientResult]:
    """All rates of one client from embeddings, one result per reading, in their order.

    Args:
        client: its name.
        embeddings: what its model made of the images.
        readings: see the module.
        fars: 1:1 false-accept rates.
        fpirs: 1:N false-positive identification rates.
        drawn: with intervals: how often each of its people (``left``, by rising gallery label) and each
            stranger (``right``, by rising label) was drawn.
        products: what makes the scores of pairs; numpy if not given.

    Raises:
        DataError: no test images, no strangers' images, embeddings of different lengths, or a local person
            with test images but no training image.
    """
    _check(client, embeddings)
    mated, first, second = mated_pairs(embeddings.local, embeddings.local_labels)
    trials = ClientTrials.of(
        embeddings.gallery_labels, embeddings.local_labels, embeddings.others_labels, first, drawn
    )
    searches: dict[bool, Searches] = {}
    found: dict[Reading, ClientResult] = {}
    for reading, tail in _tails(embeddings, readings, fars, products or HostProducts()):
        of_reference = reading == "reference"
        if of_reference not in searches:
            searches[of_reference] = _search(embeddings, fpirs, of_reference)
        search, comparisons = searches[of_reference], Comparisons(mated, tail)
        verification = tuple(
            _reference_rates(embeddings, comparisons, fars)
            if of_reference
            else (comparisons.rate(far) for far in fars)
        )
        rate = search.reference_rate if of_reference else search.standard_rate
        curve = search.reference_curve if of_reference else search.standard_curve
        result = ClientResult(
            client=client,
            verification=verification,
            identification=tuple(rate(fpir) for fpir in fpirs),
            rank_one=search.rank_one_rate,
            gallery=len(trials.people),
            tar_curve=comparisons.tar_curve(PLOT_FMRS),
            mated_histogram=bin_counts(mated, PLOT_BINS),
            non_mated_histogram=tail.histogram(PLOT_BINS),
            tpir_curve=curve(PLOT_FPIRS),
            hardest=hard_pairs(tail, mated, first, second, trials),
            people=int(np.count_nonzero(np.bincount(trials.mated_person))),
        )
        found[reading] = with_intervals(result, reading, comparisons, search, trials) if drawn else result
    return [found[reading] for reading in readings]


def _tails(
    embeddings: ClientEmbeddings, readings: Sequence[Reading], fars: Sequence[float], products: Products
) -> Iterator[tuple[Reading, ScoreTail]]:
    """The non-mated scores of each reading, from one sweep: one reading's are among the next one's.

    A pair's place is ``i * width + j``: row i of the client's own test images, and row j of all test
    images, strangers' first.
    """
    local, others = len(embeddings.local), len(embeddings.others)
    only_paper = set(readings) == {"paper"}
    between_local = 0 if only_paper else pair_counts(embeddings.local_labels)[1]
    total, width = local * others + between_local, local + others
    own, strangers = products.put(embeddings.local), products.put(embeddings.others)
    keep = ScoreTail.for_rates(total, tuple(fars)).keep
    for floor in (guess_floor(embeddings.local, embeddings.others, total, keep), -math.inf):
        tail = ScoreTail.for_rates(total, tuple(fars), floor=floor, places=local * width)
        sweep(tail, products, own, strangers, column=0, width=width)
        if tail.complete:
            break
    if "paper" in readings:
        yield "paper", tail
    if not only_paper:
        sweep_within(tail, products, own, embeddings.local_labels, column=others, width=width)
        yield from ((reading, tail) for reading in ("standard", "reference") if reading in readings)


def _search(embeddings: ClientEmbeddings, fpirs: Sequence[float], of_reference: bool) -> Searches:
    templates, people = mean_templates(
        embeddings.gallery, embeddings.gallery_labels, renormalise=not of_reference
    )
    return search_all(
        templates,
        people,
        embeddings.local,
        embeddings.local_labels,
        embeddings.others,
        reference_fpirs=tuple(fpirs) if of_reference else (),
    )


def _reference_rates(
    embeddings: ClientEmbeddings, comparisons: Comparisons, fars: Sequence[float]
) -> list[Rate]:
    counts = non_mated_counts(embeddings.local, embeddings.local_labels, embeddings.others)
    return [reference_rate(reference_counts(comparisons.mated), counts, far) for far in fars]


def _check(client: str, embeddings: ClientEmbeddings) -> None:
    if not len(embeddings.local):
        raise DataError(
            f"{client} has no test images, expected some of each of its people; leave the client out of the "
            "split, or make the split anew with test images for everybody"
        )
    if not len(embeddings.others):
        raise DataError(
            f"{client} is the only client with test images; the personalised protocol takes its "
            "strangers from other clients: split the store over at least two"
        )
    dims = {part.shape[1] for part in (embeddings.gallery, embeddings.local, embeddings.others) if len(part)}
    if len(dims) > 1:
        raise DataError(
            f"the embeddings of {client} have lengths {', '.join(map(str, sorted(dims)))}, expected one "
            "length; compare images by one model only"
        )
    lost = np.setdiff1d(embeddings.local_labels, embeddings.gallery_labels)
    if lost.size:
        raise DataError(
            f"{lost.size} people of {client} have test images but no training image to enrol, "
            f"the first is identity {lost[0]}; give each person at least one"
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
    resampling: Resampling | None = None,
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
        resampling: how people are drawn for the intervals; None for no intervals.
        progress: told of embedding and scoring.
    """
    title = name or next(iter(encoders.values())).name
    wrapped = {id(encoder): OneSpace(encoder, title) for encoder in encoders.values()}
    models = {client: wrapped[id(encoder)] for client, encoder in encoders.items()}
    (result,) = evaluate_models(
        models,
        images,
        labels,
        clients,
        readings=(reading,),
        fars=fars,
        fpirs=fpirs,
        resampling=resampling,
        progress=progress,
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
    resampling: Resampling | None = None,
    products: Products | None = None,
    image_name: Callable[[int], str] = lambda row: f"row {row}",
    progress: Progress = no_progress,
) -> list[PersonalisedResult]:
    """Every space of every client's model, in every reading, from one pass over the images.

    Args:
        models: client name -> its model, for every client of ``clients``.
        images: uint8 (n, 112, 112, 3), may be a memory map.
        labels: int64 (n,).
        clients: client name -> its rows.
        readings: see the module.
        fars: 1:1 false-accept rates; by default those of :data:`FARS` that the trials carry.
        fpirs: 1:N false-positive identification rates; by default likewise.
        resampling: how people are drawn for the intervals; None for no intervals.
        products: what makes the scores of pairs; numpy if not given.
        image_name: what errors call the image of a row.
        progress: told of embedding and scoring.

    Returns:
        Results ordered by reading, then by the order of the models' names.

    Raises:
        DataError: a client without a model or without test images, or see :func:`evaluate_client`.
        ModelError: an embedding that is not finite or not of unit length.
    """
    missing = sorted(set(clients) - set(models))
    if missing:
        raise DataError(f"no model for {', '.join(missing)}; give every client of the split one")
    empty = sorted(client for client, rows in clients.items() if not len(rows.probes))
    if empty:
        raise DataError(
            f"{', '.join(empty)} of {len(clients)} clients have no test images, expected some of each of "
            "their people; make the split anew with test images for everybody"
        )
    _check_apart(clients, labels)
    drawn = _drawn(clients, labels, resampling)
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
        spaces = embed_rows(model, images, rows, embedding.add, image_name)
        for client in members:
            for space, embeddings in zip(names, spaces, strict=True):
                part = _part_of_client(clients[client], probes, rows, embeddings, labels)
                outcomes = evaluate_client(
                    client,
                    part,
                    readings=readings,
                    fars=fars,
                    fpirs=fpirs,
                    drawn=drawn.get(client),
                    products=products,
                )
                for reading, outcome in zip(readings, outcomes, strict=True):
                    others = np.setdiff1d(probes, clients[client].probes)
                    moved = outcome.hardest.moved(np.concatenate([others, clients[client].probes]))
                    found.setdefault((reading, space), []).append(replace(outcome, hardest=moved))
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
        others_labels=labels[others],
    )


def _drawn(
    clients: Mapping[str, ClientRows], labels: Labels, resampling: Resampling | None
) -> dict[str, People]:
    """For every client how often its people and its strangers are drawn, jointly; none without resampling."""
    if resampling is None:
        return {}
    own: dict[str, Weights] = {}
    probed: dict[str, Labels] = {}
    columns: dict[str, npt.NDArray[np.int64]] = {}
    for client, rows in sorted(clients.items()):
        people = np.unique(labels[rows.gallery])
        own[client] = resampling.weights(client, len(people))
        probed[client] = np.unique(labels[rows.probes])
        columns[client] = np.searchsorted(people, probed[client])
    drawn = {}
    for client in own:
        others = [other for other in own if other != client]
        strangers = np.concatenate([probed[other] for other in others]) if others else np.zeros(0)
        weights = [own[other][:, np.minimum(columns[other], own[other].shape[1] - 1)] for other in others]
        order = np.argsort(strangers, kind="stable")
        right = np.concatenate(weights, axis=1)[:, order] if others else own[client][:, :0]
        drawn[client] = People(own[client], right)
    return drawn
