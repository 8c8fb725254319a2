"""Photographs in every form that is read, and everything that must be refused in one line."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedfr_edge.errors import ImageError
from fedfr_edge.types import Image
from fedfr_edge.vision import image as reading
from fedfr_edge.vision.header import read_header
from fedfr_edge.vision.image import decode_image, read_image

GIF = tuple(map(int, cv2.__version__.split(".")[:2])) >= (4, 11)
"""Whether this OpenCV reads GIF."""


@pytest.fixture
def picture() -> Image:
    """20 rows, 30 columns, smooth, no symmetry, three different channels."""
    y, x = np.mgrid[0:20, 0:30]
    return np.stack([40 + 5 * x, 30 + 8 * y, 200 - 3 * x - 2 * y], axis=2).astype(np.uint8)


def encoded(picture: Image, kind: str, *settings: int) -> bytes:
    ok, data = cv2.imencode(kind, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), settings)
    assert ok
    return data.tobytes()


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """Insert an EXIF segment that holds nothing but tag 0x0112."""
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + end


@pytest.mark.parametrize("kind", [".png", ".bmp", ".ppm", ".tiff"])
def test_lossless_formats_give_the_same_pixels_in_rgb(picture: Image, kind: str) -> None:
    np.testing.assert_array_equal(decode_image(encoded(picture, kind), "x"), picture)


def test_lossless_webp(picture: Image) -> None:
    # Above 100, OpenCV writes WebP without loss.
    np.testing.assert_array_equal(
        decode_image(encoded(picture, ".webp", cv2.IMWRITE_WEBP_QUALITY, 101), "x"), picture
    )


@pytest.mark.parametrize("kind", [".jpg", ".webp"])
def test_lossy_formats_stay_near(picture: Image, kind: str) -> None:
    read = decode_image(encoded(picture, kind), "x").astype(int)
    assert np.abs(read - picture).mean() < 4


@pytest.mark.parametrize(
    ("kind", "width_height"),
    [(".jpg", (30, 20)), (".png", (30, 20)), (".webp", (30, 20)), (".bmp", (30, 20)), (".tiff", (30, 20))],
)
def test_the_header_states_the_size(picture: Image, kind: str, width_height: tuple[int, int]) -> None:
    header = read_header(encoded(picture, kind))
    assert header is not None
    assert (header.width, header.height) == width_height
    assert header.complete


def test_lossless_webp_header(picture: Image) -> None:
    header = read_header(encoded(picture, ".webp", cv2.IMWRITE_WEBP_QUALITY, 101))
    assert header is not None
    assert (header.width, header.height) == (30, 20)


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, lambda p: p),
        (2, lambda p: p[:, ::-1]),
        (3, lambda p: p[::-1, ::-1]),
        (4, lambda p: p[::-1]),
        (5, lambda p: p.transpose(1, 0, 2)),
        (6, lambda p: p.transpose(1, 0, 2)[:, ::-1]),
        (7, lambda p: p.transpose(1, 0, 2)[::-1, ::-1]),
        (8, lambda p: p.transpose(1, 0, 2)[::-1]),
    ],
)
def test_exif_orientation_is_applied(picture: Image, orientation: int, turned: object) -> None:
    jpeg = encoded(picture, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 100)
    plain = decode_image(jpeg, "x")
    read = decode_image(with_orientation(jpeg, orientation), "x")
    np.testing.assert_array_equal(read, turned(plain))  # type: ignore[operator]


def test_grey_becomes_three_equal_channels() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    ok, data = cv2.imencode(".png", grey)
    assert ok
    np.testing.assert_array_equal(decode_image(data.tobytes(), "x"), np.repeat(grey[:, :, None], 3, axis=2))


def test_alpha_is_dropped(picture: Image) -> None:
    alpha = np.zeros((20, 30), dtype=np.uint8)
    ok, data = cv2.imencode(".png", np.dstack([cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), alpha]))
    assert ok
    np.testing.assert_array_equal(decode_image(data.tobytes(), "x"), picture)


def test_sixteen_bit_png_is_scaled_to_eight() -> None:
    values = np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16)
    ok, data = cv2.imencode(".png", values)
    assert ok
    read = decode_image(data.tobytes(), "x")
    assert read.dtype == np.uint8
    assert np.abs(read[0, :, 0] - values[0] / 257).max() <= 1


@pytest.mark.parametrize(
    ("head", "samples", "expected"),
    [
        (b"P5 2 2 255\n", bytes([0, 7, 128, 255]), [0, 7, 128, 255]),
        (b"P5\n# a comment 9 9\n2 2\n31\n", bytes([0, 31, 15, 1]), [0, 255, 123, 8]),
        (b"P5 2 2 1023\n", struct.pack(">4H", 0, 1023, 512, 4), [0, 255, 128, 1]),
        (b"P5 2 2 65535\n", struct.pack(">4H", 0, 65535, 32768, 256), [0, 255, 128, 1]),
        (b"P5 2 2 1\n", bytes([0, 1, 1, 0]), [0, 255, 255, 0]),
        (b"P2 2 2 31\n", b"0 31 15 1\n", [0, 255, 123, 8]),
        (b"P2 2 2 1023\n", b"0 1023 512 4\n", [0, 255, 128, 1]),
        (b"P4 2 2\n", bytes([0b10_000000, 0b01_000000]), [0, 255, 255, 0]),
        (b"P1 2 2\n", b"1 0\n0 1\n", [0, 255, 255, 0]),
    ],
)
def test_pgm_is_scaled_by_its_own_maximum(head: bytes, samples: bytes, expected: list[int]) -> None:
    read = decode_image(head + samples, "x")
    np.testing.assert_array_equal(read, np.repeat(np.reshape(expected, (2, 2, 1)), 3, axis=2))


@pytest.mark.parametrize("name", ["Gruß von Ωmega 写真.png", "line\nbreak.png"])
def test_any_file_name_is_read(tmp_path: Path, picture: Image, name: str) -> None:
    (tmp_path / name).write_bytes(encoded(picture, ".png"))
    np.testing.assert_array_equal(read_image(tmp_path / name), picture)


@pytest.mark.parametrize("kind", [".jpg", ".png", ".bmp", ".ppm", ".webp", ".tiff"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.7, 0.99])
def test_a_file_cut_short_is_refused(kind: str, part: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    data = encoded(noise, kind)
    with pytest.raises(ImageError, match=r"^photo\.x .*(cut short|damaged|no image)") as error:
        decode_image(data[: int(len(data) * part)], "photo.x")
    assert "\n" not in str(error.value)


def test_the_end_of_an_exif_thumbnail_does_not_pass_for_the_end_of_the_photograph(picture: Image) -> None:
    jpeg = encoded(picture, ".jpg")
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(jpeg)) + jpeg
    whole = jpeg[:2] + thumbnail + jpeg[2:]
    np.testing.assert_array_equal(decode_image(whole, "x"), decode_image(jpeg, "x"))
    with pytest.raises(ImageError, match="JPEG cut short"):
        decode_image(whole[:-40], "x")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"hello, I am a text", "is no image that can be read"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC or AVIF picture.*save it as JPEG"),
        (b"\xff\xd8\xff", "cut short"),
        (b"\x89PNG\r\n\x1a\n", "cut short"),
        (png_header(60_000, 60_000), "60000×60000 pixels, expected at most 100,000,000"),
        (png_header(0, 5), "without pixels"),
        (png_header(5, 5), "PNG that is damaged"),
        (b"P5 100000 100000 255\n", "100000×100000 pixels"),
        (b"P5 2 2 0\n\0\0\0\0", "without pixels"),
        (b"P5 2 x 255\n\0\0\0\0", "without pixels"),
    ],
)
def test_what_is_no_photograph_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message) as error:
        decode_image(data, "x")
    assert "\n" not in str(error.value)


def test_the_limit_counts_pixels(monkeypatch: pytest.MonkeyPatch, picture: Image) -> None:
    monkeypatch.setattr(reading, "MOST_PIXELS", 600)
    decode_image(encoded(picture, ".png"), "x")
    monkeypatch.setattr(reading, "MOST_PIXELS", 599)
    with pytest.raises(ImageError, match="30×20 pixels, expected at most 599"):
        decode_image(encoded(picture, ".png"), "x")


def test_a_file_too_large_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(reading.MOST_BYTES + 1)  # sparse: takes no room on the disk
    with pytest.raises(ImageError, match="bytes, expected a photograph of at most"):
        read_image(tmp_path / "a.png")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, message in (
        ("missing\n.jpg", r"cannot read .*missing\\n\.jpg.*: No such file"),
        (".", "is not an ordinary file"),
        ("pipe", "is not an ordinary file"),
        ("nul\0.jpg", "cannot read"),
        ("x" * 300, "cannot read .*: File name too long"),
    ):
        with pytest.raises(ImageError, match=message) as error:
            read_image(tmp_path / name)
        assert "\n" not in str(error.value)


SIGNATURES = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"P5 ", b"II*\0", b"MM\0*", b"RIFF"]


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(SIGNATURES), st.binary(max_size=200))
def test_damaged_bytes_raise_nothing_else(signature: bytes, rest: bytes) -> None:
    try:
        decode_image(signature + rest, "x")
    except ImageError as error:
        message = str(error)
    else:
        return
    assert "\n" not in message


def test_all_photographs_of_the_development_data_can_be_read(dev_data: Path) -> None:
    kinds = {".jpg", ".jpeg", ".png"} | ({".gif"} if GIF else set())
    names = sorted(path for path in (dev_data / "photos").rglob("*") if path.suffix in kinds)
    assert len(names) > 100
    for name in names:
        assert read_image(name).shape[2] == 3
