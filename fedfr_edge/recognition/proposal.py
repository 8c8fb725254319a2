"""From one person's embedded faces to a template and a report, without changing anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import GalleryError
from fedfr_edge.recognition.capture import Reason
from fedfr_edge.recognition.enrol_findings import Dropped, TooLike
from fedfr_edge.recognition.enrol_policy import EnrolPolicy
from fedfr_edge.recognition.gallery import Gallery, Person, clean_name
from fedfr_edge.recognition.likeness import find_outliers, find_repeats, least_alike, leave_one_out
from fedfr_edge.recognition.template import Template, make_template, require_model
from fedfr_edge.types import Embeddings

_MOST_TOLD = 3

Existing = Literal["refuse", "add", "replace"]
"""What becomes of a template that is there under the name: it stays and nobody is enrolled, the new images
are added to it, or the new template takes its place."""


@dataclass(frozen=True)
class Looks:
    """Images of one person, embedded.

    Attributes:
        labels: what to call each image in messages.
        embeddings: float32 (n, d), unit rows, in the space in which the model decides.
        backbone: float32 (n, d) in the backbone's space; None for a generic model.
        model_digest: sha256 of the model file, hexadecimal.
    """

    labels: tuple[str, ...]
    embeddings: Embeddings
    backbone: Embeddings | None
    model_digest: str

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: tuple[int, ...]) -> Looks:
        """Some of them, in this order."""
        chosen = list(rows)
        backbone = None if self.backbone is None else self.backbone[chosen]
        labels = tuple(self.labels[row] for row in chosen)
        return Looks(labels, self.embeddings[chosen], backbone, self.model_digest)


@dataclass(frozen=True)
class Enrolment:
    """What an enrolment comes to.

    Attributes:
        name: of the person, as it is kept.
        template: theirs.
        used: labels of the images whose faces are in the template.
        skipped: (label, reason, in words) of images without a face that can be used.
        dropped: images with one, left out.
        too_like: people enrolled who are hard to tell from them, the most alike first.
        remarks: what somebody should look at, in words; what ``too_like`` says among it.
        added_to: the entry whose template the new one takes in; None for a new one.
        person: the entry in the gallery; None as long as nobody has put it there.
    """

    name: str
    template: Template
    used: tuple[str, ...]
    skipped: tuple[tuple[str, Reason, str], ...]
    dropped: tuple[Dropped, ...]
    too_like: tuple[TooLike, ...]
    remarks: tuple[str, ...]
    added_to: Person | None = None
    person: Person | None = None


def propose(
    looks: Looks,
    *,
    name: str,
    gallery: Gallery,
    policy: EnrolPolicy,
    existing: Existing = "refuse",
    skipped: tuple[tuple[str, Reason, str], ...] = (),
) -> Enrolment:
    """Leave out repeats and outliers, make the template, and look for people who are too like.

    Images that are added to somebody are judged by that person's template, whatever the other images say:
    so nobody else's images can come in by being many. If it refuses more than half of them, it refuses all.
    Without a limit (``policy.outlier`` is None) nothing is refused, and a remark says how unlike they are.

    Args:
        looks: the images, n ≥ 1.
        name: the person's.
        gallery: the people enrolled; not changed.
        policy: how.
        existing: what to do if the name is taken.
        skipped: for the report.

    Raises:
        GalleryError: the name is unusable, or taken and ``existing`` is ``"refuse"``; images that have
            nothing in common; images to add that do not show the person enrolled, or a template that
            cannot take them.
        ModelMismatchError: the gallery belongs to another model.
    """
    require_model(looks.model_digest, gallery.model_digest)
    name = clean_name(name)
    known = require_free(gallery, name, existing)
    old = gallery.template_of(known) if known is not None and existing == "add" else None
    remarks: list[str] = []
    looks, dropped = _without_repeats(looks, old, name, policy.repeat)
    if policy.outlier is not None:
        if old is None:
            looks, left_out, doubt = _without_outliers(looks, policy.outlier)
            remarks += doubt
        else:
            looks, left_out = _like_the_enrolled(looks, old, name, policy.outlier)
        dropped += left_out
    elif old is not None:
        lowest = float((looks.embeddings @ old.rows.T).max(axis=1).min())
        remarks.append(
            f"no limit is set, so the images are added however unlike the {name!r} enrolled they are (lowest "
            f"cosine {lowest:.3f}); do all show the same person?"
        )
    template = make_template(
        looks.embeddings, looks.model_digest, backbone=looks.backbone, combine=policy.combine, old=old
    )
    too_like = _too_like(looks, template, gallery, name, policy.threshold)
    remarks += _remarks(looks, template, policy) + _in_words(too_like)
    return Enrolment(
        name,
        template,
        looks.labels,
        skipped,
        tuple(dropped),
        too_like,
        tuple(remarks),
        known if old is not None else None,
    )


def require_free(gallery: Gallery, name: str, existing: Existing) -> Person | None:
    """The entry of that name, if it may be changed.

    Raises:
        GalleryError: there is one and it may not, or there is none to add to.
    """
    known = gallery.find(clean_name(name))
    if known is not None and known.name != clean_name(name):  # somebody's id
        known = None
    if known is not None and existing == "refuse":
        raise GalleryError(
            f"{name!r} is enrolled already; give --add to add images, --replace to enrol them anew, or "
            "another name"
        )
    if known is None and existing == "add":
        raise GalleryError(
            f"nobody called {name!r} is enrolled, so nothing can be added; leave --add away to enrol them"
        )
    return known


def _without_repeats(
    looks: Looks, old: Template | None, name: str, limit: float
) -> tuple[Looks, list[Dropped]]:
    kept = np.empty((0, looks.embeddings.shape[1]), np.float32)
    if old is not None and old.singles is not None:
        kept = old.singles
    labels = (f"an image of {name!r} kept already",) * len(kept) + looks.labels
    repeats = find_repeats(np.concatenate([kept, looks.embeddings]), limit)
    gone = {row - len(kept): (labels[other], found) for row, other, found in repeats if row >= len(kept)}
    if len(gone) == len(looks):
        raise GalleryError(
            f"all {len(looks)} images are among those of {name!r} already; nothing was changed, give others"
        )
    dropped = [
        Dropped(looks.labels[row], "repeated", found, limit, other) for row, (other, found) in gone.items()
    ]
    return looks.take(tuple(row for row in range(len(looks)) if row not in gone)), dropped


def _without_outliers(looks: Looks, limit: float) -> tuple[Looks, list[Dropped], list[str]]:
    found = find_outliers(looks.embeddings, limit)
    dropped = [Dropped(looks.labels[row], "unlike_the_others", score, limit) for row, score in found.dropped]
    remarks = []
    if found.doubtful:
        worst, score = min(found.doubtful, key=lambda each: each[1])
        remarks = [
            f"{len(found.doubtful)} of {len(found.kept)} images kept are unlike the others too (lowest: "
            f"{looks.labels[worst]}, {score:.3f}, limit {limit:.3f}), but the majority is never left out; do "
            "all show the same person?"
        ]
    return looks.take(found.kept), dropped, remarks


def _like_the_enrolled(looks: Looks, old: Template, name: str, limit: float) -> tuple[Looks, list[Dropped]]:
    scores = (looks.embeddings @ old.rows.T).max(axis=1)
    below = [row for row, score in enumerate(scores.tolist()) if score < limit]
    if 2 * len(below) > len(looks):
        raise GalleryError(
            f"{len(below)} of {len(looks)} images do not look like the {name!r} who is enrolled (highest "
            f"score of these {scores[below].max():.3f}, limit {limit:.3f}); nothing was changed: give images "
            f"of {name!r}, or --replace to enrol them anew"
        )
    dropped = [Dropped(looks.labels[row], "unlike_the_enrolled", float(scores[row]), limit) for row in below]
    return looks.take(tuple(row for row in range(len(looks)) if row not in below)), dropped


def _remarks(looks: Looks, template: Template, policy: EnrolPolicy) -> list[str]:
    remarks = []
    if template.images == 1:
        remarks.append(
            "the template is of a single image; several, in other light and from other sides, do better"
        )
    elif len(looks) > 1:
        if (lowest := least_alike(looks.embeddings)) >= policy.alike:
            remarks.append(
                f"all images look alike (lowest cosine of two {lowest:.3f}, remarked from {policy.alike:.3f} "
                "on); add some in other light, from other sides or on another day"
            )
        if policy.threshold is not None:
            scores = leave_one_out(looks.embeddings)
            if odd := int(np.count_nonzero(scores < policy.threshold)):
                worst = int(np.argmin(scores))
                remarks.append(
                    f"{odd} of {len(looks)} images would not be accepted against the others (threshold "
                    f"{policy.threshold:.3f}; lowest: {looks.labels[worst]}, {scores[worst]:.3f})"
                )
    return remarks


def _in_words(too_like: tuple[TooLike, ...]) -> list[str]:
    """The most alike; a weak model finds a whole gallery alike, and nobody reads a hundred lines."""
    told, rest = too_like[:_MOST_TOLD], len(too_like) - _MOST_TOLD
    lines = [each.text for each in told]
    if rest > 0:
        lines.append(f"hard to tell from {rest} more of those enrolled, too")
    return lines


def _too_like(
    looks: Looks, template: Template, gallery: Gallery, name: str, threshold: float | None
) -> tuple[TooLike, ...]:
    if threshold is None:
        return ()
    found = []
    for person in gallery.people:
        if person.name == name:
            continue
        theirs: npt.NDArray[np.float32] = gallery.template_of(person).rows
        of_images = (looks.embeddings @ theirs.T).max(axis=1)
        as_new = float((theirs @ template.rows.T).max())
        if of_images.max() >= threshold or as_new >= threshold:
            accepted = int(np.count_nonzero(of_images >= threshold))
            found.append(TooLike(person, accepted, len(looks), float(of_images.max()), as_new, threshold))
    return tuple(sorted(found, key=lambda each: -max(each.as_them, each.as_new)))
