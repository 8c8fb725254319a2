"""What the page costs: bytes, and the time from a camera frame to its drawn answer."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable

import pytest
from acting import FRONT, Pose, act
from fake_webcam import Webcam
from pages import Visit
from playwright.sync_api import Response, expect
from served import ANA, BEN, Served

from fedfr_edge.apps.web.static_files import page_files

MOST_BYTES = 300_000
LOOKS = 40


@pytest.fixture(scope="module")
def server(serve: Callable[..., Served]) -> Served:
    made = serve("--frames", f"{LOOKS}/{LOOKS}", "--no-lockout")
    made.enrol("Ana", ANA)
    made.enrol("Ben", BEN)
    return made.start()


def test_browser_page_is_small(server: Served, visit: Callable[..., Visit]) -> None:
    here = visit(server)
    got: dict[str, Response] = {}
    here.page.on("response", lambda response: got.__setitem__(response.url, response))
    page = here.open(server.operator)
    for view in ("enrol", "people", "log"):
        page.click(f"nav [data-view={view}]")
        page.wait_for_timeout(200)
    asked = {url: len(response.body()) for url, response in got.items() if response.ok}
    assert sum(asked.values()) <= MOST_BYTES, asked
    # And everything that the page could ask for, the part that decides in the browser included.
    every = page_files()
    del every["/"]  # is /index.html
    assert f"{server.address}style.css" in asked
    assert sum(len(file.content) for file in every.values()) <= MOST_BYTES


def test_browser_frame_to_drawn_answer_is_measured(
    server: Served, webcam: Webcam, visit: Callable[..., Visit]
) -> None:
    """How fast it should be is said in docs/results.md, and measured on an idle machine."""
    webcam.show(act(ANA, [FRONT, Pose(yaw=6)]))
    here = visit(server)
    page = here.open()
    page.click("#login-go")
    expect(page.locator("#verdict")).not_to_be_empty()
    times = page.evaluate("performance.getEntriesByName('look').map(({ duration }) => duration)")
    assert len(times) >= LOOKS - 1
    assert min(times) > 0
    late = sorted(times)[int(0.95 * len(times))]
    print(
        f"\nframe to drawn answer at 640x480, {len(times)} frames with detection and comparison, the server "
        f"with 1 thread: median {statistics.median(times):.0f} ms, 95 % within {late:.0f} ms; load "
        f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
