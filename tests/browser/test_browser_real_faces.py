"""Photographs of real people as a film before the fake webcam; runs where the development data is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from acting import HEIGHT, RATE, WIDTH
from fake_webcam import Webcam
from pages import Visit
from playwright.sync_api import expect
from served import MODEL, Served

from fedfr_edge.types import Image
from fedfr_edge.vision.image import read_image

FACE_MODEL = "FEDFR_FACE_MODEL"
"""Environment variable: an exported model that knows real faces. The one that the package ships learned from
rendered faces alone; with that one, the film shows the very photographs that were enrolled."""


def clip(photos: Sequence[Path]) -> Iterator[Image]:
    """Photographs one after another, half a second each, whole in the middle of the picture."""
    for path in photos:
        photo = read_image(path)
        scale = min(WIDTH / photo.shape[1], HEIGHT / photo.shape[0])
        size = round(photo.shape[1] * scale), round(photo.shape[0] * scale)
        left, top = (WIDTH - size[0]) // 2, (HEIGHT - size[1]) // 2
        picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        shrunk = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
        picture[top : top + size[1], left : left + size[0]] = shrunk
        yield from [picture] * (RATE // 2)


def test_browser_real_faces(
    serve: Callable[..., Served], webcam: Webcam, visit: Callable[..., Visit], dev_data: Path
) -> None:
    people = dev_data / "faces" / "celebrity_photos"
    mine, strangers = (sorted((people / name).iterdir()) for name in ("angelina_jolie", "denzel_washington"))
    named = os.environ.get(FACE_MODEL)
    server = serve("--frames", "2/6", model=Path(named) if named else MODEL)
    server.enrol_from("Angelina", mine[:6])
    server.start()
    here = visit(server)
    page = here.open()
    webcam.show(clip(mine[6:12] if named else mine[:6]))
    page.click("#login-go")
    page.wait_for_selector("#stage[data-state=live]")
    here.shoot("real-looking")
    expect(page.locator("#verdict strong")).to_have_text("Welcome, Angelina")
    webcam.show(clip(strangers[:6]))
    page.click("#login-go")
    expect(page.locator("#verdict.refused")).to_be_visible()
