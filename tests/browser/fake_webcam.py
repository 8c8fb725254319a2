"""The film that the browser takes for its webcam."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from y4m import write_film

from fedfr_edge.types import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Launch: TypeAlias = "Callable[..., AbstractContextManager[Browser]]"


class Webcam:
    """The fake webcam's film; the browser opens it anew whenever a page asks for the camera."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def show(self, frames: Iterable[Image]) -> None:
        """Put another film before the camera."""
        new = self.path.with_suffix(".new")
        write_film(new, frames)
        new.replace(self.path)
