"""The dashboard's server: the page's files and two answers in JSON, nothing that changes anything."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ..web.answers import Refused
from ..web.guard import Guard
from ..web.limits import Limits
from ..web.sessions import Sessions
from ..web.static_files import served
from .pages import data_script, files
from .readings import Readings
from .view import as_json, in_full, in_short


def make_app(readings: Readings, *, names: Iterable[str] = (), limits: Limits | None = None) -> Guard:
    """The server as an ASGI application, behind the login page's guard.

    ::

        GET /                    the page; its other files beside it
        GET /api/runs            {"now": seconds since 1970, "tag": TAG, "runs": [one row each]}
        GET /api/runs?tag=TAG    the same, without "runs" while nothing has changed
        GET /api/runs/{id}       everything about one run

    Args:
        readings: the runs.
        names: host names that are answered, beside this machine's own.
        limits: of rates; everything else is far below them.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    contents = {name: served(name, content) for name, content in files().items()}
    contents["data.js"] = served("data.js", data_script(None))

    def refuse(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        text = str(error.detail) if isinstance(error, HTTPException) else "that went wrong"
        return _answer(Refused(status, str(status), text).as_json(), status)

    app.add_exception_handler(HTTPException, refuse)

    @app.get("/api/runs")
    def runs(tag: str = "") -> Response:
        found = readings.look()
        now = hashlib.sha256(" ".join(reading.tag for reading in found).encode()).hexdigest()[:12]
        rows = {} if tag == now else {"runs": [in_short(reading) for reading in found]}
        return _answer({"now": time.time(), "tag": now, **rows})

    @app.get("/api/runs/{id}")
    def one(id: str) -> Response:
        reading = readings.find(id)
        if reading is None:
            raise HTTPException(404, "no such run; the list of runs says which there are")
        return _answer(in_full(reading))

    @app.get("/{name:path}")
    def file(name: str) -> Response:
        found = contents.get(name or "index.html")
        if found is None:
            raise HTTPException(404, "no such page")
        return Response(found.content, media_type=found.kind, headers={"cache-control": "no-cache"})

    limits = limits or Limits()
    return Guard(app, limits=limits, sessions=Sessions(limits), names=names, in_browser=False)


def _answer(value: Any, status: int = 200) -> Response:
    return Response(as_json(value), status, {"cache-control": "no-store"}, "application/json")
