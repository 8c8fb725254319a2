"""What every request passes before anything looks at it: names, origins, rates, sizes.

- Only names that the server was told of are answered. Otherwise a foreign page could make its own name point
  here (DNS rebinding) and would be of the same origin.
- What a page of another origin sends is refused, also where a browser would let it through.
- Each client has a bucket of requests: a session its own, else a connection. New connections of an address
  share one, and so do all requests of an address without a session. So one that floods is refused at little
  cost, and the others are served.
- A body is read only as far as it may be large, and only for so long.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import cookie_parser

from ..serving import LOCAL_NAMES
from .answers import Refused, too_large, too_often, too_slow
from .limits import Limits
from .rates import Rates
from .sessions import COOKIE, Session, Sessions

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PHOTO = "/api/photo"
"""The one address that takes large bodies."""

_LINGER_BYTES, _LINGER_SECONDS = 1 << 20, 1.0


def headers_for_all(*, in_browser: bool) -> list[tuple[bytes, bytes]]:
    """Headers that go with every answer.

    Args:
        in_browser: the page runs networks itself: WebAssembly may be compiled.
    """
    wasm = " 'wasm-unsafe-eval'" if in_browser else ""
    policy = "; ".join(
        [
            "default-src 'self'",
            f"script-src 'self'{wasm}",
            "img-src 'self' data: blob:",
            "media-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
    values = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), display-capture=()",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    return [(name.lower().encode(), value.encode()) for name, value in values.items()]


class Guard:
    """An ASGI application around another one; finds the session, too (``state.session``).

    Args:
        app: what is guarded.
        limits: rates and sizes.
        sessions: to tell clients apart.
        names: host names that are answered, beside this machine's own.
        in_browser: see :func:`headers_for_all`.
    """

    def __init__(
        self, app: App, *, limits: Limits, sessions: Sessions, names: Iterable[str], in_browser: bool
    ) -> None:
        self._app = app
        self._limits = limits
        self._sessions = sessions
        self._names = {*LOCAL_NAMES, *(name.lower() for name in names)}
        self._headers = headers_for_all(in_browser=in_browser)
        self._requests = Rates(limits.requests, limits.requests_at_once, limits.clients)
        self._newcomers = Rates(limits.newcomers, limits.newcomers_at_once, limits.clients)
        self._strangers = Rates(limits.strangers, limits.strangers_at_once, limits.clients)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let through."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = _headers(scope)
        session = self._sessions.find(_cookie(headers.get("cookie", "")))
        scope.setdefault("state", {})["session"] = session
        socket = scope["type"] == "websocket"
        refusal = self._refusal(scope, headers, session)
        if socket:
            if refusal is None:
                await self._app(scope, receive, send)
            else:
                await receive()
                await send({"type": "websocket.close", "code": 1008, "reason": refusal.code})
            return
        body = _Body(receive, send, self._headers, self._most(scope), self._limits.body_seconds)
        declared = headers.get("content-length", "0")
        if refusal is None and (not declared.isdecimal() or int(declared) > body.most):
            refusal = too_large(body.most)
        if refusal is None:
            await self._app(scope, body.receive, body.send)
        else:
            await refuse(refusal, body.send)

    def _most(self, scope: Scope) -> int:
        return self._limits.photo_bytes if scope["path"] == PHOTO else self._limits.json_bytes

    def _refusal(self, scope: Scope, headers: dict[str, str], session: Session | None) -> Refused | None:
        host = headers.get("host", "")
        if _name(host) not in self._names:
            return Refused(
                421,
                "unknown_host",
                "This server does not answer to that name; start it with --host-name to give it one more.",
            )
        origin = headers.get("origin")
        foreign = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        if (origin is not None and not _same(origin, host)) or (foreign and scope["path"] != "/"):
            return Refused(403, "foreign_origin", "Requests of other pages are refused.")
        wait = self._wait(scope, session)
        return too_often(wait) if wait else None

    def _wait(self, scope: Scope, session: Session | None) -> float:
        if session is not None:
            return self._requests.wait(session.key)
        who, address = tuple(scope.get("client") or ()), sender_of(scope)
        wait = 0.0 if who in self._requests else self._newcomers.wait(address)
        return wait or self._requests.wait(who) or self._strangers.wait(address)


async def refuse(refusal: Refused, send: Send) -> None:
    """Send a refusal as the whole answer."""
    body = refusal.body()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *((name.lower().encode(), value.encode()) for name, value in refusal.headers.items()),
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class _Body:
    """A request's body with a limit, and the answer that goes the other way.

    An answer to a request whose body has not arrived as a whole ends the connection: nobody is going to
    read the rest. A little more is taken first and thrown away, for a connection that is cut while the other
    end still sends is reset, and the answer is lost on the way.
    """

    def __init__(
        self, receive: Receive, send: Send, headers: list[tuple[bytes, bytes]], most: int, seconds: float
    ) -> None:
        self.most = most
        self._receive = receive
        self._send = send
        self._headers = headers
        self._end = time.monotonic() + seconds
        self._read = 0
        self._whole = False

    async def receive(self) -> Message:
        """The next part.

        Raises:
            Refused: it is too large or too slow.
        """
        if self._whole:
            return await self._receive()
        message = await self._part(self._end - time.monotonic())
        if self._read > self.most:
            raise too_large(self.most)
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", []), *self._headers]
            if not self._whole:
                await self._look()
            if not self._whole:
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        elif not self._whole and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _part(self, seconds: float) -> Message:
        try:
            async with asyncio.timeout(max(seconds, 0)):
                message = await self._receive()
        except TimeoutError:
            raise too_slow() from None
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
        else:
            self._whole = True  # gone: there is nothing more to read
        return message

    async def _look(self) -> None:
        """Most requests have no body, or a short one that is there: then all is well."""
        with contextlib.suppress(Refused):
            while not self._whole and self._read <= self.most:
                await self._part(0.0)

    async def _linger(self) -> None:
        end, most = time.monotonic() + _LINGER_SECONDS, self._read + _LINGER_BYTES
        with contextlib.suppress(Refused):
            while not self._whole and self._read < most:
                await self._part(end - time.monotonic())


def sender_of(scope: Scope) -> str:
    """Where a request comes from, without the port."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def _headers(scope: Scope) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        # Two hosts or two lengths are one too many: the second must not be the one that counts elsewhere.
        found[key] = f"{found[key]}, {value.decode('latin-1')}" if key in found else value.decode("latin-1")
    return found


def _cookie(text: str) -> str | None:
    # Not the standard library's, which reads none where one of another server of this machine is odd.
    return cookie_parser(text).get(COOKIE)


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _same(origin: str, host: str) -> bool:
    """Whether an Origin header names the host that was asked."""
    scheme, _, rest = origin.partition("://")
    return scheme in ("http", "https") and rest.lower() == host.lower()
