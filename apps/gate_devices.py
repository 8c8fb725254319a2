"""The devices that ``fedfr evaluate gates`` plays: people enrolled, logins, strangers, ways to decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedfr_edge.data.split import Split
from fedfr_edge.data.store import FaceStore
from fedfr_edge.errors import ConfigError, DataError
from fedfr_edge.evaluation.gates import Device, Probes, Way
from fedfr_edge.evaluation.identification import mean_templates
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.types import AlignedFaces, Embeddings, Labels

STRANGERS, OTHERS = "strangers", "other clients' people"


@dataclass(frozen=True, eq=False)
class Stage:
    """What all devices share.

    Attributes:
        store: of the clients' and the public people.
        split: who is who.
        strangers: people who are in no client.
        generic: to be a second gate, too.
        enrol: training images of a template.
        second: shares of public images that a second gate lets through.
        frames: (k, n).
    """

    store: FaceStore
    split: Split
    strangers: FaceStore
    generic: OnnxEncoder | None
    enrol: int
    second: Sequence[float]
    frames: Sequence[tuple[int, int]]

    @property
    def least(self) -> int:
        """Images that a stranger must have."""
        return max([n for _, n in self.frames], default=1)


def play_device(stage: Stage, encoder: OnnxEncoder) -> tuple[Device, list[Way]]:
    """Enrol one client's people, let everybody try, and set the second gates' thresholds.

    Args:
        stage: what all devices share.
        encoder: the client's personal model.

    Raises:
        ConfigError: the model is no client's of the split.
        DataError: no stranger has enough images.
    """
    store, split, client = stage.store, stage.split, encoder.manifest.client
    if client is None or client not in split.clients:
        raise ConfigError(
            f"{encoder.path} is the model of {client or 'nobody'}, expected that of a client of the split "
            f"({', '.join(split.clients)}); give exported personal models"
        )
    enough = np.bincount(stage.strangers.labels) >= stage.least
    outside = np.flatnonzero(enough[stage.strangers.labels])
    if not len(outside):
        raise DataError(
            f"nobody in {stage.strangers.path} has {stage.least} images; give another store or fewer --frames"
        )
    door = _Door(stage, encoder, client)
    public = split.public_rows(store)
    calibration = door.search(
        store.images[public], store.labels[public], {"public": np.unique(store.labels[public])}
    )
    ways = [Way("one gate")]
    for space, scores in calibration.second.items():
        for rate in stage.second:
            limit = float(np.quantile(scores, 1 - rate))
            ways.append(Way(f"{space} lets {100 * rate:g} % pass", space=space, limit=limit))
    # Frames with one gate, and with each second one at the first of its rates.
    gates = [ways[0], *ways[1 :: len(stage.second)]]
    for k, n in stage.frames:
        for way in gates:
            name = f"{k} of {n} frames" + ("" if way.space is None else f", {way.name}")
            ways.append(Way(name, k, n, way.space, way.limit))
    labels = stage.strangers.labels[outside]
    strangers = door.search(stage.strangers.images[outside], labels, {STRANGERS: np.unique(labels)})
    others = door.search(*_tests(stage, [name for name in split.clients if name != client]))
    genuine = door.search(*_tests(stage, [client]), mated=True)
    return Device(client, genuine, {STRANGERS: strangers, OTHERS: others}), ways


def _tests(stage: Stage, clients: Sequence[str]) -> tuple[AlignedFaces, Labels, dict[str, Labels]]:
    """These clients' test images, whose they are, and each client's people."""
    rows = {name: stage.split.client_rows(stage.store, name, "test") for name in clients}
    chosen = np.concatenate(list(rows.values()))
    drawn = {name: np.unique(stage.store.labels[own]) for name, own in rows.items()}
    return stage.store.images[chosen], stage.store.labels[chosen], drawn


class _Door:
    """One client's model and templates."""

    def __init__(self, stage: Stage, encoder: OnnxEncoder, client: str) -> None:
        self._encoder, self._generic = encoder, stage.generic
        rows = stage.split.client_rows(stage.store, client, "train")
        labels = stage.store.labels[rows]
        self._people = np.unique(labels)
        chosen = np.concatenate([rows[labels == label][: stage.enrol] for label in self._people])
        spaces = self._spaces(stage.store.images[chosen])
        whose = stage.store.labels[chosen]
        self._templates = {
            space: mean_templates(faces, whose, renormalise=True)[0] for space, faces in spaces.items()
        }

    def _spaces(self, faces: AlignedFaces) -> dict[str, Embeddings]:
        """The model's own first."""
        backbone, own = self._encoder.embed_both(np.asarray(faces))
        found = {"own": own, "backbone": backbone}
        if self._generic is not None:
            found["generic"] = self._generic.embed(np.asarray(faces))
        return found

    def search(
        self, faces: AlignedFaces, whose: Labels, drawn: Mapping[str, Labels], mated: bool = False
    ) -> Probes:
        """Search faces among those enrolled.

        Args:
            faces: aligned.
            whose: label of each.
            drawn: by name of the draw, the labels of its people.
            mated: they are the people enrolled.
        """
        scores = {
            space: embedded @ self._templates[space].T for space, embedded in self._spaces(faces).items()
        }
        own = scores.pop("own")
        found = np.argmax(own, axis=1)
        rows = np.arange(len(own))
        place = {int(label): number for number, label in enumerate(np.concatenate(list(drawn.values())))}
        mate = np.searchsorted(self._people, whose) if mated else np.full(len(own), -1)
        return Probes(
            score=own[rows, found],
            found=found.astype(np.int64),
            second={space: values[rows, found] for space, values in scores.items()},
            person=np.array([place[int(label)] for label in whose], np.int64),
            mate=mate.astype(np.int64),
            drawn=tuple((name, len(labels)) for name, labels in drawn.items()),
        )
