"""Enrolment and login: photographs in, a gallery entry or a decision out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedfr_edge.errors import (
    AlignmentError,
    FedFRError,
    GalleryError,
    ModelError,
    NoFaceError,
    SeveralFacesError,
    VisionError,
)
from fedfr_edge.recognition.capture import Capture, Gate, Reason, capture
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.gallery import Gallery, Person, clean_name
from fedfr_edge.recognition.manifest import DEFAULT_FAR, Manifest, Threshold, far_key
from fedfr_edge.recognition.template import make_template
from fedfr_edge.types import Embeddings, Image, Progress, no_progress
from fedfr_edge.vision.detect import Detector
from fedfr_edge.vision.quality import Reason as QualityReason


@dataclass(frozen=True)
class Decision:
    """The answer to a login.

    Attributes:
        accepted: whether to let them in.
        reason: a stable code, see :class:`~fedfr_edge.recognition.capture.Reason`.
        person: who it is; None unless accepted.
        score: cosine with the person claimed or with the best one; None if nothing was compared.
        threshold: the score needed.
        faces_seen: faces in the photograph; with more than one, the large and central one was
            compared.
        detail: the reason in words.
        quality: what is poor about the face that was compared, see
            :data:`~fedfr_edge.vision.quality.ADVICE` for what to do about it; empty where nothing is.
    """

    accepted: bool
    reason: Reason
    person: Person | None
    score: float | None
    threshold: float
    faces_seen: int
    detail: str
    quality: tuple[QualityReason, ...] = ()


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


def operating_threshold(manifest: Manifest, far: float | None = None) -> Threshold:
    """The threshold that was calibrated when the model was exported.

    Args:
        manifest: the model's.
        far: the rate to choose; None takes :data:`DEFAULT_FAR`, or the strictest rate that the model was
            calibrated at where its trials did not carry that one.

    Its rate is that of comparing two single images of identities like those it was calibrated on.
    A template averaged over several images scores higher with everybody, so its rate is somewhat
    above the stated one; a search among N people multiplies the rate by up to N.

    Raises:
        ModelError: the model was not calibrated at this rate.
    """
    if far is None:
        stricter = [record for record in manifest.thresholds if record.far >= DEFAULT_FAR]
        if stricter:
            return min(stricter, key=lambda record: record.far)
        far = DEFAULT_FAR
    record = manifest.threshold_at(far)
    if record is None:
        known = ", ".join(far_key(record.far) for record in manifest.thresholds) or "none"
        raise ModelError(
            f"model {manifest.name!r} has no threshold at a false accept rate of {far_key(far)} (it has: "
            f"{known}); choose one of these, export it again with that rate, or give --threshold"
        )
    return record


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


def login(
    image: Image,
    *,
    encoder: OnnxEncoder,
    gallery: Gallery,
    detector: Detector | None,
    threshold: float,
    claim: str | None = None,
    gate: Gate | None = None,
) -> Decision:
    """Decide whether a photograph shows somebody who is enrolled.

    Args:
        image: uint8 (h, w, 3) RGB, or an aligned face (112, 112, 3) if ``detector`` is None. Of
            several faces the large and central one is compared.
        encoder: the model; its digest must be the gallery's.
        gallery: the people enrolled.
        detector: finds the faces.
        threshold: a score ≥ this accepts, see :func:`operating_threshold`.
        claim: name or id of the person it is said to be (1:1); None searches everybody (1:N).
        gate: quality check, see :data:`~fedfr_edge.recognition.capture.Gate`.

    Raises:
        ModelMismatchError: the gallery was made by another model.
        ImageError: an array that is no photograph.
    """
    if not math.isfinite(threshold):
        raise ModelError(f"the threshold is {threshold}, expected a cosine; give --threshold or --far")
    claimed = gallery.find(claim) if claim is not None else None
    found = capture(image, detector, several="central", gate=gate)

    def refuse(reason: Reason, detail: str, score: float | None = None) -> Decision:
        return Decision(False, reason, None, score, threshold, found.faces_seen, detail, found.quality)

    if len(gallery) == 0:
        return refuse(Reason.EMPTY_GALLERY, "nobody is enrolled")
    if claim is not None and claimed is None:
        return refuse(Reason.NOT_ENROLLED, f"nobody called {claim!r} is enrolled")
    if found.face is None:
        return refuse(found.reason or Reason.NO_FACE, found.detail)
    probe = make_template(encoder.embed(found.face[None]), encoder.digest)
    if claimed is not None:
        match = gallery.verify(claimed, probe, threshold)
    else:
        match = gallery.identify(probe, threshold)
    if match.person is None:
        who = f"not {claimed.name!r}" if claimed is not None else "unknown"
        return refuse(Reason.NOT_RECOGNISED, f"{who}: the score is below the threshold", match.score)
    detail = f"{match.person.name!r} is recognised"
    return Decision(
        True, Reason.ACCEPTED, match.person, match.score, threshold, found.faces_seen, detail, found.quality
    )


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
