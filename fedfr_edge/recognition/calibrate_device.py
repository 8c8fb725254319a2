"""Calibration on the device: thresholds at stated false accept rates against the templates that are compared.

Strangers' faces are compared with templates made of several images, which score higher with everybody than
single images do: those of the people enrolled, or of some of the strangers, made alike. For each rate the
lowest threshold is taken at which the rate's upper bound (:mod:`~fedfr_edge.recognition.confidence`) is no
higher than asked for; comparisons of one stranger are no independent trials, and are not counted as such.
Where the trials cannot show a rate, the threshold is above every stranger's score and no lower than the
model's own, and says so: a few strangers must not open a door that the model would have kept shut.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import ConfigError, DataError
from fedfr_edge.recognition.calibrate import DEFAULT_FARS, allowed_false_accepts
from fedfr_edge.recognition.calibration import Calibrated, Calibration
from fedfr_edge.recognition.confidence import design_effect, few_groups, most_allowed, upper_bound
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.gallery import Gallery
from fedfr_edge.recognition.manifest import Manifest
from fedfr_edge.recognition.stranger_trials import (
    IMAGES,
    Strangers,
    Trials,
    compare,
    embed_strangers,
    templates_of_strangers,
)
from fedfr_edge.recognition.template import require_model
from fedfr_edge.types import Progress, Scores, no_progress

Against = Literal["gallery", "public", "both"]
"""Whose templates strangers are compared with: of those enrolled, of some of the strangers, or of both."""

SECOND_FAR = 0.1
"""The false accept rate of the second gate by itself: it has to contradict, not to recognise."""

_FEW = 50  # of the highest scores, at least so many tell how strangers cluster


def calibrate_device(
    encoder: OnnxEncoder,
    gallery: Gallery,
    strangers: Strangers,
    *,
    fars: Sequence[float] = DEFAULT_FARS,
    against: Against | None = None,
    images: int | None = None,
    progress: Progress = no_progress,
) -> Calibration:
    """Calibrate a model against the templates of this device, with one gate and, if it is personal, with two.

    Args:
        encoder: the model.
        gallery: the people enrolled.
        strangers: none of them is enrolled.
        fars: rates between 0 and 1.
        against: whose templates; default: of those enrolled, of strangers where nobody is.
        images: faces of a stranger's template; default: as those enrolled have in the middle, else 5.
        progress: called for each block of faces.

    Raises:
        ModelMismatchError: the gallery belongs to another model.
        DataError: too few strangers or faces.
        ConfigError: a rate outside (0, 1), or nobody enrolled to calibrate against.
    """
    require_model(encoder.digest, gallery.model_digest)
    if not fars or not all(0 < far < 1 for far in fars):
        raise ConfigError(f"false accept rates {list(fars)}, expected some between 0 and 1, such as 1e-3")
    against = against or ("gallery" if len(gallery) else "public")
    if against == "gallery" and not len(gallery):
        raise ConfigError(
            "nobody is enrolled to calibrate against; enrol first, or calibrate against templates of "
            "strangers (--against public)"
        )
    if len(np.unique(strangers.labels)) < 2:
        raise DataError("faces of fewer than two strangers are given, expected more; give a larger set")
    faces = embed_strangers(encoder, strangers, progress)
    enrolled = [gallery.template_of(person) for person in gallery.people]
    nobody = np.full(len(enrolled), -1, np.int64)
    searched = compare(faces, enrolled, nobody, sampled=False) if enrolled else None
    if against == "gallery" and searched is not None:
        trials = searched
    else:
        usual = round(float(np.median([each.images for each in enrolled]))) if enrolled else IMAGES
        rows, templates, owners = templates_of_strangers(faces, images or usual, enrolled, encoder.digest)
        if against == "both":
            templates, owners = enrolled + templates, np.concatenate([nobody, owners])
        trials = compare(faces.take(rows), templates, owners, sampled=True)
    limits: list[float | None] = [None]
    if trials.second is not None:
        limits.append(_just_above(_highest(trials.second[trials.counted], SECOND_FAR)))
    records = [
        _searched(lowest_threshold(trials, far, limit, floor=_own(encoder.manifest, far)), searched)
        for limit in limits
        for far in sorted(fars, reverse=True)
    ]
    exported = [encoder.manifest.threshold_at(far) for far in sorted(fars, reverse=True)]
    return Calibration(
        model=encoder.digest,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        source=strangers.source,
        source_digest=strangers.digest,
        strangers=len(np.unique(trials.labels)),
        faces=len(trials.labels),
        against=against,
        templates=trials.scores.shape[1],
        enrolled=len(gallery),
        records=tuple(records),
        exported=tuple(
            _searched(at_threshold(trials, own.far, own.threshold), searched)
            for own in exported
            if own is not None
        ),
    )


def lowest_threshold(
    trials: Trials, far: float, second: float | None = None, *, floor: float = -1.0
) -> Calibrated:
    """The lowest threshold at which the upper bound of the false accept rate is no higher than ``far``.

    Args:
        trials: the scores.
        far: between 0 and 1.
        second: the score needed in the backbone's space; the rate is then that of passing both gates.
        floor: the least threshold where no count, not even 0, shows the rate.

    Returns:
        without searches; not ``supported`` where no count, not even 0, shows the rate.
    """
    scores = _passing(trials, second)
    total = int(trials.counted.sum())
    # How strangers cluster is seen at the rate itself, or among the highest scores where those are few.
    rank = min(max(allowed_false_accepts(far, total), _FEW), total - 1)
    falling = np.sort(np.partition(scores[trials.counted], total - 1 - rank)[total - 1 - rank :])[::-1]
    effective = _effective(trials, scores > falling[rank])
    # As many of all trials as the count that is allowed of independent ones.
    allowed = most_allowed(effective, far)
    place = min(math.floor(max(allowed, 0) * total / effective), rank)
    threshold = max(_just_above(falling[place]), -1.0 if allowed >= 0 else floor)
    return at_threshold(trials, far, threshold, second, effective)


def at_threshold(
    trials: Trials, far: float, threshold: float, second: float | None = None, effective: int | None = None
) -> Calibrated:
    """What a threshold comes to.

    Args:
        trials: the scores.
        far: the rate that it stands for.
        threshold: the score needed.
        second: the score needed in the backbone's space.
        effective: as how many independent trials they count; default: as those that pass it cluster, or
            the highest scores where those are few.
    """
    scores = _passing(trials, second)
    total = int(trials.counted.sum())
    accepted = int(np.count_nonzero(scores[trials.counted] >= threshold))
    if effective is None:
        edge = np.sort(scores[trials.counted])[::-1][min(_FEW, total - 1)]
        effective = _effective(
            trials, scores > min(edge, np.nextafter(np.float32(threshold), np.float32(-2)))
        )
    return Calibrated(
        gates="one" if second is None else "backbone",
        far=far,
        threshold=threshold,
        second_threshold=second,
        comparisons=total,
        false_accepts=accepted,
        upper=_bound(accepted, total, effective),
        effective=effective,
    )


def _own(manifest: Manifest, far: float) -> float:
    """The model's own threshold at this rate or at one above it; -1 where it has none."""
    return max((own.threshold for own in manifest.thresholds if own.far >= far * (1 - 1e-9)), default=-1.0)


def _searched(record: Calibrated, trials: Trials | None) -> Calibrated:
    """With how often a stranger's face that is searched among those enrolled is taken for somebody."""
    if trials is None:
        return record
    best = np.argmax(trials.scores, axis=1)[:, None]
    scores = np.take_along_axis(_passing(trials, record.second_threshold), best, axis=1)
    once = dataclasses.replace(trials, scores=scores, counted=np.ones(scores.shape, np.bool_), sampled=False)
    accepted = int(np.count_nonzero(scores >= record.threshold))
    edge = np.sort(scores[:, 0])[::-1][min(max(accepted, _FEW), len(scores) - 1)]
    effective = _effective(once, scores > min(edge, record.threshold))
    return dataclasses.replace(
        record,
        searches=len(scores),
        search_false_accepts=accepted,
        search_upper=_bound(accepted, len(scores), effective),
    )


def _passing(trials: Trials, second: float | None) -> Scores:
    """The scores, -inf where the second gate or the template's owner is against it."""
    passes = trials.counted
    if second is not None and trials.second is not None:
        passes = passes & (trials.second >= second)
    return np.where(passes, trials.scores, np.float32(-np.inf))


def _effective(trials: Trials, accepted: npt.NDArray[np.bool_]) -> int:
    """As how many independent trials they count, 1 or more."""
    accepted = accepted & trials.counted
    total = int(trials.counted.sum())
    effect = design_effect(accepted.sum(axis=1), trials.counted.sum(axis=1), trials.labels)
    if trials.sampled:
        columns = np.arange(trials.scores.shape[1])
        effect += design_effect(accepted.sum(axis=0), trials.counted.sum(axis=0), columns) - 1
    people = len(np.unique(trials.labels))
    return max(1, math.floor(total / effect * few_groups(people)))


def _bound(accepted: int, total: int, effective: int) -> float:
    # A hair less, so that rounding does not count one more.
    return upper_bound(math.ceil(accepted * effective / total - 1e-9), effective)


def _highest(scores: Scores, rate: float) -> float:
    """The highest score that must be refused so that no more than ``rate`` of them pass."""
    return float(np.sort(scores)[::-1][allowed_false_accepts(rate, len(scores))])


def _just_above(score: float) -> float:
    return float(np.nextafter(np.float32(score), np.float32(np.inf)))
