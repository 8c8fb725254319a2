"""A login before the camera, frame by frame, to its end."""

from __future__ import annotations

import time
from dataclasses import replace

from fedfr_edge.recognition.decision import Decision
from fedfr_edge.recognition.lockout import FAILURES
from fedfr_edge.recognition.nobody import gallery_of_nobody
from fedfr_edge.recognition.session import LoginSession, locked_out
from fedfr_edge.types import Image

from .desk import Desk, read_picture
from .replies import Reply, login_reply, verdict
from .sessions import Session


class LoginSitting:
    """A login from a camera, or from one photograph.

    However it ends, a face that was compared in vain counts among the failed attempts: who goes away
    before the decision gains nothing by it.

    Attributes:
        over: there is a decision.
    """

    def __init__(self, desk: Desk, session: Session, claim: str | None, *, photo: bool = False) -> None:
        """Prepare.

        Args:
            desk: what to work with.
            session: whose it is.
            claim: who they say they are; None: anybody.
            photo: one photograph, which decides; larger than a frame may be.
        """
        self.over = False
        self._desk = desk
        self._session = session
        self._claim = claim
        self._policy = replace(desk.policy, frames=(1, 1)) if photo else desk.policy
        self._photo = photo
        self._pixels = desk.limits.photo_pixels if photo else desk.limits.frame_pixels
        self._looks: LoginSession | None = None

    async def begin(self) -> Reply | None:
        """Open it; a reply if it ends at once, because face login pauses.

        Nothing was compared then, so it leaves no line in the log: visitors could fill it.
        """
        desk = self._desk
        block = await desk.workshop.book(desk.books.block)
        if block is not None:
            self.over = True
            gallery = await desk.workshop.book(desk.books.gallery)
            decision = locked_out(
                block, encoder=desk.encoder, gallery=gallery, policy=self._policy, claim=self._claim
            )
            return login_reply(verdict=verdict(decision, wait=block.wait, operator=self._session.operator))
        gallery = await desk.workshop.book(desk.books.gallery)
        if self._claim is not None and gallery.find(self._claim) is None:
            gallery = gallery_of_nobody(self._claim, gallery)
        self._looks = LoginSession(
            encoder=desk.encoder,
            gallery=gallery,
            detector=desk.detector,
            policy=self._policy,
            claim=self._claim,
            passive=desk.passive,
        )
        return None

    async def frame(self, data: bytes) -> Reply:
        """Look at a frame.

        Raises:
            ImageError, Refused: it is no image, or too large; the login goes on.
            GalleryError, WriteError: the decision could not be logged, so there is none.
        """
        desk, looks, at = self._desk, self._looks, time.monotonic()
        assert looks is not None

        def unpack() -> Image:
            return read_picture(data, self._pixels, "the picture")

        if self._photo:
            image = await desk.workshop.unpack(unpack)
            look = await desk.workshop.look(lambda: looks.look(image, at))
        else:
            look = await desk.workshop.look(lambda: looks.look(unpack(), at))
        reply = login_reply(look)
        if look.decision is not None:
            reply["login"]["verdict"] = await self._end(look.decision)
        return reply

    async def time_is_over(self) -> Reply:
        """The decision from what was seen."""
        looks = self._looks
        assert looks is not None
        return login_reply(verdict=await self._end(await self._desk.workshop.look(looks.give_up)))

    async def leave(self) -> None:
        """They went away, or the connection is lost: what was compared in vain counts."""
        if self.over or self._looks is None:
            return
        decision = await self._desk.workshop.look(self._looks.give_up)
        if decision.reason in FAILURES:
            await self._end(decision)

    async def _end(self, decision: Decision) -> Reply:
        self.over = True
        desk = self._desk
        decision = await desk.workshop.book(lambda: desk.books.decide(decision))
        block = None
        if not decision.accepted:
            block = await desk.workshop.book(desk.books.block)
        wait = None if block is None else block.wait
        return verdict(decision, wait=wait, operator=self._session.operator)
