"""Frames from a webcam, a film and photographs: order, time, colour, and what happens when there are none."""

from __future__ import annotations

import itertools
import runpy
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from fedfr_edge.apps.sources import Film, Photos
from fedfr_edge.apps.webcam import Camera
from fedfr_edge.errors import CameraError, ImageError
from fedfr_edge.types import Image

films = runpy.run_path(str(Path(__file__).with_name("films.py")))


def plain(red: int, green: int, blue: int) -> Image:
    return np.full((48, 64, 3), (red, green, blue), np.uint8)


# --- films -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_film_gives_every_frame_with_its_time_and_colour(suffix: str, tmp_path: Path) -> None:
    colours = [(200, 40, 40), (40, 200, 40), (40, 40, 200)]
    file = films["write_film"](tmp_path / f"x{suffix}", [plain(*c) for c in colours], rate=10, hold=4)
    with Film(file) as source:
        frames = list(source.frames())
    assert len(frames) == 12
    assert [frame.at for frame in frames] == pytest.approx(np.arange(12) / 10, abs=1e-6)
    for number, frame in enumerate(frames):
        assert frame.image.shape == (48, 64, 3)
        assert frame.image.dtype == np.uint8
        np.testing.assert_allclose(frame.image.reshape(-1, 3).mean(axis=0), colours[number // 4], atol=12)


def test_a_film_can_be_cut_short(tmp_path: Path) -> None:
    file = films["write_film"](tmp_path / "x.avi", [plain(9, 9, 9)], rate=10, hold=30)
    with Film(file) as source:
        assert len(list(source.frames(seconds=1.05))) == 11


def test_a_moving_gif_and_real_clips(dev_data: Path) -> None:
    photos = dev_data / "photos"
    for name, count in (
        ("minivision/demo.gif", 88),
        ("face_recognition/examples/short_hamilton_clip.mp4", 275),
        ("facenet-pytorch/video.mp4", 105),
    ):
        with Film(photos / name) as source:
            times = [frame.at for frame in source.frames()]
        assert len(times) == count
        assert all(a < b for a, b in itertools.pairwise(times)), name


def test_a_film_is_not_held_in_memory(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    file = films["write_film"](tmp_path / "x.avi", [picture], hold=60)
    tracemalloc.start()
    with Film(file) as source:
        assert sum(1 for _ in source.frames()) == 60
    assert tracemalloc.get_traced_memory()[1] < 8 * picture.nbytes
    tracemalloc.stop()


def test_what_is_no_film(tmp_path: Path, dev_data: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film at all")
    clip = (dev_data / "photos" / "facenet-pytorch" / "video.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(clip[:20_000])
    (tmp_path / "empty.mp4").write_bytes(b"")
    for name, message in (
        ("text.mp4", "is no video that OpenCV reads"),
        ("cut.mp4", "is no video that OpenCV reads"),
        ("empty.mp4", "is no video that OpenCV reads"),
        ("missing.mp4", "does not exist, expected a video file"),
        (".", "is a folder, expected a video file"),
    ):
        with Film(tmp_path / name) as source, pytest.raises(ImageError, match=message):
            list(source.frames())


def test_ffmpeg_says_nothing_by_itself(tmp_path: Path) -> None:
    """In a process of its own: FFmpeg asks how much to say when it is used first."""
    film = films["write_film"](tmp_path / "x.mp4", [plain(1, 2, 3)])
    film.write_bytes(film.read_bytes()[:400])
    program = f"""
import pathlib
from fedfr_edge.apps.sources import Film
from fedfr_edge.errors import ImageError
try:
    list(Film(pathlib.Path({str(film)!r})).frames())
except ImageError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("refused\n", "")


# --- photographs -------------------------------------------------------------------------------


def test_photographs_one_after_another(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("b.png", "a.png")]
    for file, red in zip(files, (10, 200), strict=True):
        cv2.imwrite(str(file), plain(red, 0, 0)[:, :, ::-1])
    with Photos(files) as source:
        frames = list(source.frames())
    assert [frame.at for frame in frames] == [0.0, 1.0]
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [10, 200]
    files[1].write_text("x")
    with Photos(files) as source, pytest.raises(ImageError):
        list(source.frames())


# --- webcams -----------------------------------------------------------------------------------


def plug_in(monkeypatch: pytest.MonkeyPatch, *arguments: object, **settings: object) -> object:
    capture = films["FakeCapture"](*arguments, **settings)
    monkeypatch.setattr("fedfr_edge.apps.webcam.open_camera", capture)
    return capture


def test_a_camera_gives_the_newest_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, (plain(red, 0, 0) for red in range(250)))
    with Camera(0) as source:
        frames = source.frames()
        first = next(frames)
        time.sleep(0.4)  # up to 80 pictures go by
        second = next(frames)
        assert int(second.image[0, 0, 0]) >= int(first.image[0, 0, 0]) + 10
        assert second.at - first.at > 0.2


def test_a_camera_stops_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    capture = plug_in(monkeypatch, itertools.repeat(plain(1, 2, 3)))
    began = time.monotonic()
    with Camera(0) as source:
        count = sum(1 for _ in source.frames(seconds=0.3))
    assert 0.3 <= time.monotonic() - began < 2
    assert count > 2
    assert getattr(capture, "released") is True  # noqa: B009


def test_a_camera_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, [plain(1, 2, 3)] * 4)
    with Camera(2) as source, pytest.raises(CameraError, match="camera 2 gives no more pictures"):
        list(source.frames(seconds=5))


def test_a_camera_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, [plain(1, 2, 3)], then="hangs")
    began = time.monotonic()
    with (
        pytest.raises(CameraError, match=r"camera 0 gave no picture for 0\.2 s"),
        Camera(0, patience=0.2) as source,
    ):
        list(source.frames(seconds=9))
    assert time.monotonic() - began < 2.5
    with Camera(0) as source:  # time is over before patience is
        assert list(source.frames(seconds=0.1)) == []


def test_a_driver_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, [], then="breaks")
    with Camera(0) as source, pytest.raises(CameraError, match="camera 0 failed: the driver said no"):
        list(source.frames())


def test_no_camera(capfd: pytest.CaptureFixture[str]) -> None:
    """OpenCV's own: it looks for a device that is not there, and says nothing by itself."""
    if Path("/dev/video63").exists():
        pytest.skip("this machine has a camera 63")
    with Camera(63) as source, pytest.raises(CameraError, match=r"there is no camera 63 \(") as error:
        list(source.frames())
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")
