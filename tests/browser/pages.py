"""A page of the app in the browser: what it asks the network for, what it says, pictures of its states."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
from acting import FRONT, Pose, frame
from playwright.sync_api import Browser, FilePayload, Page, expect

PATIENCE = 30_000
"""Milliseconds that anything may take where other programs want the processor, too."""

expect.set_options(timeout=PATIENCE)

SCREENSHOTS = "FEDFR_SCREENSHOTS"
"""Environment variable: the folder that pictures of the states go to; none without it."""


def photo(person: int, pose: Pose = FRONT, name: str = "photo.png") -> FilePayload:
    """A photograph of somebody, as a file that is chosen on the page."""
    data = cv2.imencode(".png", frame(person, pose)[:, :, ::-1])[1].tobytes()
    return {"name": name, "mimeType": "image/png", "buffer": data}


class Visit:
    """One page in a browser context of its own.

    Attributes:
        page: Playwright's.
        requests: every address that the page asked for, of websockets too.
        errors: what the page's scripts and the browser's console complained of.
    """

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.home = address
        self.context = browser.new_context(**{"viewport": {"width": 1100, "height": 760}, **options})
        self.context.set_default_timeout(PATIENCE)
        self.page: Page = self.context.new_page()
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.context.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda socket: self.requests.append(socket.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._hear)

    def open(self, fragment: str = "") -> Page:
        """Go to the page, and wait until it is ready."""
        self.page.goto("about:blank")
        self.page.goto(self.home + fragment)
        self.page.wait_for_selector("html[data-mode]", state="attached")
        return self.page

    def shoot(self, name: str) -> None:
        """Keep a picture of the state, if a folder was given for that."""
        folder = os.environ.get(SCREENSHOTS)
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.wait_for_timeout(250)  # colours fade in
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    def close(self) -> None:
        """Leave, and check what every visit must hold: no other host was asked for anything."""
        self.context.close()
        here = urlsplit(self.home).netloc
        foreign = {
            url for url in self.requests if urlsplit(url).netloc != here and not url.startswith("about:")
        }
        assert not foreign, foreign
        assert not self.errors, self.errors

    def _hear(self, message: Any) -> None:
        # The browser itself notes answers that are refusals; those are tested by what the page says.
        if message.type == "error" and not message.text.startswith(("Failed to load resource", "WebSocket")):
            self.errors.append(message.text)
