"""A webcam as a source of frames that nobody has to wait for."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import CameraError
from fedfr_edge.vision.opencv_log import silenced

from .sources import Frame, rgb

PATIENCE = 5.0
"""Seconds without a picture after which a camera counts as lost."""

CAMERA_SIZE = (640, 480)
"""Width and height asked of a camera; it may give others."""

_GONE = 3
"""Failed reads in a row after which a camera has gone: single ones happen."""


class Camera:
    """A webcam. A frame is the newest picture there is; what came while nobody looked is dropped.

    Opening and reading can hang in the driver. They do so in a thread of their own, which is left behind
    then: nobody waits for a camera longer than ``patience``.

    Args:
        index: which, counted from 0.
        patience: seconds without a picture after which it counts as lost.
    """

    live = True

    def __init__(self, index: int, *, patience: float = PATIENCE) -> None:
        self.index = index
        self._patience = patience
        self._news = threading.Condition()
        self._newest: tuple[float, npt.NDArray[np.uint8]] | None = None
        self._fault: str | None = None
        self._closed = False
        self._reader: threading.Thread | None = None

    def frames(self, seconds: float | None = None) -> Iterator[Frame]:
        """See :class:`.sources.Source`; ``at`` is seconds of ``time.monotonic()``.

        Raises:
            CameraError: no such camera, no permission, in use, or no picture for ``patience`` seconds.
        """
        end = None if seconds is None else time.monotonic() + seconds
        if self._reader is None:
            self._reader = threading.Thread(target=self._read, name=f"camera {self.index}", daemon=True)
            self._reader.start()
        while (taken := self._next(end)) is not None:
            at, picture = taken
            yield Frame(at, rgb(picture))

    def _next(self, end: float | None) -> tuple[float, npt.NDArray[np.uint8]] | None:
        lost = time.monotonic() + self._patience
        with self._news:
            while self._newest is None and self._fault is None:
                now = time.monotonic()
                if end is not None and now >= end:
                    return None
                if now >= lost:
                    raise CameraError(
                        f"camera {self.index} gave no picture for {self._patience:g} s; see that no cover or "
                        "other program holds it, or plug it in again"
                    )
                self._news.wait(min(lost, end if end is not None else lost) - now)
            if end is not None and time.monotonic() >= end:
                return None
            if self._newest is None:
                raise CameraError(self._fault)
            taken, self._newest = self._newest, None
        return taken

    def __enter__(self) -> Camera:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the camera go; a reader that hangs in the driver is left behind."""
        self._closed = True
        if self._reader is not None:
            self._reader.join(timeout=1.0)

    def _read(self) -> None:
        fault, capture = None, None
        try:
            with silenced():
                capture = open_camera(self.index)
                opened = capture.isOpened()
            fault = self._follow(capture) if opened else _no_camera(self.index)
        except Exception as error:  # a driver's: it must reach whoever waits
            fault = f"camera {self.index} failed: {' '.join(str(error).split())[:200]}"
        finally:
            if capture is not None:
                capture.release()
            with self._news:
                self._fault = fault or f"camera {self.index} was closed"
                self._news.notify_all()

    def _follow(self, capture: Any) -> str | None:
        for what, value in zip(
            (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT), CAMERA_SIZE, strict=True
        ):
            capture.set(what, value)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        failed = 0
        while not self._closed:
            good, picture = capture.read()
            if not good:
                failed += 1
                if failed >= _GONE:
                    return f"camera {self.index} gives no more pictures; plug it in again, or name another"
                time.sleep(0.01)
                continue
            failed = 0
            with self._news:
                self._newest = (time.monotonic(), picture)
                self._news.notify_all()
        return None


def open_camera(index: int) -> Any:
    """OpenCV's capture of a webcam; tests put their own in its place."""
    return cv2.VideoCapture(index)


def _no_camera(index: int) -> str:
    """Why a camera could not be opened, as far as can be told, and what to do."""
    device = Path(f"/dev/video{index}")
    if device.exists():
        if not os.access(device, os.R_OK | os.W_OK):
            return f"camera {index} cannot be opened: no permission for {device}; join its group (video)"
        return f"camera {index} ({device}) cannot be opened; see that no other program uses it"
    others = sorted(int(path.name[5:]) for path in Path("/dev").glob("video*") if path.name[5:].isdigit())
    there = f"there are {', '.join(map(str, others))}" if others else "none is plugged in"
    return f"there is no camera {index} ({there}); plug one in, or name another with --camera"
