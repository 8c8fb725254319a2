"""Enrolments as on a device, with people whom a personal model was trained on and people whom it was not.

For each client's personal model groups of people are enrolled, each person from a few images drawn by chance:
the client's own (trained on), the other clients' (not trained on by this client, though the shared backbone
has learned from them), and public people whom no training saw. Their other images are the probes; strangers
are always people of other groups than the first. Clients' images are of the split's test part: no model has
seen one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import ConfigError
from fedfr_edge.evaluation.bootstrap import Resampling
from fedfr_edge.evaluation.enrolment import TemplateTrials
from fedfr_edge.recognition.enrol_policy import EnrolPolicy
from fedfr_edge.recognition.gallery import Gallery
from fedfr_edge.recognition.proposal import Looks, propose
from fedfr_edge.types import Embeddings, Labels

TRAINED, NEW, UNSEEN = "trained on", "trained on by others", "seen by no training"
"""The groups of people."""

NOBODY = ""
"""The client of people whom no training saw."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Draw:
    """Which images stand for what, in one drawing.

    Attributes:
        enrolled: (people, images), rows of the images that each person is enrolled from.
        probes: (people, rest), rows of each person's other images.
        planted: (people, wrong), rows of images of strangers that slipped in, of their ``enrolled`` ones.
        planted_person: (people, wrong), whose.
    """

    enrolled: Rows
    probes: Rows
    planted: Rows
    planted_person: Rows


@dataclass(frozen=True)
class Images:
    """The test images of all clients' people.

    Attributes:
        person: int64 (n,), whose each is.
        client: each person's client.
    """

    person: Rows
    client: tuple[str, ...]

    def draws(self, count: int, images: int, wrong: int, home: str, seed: int) -> Iterator[Draw]:
        """Draw images, the same for every model and method.

        Args:
            count: how many drawings.
            images: a person is enrolled from, wrong ones not counted.
            wrong: images of strangers, each of another one, that slip in.
            home: strangers are not of this client, and never the person themselves.
            seed: of all drawings.

        Raises:
            ConfigError: somebody has too few images.
        """
        rows = [np.flatnonzero(self.person == person) for person in range(len(self.client))]
        fewest = min(map(len, rows))
        if fewest <= images:
            raise ConfigError(
                f"{images} images to enrol leave no probe for somebody with {fewest}; give fewer --images"
            )
        for number in range(count):
            rng = np.random.default_rng([seed, number])
            mixed = [rng.permutation(own)[:fewest] for own in rows]
            enrolled = np.stack([own[:images] for own in mixed])
            planted = np.empty((len(rows), wrong), np.int64)
            whose = np.empty_like(planted)
            for person in range(len(rows)):
                others = [other for other in self.strangers(home) if other != person]
                whose[person] = rng.choice(others, wrong, replace=False)
                planted[person] = [enrolled[other, rng.integers(images)] for other in whose[person]]
            yield Draw(enrolled, np.stack([own[images:] for own in mixed]), planted, whose)

    def strangers(self, home: str) -> list[int]:
        """The people of other clients, and of none."""
        return [person for person, client in enumerate(self.client) if client != home]

    def weights(self, people: list[int], resampling: Resampling) -> npt.NDArray[np.float64]:
        """How often each of these people is drawn, (R, len(people)); the same whoever asks."""
        columns = []
        for person in people:
            members = [other for other, client in enumerate(self.client) if client == self.client[person]]
            drawn = resampling.weights(self.client[person], len(members))
            columns.append(drawn[:, members.index(person)])
        return np.stack(columns, axis=1)


@dataclass(frozen=True)
class Counted:
    """What enrolment left out, over all templates: images and how many of them, right and wrong ones."""

    right: int = 0
    right_dropped: int = 0
    wrong: int = 0
    wrong_dropped: int = 0

    def __add__(self, other: Counted) -> Counted:
        return Counted(
            self.right + other.right,
            self.right_dropped + other.right_dropped,
            self.wrong + other.wrong,
            self.wrong_dropped + other.wrong_dropped,
        )


def run_trials(
    embeddings: Embeddings,
    images: Images,
    draws: list[Draw],
    *,
    home: str,
    group: str,
    policy: EnrolPolicy,
    model_digest: str,
    threshold: float,
    resampling: Resampling,
) -> tuple[TemplateTrials, Counted]:
    """Enrol a group's people in every drawing, and compare.

    Args:
        embeddings: float32 (n, d) of ``images``, by the model of ``home``.
        images: whose they are.
        draws: see :meth:`Images.draws`.
        home: the model's client.
        group: :data:`TRAINED`, :data:`NEW` or :data:`UNSEEN`.
        policy: how images become a template.
        model_digest: the model's.
        threshold: of its logins.
        resampling: how people are drawn anew.
    """
    strangers = images.strangers(home)
    enrolled = [person for person, client in enumerate(images.client) if _group(client, home) == group]
    empty = Gallery(model_digest, embeddings.shape[1])
    mated, non_mated, planted, counted = [], [], [], Counted()
    for draw in draws:
        for person in enrolled:
            rows = np.concatenate([draw.enrolled[person], draw.planted[person]])
            labels = tuple(map(str, range(len(rows))))
            done = propose(
                Looks(labels, embeddings[rows], None, model_digest), name="x", gallery=empty, policy=policy
            )
            right = draw.enrolled.shape[1]
            dropped = [int(each.label) for each in done.dropped if each.code != "repeated"]
            wrong_dropped = sum(place >= right for place in dropped)
            counted += Counted(right, len(dropped) - wrong_dropped, len(rows) - right, wrong_dropped)
            against = embeddings[draw.probes]  # (people, probes, d)
            scores = (against @ done.template.rows.T).max(axis=2)
            mated.append(scores[person])
            others = [other for other in strangers if other != person]
            non_mated.append(scores[others])
            planted.append(np.isin(others, draw.planted_person[person]))
    per_person, probes = len(strangers) - (group != TRAINED), draws[0].probes.shape[1]
    columns = np.arange(len(enrolled))
    opposite = np.array(
        [[place for place, other in enumerate(strangers) if other != person] for person in enrolled]
    )
    count = len(draws)
    return (
        TemplateTrials(
            np.concatenate(mated),
            np.tile(np.repeat(columns, probes), count),
            np.concatenate([each.reshape(-1) for each in non_mated]),
            np.tile(np.repeat(columns, per_person * probes), count),
            np.tile(np.repeat(opposite.reshape(-1), probes), count),
            np.concatenate([np.repeat(each, probes) for each in planted]),
            images.weights(enrolled, resampling),
            images.weights(strangers, resampling),
            threshold,
        ),
        counted,
    )


def _group(client: str, home: str) -> str:
    if client == home:
        return TRAINED
    return UNSEEN if client == NOBODY else NEW


def images_of(clients: Mapping[str, Rows], labels: Labels) -> tuple[Images, Rows]:
    """The people of all clients in one order, and the store's rows of their images.

    Args:
        clients: client -> rows of its people's images.
        labels: the store's.
    """
    person: list[Rows] = []
    client: list[str] = []
    for name, rows in sorted(clients.items()):
        people, place = np.unique(labels[rows], return_inverse=True)
        person.append(place + len(client))
        client += [name] * len(people)
    everything = np.concatenate([rows for _, rows in sorted(clients.items())])
    return Images(np.concatenate(person), tuple(client)), everything
