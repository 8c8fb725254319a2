"""The whole page, with a fake webcam, where the page decides: ``fedfr serve --in-browser``."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from acting import FRONT, Pose, act
from in_browser import runtime
from pages import Visit, photo
from playwright.sync_api import expect
from served import ANA, EVE, Served

if TYPE_CHECKING:
    from fake_webcam import Webcam

SIDES = (FRONT, Pose(yaw=20), Pose(yaw=-20), Pose(near=1.45), Pose(near=0.65))


@pytest.fixture(scope="module")
def server(serve: Callable[..., Served]) -> Served:
    return serve("--in-browser", "--runtime", str(runtime()), "--frames", "2/3", gallery=False).start()


def test_browser_page_decides_by_itself(server: Served, webcam: Webcam, visit: Callable[..., Visit]) -> None:
    webcam.show(act(ANA, SIDES))
    here = visit(server)
    sent: list[str] = []
    here.context.on(
        "request", lambda request: sent.append(request.url) if request.post_data_buffer is not None else None
    )
    page = here.open()
    expect(page.locator("html")).to_have_attribute("data-mode", "browser")
    loaded = len(here.requests)
    page.click("nav [data-view=enrol]")
    page.fill("#enrol-name", "Ana")
    page.click("#enrol-go")
    page.wait_for_selector("#stage[data-state=enrolled]")
    expect(page.locator("#enrol-result")).to_contain_text("Ana is enrolled.")
    here.shoot("in-browser-enrolled")

    server.stop()  # from here on the page is on its own
    page.click("nav [data-view=login]")
    webcam.show(act(ANA, [FRONT, Pose(yaw=4)]))
    page.click("#login-go")
    expect(page.locator("#verdict strong")).to_have_text("Welcome, Ana")
    page.click("#verdict-details summary")
    assert "WebAssembly" in page.locator("#verdict-facts").inner_text()
    here.shoot("in-browser-accepted")
    page.set_input_files("#login-photo", photo(ANA))  # one picture decides, whatever --frames asks of a film
    expect(page.locator("#verdict strong")).to_have_text("Welcome, Ana")
    webcam.show(act(EVE, [FRONT, Pose(yaw=4)]))
    page.click("#login-go")
    expect(page.locator("#verdict.refused")).to_contain_text("not recognised")
    page.click("nav [data-view=log]")
    expect(page.locator("#log-list li")).to_have_count(4)
    page.click("nav [data-view=people]")
    page.click("#people-list button")
    page.click("#confirm button[value=yes]")
    expect(page.locator("#people-list li")).to_have_count(0)

    # For each view the browser itself asks for the icon of its tab.
    asked = [url for url in here.requests[loaded:] if not url.endswith("/icon.svg")]
    assert asked == [], "nothing is asked for once the page is loaded"
    assert sent == [], "no request has anything with it"
    looks = [entry["duration"] for entry in page.evaluate("performance.getEntriesByName('look')")]
    print(
        f"\n{len(looks)} frames, camera to drawn answer: median {statistics.median(looks):.0f} ms, ", end=""
    )
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    assert len(looks) >= 10
