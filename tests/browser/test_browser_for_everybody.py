"""The page with the keyboard alone, by its roles and labels, on a small screen, in dark and in light."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from acting import FRONT, Pose, act, frame
from fake_webcam import Webcam
from looked_at import faults_of, nameless
from pages import Visit
from playwright.sync_api import Page, expect
from served import ANA, BEN, EVE, Served

PHONE = {
    "viewport": {"width": 360, "height": 640},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}
ALL_POSES = (FRONT, Pose(yaw=20), Pose(yaw=-20), Pose(near=1.45), Pose(near=0.65))


@pytest.fixture(scope="module")
def server(serve: Callable[..., Served]) -> Served:
    made = serve("--no-lockout")
    made.enrol("Ana", ANA)
    return made.start()


FOCUS_SEEN = """
() => [document.activeElement, document.activeElement.closest('.button')]
  .some((element) => element && getComputedStyle(element).outlineStyle === 'solid')
"""


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until it is there, as somebody without a mouse would."""
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            break
    else:
        raise AssertionError(f"{selector} cannot be reached with Tab")
    assert page.evaluate(FOCUS_SEEN), f"no focus is seen on {selector}"


def test_browser_keyboard_alone(server: Served, webcam: Webcam, visit: Callable[..., Visit]) -> None:
    webcam.show(act(BEN, ALL_POSES))
    here = visit(server)
    page = here.open(server.operator)
    expect(page.locator("#login-go")).to_be_enabled()
    page.keyboard.press("Tab")
    expect(page.locator("#skip")).to_be_focused()
    here.shoot("keyboard-skip")
    tab_to(page, "nav [data-view=enrol]")
    page.keyboard.press("Enter")
    tab_to(page, "#enrol-name")
    page.keyboard.type("Ben")
    page.keyboard.press("Enter")
    expect(page.locator("#enrol-result")).to_contain_text("Ben is enrolled.")
    page.keyboard.press("Shift+Tab")
    tab_to(page, "#enrol-go")
    page.goto(f"{server.address}#login")
    webcam.show([frame(BEN)] * 15)
    tab_to(page, "#login-go")
    here.shoot("keyboard-focus")
    page.keyboard.press("Enter")
    expect(page.locator("#verdict strong")).to_have_text("Welcome, Ben")
    expect(page.locator("#login-go")).to_be_focused()
    page.goto(f"{server.address}#people")
    tab_to(page, "#people-list button[aria-label='Delete Ben']")
    page.keyboard.press("Enter")
    expect(page.locator("#confirm")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#people-list li")).to_have_count(2)
    expect(page.locator("#people-list button[aria-label='Delete Ben']")).to_be_focused()
    page.keyboard.press("Enter")
    tab_to(page, "#confirm [value=yes]")
    page.keyboard.press("Enter")
    expect(page.locator("#people-status")).to_have_text("Ben was deleted.")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param("light", {}, id="light"),
        pytest.param("dark", {"color_scheme": "dark"}, id="dark", marks=pytest.mark.long),
        pytest.param("phone", PHONE, id="phone", marks=pytest.mark.long),
        pytest.param(
            "phone-dark", {**PHONE, "color_scheme": "dark", "reduced_motion": "reduce"}, id="phone-dark"
        ),
    ],
)
def test_browser_every_state_can_be_read(
    server: Served, webcam: Webcam, visit: Callable[..., Visit], name: str, options: dict[str, Any]
) -> None:
    here = visit(server, **options)
    page = here.open()

    def check(state: str) -> None:
        here.shoot(f"{name}-{state}")
        assert faults_of(page) == {}, state
        assert nameless(page) == [], state
        assert page.locator("h1").count() == 1

    check("ready")
    go = page.locator("#login-go").bounding_box()
    assert go is not None
    assert go["y"] + go["height"] <= page.viewport_size["height"], "the button is on the first screen"  # type: ignore[index]
    webcam.show([frame(BEN, Pose(near=0.2))] * 15)
    page.click("#login-go")
    expect(page.locator("#login-advice")).to_have_text("Come closer.")
    check("looking")
    still = page.locator("#hint").evaluate("hint => getComputedStyle(hint).animationName")
    assert (still == "none") == ("reduced_motion" in options)
    page.click("#login-go")
    for person, verdict in ((ANA, "accepted"), (EVE, "refused")):
        webcam.show([frame(person)] * 15)
        page.click("#login-go")
        expect(page.locator(f"#verdict.{verdict}")).to_be_visible()
        page.click("#verdict-details summary")
        check(verdict)
    page.click("nav [data-view=people]")
    expect(page.locator("#operator-token")).to_be_visible()
    check("operator")
    here.open(server.operator)
    webcam.show(act(BEN, ALL_POSES))
    page.click("nav [data-view=enrol]")
    page.fill("#enrol-name", "Ben with a name that does not end soon")
    page.click("#enrol-go")
    expect(page.locator("#enrol-looks .taken")).to_have_count(1)
    check("enrolling")
    page.click("#enrol-go")
    page.click("nav [data-view=people]")
    page.click("#people-list button")
    check("delete")
    page.keyboard.press("Escape")
    page.click("nav [data-view=log]")
    expect(page.locator("#log-list li").nth(1)).to_be_visible()
    check("log")


def test_browser_roles_and_live_regions(server: Served, visit: Callable[..., Visit]) -> None:
    page = visit(server).open(server.operator)
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.title() == "Face login"
    expect(page.get_by_role("navigation", name="Views").get_by_role("link")).to_have_count(4)
    expect(page.get_by_role("link", name="Log in")).to_have_attribute("aria-current", "page")
    for region in (
        "#login-advice",
        "#verdict",
        "#enrol-advice",
        "#enrol-result",
        "#people-status",
        "#log-status",
    ):
        assert page.locator(region).get_attribute("role") == "status", region
    for region in ("#connection", "#enrol-error", "#operator-error"):
        assert page.locator(region).get_attribute("role") == "alert", region
    page.get_by_role("link", name="Enrol").click()
    expect(page.get_by_role("textbox", name="Name")).to_be_visible()
    page.get_by_role("button", name="Start").click()
    name = page.get_by_role("textbox", name="Name")
    expect(name).to_be_focused()
    expect(name).to_have_attribute("aria-invalid", "true")
    expect(name).to_have_accessible_description("Type the person's name first.")
    page.get_by_role("link", name="People").click()
    expect(page.get_by_role("heading", level=2)).to_have_text("Enrolled people")
    expect(page.get_by_role("button", name="Delete Ana")).to_be_visible()
