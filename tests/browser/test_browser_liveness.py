"""With liveness on: a living head does what the page asks for, a picture of one cannot."""

from __future__ import annotations

import dataclasses
import os
import statistics
from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
import pytest
from acting import RATE, frame
from fake_webcam import Webcam
from from_liveness import borrowed
from in_browser import runtime
from living import living_camera
from pages import Visit, photo
from playwright.sync_api import Page, expect
from served import BEN, EVE, LOOKS, MODEL, Served

from fedfr_edge.apps.web.replies import CAMERA_NEEDED
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.lockout import WITH_LIVENESS
from fedfr_edge.recognition.login import operating_threshold
from fedfr_edge.types import Image
from fedfr_edge.vision.align import align
from fedfr_edge.vision.centerface import CenterFace


@pytest.fixture(scope="module")
def server(serve: Callable[..., Served]) -> Served:
    made = serve("--liveness")
    made.enrol("Ben", BEN)
    return made.start()


@pytest.fixture(scope="module")
def presented() -> ModuleType:
    """The pictures of attackers that the tests of liveness use."""
    return borrowed("presented")


def moved_about(presented: ModuleType, paper: Image) -> Iterator[Image]:
    """Held still, tilted to both sides, brought nearer and away: once around in 6 s."""
    for angle in np.linspace(0, 2 * np.pi, 6 * RATE, endpoint=False):
        tilt, near = 40 * np.sin(angle), 1.4 + 0.12 * np.sin(2 * angle)
        yield presented.hold(paper, presented.Held(yaw=tilt, nearness=near, aside=20 * np.sin(angle)))


def test_browser_a_photograph_of_a_photograph_is_refused(
    server: Served, webcam: Webcam, visit: Callable[..., Visit], presented: ModuleType
) -> None:
    paper = presented.printed(frame(BEN))
    # Without liveness it would pass: the model takes the picture for Ben.
    encoder, detector = OnnxEncoder(MODEL, threads=1), CenterFace(threads=1)
    pictures = (frame(BEN), presented.hold(paper, presented.Held(nearness=1.4)))
    faces = np.stack([align(picture, detector.detect(picture)[0].landmarks) for picture in pictures])
    first, second = encoder.embed(faces)
    assert float(first @ second) > operating_threshold(encoder.manifest).threshold
    webcam.show(moved_about(presented, paper))
    here = visit(server)
    page = here.open()
    expect(page.locator("#login-photo")).to_be_hidden()
    page.click("#login-go")
    expect(page.locator("#login-steps")).to_contain_text("Move 1 of 4")
    here.shoot("liveness-picture")
    expect(page.locator("#verdict.refused")).to_contain_text("living person")
    expect(page.locator("#verdict.refused")).to_contain_text("Begin again")
    page.click("#verdict-details summary")
    assert "not_live" in page.locator("#verdict-facts").inner_text()
    here.shoot("liveness-picture-refused")


def follow(page: Page, attempts: int = 5) -> str:
    """Log in as often as somebody would who is taken for a picture because the machine is too busy."""
    for _ in range(attempts):
        page.click("#login-go")
        expect(page.locator("#login-go")).to_have_text("Stop")
        expect(page.locator("#login-go")).not_to_have_text("Stop", timeout=90_000)
        said = page.locator("#verdict").inner_text()
        if "living person" not in said:
            break
    return said


def test_browser_a_living_head_follows_and_is_let_in(server: Served, visit: Callable[..., Visit]) -> None:
    here = visit(server)
    here.page.add_init_script(living_camera(BEN))
    page = here.open()
    assert "Welcome, Ben" in follow(page)
    here.shoot("liveness-accepted")


@pytest.mark.long
def test_browser_a_living_stranger_is_refused(server: Served, visit: Callable[..., Visit]) -> None:
    here = visit(server)
    here.page.add_init_script(living_camera(EVE))
    assert "not recognised" in follow(here.open())


def test_browser_page_that_decides_tells_a_living_head_from_a_moved_photograph(
    serve: Callable[..., Served], visit: Callable[..., Visit], webcam: Webcam, presented: ModuleType
) -> None:
    here = visit(serve("--in-browser", "--liveness", "--runtime", str(runtime()), gallery=False).start())
    here.page.add_init_script(living_camera(BEN))
    page = here.open()
    told = page.evaluate("async () => (await fetch('api/info')).json()")
    assert told["liveness"] is True
    assert told["engine"]["lockout"] == dataclasses.asdict(WITH_LIVENESS)
    page.click("nav [data-view=enrol]")
    page.fill("#enrol-name", "Ben")
    page.set_input_files("#enrol-photos", [photo(BEN, pose) for pose in LOOKS[:3]])
    page.wait_for_selector("#stage[data-state=enrolled]")
    page.click("nav [data-view=login]")
    expect(page.locator("#login-photo")).to_be_hidden()
    assert "Welcome, Ben" in follow(page)
    here.shoot("in-browser-liveness-accepted")
    looks = [entry["duration"] for entry in page.evaluate("performance.getEntriesByName('look')")]
    typical, load = statistics.median(looks), os.getloadavg()[0]
    print(f"\n{len(looks)} frames with liveness, camera to drawn answer: median {typical:.0f} ms, ", end="")
    print(f"load {load:.1f} on {os.cpu_count()} cores")

    # A photograph as a file is refused by the engine, not by the page alone.
    page.set_input_files("#login-photo", photo(BEN))
    expect(page.locator("#login-advice")).to_have_text(CAMERA_NEEDED[1])
    page.evaluate("() => { delete navigator.mediaDevices.getUserMedia; }")  # the browser's own camera again
    webcam.show(moved_about(presented, presented.printed(frame(BEN))))
    for broken_off in (True, False):
        page.click("#login-go")
        expect(page.locator("#login-steps")).to_contain_text("Move 1 of 4")
        if broken_off:
            page.click("#login-go")
    expect(page.locator("#verdict.refused")).to_contain_text("living person")
    expect(page.locator("#verdict.refused")).to_contain_text("Begin again")
    here.shoot("in-browser-liveness-picture-refused")
    page.click("nav [data-view=log]")
    for row in (0, 1):
        expect(page.locator("#log-list li").nth(row)).to_contain_text("not_live")
