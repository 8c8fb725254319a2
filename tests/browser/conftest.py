"""The browser, its fake webcam, and a server for each module of tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from fake_webcam import Launch, Webcam
from in_browser import Running, Site
from page_backend import Here
from pages import Visit
from served import Served

from fedfr_edge.apps.web.static_files import page_files

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program; skips where there is none."""
    found = os.environ.get("FEDFR_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        pytest.skip(f"no Chromium: none of {', '.join(NAMES)} on the PATH, and FEDFR_CHROMIUM is not set")
    return found


@pytest.fixture(scope="module")
def webcam(tmp_path_factory: pytest.TempPathFactory) -> Webcam:
    return Webcam(tmp_path_factory.mktemp("webcam") / "film.y4m")


@pytest.fixture(scope="module")
def launch(chromium: str, webcam: Webcam) -> Iterator[Launch]:
    """Starts headless browsers with the flags that are given; their webcam plays the film of ``webcam``."""
    from playwright.sync_api import sync_playwright

    # Not for the whole session: Playwright's event loop would be in the way of other tests' own.
    with sync_playwright() as playwright:

        @contextmanager
        def start(*flags: str) -> Iterator[Browser]:
            running = playwright.chromium.launch(
                executable_path=chromium,
                headless=True,
                args=[
                    f"--use-file-for-fake-video-capture={webcam.path}",
                    # Whatever the browser itself might want to look up, it does not get.
                    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                    *flags,
                ],
            )
            yield running
            running.close()

        yield start


@pytest.fixture(scope="module")
def browser(launch: Launch) -> Iterator[Browser]:
    """One for all tests of the module; pages get the camera without being asked."""
    with launch("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream") as running:
        yield running


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Served]]:
    """Makes servers, which end with the module; each has a gallery of its own and is not started yet."""
    made: list[Served] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))

        def make(*options: str, **more: Any) -> Served:
            made.append(Served(tmp_path_factory.mktemp("served"), *options, **more))
            return made[-1]

        yield make
        for server in made:
            server.stop()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Opens contexts, which are closed and checked after the test."""
    made: list[Visit] = []

    def make(server: Served, **options: Any) -> Visit:
        made.append(Visit(browser, server.address, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """An empty page of ours, from which modules of the engine can be imported."""
    running = Running(page_files(), {}, 0)
    opened = browser.new_page()
    opened.goto(running.address + "style.css")
    yield opened
    opened.close()
    running.stop()


@pytest.fixture
def here(browser: Browser, site: Site) -> Iterator[Here]:
    """A browser profile of its own on the page of the module's ``site``."""
    opened = Here(browser, site)
    yield opened
    opened.context.close()
