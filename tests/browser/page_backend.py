"""The back end of a page that decides, driven by a test: frames go in where the camera's would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import acting
from acting import FRONT, Pose
from in_browser import PICTURES, Site, as_rgba

from fedfr_edge.types import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

SIDES = (FRONT, Pose(yaw=25), Pose(yaw=-25), Pose(near=1.4), Pose(near=0.65, pitch=10))
"""What guided enrolment asks for, in its order."""

FILM = """
async ([request, frames]) => {
  const session = await backend.begin(request);
  const replies = [];
  for (const frame of frames) {
    replies.push(await session.look(asCanvas(frame)));
    if (replies.at(-1).login?.verdict || replies.at(-1).enrol?.done) break;
  }
  session.close();
  return replies;
}
"""
REFUSED = """
async ([call, ...given]) => {
  try {
    await backend[call](...given);
    return null;
  } catch (error) {
    return { code: error.code, text: error.text };
  }
}
"""


class Here:
    """The page's back end, in a browser profile of its own.

    Attributes:
        requests: (method, address, whether something went along) of all that the page asked the network for.
    """

    def __init__(self, browser: Browser, site: Site) -> None:
        self.site = site
        self.context: BrowserContext = browser.new_context()
        self.requests: list[tuple[str, str, bool]] = []
        self.context.on("request", self._hear)
        self.page: Page = self.open()

    def open(self) -> Page:
        """Another page of the same profile; with the back end."""
        page = self.context.new_page()
        page.goto(self.site.address + "style.css")
        page.evaluate(PICTURES)
        page.evaluate(
            'async () => { globalThis.backend = await (await import("/engine/local.js")).openBackend(); }'
        )
        return page

    def film(self, kind: str, images: list[Image], **request: str) -> list[dict[str, Any]]:
        """Frames into a session, until it is over; the replies."""
        sent = [as_rgba(image) for image in images]
        return list(self.page.evaluate(FILM, [{"kind": kind, **request}, sent]))

    def enrol(self, name: str, person: int) -> dict[str, Any]:
        """Enrol a rendered person; the last reply."""
        return self.film("enrol", [acting.frame(person, pose) for pose in SIDES], name=name)[-1]

    def login(self, person: int, **request: str) -> dict[str, Any]:
        """The verdict on a rendered person."""
        reply = self.film("login", [acting.frame(person)], **request)[-1]
        return dict(reply["login"]["verdict"])

    def refused(self, call: str, *given: Any) -> dict[str, str]:
        """What the back end says to a call that it does not do."""
        told = self.page.evaluate(REFUSED, [call, *given])
        assert told is not None, "it was done"
        return dict(told)

    def people(self) -> list[dict[str, Any]]:
        return list(self.page.evaluate("() => backend.people()"))

    def remove(self, person_id: str) -> None:
        self.page.evaluate("(id) => backend.remove(id)", person_id)

    def log(self) -> list[dict[str, Any]]:
        return list(self.page.evaluate("() => backend.log()"))

    def locked(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.page.evaluate("() => backend.info.locked")
        return found

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.page.evaluate(
            "(ms) => { const now = Date.now.bind(Date); Date.now = () => now() + ms; }", 1000 * seconds
        )

    def _hear(self, request: Any) -> None:
        self.requests.append((request.method, request.url, request.post_data_buffer is not None))
