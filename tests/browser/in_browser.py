"""A server and a browser for the mode in which the page decides."""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from fedfr_edge.apps.serving import address_of, listen
from fedfr_edge.apps.web.api import make_app
from fedfr_edge.apps.web.browser_files import MODEL, about_browser, browser_files, runtime_place
from fedfr_edge.apps.web.limits import Limits
from fedfr_edge.apps.web.static_files import Served, page_files
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.policy import LoginPolicy
from fedfr_edge.types import Image

RUNTIME_VARIABLE = "FEDFR_ORT_WEB"
"""Environment variable that names onnxruntime-web for the tests: the package (.tgz) or a folder."""

UNHURRIED = Limits(requests=1e4, requests_at_once=1e4, newcomers=1e4, newcomers_at_once=1e4)
"""Tests load pages faster than people."""


def runtime() -> Path:
    """onnxruntime-web; skips where it is absent."""
    named = os.environ.get(RUNTIME_VARIABLE)
    place = Path(named) if named else runtime_place()
    if not place.exists():
        pytest.skip(
            f"onnxruntime-web is not at {place}: run 'fedfr models get onnxruntime-web', or set "
            f"{RUNTIME_VARIABLE} to npm's package"
        )
    return place


class Running:
    """A server in a thread.

    Attributes:
        address: of its page.
    """

    def __init__(self, files: Mapping[str, Served], about: Mapping[str, Any], port: int) -> None:
        self._listening = listen("127.0.0.1", port)
        self.address = address_of(self._listening)
        app = make_app(desk=None, files=files, about=about, limits=UNHURRIED)
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listening]}, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End it, as if it had been killed."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._listening.close()


@dataclass
class Site:
    """A server for pages that decide.

    Attributes:
        address: of its page.
        encoder: its model, as the library runs it.
        about: what ``/api/info`` says.
        stop: ends it, as if it had been killed.
    """

    address: str
    encoder: OnnxEncoder
    about: dict[str, Any]
    stop: Callable[[], None]


@contextmanager
def serving(
    model: Path,
    *,
    policy: LoginPolicy | None = None,
    more: Mapping[str, Path] | None = None,
    port: int = 0,
) -> Iterator[Site]:
    """Serve a model to pages that decide.

    Args:
        model: the exported model.
        policy: how careful.
        more: address → further model, for tests that compare networks.
        port: 0 for a free one.
    """
    encoder = OnnxEncoder(model, provider="cpu", threads=1)
    files: dict[str, Served] = browser_files(encoder, runtime())
    about = about_browser(encoder, files, policy=policy, limits=UNHURRIED)
    for place, path in (more or {}).items():
        files[place] = browser_files(OnnxEncoder(path, provider="cpu"), runtime())[MODEL]
    running = Running(page_files() | files, about, port)
    try:
        yield Site(running.address, encoder, about, running.stop)
    finally:
        running.stop()


def as_rgba(image: Image) -> dict[str, Any]:
    """A picture for the page's :data:`PICTURES`, pixel by pixel: no codec in between."""
    height, width = image.shape[:2]
    rgba = bytearray(4 * height * width)
    for channel in range(3):
        rgba[channel::4] = image[..., channel].tobytes()
    rgba[3::4] = b"\xff" * (height * width)
    return {"width": width, "height": height, "base64": base64.b64encode(bytes(rgba)).decode()}


PICTURES = """
() => {
  globalThis.asPicture = ({ width, height, base64 }) => {
    const text = atob(base64);
    const data = new Uint8ClampedArray(text.length);
    for (let i = 0; i < text.length; i++) data[i] = text.charCodeAt(i);
    return { data, width, height };
  };
  globalThis.asCanvas = (sent) => {
    const { data, width, height } = asPicture(sent);
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    canvas.getContext("2d", { willReadFrequently: true }).putImageData(new ImageData(data, width), 0, 0);
    return canvas;
  };
  globalThis.asBase64 = (bytes) => {
    let text = "";
    for (const byte of bytes) text += String.fromCharCode(byte);
    return btoa(text);
  };
}
"""
"""Script for pages of tests: pictures from Python become what the engine and the back end take."""
