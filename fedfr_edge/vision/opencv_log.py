"""OpenCV's log on standard error, silenced where what it says is said better by an error of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2


@contextmanager
def silenced() -> Iterator[None]:
    """No line of OpenCV's own within; the level is put back afterwards."""
    # OpenCV 4 has the pair of functions at its top.
    log: Any = cv2 if hasattr(cv2, "getLogLevel") else cv2.utils.logging
    level = log.getLogLevel()
    log.setLogLevel(0)
    try:
        yield
    finally:
        log.setLogLevel(level)
