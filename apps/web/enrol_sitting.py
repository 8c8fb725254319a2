"""An enrolment before the camera, or from photographs: look by look, until somebody is enrolled."""

from __future__ import annotations

import time

from fedfr_edge.recognition.enrol_policy import policy_for
from fedfr_edge.recognition.guided import EnrolLook, EnrolSession

from .answers import Refused
from .desk import Desk, read_picture
from .photo_looks import PhotoLooks
from .replies import Reply, enrol_reply, enrolled


class EnrolSitting:
    """An enrolment; the operator's.

    Attributes:
        over: somebody is enrolled.
    """

    def __init__(self, desk: Desk, name: str, *, photos: int | None) -> None:
        """Prepare.

        Args:
            desk: what to work with.
            name: the person's.
            photos: how many photographs will come; None: the camera's frames, and looks from several sides.
        """
        self.over = False
        self._desk = desk
        self._name = name
        self._photos = photos
        self._looks: EnrolSession | PhotoLooks | None = None
        self._last: EnrolLook | None = None

    async def begin(self) -> None:
        """Open it.

        Raises:
            Refused: somebody of that name is enrolled.
        """
        desk = self._desk
        gallery = await desk.workshop.book(desk.books.gallery)
        if gallery.find(self._name) is not None:
            raise Refused(409, "name_taken", f"{self._name} is enrolled already; choose another name.")
        policy = policy_for(desk.encoder.manifest, threshold=desk.point(gallery).threshold)
        if self._photos is None:
            self._looks = EnrolSession(
                encoder=desk.encoder, gallery=gallery, detector=desk.detector, name=self._name, policy=policy
            )
        else:
            self._looks = PhotoLooks(
                encoder=desk.encoder,
                gallery=gallery,
                detector=desk.detector,
                name=self._name,
                looks=self._photos,
                policy=policy,
            )

    async def frame(self, data: bytes) -> Reply:
        """Look at a frame, or at a photograph.

        Raises:
            ImageError, Refused: it is no image, or too large; the enrolment goes on.
            GalleryError, WriteError: nobody was enrolled.
        """
        desk, looks, at = self._desk, self._looks, time.monotonic()
        assert looks is not None

        def work() -> EnrolLook:
            return looks.look(read_picture(data, desk.limits.frame_pixels, "the picture"), at)

        self._last = await desk.workshop.look(work)
        return await self.finish() if self._last.done else enrol_reply(self._last)

    async def finish(self) -> Reply:
        """No more photographs will come: enrol.

        Raises:
            Refused: there was none, or looks are missing.
            GalleryError, WriteError: nobody was enrolled.
        """
        desk, looks = self._desk, self._looks
        if looks is None or self._last is None or self._last.taken == 0:
            raise Refused(409, "too_few_looks", "No look could be used, so nobody was enrolled.")
        done = await desk.workshop.look(looks.finish)
        person = await desk.workshop.book(lambda: desk.books.enrol(self._name, done.template))
        self.over = True
        return enrolled(enrol_reply(self._last), person, done)
