"""Somebody in front of a camera and a terminal: frames into a session, and one line that says what to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.text import Text

from fedfr_edge.recognition.decision import Decision
from fedfr_edge.recognition.guided import EnrolSession
from fedfr_edge.recognition.look import ADVICE, Look
from fedfr_edge.recognition.session import LoginSession

from . import console
from .sources import Source

Tell = Callable[[str], None]


@contextmanager
def live_line(source: Source, seconds: float | None) -> Iterator[Tell]:
    """A line on the terminal that changes; nothing where nobody reads it, or nobody is being filmed."""
    if not (source.live and console.log.is_terminal):
        yield lambda text: None
        return
    end = None if seconds is None else time.monotonic() + seconds
    with console.log.status(Text("waiting for the camera")) as status:

        def tell(text: str) -> None:
            left = "" if end is None else f"  ({max(end - time.monotonic(), 0):.0f} s left)"
            status.update(Text(text + left))

        yield tell


def follow_login(session: LoginSession, source: Source, seconds: float | None = None) -> Decision:
    """Show the session frame after frame until it decides, the frames end or the time is over.

    Raises:
        CameraError, ImageError: no frames; what was compared by then still has to be counted.
    """
    with live_line(source, seconds) as tell:
        for frame in source.frames(seconds):
            look = session.look(frame.image, frame.at)
            if look.decision is not None:
                return look.decision
            tell(_login_words(look))
    return session.give_up()


def follow_enrolment(session: EnrolSession, source: Source, seconds: float | None = None) -> int:
    """The same for an enrolment; gives the number of frames looked at.

    Raises:
        CameraError, ImageError: no frames.
    """
    count = 0
    with live_line(source, seconds) as tell:
        for frame in source.frames(seconds):
            look = session.look(frame.image, frame.at)
            count += 1
            if look.done:
                break
            tell(f"{look.taken} of {look.needed} looks: {look.text}")
    return count


def _login_words(look: Look) -> str:
    if look.advice:
        return ADVICE[look.advice[0]]
    if look.challenge is not None:
        return f"{look.challenge.step} of {look.challenge.steps}: {look.challenge.text}"
    return "hold still"
