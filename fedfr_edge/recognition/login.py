"""Login: a photograph and a gallery in, a decision out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedfr_edge.errors import (
    ModelError,
)
from fedfr_edge.recognition.capture import Gate, Reason, capture
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.gallery import Gallery, Person
from fedfr_edge.recognition.manifest import DEFAULT_FAR, Manifest, Threshold, far_key
from fedfr_edge.recognition.template import make_template
from fedfr_edge.types import Image
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
