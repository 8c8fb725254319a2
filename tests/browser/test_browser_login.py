"""Enrolling and logging in on the page, with a fake webcam, where the server decides."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from acting import FRONT, Pose, act, frame, scene
from fake_webcam import Webcam
from pages import Visit
from playwright.sync_api import expect
from served import ANA, BEN, EVE, Served

ALL_POSES = (FRONT, Pose(yaw=20), Pose(yaw=-20), Pose(near=1.45), Pose(near=0.65))


@pytest.fixture(scope="module")
def server(serve: Callable[..., Served]) -> Served:
    made = serve("--frames", "2/3")
    made.enrol("Ben", BEN)
    return made.start()


def test_browser_enrol_then_log_in(server: Served, webcam: Webcam, visit: Callable[..., Visit]) -> None:
    webcam.show(act(ANA, ALL_POSES))
    here = visit(server)
    page = here.open(server.operator)
    assert "operator" not in page.url, "the operator's key must not stay in the address"
    page.click("nav [data-view=enrol]")
    here.shoot("enrol-ready")
    page.fill("#enrol-name", "Ana")
    page.click("#enrol-go")
    page.wait_for_selector("#enrol-looks .taken")
    expect(page.locator("#enrol-progress")).not_to_have_js_property("value", 0)
    here.shoot("enrol-running")
    page.wait_for_selector("#stage[data-state=enrolled]")
    expect(page.locator("#enrol-result")).to_contain_text("Ana is enrolled.")
    assert page.locator("#enrol-progress").evaluate("bar => bar.value === bar.max")
    here.shoot("enrol-done")
    page.click("nav [data-view=login]")
    here.shoot("login-ready")
    webcam.show(act(ANA, [FRONT, Pose(yaw=4)]))
    page.click("#login-go")
    expect(page.locator("#verdict strong")).to_have_text("Welcome, Ana")
    assert not page.evaluate("document.querySelector('video').srcObject"), (
        "the camera is off after the verdict"
    )
    page.click("#verdict-details summary")
    facts = page.locator("#verdict-facts").inner_text()
    known = {"Score", "Score needed", "False accepts", "Threshold from", "Model", "Computed by"}
    assert known <= set(facts.splitlines())
    here.shoot("login-accepted")


def test_browser_a_stranger_is_refused(server: Served, webcam: Webcam, visit: Callable[..., Visit]) -> None:
    webcam.show(act(EVE, [FRONT, Pose(yaw=4)]))
    here = visit(server)
    page = here.open()
    page.click("#login-go")
    page.wait_for_selector("#stage[data-state=live]")
    expect(page.locator("#verdict.refused")).to_contain_text("not recognised")
    expect(page.locator("#login-go")).to_have_text("Try again")
    page.click("#verdict-details summary")
    here.shoot("login-refused")
    # Whom one resembles how much is nothing for strangers.
    assert "Score\n" not in page.locator("#verdict-facts").inner_text()


def test_browser_two_faces_at_once(server: Served, webcam: Webcam, visit: Callable[..., Visit]) -> None:
    webcam.show([scene([(EVE, Pose(near=0.75, at=0.2)), (BEN, Pose(near=1.15, at=0.58))])] * 15)
    here = visit(server)
    page = here.open()
    page.click("#login-go")
    expect(page.locator("#verdict strong")).to_have_text("Welcome, Ben")
    page.click("#verdict-details summary")
    assert "Faces seen\n2" in page.locator("#verdict-facts").inner_text()
    here.shoot("login-two-faces")
    # Enrolment refuses them: nobody says whose template it would become.
    page = here.open(server.operator)
    page.click("nav [data-view=enrol]")
    page.fill("#enrol-name", "Both")
    page.click("#enrol-go")
    expect(page.locator("#enrol-looks .refused")).to_contain_text("not taken")
    expect(page.locator("#enrol-progress")).to_have_js_property("value", 0)
    here.shoot("enrol-two-faces")
    page.click("#enrol-go")
    expect(page.locator("#enrol-advice")).to_contain_text("Nobody was enrolled")


def test_browser_advice_to_come_closer(server: Served, webcam: Webcam, visit: Callable[..., Visit]) -> None:
    webcam.show([frame(BEN, Pose(near=0.2))] * 15)
    here = visit(server)
    page = here.open()
    page.click("#login-go")
    expect(page.locator("#login-advice")).to_have_text("Come closer.")
    pixels = "canvas => canvas.getContext('2d').getImageData(0, 0, 640, 480).data.some(Boolean)"
    assert page.locator("#overlay").evaluate(pixels), "the face's box is drawn"
    here.shoot("login-come-closer")
    page.click("#login-go")
    expect(page.locator("#login-advice")).to_have_text("Stopped.")
