"""Enrolments with every personal model of a folder: running them, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from fedfr_edge.errors import ConfigError
from fedfr_edge.evaluation.bootstrap import Resampling
from fedfr_edge.evaluation.embedding import embed_rows
from fedfr_edge.evaluation.enrolment import EnrolmentRates, MeanShare, TemplateTrials, enrolment_rates
from fedfr_edge.recognition.enrol_policy import policy_for
from fedfr_edge.recognition.known_rates import GroupRates, KnownRate, KnownRates, Span
from fedfr_edge.recognition.policy import operating_threshold
from fedfr_edge.recognition.template import Combine
from fedfr_edge.types import Embeddings, Progress

from .device import open_encoder
from .enrolment_trials import NEW, NOBODY, TRAINED, UNSEEN, Counted, Rows, images_of, run_trials
from .models_for_evaluation import GENERIC, SPACES, OnnxSpaces

if TYPE_CHECKING:
    from fedfr_edge.data.store import FaceStore
    from fedfr_edge.recognition.encoder import OnnxEncoder

BACKBONE, PERSONAL = SPACES


@dataclass(frozen=True)
class Way:
    """One way to enrol.

    Attributes:
        combine: what is kept of several images.
        drop_outliers: whether images unlike the rest are left out.
        wrong: images of strangers among them.
    """

    combine: Combine
    drop_outliers: bool
    wrong: int


@dataclass(frozen=True)
class Result:
    """One kind of model, one way to enrol, one group of people.

    Attributes:
        model: :data:`PERSONAL`, :data:`BACKBONE` (the same models without their transform) or
            :data:`~.models_for_evaluation.GENERIC`.
        way: see there.
        group: :data:`~.enrolment_trials.TRAINED`, ``NEW`` or ``UNSEEN``; of a generic model the same people.
        rates: means over the clients.
        by_client: each client's own.
        counted: what was left out.
        people: how many, each client's.
        trials: mated and non-mated ones, over the clients.
    """

    model: str
    way: Way
    group: str
    rates: EnrolmentRates
    by_client: dict[str, EnrolmentRates]
    counted: Counted
    people: dict[str, int]
    trials: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "model": self.model,
            **vars(self.way),
            "group": self.group,
            "people": self.people,
            "trials": {"mated": self.trials[0], "non_mated": self.trials[1]},
            "left_out": vars(self.counted),
            "rates": self.rates.to_dict(),
            "clients": {client: rates.to_dict() for client, rates in self.by_client.items()},
        }


@dataclass(frozen=True)
class Opened:
    """A model and its embeddings of all images.

    Attributes:
        path: the file.
        encoder: the model.
        embeddings: in the space in which it decides.
        backbone: in its backbone's.
    """

    path: Path
    encoder: OnnxEncoder
    embeddings: Embeddings
    backbone: Embeddings


@dataclass(frozen=True)
class Outcome:
    """All results, and the models behind them.

    Attributes:
        images: a person was enrolled from.
        results: see :class:`Result`.
        personal: each client's model.
        models: for the record: path, client and hash of every model, the generic one's among them.
    """

    images: int
    results: tuple[Result, ...]
    personal: Mapping[str, Opened]
    models: list[dict[str, Any]]

    def known(self, measured: str) -> list[tuple[Path, KnownRates]]:
        """For each personal model what ``fedfr enrol`` may say of it; without wrong images."""
        found = []
        for client, opened in self.personal.items():
            point = operating_threshold(opened.encoder.manifest)
            by_way: dict[Way, dict[str, GroupRates]] = {}
            for result in self.results:
                if result.model == PERSONAL and not result.way.wrong:
                    rates = result.by_client[client]
                    by_way.setdefault(result.way, {})[result.group] = GroupRates(
                        result.people[client],
                        rates.tar.value,
                        _span(rates.tar),
                        rates.fmr.value,
                        _span(rates.fmr),
                    )
            rates_by_way = tuple(
                KnownRate(way.combine, way.drop_outliers, groups[TRAINED], groups.get(UNSEEN, groups[NEW]))
                for way, groups in by_way.items()
            )
            known = KnownRates(
                opened.encoder.digest, measured, self.images, point.far, point.threshold, rates_by_way
            )
            found.append((opened.path, known))
        return found


def measure(
    store: FaceStore,
    clients: Mapping[str, Rows],
    exported: Path,
    *,
    images: int,
    wrong: int,
    draws: int,
    seed: int,
    fars: Sequence[float],
    resampling: Resampling,
    threads: int,
    progress: Progress,
) -> Outcome:
    """Enrol with every model, in every way, and compare.

    Args:
        store: the faces.
        clients: client -> rows of its people's test images; ``NOBODY`` -> those of people whom no training
            saw, if there are any.
        exported: folder of the models.
        images: that a person is enrolled from.
        wrong: images of strangers that slip in, in half of the ways.
        draws: how often images are drawn.
        seed: of them.
        fars: rates that thresholds are fitted to.
        resampling: how people are drawn anew.
        threads: of a model.
        progress: told of embedding and of ways to enrol.

    Raises:
        ConfigError: a client's model is missing, or of another client; too few images.
        ModelError: a model cannot be opened, or was not calibrated.
    """
    everybody, rows = images_of(clients, store.labels)
    homes = [client for client in clients if client != NOBODY]
    groups = [TRAINED, NEW] + ([UNSEEN] if NOBODY in clients else [])
    personal, generic = _open(store, homes, rows, exported, threads, progress)
    drawn = {
        (client, count): list(everybody.draws(draws, images, count, client, seed))
        for client in homes
        for count in (0, wrong)
    }
    ways = [
        Way(combine, drop, count)
        for count, combine, drop in product((0, wrong), get_args(Combine), (False, True))
    ]
    kinds: dict[str, Mapping[str, Opened]] = {PERSONAL: personal, BACKBONE: personal}
    if generic is not None:
        kinds[GENERIC] = dict.fromkeys(homes, generic)
    results = []
    # The backbone's space is not calibrated: there is no limit below which to leave out, and no threshold.
    steps = [
        (kind, way, group)
        for kind, way, group in product(kinds, ways, groups)
        if not (kind == BACKBONE and way.drop_outliers)
    ]
    for number, (kind, way, group) in enumerate(steps):
        trials: dict[str, TemplateTrials] = {}
        counted, people = Counted(), {}
        for client, opened in kinds[kind].items():
            manifest = opened.encoder.manifest
            trials[client], left_out = run_trials(
                opened.backbone if kind == BACKBONE else opened.embeddings,
                everybody,
                drawn[client, way.wrong],
                home=client,
                group=group,
                policy=policy_for(manifest, combine=way.combine, drop_outliers=way.drop_outliers),
                model_digest=opened.encoder.digest,
                threshold=math.nan if kind == BACKBONE else operating_threshold(manifest).threshold,
                resampling=resampling,
            )
            counted += left_out
            people[client] = trials[client].enrolled.shape[1]
        all_trials = list(trials.values())
        mated = sum(len(each.mated) for each in all_trials)
        non_mated = sum(len(each.non_mated) for each in all_trials)
        results.append(
            Result(
                kind,
                way,
                group,
                enrolment_rates(all_trials, fars, len(everybody.client)),
                {client: enrolment_rates([each], fars, people[client]) for client, each in trials.items()},
                counted,
                people,
                (mated, non_mated),
            )
        )
        progress("enrolments", number + 1, len(steps))
    models = [
        {"path": str(opened.path), "client": client, "sha256": opened.encoder.digest}
        for client, opened in [*personal.items(), *([(None, generic)] if generic is not None else [])]
    ]
    return Outcome(images, tuple(results), personal, models)


def _open(
    store: FaceStore, clients: list[str], rows: Rows, exported: Path, threads: int, progress: Progress
) -> tuple[dict[str, Opened], Opened | None]:
    paths = {client: exported / f"personal-{client}.onnx" for client in clients}
    missing = [path.name for path in paths.values() if not path.is_file()]
    if missing:
        raise ConfigError(
            f"{exported} lacks {', '.join(missing)}, expected a model for each client of the split; export "
            "them there with 'fedfr export personal'"
        )
    generic_path = exported / "generic.onnx"
    every = [*paths.values(), *([generic_path] if generic_path.is_file() else [])]
    opened = []
    for number, path in enumerate(every):
        encoder = open_encoder(path, "cpu", threads)
        backbone, embeddings = embed_rows(OnnxSpaces(encoder), store.images, rows)
        opened.append(Opened(path, encoder, embeddings, backbone))
        progress("models", number + 1, len(every))
    personal = dict(zip(clients, opened, strict=False))
    for client, model in personal.items():
        if model.encoder.manifest.client != client:
            raise ConfigError(
                f"{model.path} is the model of {model.encoder.manifest.client}, expected that of {client}; "
                "give it its client's name"
            )
    return personal, opened[len(clients)] if len(opened) > len(clients) else None


def _span(share: MeanShare) -> Span:
    return None if share.interval is None else (share.interval.low, share.interval.high)
