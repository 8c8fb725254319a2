"""Where frames come from: a webcam, a film, photographs. One frame is held at a time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import CameraError, ImageError
from fedfr_edge.types import Image
from fedfr_edge.vision.image import read_image
from fedfr_edge.vision.opencv_log import silenced

PATIENCE = 5.0
"""Seconds without a picture after which a camera counts as lost."""

ASSUMED_RATE = 25.0
"""Frames a second of a film that does not say, or lies."""

CAMERA_SIZE = (640, 480)
"""Width and height asked of a camera; it may give others."""

_GONE = 3
"""Failed reads in a row after which a camera has gone: single ones happen."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture.

    Attributes:
        at: when it was taken, in seconds; rises from frame to frame.
        image: uint8 (h, w, 3) RGB, not mirrored.
        label: what to call it in messages.
    """

    at: float
    image: Image
    label: str


class Source(Protocol):
    """Frames in order of time. Use it in a ``with`` statement.

    Attributes:
        live: whether somebody is in front of it now, who can be told what to do.
    """

    live: bool

    def frames(self, seconds: float | None = None) -> Iterator[Frame]:
        """The frames, at most for so long; ends without an error when the time is over.

        Raises:
            CameraError, ImageError: there are none, or no more although there should be.
        """
        ...

    def __enter__(self) -> Source: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class _Source:
    """A source without anything to give back."""

    live = False

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back what it holds."""


class Camera(_Source):
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
        """See :class:`Source`; ``at`` is seconds of ``time.monotonic()``.

        Raises:
            CameraError: no such camera, no permission, in use, or no picture for ``patience`` seconds.
        """
        end = None if seconds is None else time.monotonic() + seconds
        if self._reader is None:
            self._reader = threading.Thread(target=self._read, name=f"camera {self.index}", daemon=True)
            self._reader.start()
        number = 0
        while True:
            taken = self._next(end)
            if taken is None:
                return
            at, picture = taken
            number += 1
            yield Frame(at, _rgb(picture), f"picture {number} of camera {self.index}")

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

    def close(self) -> None:
        """Let the camera go; a reader that hangs in the driver is left behind."""
        self._closed = True
        if self._reader is not None:
            self._reader.join(timeout=1.0)

    def _read(self) -> None:
        fault, capture = None, None
        try:
            with silenced():
                capture = cv2.VideoCapture(self.index)
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


class Film(_Source):
    """A video file (or a moving GIF), frame by frame, as fast as they are asked for.

    Args:
        file: whatever OpenCV's FFmpeg reads.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def frames(self, seconds: float | None = None) -> Iterator[Frame]:
        """See :class:`Source`; ``at`` and ``seconds`` are the film's own time.

        Raises:
            ImageError: no such file, or no video.
        """
        if not self.file.exists() or self.file.is_dir():
            found = "is a folder" if self.file.is_dir() else "does not exist"
            raise ImageError(f"{self.file} {found}, expected a video file; check the path")
        # FFmpeg's own lines on standard error; read when OpenCV opens its first film.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        with silenced():
            capture = cv2.VideoCapture(str(self.file))
        try:
            rate = capture.get(cv2.CAP_PROP_FPS) if capture.isOpened() else 0.0
            step = 1.0 / rate if 0 < rate < 1000 else 1.0 / ASSUMED_RATE
            number, at = 0, -step
            while capture.isOpened():
                good, picture = capture.read()
                if not good:
                    break
                stamp = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                at = stamp if stamp > at else at + step
                if seconds is not None and at > seconds:
                    return
                number += 1
                yield Frame(at, _rgb(picture), f"frame {number} of {self.file.name}")
        finally:
            capture.release()
        if number == 0:
            raise ImageError(
                f"{self.file} is no video that OpenCV reads, or it is damaged; expected MP4, AVI, WebM or GIF"
            )


class Photos(_Source):
    """Photographs, one a second; each is read when it is asked for.

    Args:
        files: in order.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = tuple(files)

    def frames(self, seconds: float | None = None) -> Iterator[Frame]:
        """See :class:`Source`; ``seconds`` is of no account.

        Raises:
            ImageError: one that cannot be read.
        """
        for number, file in enumerate(self.files):
            yield Frame(float(number), read_image(file), file.name)


def _rgb(picture: npt.NDArray[np.uint8]) -> Image:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


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
