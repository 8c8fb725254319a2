"""The server goes away and comes back."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
from acting import FRONT, Pose, act, frame
from fake_webcam import Webcam
from pages import Visit
from playwright.sync_api import expect
from served import ANA, BEN, Served


@pytest.fixture(scope="module")
def server(serve: Callable[..., Served]) -> Served:
    made = serve()
    made.enrol("Ana", ANA)
    return made.start()


def test_browser_server_gone_and_back(server: Served, webcam: Webcam, visit: Callable[..., Visit]) -> None:
    webcam.show([frame(BEN, Pose(near=0.2))] * 15)
    here = visit(server)
    page = here.open()
    banner = page.locator("#connection")
    page.click("#login-go")
    expect(page.locator("#login-advice")).to_have_text("Come closer.")
    server.stop(signal.SIGKILL)
    expect(banner).to_contain_text("The server does not answer. Trying again")
    expect(page.locator("#stage")).to_have_attribute("data-state", "off")
    here.shoot("server-gone")
    webcam.show(act(ANA, [FRONT, Pose(yaw=4)]))
    server.start()
    expect(banner).to_have_text("The server is back.")
    here.shoot("server-back")
    expect(banner).to_be_hidden()
    page.click("#login-go")
    expect(page.locator("#verdict strong")).to_have_text("Welcome, Ana")


def test_browser_server_gone_between_requests(server: Served, visit: Callable[..., Visit]) -> None:
    """Also the operator's list says so; and the new server asks for its new key."""
    here = visit(server)
    page = here.open(server.operator)
    page.click("nav [data-view=people]")
    expect(page.locator("#people-list .name")).to_have_text("Ana")
    server.stop()
    page.click("nav [data-view=log]")
    expect(page.locator("#connection")).to_contain_text("The server does not answer")
    old = server.operator
    server.start()
    expect(page.locator("#operator-heading")).to_be_visible()
    for key, said in ((old, "not the operator's token"), ("", "Paste the address or the key first")):
        page.fill("#operator-token", server.address + key if key else "")
        page.press("#operator-token", "Enter")
        expect(page.locator("#operator-error")).to_contain_text(said)
    here.shoot("operator-asked")
    page.fill("#operator-token", server.address + server.operator)
    page.press("#operator-token", "Enter")
    expect(page.locator("#log-list li").first).to_be_visible()
    # A server that was started anew without the page's notice knows the operator no more.
    server.stop()
    server.start()
    page.click("nav [data-view=people]")
    expect(page.locator("#operator-token")).to_be_visible()


def test_browser_operator_address_of_another_server(server: Served, visit: Callable[..., Visit]) -> None:
    page = visit(server).open("#operator=something-else")
    expect(page.locator("#operator-error")).to_contain_text("not the operator's token")
    assert "operator" not in page.url
