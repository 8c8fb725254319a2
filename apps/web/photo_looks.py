"""Photographs of one person as looks of an enrolment: nothing is asked for, each is judged by itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedfr_edge.recognition.capture import examine
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.enrol_policy import EnrolPolicy
from fedfr_edge.recognition.enrolment import gather
from fedfr_edge.recognition.gallery import Gallery
from fedfr_edge.recognition.guided import ADVICE, EnrolLook, Pose
from fedfr_edge.recognition.proposal import Enrolment, propose, require_free
from fedfr_edge.types import Image
from fedfr_edge.vision.detect import Detector


class PhotoLooks:
    """What :class:`~fedfr_edge.recognition.guided.EnrolSession` is for a camera.

    Args:
        encoder: the model.
        gallery: the people enrolled; not changed.
        detector: finds the faces.
        name: the person's.
        looks: how many photographs will come.
        policy: how they become a template.

    Raises:
        GalleryError: the name is unusable or taken.
    """

    def __init__(
        self,
        *,
        encoder: OnnxEncoder,
        gallery: Gallery,
        detector: Detector,
        name: str,
        looks: int,
        policy: EnrolPolicy,
    ) -> None:
        require_free(gallery, name, "refuse")
        self._encoder, self._gallery, self._detector = encoder, gallery, detector
        self._name, self._policy, self._needed = name, policy, looks
        self._faces: list[tuple[str, npt.NDArray[np.uint8]]] = []
        self._seen = 0

    def look(self, image: Image, at: float) -> EnrolLook:
        """Take a photograph, or say why not.

        Args:
            image: uint8 (h, w, 3) RGB.
            at: of no account.

        Raises:
            ImageError: an array that is no photograph.
        """
        self._seen += 1
        found = examine(image, self._detector.detect(image), several="refuse")
        reason = found.faults[0] if found.faults else None
        if found.face is not None and reason is None:
            self._faces.append((f"photo {self._seen}", found.face))
        return EnrolLook(
            faces_seen=found.faces_seen,
            box=None if found.chosen is None else found.chosen.box,
            taken=len(self._faces),
            needed=self._needed,
            next=Pose.FRONT,
            accepted=reason is None,
            reason=reason,
            text="" if reason is None else ADVICE[reason],
            done=False,
        )

    def finish(self) -> Enrolment:
        """The template of the photographs taken, and a report.

        Raises:
            GalleryError: none was taken, or as :func:`~fedfr_edge.recognition.proposal.propose`.
        """
        looks, _ = gather(self._faces, encoder=self._encoder, detector=None)
        return propose(looks, name=self._name, gallery=self._gallery, policy=self._policy)
