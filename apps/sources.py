"""Where frames come from: a webcam, a film, photographs. One frame is held at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import cv2
import numpy as np

from fedfr_edge.errors import ConfigError, ImageError
from fedfr_edge.types import Image
from fedfr_edge.vision.image import read_image
from fedfr_edge.vision.opencv_log import silenced

from .device import photo_files

ASSUMED_RATE = 25.0
"""Frames a second of a film that does not say, or lies."""

FILM_SUFFIXES = frozenset([".mp4", ".avi", ".webm", ".mkv", ".mov", ".gif", ".m4v", ".mjpeg"])
"""Files that are taken for films (case does not matter)."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture.

    Attributes:
        at: when it was taken, in seconds; rises from frame to frame.
        image: uint8 (h, w, 3) RGB, not mirrored.
    """

    at: float
    image: Image


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


class Recorded:
    """A source that was recorded, with nothing to give back."""

    live = False

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to do."""


class Film(Recorded):
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
                yield Frame(at, rgb(picture))
        finally:
            capture.release()
        if number == 0:
            raise ImageError(
                f"{self.file} is no video that OpenCV reads, or it is damaged; expected MP4, AVI, WebM or GIF"
            )


class Photos(Recorded):
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
            yield Frame(float(number), read_image(file))


def open_source(camera: int | None, video: Path | None, photos: Sequence[Path]) -> Source:
    """The one source that a command was given.

    Raises:
        ConfigError: none, or several.
        ImageError: a photograph or folder that is not there.
    """
    given = {"--camera": camera is not None, "--video": video is not None, "photographs": bool(photos)}
    named = [name for name, there in given.items() if there]
    if len(named) != 1:
        found = f"both {' and '.join(named)} are given" if named else "nothing to look at is given"
        raise ConfigError(f"{found}, expected one of: photographs, --video FILE, --camera INDEX")
    if camera is not None:
        from .webcam import Camera

        return Camera(camera)
    if video is not None:
        return Film(video)
    return Photos(photos_among(photos))


def photos_among(paths: Sequence[Path]) -> list[Path]:
    """:func:`.device.photo_files` of what should be photographs.

    Raises:
        ConfigError: one is a film.
        ImageError: one is not there, or a folder without photographs.
    """
    films = [path for path in paths if path.suffix.lower() in FILM_SUFFIXES and not path.is_dir()]
    if films:
        raise ConfigError(f"{films[0]} is a film, not a photograph; give it with --video")
    return photo_files(paths)


def rgb(picture: Any) -> Image:
    """OpenCV's order of colours as ours."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
