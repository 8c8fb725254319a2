"""A failed write leaves the old file and no rubbish."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fedfr_edge import atomic
from fedfr_edge.errors import WriteError


def test_write_replaces_and_sets_the_mode(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    atomic.write_text(path, "one")
    atomic.write_bytes(path, b"two", mode=0o600)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "file"
    atomic.write_text(path, "old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, step, full)
    with pytest.raises(WriteError, match="No space left on device; earlier files are untouched"):
        atomic.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_the_filler_passes_through(tmp_path: Path) -> None:
    def fill(_: object) -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        atomic.write_with(tmp_path / "file", fill)
    assert list(tmp_path.iterdir()) == []
