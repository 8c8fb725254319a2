"""The server's addresses. Everything is JSON; every refusal has one form, see ``answers.py``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response, StreamingResponse

from fedfr_edge.errors import FedFRError

from .answers import Refused, busy, no_session, not_operator, refusal_of, too_often, usable_name
from .camera import Cameras
from .desk import Desk
from .guard import PHOTO, Guard, sender_of
from .limits import Limits
from .photos import login_photo
from .rates import Rates
from .sessions import COOKIE, Session, Sessions, same_secret
from .static_files import Served

PART_BYTES = 256 * 1024
"""Files are sent in parts of this size, the next when the last was taken."""

LOG_ENTRIES = 200
"""Most entries of the log in one answer."""


def make_app(
    *,
    desk: Desk | None,
    files: Mapping[str, Served],
    about: Mapping[str, Any] | None = None,
    token: str = "",
    limits: Limits | None = None,
    names: Iterable[str] = (),
) -> Guard:
    """The server as an ASGI application.

    Args:
        desk: what decides; None: the page decides by itself, and gets nothing but files.
        files: address → file.
        about: what ``/api/info`` says where the page decides.
        token: the operator's.
        limits: of sizes, times and rates, where there is no desk that has its own.
        names: host names that are answered, beside this machine's own.
    """
    limits = (limits if desk is None else desk.limits) or Limits()
    sessions = Sessions(limits)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        if desk is not None:
            desk.workshop.close()

    # No pages of documentation: they would load scripts from another host.
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=life)
    app.add_exception_handler(HTTPException, _http)
    for kind in (Refused, FedFRError, Exception):
        app.add_exception_handler(kind, _failed)
    if desk is None:
        info = {"mode": "browser", **dict(about or {})}

        @app.get("/api/info")
        async def browser_info() -> Response:
            return _answer(info)
    else:
        _add_routes(app, desk, sessions, token)

    @app.get("/{path:path}")
    async def file(request: Request) -> Response:
        found = files.get(request.url.path)
        if found is None:
            raise HTTPException(404)
        headers = {"ETag": found.tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == found.tag:
            return Response(status_code=304, headers=headers)
        if len(found.content) <= PART_BYTES:
            return Response(found.content, media_type=found.kind, headers=headers)
        headers["Content-Length"] = str(len(found.content))
        return StreamingResponse(_parts(found.content), media_type=found.kind, headers=headers)

    return Guard(app, limits=limits, sessions=sessions, names=names, in_browser=desk is None)


async def _parts(content: bytes) -> AsyncIterator[bytes]:
    # Handed over at once, a large file would lie in memory again for each slow reader.
    for start in range(0, len(content), PART_BYTES):
        yield content[start : start + PART_BYTES]


def _add_routes(app: FastAPI, desk: Desk, sessions: Sessions, token: str) -> None:
    limits, cameras = desk.limits, Cameras(desk)
    tokens = Rates(limits.tokens / 60, limits.tokens, limits.clients)
    begun = Rates(limits.new_sessions, limits.new_sessions_at_once, limits.clients)
    photos = asyncio.Semaphore(limits.photos_waiting)

    def with_cookie(request: Request, response: Response, session: Session) -> Response:
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, session.key, httponly=True, samesite="strict", secure=secure, path="/")
        return response

    @app.get("/api/info")
    async def info(request: Request) -> Response:
        session = _session(request)
        if session is None:
            wait = begun.wait(sender_of(request.scope))
            if wait:
                raise too_often(wait)
            session = sessions.begin()
        about = await desk.workshop.book(desk.about)
        own = {"mode": "server", "csrf": session.csrf, "operator": session.operator}
        return with_cookie(request, _answer({**own, **about}), session)

    @app.post("/api/operator")
    async def operator(request: Request) -> Response:
        session = _changing(request)
        given = (await _json(request)).get("token")
        if not isinstance(given, str):
            raise Refused(400, "bad_request", 'The operator\'s token was expected: {"token": "…"}.')
        wait = tokens.wait(sender_of(request.scope))
        if wait:
            raise too_often(wait)
        if not token or not same_secret(given, token):
            raise Refused(
                403,
                "wrong_token",
                "This is not the operator's token; 'fedfr serve' prints a new one whenever it starts.",
            )
        await desk.workshop.book(desk.books.other_factor)
        session.operator = True
        sessions.renew(session)
        return with_cookie(request, _answer({"operator": True, "csrf": session.csrf}), session)

    @app.get("/api/people")
    async def people(request: Request) -> Response:
        _operator(_known(request))
        gallery = await desk.workshop.book(desk.books.gallery)
        rows = [
            {"id": one.id, "name": one.name, "enrolled": one.enrolled, "images": one.images}
            for one in gallery.people
        ]
        return _answer(rows)

    @app.delete("/api/people/{person}")
    async def delete(request: Request, person: str) -> Response:
        _operator(_changing(request))
        gone = await desk.workshop.book(lambda: desk.books.delete(person))
        return _answer({"id": gone.id, "name": gone.name})

    @app.get("/api/log")
    async def entries(request: Request) -> Response:
        _operator(_known(request))
        return _answer(await desk.workshop.book(lambda: desk.books.newest_entries(LOG_ENTRIES)))

    @app.post(PHOTO)
    async def photo(request: Request) -> Response:
        session = _changing(request)
        kind = request.query_params.get("kind")
        if kind != "login":
            raise Refused(400, "bad_request", "?kind=login was expected.")
        wait = cameras.attempts.wait(sender_of(request.scope))
        if wait:
            raise too_often(wait)
        if photos.locked():
            raise busy()
        async with photos:
            data = await request.body()
            claim = request.query_params.get("claim")
            claim = usable_name(claim) if claim else None
            return _answer(await login_photo(desk, session, data, claim))

    @app.websocket("/api/camera")
    async def camera(socket: WebSocket) -> None:
        await cameras.serve(socket)


def _session(request: Request) -> Session | None:
    found: Session | None = request.state.session
    return found


def _known(request: Request) -> Session:
    session = _session(request)
    if session is None:
        raise no_session()
    return session


def _changing(request: Request) -> Session:
    """The session of a request that changes something."""
    session = _known(request)
    if not session.fits(request.headers.get("x-csrf")):
        raise no_session()
    return session


def _operator(session: Session) -> None:
    if not session.operator:
        raise not_operator()


async def _json(request: Request) -> dict[str, Any]:
    try:
        values = json.loads(await request.body())
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise Refused(400, "bad_request", "A JSON object was expected.")
    return values


def _answer(values: Any) -> Response:
    return JSONResponse(values, headers={"Cache-Control": "no-store"})


def _refusal(refusal: Refused) -> Response:
    headers = {"Cache-Control": "no-store", **refusal.headers}
    return JSONResponse(refusal.as_json(), status_code=refusal.status, headers=headers)


async def _failed(_: Request, error: Exception) -> Response:
    return _refusal(refusal_of(error))


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = {404: "There is nothing here.", 405: "That cannot be done here."}
    code = {404: "not_found", 405: "not_allowed"}
    words = text.get(error.status_code, "That request cannot be understood.")
    return _refusal(Refused(error.status_code, code.get(error.status_code, "bad_request"), words))
