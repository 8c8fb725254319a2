"""The operator's part of the page: photographs, the list, deleting, the log, pauses and unlocking."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from acting import FRONT, Pose
from pages import Visit, photo
from playwright.sync_api import Page, expect
from served import ANA, BEN, EVE, Served

EVIL = "<img src=x onerror=alert(1)> & \"'"
HEBREW = "דנה (operator)"
LONG = "A" * 200


@pytest.fixture(scope="module")
def server(serve: Callable[..., Served]) -> Served:
    made = serve()
    made.enrol(EVIL, ANA)
    made.enrol(HEBREW, BEN)
    return made.start()


def log_in(page: Page, person: int) -> None:
    page.set_input_files("#login-photo", photo(person, Pose(yaw=5)))
    expect(page.locator("#login-go")).not_to_have_text("Stop")


def test_browser_photographs_instead_of_a_camera(
    server: Served, visit: Callable[..., Visit], tmp_path: Path
) -> None:
    here = visit(server)
    page = here.open()
    expect(page.get_by_text("Use a photo")).to_be_visible()
    log_in(page, BEN)
    expect(page.locator("#verdict strong")).to_have_text(f"Welcome, {HEBREW}")
    page.click("details:has(#login-claim) summary")
    page.fill("#login-claim", EVIL)
    log_in(page, BEN)
    expect(page.locator("#verdict.refused")).to_be_visible()
    page.set_input_files("#login-photo", {"name": "x.png", "mimeType": "image/png", "buffer": b"no picture"})
    expect(page.locator("#login-advice")).to_contain_text("x.png is no picture")
    here.shoot("photo-unreadable")
    big = tmp_path / "big.png"
    with big.open("wb") as file:
        file.truncate(15_500_000)
    page.set_input_files("#login-photo", big)
    expect(page.locator("#login-advice")).to_contain_text("big.png has 15.5 MB; at most 15.0 MB")


def test_browser_names_are_only_text(server: Served, visit: Callable[..., Visit]) -> None:
    here = visit(server)
    page = here.open(server.operator)
    log_in(page, ANA)
    expect(page.locator("#verdict strong")).to_have_text(f"Welcome, {EVIL}")
    page.click("nav [data-view=people]")
    expect(page.locator("#people-list .name")).to_have_text([EVIL, HEBREW])
    here.shoot("people")
    page.locator("#people-list button").first.click()
    expect(page.locator("#confirm-question")).to_contain_text(f"Delete {EVIL}?")
    here.shoot("people-delete")
    page.keyboard.press("Escape")
    expect(page.locator("#people-list li")).to_have_count(2)
    page.click("nav [data-view=log]")
    expect(page.locator("#log-list .name").first).to_have_text(EVIL)
    here.shoot("log")
    assert page.locator("main img").count() == 0
    assert page.locator("#log-list .name").first.evaluate("name => name.localName") == "bdi"


def test_browser_enrol_from_photographs_then_delete(server: Served, visit: Callable[..., Visit]) -> None:
    here = visit(server)
    page = here.open(server.operator)
    page.click("nav [data-view=enrol]")
    page.click("#enrol-go")
    expect(page.locator("#enrol-error")).to_have_text("Type the person's name first.")
    page.fill("#enrol-name", "A" * 10_000)
    page.click("#enrol-go")
    expect(page.locator("#enrol-error")).to_contain_text("10000 characters; at most 200")
    here.shoot("enrol-bad-name")
    page.fill("#enrol-name", LONG)
    poses = [FRONT, Pose(yaw=14), Pose(yaw=-14), Pose(near=1.4), Pose(pitch=10), Pose(yaw=20), Pose(yaw=-20)]
    files = [photo(EVE, pose, f"{number}.png") for number, pose in enumerate(poses)]
    bad = {**files[0], "name": "bad.png", "buffer": b"no picture"}
    page.set_input_files("#enrol-photos", [bad])
    expect(page.locator("#enrol-error")).to_contain_text("No photo could be used")
    page.set_input_files("#enrol-photos", [bad, *files])
    expect(page.locator("#enrol-result")).to_contain_text(f"{LONG} is enrolled.")
    expect(page.locator("#enrol-looks .refused").last).to_contain_text("bad.png is no picture")
    here.shoot("enrol-from-photographs")
    page.click("nav [data-view=people]")
    row = page.locator("#people-list li").filter(has_text=LONG)
    row.get_by_role("button").click()
    page.click("#confirm [value=yes]")
    expect(page.locator("#people-status")).to_have_text(f"{LONG} was deleted.")
    expect(page.locator("#people-list li")).to_have_count(2)


def test_browser_pauses_after_failures_until_the_operator_comes(
    server: Served, visit: Callable[..., Visit]
) -> None:
    here = visit(server)
    page = here.open()
    for _ in range(5):
        expect(page.locator("#login-photo")).to_be_enabled()
        log_in(page, EVE)
        expect(page.locator("#verdict.refused")).to_be_visible()
    expect(page.locator("#login-advice")).to_contain_text("Next attempt in")
    expect(page.locator("#login-go")).to_be_disabled()
    expect(page.locator("#login-advice")).to_have_attribute("aria-live", "off")  # not each second is read out
    here.shoot("login-pause")
    page.click("nav [data-view=people]")
    page.click("nav [data-view=login]")
    expect(page.locator("#login-advice")).to_contain_text("Next attempt in")
    page = here.open()
    expect(page.locator("#login-advice")).to_contain_text("Next attempt in")
    expect(page.locator("#login-photo")).to_be_disabled()
    page = here.open(server.operator)
    expect(page.locator("#login-go")).to_be_enabled()
    log_in(page, BEN)
    expect(page.locator("#verdict strong")).to_have_text(f"Welcome, {HEBREW}")
