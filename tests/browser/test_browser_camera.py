"""What the page says when there is no camera, when it is not allowed, and when it goes away half-way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from acting import FRONT, Pose, act, frame
from fake_webcam import Launch, Webcam
from pages import Visit
from playwright.sync_api import expect
from served import ANA, BEN, Served


@pytest.fixture(scope="module")
def server(serve: Callable[..., Served]) -> Served:
    made = serve("--frames", "3/3")
    made.enrol("Ana", ANA)
    return made.start()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ["--use-fake-ui-for-media-stream=deny", "--use-fake-device-for-media-stream"],
            "The camera was not allowed",
        ),
        (["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"], "No camera was found"),
    ],
    ids=["refused", "none"],
)
def test_browser_camera_cannot_be_had(
    server: Served,
    launch: Launch,
    webcam: Webcam,
    request: pytest.FixtureRequest,
    flags: list[str],
    words: str,
) -> None:
    webcam.show([frame(ANA)] * 15)
    if request.node.callspec.id == "none":
        webcam.path.unlink()
    with launch(*flags) as browser:
        here = Visit(browser, server.address)
        page = here.open()
        page.click("#login-go")
        expect(page.locator("#login-advice")).to_contain_text(words)
        expect(page.locator("#login-go")).to_be_enabled()
        here.shoot(f"camera-{request.node.callspec.id}")
        page = here.open(server.operator)
        page.click("nav [data-view=enrol]")
        page.fill("#enrol-name", "Ben")
        page.click("#enrol-go")
        expect(page.locator("#enrol-error")).to_contain_text(words)
        here.close()


def test_browser_camera_lost_half_way(server: Served, webcam: Webcam, visit: Callable[..., Visit]) -> None:
    webcam.show([frame(BEN, Pose(near=0.2))] * 15)
    here = visit(server)
    page = here.open(server.operator)
    stop = "document.querySelector('#video').srcObject.getTracks()[0].stop()"
    for view, said in (("login", "#login-advice"), ("enrol", "#enrol-error")):
        page.click(f"nav [data-view={view}]")
        if view == "enrol":
            page.fill("#enrol-name", "Ben")
        page.click(f"#{view}-go")
        expect(page.locator(f"#{view}-advice")).to_have_text("Come closer.")
        page.evaluate(stop)
        expect(page.locator(said)).to_contain_text("The camera was lost")
        here.shoot(f"camera-lost-{view}")
    # And when it is there again, everything goes on.
    webcam.show(act(ANA, [FRONT, Pose(yaw=4)]))
    page.click("nav [data-view=login]")
    page.click("#login-go")
    expect(page.locator("#verdict strong")).to_have_text("Welcome, Ana")


def test_browser_camera_is_off_after_leaving(
    server: Served, webcam: Webcam, visit: Callable[..., Visit]
) -> None:
    webcam.show([frame(BEN, Pose(near=0.2))] * 15)
    here = visit(server)
    page = here.open(server.operator)
    page.click("#login-go")
    expect(page.locator("#login-advice")).to_have_text("Come closer.")
    page.evaluate("window.track = document.querySelector('#video').srcObject.getTracks()[0]")
    page.click("nav [data-view=people]")
    expect(page.locator("#people-list .name")).to_have_text("Ana")
    assert page.evaluate("window.track.readyState") == "ended"


FROZEN = """
const canvas = document.createElement('canvas');
canvas.getContext('2d').fillRect(0, 0, 640, 480);
if (navigator.mediaDevices) navigator.mediaDevices.getUserMedia = async () => canvas.captureStream(15);
"""


def test_browser_camera_that_gives_no_more_pictures(server: Served, visit: Callable[..., Visit]) -> None:
    """Its track lives on, as when a cable is loose or another program took the camera."""
    here = visit(server)
    here.page.add_init_script(FROZEN)
    page = here.open()
    page.click("#login-go")
    expect(page.locator("#login-advice")).to_contain_text("The camera was lost")


def test_browser_frames_are_the_middle_of_the_picture(server: Served, visit: Callable[..., Visit]) -> None:
    """Left, top, width and height of what is taken: of wide pictures, tall ones, and those that fit."""
    page = visit(server).open()
    found = page.evaluate(
        "import('/camera.js').then(({ crop }) => [crop(1280, 720), crop(480, 640), crop(1280, 960)])"
    )
    assert found == [[160, 0, 960, 720], [0, 140, 480, 360], [0, 0, 1280, 960]]
