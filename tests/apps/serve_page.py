"""A browser's page as far as the server can tell, without a network."""

from __future__ import annotations

import json
import runpy
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedfr_edge.apps.web.api import make_app
from fedfr_edge.apps.web.static_files import page_files

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette 1 wants a successor of httpx, older ones want httpx
    from starlette.testclient import TestClient

faces: dict[str, Any] = runpy.run_path(str(Path(__file__).with_name("desk_of_faces.py")))
make_desk, picture = faces["make_desk"], faces["picture"]

TOKEN = "the operator's token"
HOME = "http://127.0.0.1:8620"
CAMERA = "ws://127.0.0.1:8620/api/camera"


class Page:
    """A browser with one session."""

    def __init__(self, app: Any) -> None:
        self.web = TestClient(app, base_url=HOME)
        self.csrf = ""
        self.info: dict[str, Any] = {}
        self.load()

    def load(self) -> None:
        answer = self.web.get("/api/info")
        assert answer.status_code == 200
        self.info = answer.json()
        self.csrf = self.info["csrf"]

    def ask(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        headers = {"X-CSRF": self.csrf, **more.pop("headers", {})}
        answer = self.web.request(method, path, headers=headers, **more)
        return answer.status_code, answer.json()

    def refused(self, method: str, path: str, **more: Any) -> tuple[int, str]:
        status, answer = self.ask(method, path, **more)
        assert set(answer) == {"error"}
        assert answer["error"]["text"]
        return status, answer["error"]["code"]

    def become_operator(self) -> None:
        status, answer = self.ask("POST", "/api/operator", json={"token": TOKEN})
        self.csrf = answer["csrf"]
        assert (status, answer["operator"]) == (200, True)

    def camera(self) -> Any:
        return self.web.websocket_connect(CAMERA, headers={"Origin": HOME})

    def sit(self, frames: list[bytes | str], **first: Any) -> list[dict[str, Any]]:
        """Send the first message and the frames; all replies, one for each frame."""
        replies = []
        with self.camera() as socket:
            socket.send_text(json.dumps({"csrf": self.csrf, **first}))
            for frame in frames:
                socket.send_text(frame) if isinstance(frame, str) else socket.send_bytes(frame)
                replies.append(socket.receive_json())
        return replies

    def enrol(self, name: str, person: int) -> dict[str, Any]:
        shots: list[bytes | str] = [picture(person, other=share) for share in (0.0, 0.3)]
        *_, last = self.sit([*shots, "finish"], kind="enrol", name=name, photos=2)
        return dict(last["enrol"])

    def login(self, *people: int | None, **claim: str) -> dict[str, Any]:
        *_, last = self.sit([picture(person) for person in people], kind="login", **claim)
        return dict(last["login"]["verdict"])


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    return make_desk(tmp_path)


@pytest.fixture
def app(desk: Any) -> Iterator[Any]:
    yield make_app(desk=desk, files=page_files(), token=TOKEN, names=["door.example.org"])
    desk.workshop.close()


@pytest.fixture
def page(app: Any) -> Any:
    return Page(app)


@pytest.fixture
def operator(app: Any) -> Any:
    page = Page(app)
    page.become_operator()
    return page
