"""``/api/camera``: frames come in over a websocket, a reply goes out for each."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from fedfr_edge.errors import ImageError

from .answers import (
    Refused,
    busy,
    from_error,
    no_session,
    not_operator,
    refusal_of,
    too_large,
    too_often,
    too_slow,
    usable_name,
)
from .desk import Desk
from .enrol_sitting import EnrolSitting
from .guard import sender_of
from .login_sitting import LoginSitting
from .rates import Rates
from .sessions import Session

BAD, FORBIDDEN, SLOW, LARGE, BUSY, FAILED = 4400, 4403, 4408, 4413, 4429, 1011
"""Codes with which a websocket is closed, after a message that says why; 1000: all was said."""

SPARE = 3
"""Websockets for each camera: some have nothing said yet, or are about to close."""

PARTING_SECONDS = 5.0
"""Time for the other end to close a websocket when all is said."""

FINISH = "finish"
"""The text that ends an enrolment from photographs."""

_CLOSING = {
    "too_slow": SLOW,
    "too_large": LARGE,
    "busy": BUSY,
    "too_often": BUSY,
    "no_session": FORBIDDEN,
    "not_operator": FORBIDDEN,
}


class Cameras:
    """All cameras of a server.

    Args:
        desk: what a login and an enrolment need.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        # By address: websockets, and those of them on which somebody sits.
        self._here, self._open = Counter[str](), Counter[str]()
        limits = desk.limits
        self.attempts = Rates(limits.attempts / 60, limits.attempts, limits.clients)

    async def serve(self, socket: WebSocket) -> None:
        """Serve one, to its end."""
        address, limits = sender_of(socket.scope), self._desk.limits
        if self._here.total() >= SPARE * limits.cameras or self._here[address] >= SPARE * limits.cameras_each:
            await socket.close()  # before it is accepted: no websocket is opened
            return
        self._here[address] += 1
        try:
            await socket.accept()
            await self._talk(socket, address)
            await self._close(socket, 1000)
        except WebSocketDisconnect:
            return
        except Exception as error:
            await self._refuse(socket, refusal_of(error))
        finally:
            self._here -= Counter([address])

    async def _talk(self, socket: WebSocket, address: str) -> None:
        limits = self._desk.limits
        session: Session | None = socket.scope["state"]["session"]
        # Heard out before it is refused: who is still talking may not hear the answer.
        first = await self._next(socket, limits.frame_seconds)
        if session is None:
            raise no_session()
        if self._open.total() >= limits.cameras or self._open[address] >= limits.cameras_each:
            raise busy()
        self._open[address] += 1
        session.cameras += 1
        try:
            await self._sit(socket, session, first)
            await self._part(socket)
        finally:
            self._open -= Counter([address])
            session.cameras -= 1

    async def _refuse(self, socket: WebSocket, refusal: Refused) -> None:
        code = _CLOSING.get(refusal.code, BAD if refusal.status < 500 else FAILED)
        with contextlib.suppress(WebSocketDisconnect):
            await self._say(socket, refusal.as_json())
            await self._close(socket, code, refusal.code)

    async def _sit(self, socket: WebSocket, session: Session, first: dict[str, Any]) -> None:
        limits = self._desk.limits
        asked = self._asked(first, session)
        sitting: LoginSitting | EnrolSitting
        if asked["kind"] == "enrol":
            if not session.operator:
                raise not_operator()
            sitting = EnrolSitting(self._desk, asked["name"], photos=asked["photos"])
            end = time.monotonic() + limits.enrol_seconds
        else:
            wait = self.attempts.wait(sender_of(socket.scope))
            if wait:
                raise too_often(wait)
            sitting = LoginSitting(self._desk, session, asked["claim"])
            end = time.monotonic() + limits.login_seconds
        try:
            said = await sitting.begin()
            if said is not None:
                await self._say(socket, said)
            await self._frames(socket, sitting, end)
        except BaseException:
            # Also when the connection is lost or the server ends: what was compared in vain counts.
            if isinstance(sitting, LoginSitting):
                await asyncio.shield(sitting.leave())
            raise

    async def _frames(self, socket: WebSocket, sitting: LoginSitting | EnrolSitting, end: float) -> None:
        limits, bad = self._desk.limits, 0
        while not sitting.over:
            try:
                message = await self._next(socket, min(max(end - time.monotonic(), 0), limits.frame_seconds))
            except Refused:
                if time.monotonic() < end or isinstance(sitting, EnrolSitting):
                    raise
                await self._say(socket, await sitting.time_is_over())
                return
            frame = message.get("bytes")
            if frame is None:
                if not isinstance(sitting, EnrolSitting) or message.get("text") != FINISH:
                    raise Refused(
                        400, "bad_message", "A frame was expected: a binary message with a JPEG image."
                    )
                await self._say(socket, await sitting.finish())
                return
            try:
                if len(frame) > limits.frame_bytes:
                    raise too_large(limits.frame_bytes)
                reply = await sitting.frame(frame)
            except (ImageError, Refused) as error:
                bad += 1
                refusal = error if isinstance(error, Refused) else from_error(error)
                if bad > limits.bad_frames:
                    raise refusal from error
                reply = refusal.as_json()
            await self._say(socket, reply)

    async def _part(self, socket: WebSocket) -> None:
        """All is said: the other end closes, having read it; what it still says gives it no more time."""
        end = time.monotonic() + PARTING_SECONDS
        with contextlib.suppress(Refused):
            while True:
                await self._next(socket, max(end - time.monotonic(), 0))

    def _asked(self, message: dict[str, Any], session: Session) -> dict[str, Any]:
        """The first message, checked."""
        text = message.get("text")
        bad = Refused(
            400, "bad_message", 'The first message must be JSON with "kind" (login or enrol) and "csrf".'
        )
        if text is None or len(text) > self._desk.limits.json_bytes:
            raise bad
        try:
            asked = json.loads(text)
        except (ValueError, RecursionError):
            raise bad from None
        if not isinstance(asked, dict) or asked.get("kind") not in ("login", "enrol"):
            raise bad
        name, claim, csrf, photos = (asked.get(key) for key in ("name", "claim", "csrf", "photos"))
        if photos is not None and not (type(photos) is int and 1 <= photos <= self._desk.limits.photos):
            text = f"At most {self._desk.limits.photos} photos of a person are taken."
            raise Refused(400, "too_many_photos", text)
        if not all(value is None or isinstance(value, str) for value in (name, claim, csrf)):
            raise bad
        if not session.fits(csrf):
            raise no_session()
        if asked["kind"] == "enrol":
            name = usable_name(name or "")
        claim = usable_name(claim) if claim else None
        return {"kind": asked["kind"], "name": name, "claim": claim, "photos": photos}

    async def _next(self, socket: WebSocket, seconds: float) -> dict[str, Any]:
        try:
            async with asyncio.timeout(seconds):
                message = await socket.receive()
        except TimeoutError:
            raise too_slow() from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006))
        return dict(message)

    async def _say(self, socket: WebSocket, reply: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(self._desk.limits.frame_seconds):
                await socket.send_text(json.dumps(reply, ensure_ascii=False))
        except TimeoutError:
            raise WebSocketDisconnect(SLOW) from None
        except RuntimeError:  # closed at the same moment
            raise WebSocketDisconnect(1006) from None

    async def _close(self, socket: WebSocket, code: int, reason: str = "") -> None:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await socket.close(code, reason)
