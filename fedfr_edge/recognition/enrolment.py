"""Enrolment: photographs of one person in, a gallery entry out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedfr_edge.errors import (
    AlignmentError,
    FedFRError,
    GalleryError,
    NoFaceError,
    SeveralFacesError,
    VisionError,
)
from fedfr_edge.recognition.capture import Capture, Gate, Reason, capture
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.gallery import Gallery, Person, clean_name
from fedfr_edge.recognition.template import make_template
from fedfr_edge.types import Embeddings, Image, Progress, no_progress
from fedfr_edge.vision.detect import Detector


@dataclass(frozen=True)
class Enrolment:
    """What an enrolment did.

    Attributes:
        person: the new entry.
        used: names of the photographs whose faces are in the template.
        skipped: (name, reason, in words) of those that could not be used.
        remarks: what somebody should look at: a face unlike the others, a face like somebody else's.
    """

    person: Person
    used: tuple[str, ...]
    skipped: tuple[tuple[str, Reason, str], ...]
    remarks: tuple[str, ...]


def enrol(
    photos: Sequence[tuple[str, Image | FedFRError]],
    *,
    name: str,
    encoder: OnnxEncoder,
    gallery: Gallery,
    detector: Detector | None,
    threshold: float | None = None,
    gate: Gate | None = None,
    replace: bool = False,
    progress: Progress = no_progress,
) -> Enrolment:
    """Enrol a person from photographs that show them alone.

    Photographs without a face, with several, or too poor are skipped and listed: a face of somebody
    else in the template would open the door to them. The gallery changes only if all goes well.

    Args:
        photos: (name for messages, uint8 (h, w, 3) RGB, or the error that reading it gave).
        name: the person's display name.
        encoder: the model; its digest must be the gallery's.
        gallery: gets the new entry; the caller saves it.
        detector: None if the images are aligned faces (112, 112, 3).
        threshold: the operating threshold, for the remarks only; None leaves them out.
        gate: quality check, see :data:`~fedfr_edge.recognition.capture.Gate`.
        replace: put the new template in the place of an old one of that name.
        progress: called for each photograph.

    Raises:
        GalleryError: no photograph at all, or the name is taken and ``replace`` is off.
        NoFaceError, SeveralFacesError, VisionError, ImageError: no photograph could be used; the
            class is that of the first one's fault.
        ModelMismatchError: the gallery belongs to another model.
    """
    if not photos:
        raise GalleryError("no photographs were given, expected at least one; give files or a folder of them")
    if not replace and gallery.find(name) is not None:
        raise GalleryError(
            f"{name!r} is enrolled already; give --replace to enrol them anew, or another name"
        )
    used: list[tuple[str, Capture]] = []
    skipped: list[tuple[str, Reason, str]] = []
    for index, (label, photo) in enumerate(photos):
        if isinstance(photo, FedFRError):
            skipped.append((label, Reason.UNREADABLE, str(photo)))
        else:
            found = capture(photo, detector, several="refuse", gate=gate)
            if found.reason is None:
                used.append((label, found))
            else:
                skipped.append((label, found.reason, found.detail))
        progress("photographs", index + 1, len(photos))
    if not used:
        raise _unusable(photos, skipped)
    embeddings = encoder.embed(np.stack([found.face for _, found in used if found.face is not None]))
    template = make_template(embeddings, encoder.digest)
    remarks = []
    if threshold is not None:
        remarks = _odd_ones(embeddings, [label for label, _ in used], threshold)
        alike = gallery.identify(template, threshold).person
        if alike is not None and alike.name != clean_name(name):
            remarks.append(f"this face is also accepted as {alike.name!r}, who is enrolled already")
    person = gallery.replace(name, template) if replace else gallery.add(name, template)
    return Enrolment(person, tuple(label for label, _ in used), tuple(skipped), tuple(remarks))


def _odd_ones(embeddings: Embeddings, labels: Sequence[str], threshold: float) -> list[str]:
    """A remark on photographs that would not be accepted against the mean of the others."""
    if len(labels) < 2:
        return []
    others = embeddings.sum(axis=0, dtype=np.float64) - embeddings
    others /= np.maximum(np.linalg.norm(others, axis=1, keepdims=True), 1e-12)
    scores = np.sum(embeddings * others, axis=1)
    odd = int(np.count_nonzero(scores < threshold))
    if odd == 0:
        return []
    worst = int(np.argmin(scores))
    return [
        f"{odd} of {len(labels)} photographs would not be accepted against the others (threshold "
        f"{threshold:.3f}; lowest: {labels[worst]}, {scores[worst]:.3f}); do all show the same person?"
    ]


def _unusable(
    photos: Sequence[tuple[str, Image | FedFRError]], skipped: Sequence[tuple[str, Reason, str]]
) -> FedFRError:
    label, reason, detail = skipped[0]
    first = photos[0][1]
    if isinstance(first, FedFRError):
        kind: type[FedFRError] = type(first)
    else:
        kind = {
            Reason.NO_FACE: NoFaceError,
            Reason.SEVERAL_FACES: SeveralFacesError,
            Reason.NOT_ALIGNABLE: AlignmentError,
        }.get(reason, VisionError)
    what = (
        f"none of {len(photos)} photographs can be used, the first is {label}" if len(photos) > 1 else label
    )
    return kind(
        f"{what}: {detail}; nobody was enrolled, give photographs that show the person alone, clearly"
    )
