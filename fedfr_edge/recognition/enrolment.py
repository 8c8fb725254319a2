"""Enrolment: photographs of one person in, a gallery entry out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from fedfr_edge.errors import (
    AlignmentError,
    FedFRError,
    GalleryError,
    NoFaceError,
    SeveralFacesError,
    VisionError,
)
from fedfr_edge.recognition.capture import Gate, Reason, capture
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.enrol_policy import EnrolPolicy, policy_for
from fedfr_edge.recognition.gallery import Gallery
from fedfr_edge.recognition.proposal import Enrolment, Existing, Looks, propose, require_free
from fedfr_edge.recognition.spaces import embed_spaces
from fedfr_edge.types import Image, Progress, no_progress
from fedfr_edge.vision.detect import Detector

__all__ = ["Enrolment", "enrol", "gather"]

Photos = Sequence[tuple[str, Image | FedFRError]]
"""(name for messages, uint8 (h, w, 3) RGB, or the error that reading it gave)."""


def enrol(
    photos: Photos,
    *,
    name: str,
    encoder: OnnxEncoder,
    gallery: Gallery,
    detector: Detector | None,
    policy: EnrolPolicy | None = None,
    gate: Gate | None = None,
    existing: Existing = "refuse",
    progress: Progress = no_progress,
) -> Enrolment:
    """Enrol a person from photographs that show them alone.

    Photographs without a face, with several, or too poor are skipped and listed: a face of somebody
    else in the template would open the door to them. So are repeats, and images unlike the rest, as
    ``policy`` says. The gallery changes only if all goes well.

    Args:
        photos: see :data:`Photos`.
        name: the person's display name.
        encoder: the model; its digest must be the gallery's.
        gallery: gets the new entry; the caller saves it.
        detector: None if the images are aligned faces (112, 112, 3).
        policy: how the images become a template; default:
            :func:`~fedfr_edge.recognition.enrol_policy.policy_for` the model.
        gate: quality check, see :data:`~fedfr_edge.recognition.capture.Gate`.
        existing: what to do if the name is taken.
        progress: called for each photograph.

    Raises:
        GalleryError: no photograph at all, or as :func:`~fedfr_edge.recognition.proposal.propose`.
        NoFaceError, SeveralFacesError, VisionError, ImageError: no photograph could be used; the
            class is that of the first one's fault.
        ModelMismatchError: the gallery belongs to another model.
    """
    require_free(gallery, name, existing)
    looks, skipped = gather(photos, encoder=encoder, detector=detector, gate=gate, progress=progress)
    result = propose(
        looks,
        name=name,
        gallery=gallery,
        policy=policy or policy_for(encoder.manifest),
        existing=existing,
        skipped=skipped,
    )
    keep = gallery.add if existing == "refuse" else gallery.replace
    return dataclasses.replace(result, person=keep(name, result.template))


def gather(
    photos: Photos,
    *,
    encoder: OnnxEncoder,
    detector: Detector | None,
    gate: Gate | None = None,
    progress: Progress = no_progress,
) -> tuple[Looks, tuple[tuple[str, Reason, str], ...]]:
    """The slow part of :func:`enrol`, which needs no gallery: find, align and embed the faces.

    Returns:
        The faces, at least one, and (name, reason, in words) of photographs that were skipped.

    Raises:
        GalleryError, NoFaceError, SeveralFacesError, VisionError, ImageError: as :func:`enrol`.
    """
    if not photos:
        raise GalleryError("no photographs were given, expected at least one; give files or a folder of them")
    used, faces = [], []
    skipped: list[tuple[str, Reason, str]] = []
    for index, (label, photo) in enumerate(photos):
        if isinstance(photo, FedFRError):
            skipped.append((label, Reason.UNREADABLE, str(photo)))
        else:
            found = capture(photo, detector, several="refuse", gate=gate)
            if found.face is not None:
                used.append(label)
                faces.append(found.face)
            else:
                skipped.append((label, found.reason or Reason.NO_FACE, found.detail))
        progress("photographs", index + 1, len(photos))
    if not used:
        raise _unusable(photos, skipped)
    looks = Looks(tuple(used), *embed_spaces(encoder, np.stack(faces)), encoder.digest)
    return looks, tuple(skipped)


def _unusable(photos: Photos, skipped: Sequence[tuple[str, Reason, str]]) -> FedFRError:
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
