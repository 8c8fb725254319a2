"""A store whose making was killed, cut off or refused by the disk can always be completed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_stores import begin, face, fill, small_store

from fedfr_edge.data import append_file
from fedfr_edge.data.store import FaceStore
from fedfr_edge.errors import WriteError

COUNT = 6
FACE = 112 * 112 * 3
HEADER = 128

# Makes the store of fill(), slowly enough to be killed in the middle.
SLOW_WRITER = """
import sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from small_stores import begin, fill
with begin(Path(sys.argv[1])) as writer:
    for number in range(len(writer), 200):
        fill(writer, number + 1, first=number)
        time.sleep(0.002)
    writer.finish()
"""

# The same, under a limit on the size of files, which acts like a disk that fills up.
LIMITED_WRITER = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from small_stores import begin, fill
from fedfr_edge.errors import WriteError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
with begin(Path(sys.argv[1])) as writer:
    try:
        fill(writer, 6, first=len(writer))
    except WriteError as error:
        print(len(writer), error)
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> FaceStore:
    return small_store(tmp_path_factory.mktemp("whole") / "store", COUNT)


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("unfinished") / "store"
    with begin(path) as writer:
        fill(writer, COUNT)
    return path


def complete(path: Path, whole: FaceStore) -> None:
    """Resume ``path``, add what is missing, and compare with a store made in one go."""
    with begin(path) as writer:
        fill(writer, COUNT, first=len(writer))
        store = writer.finish()
    assert store.digest == whole.digest
    for part in ("images.npy", "index.tsv", "manifest.json"):
        assert (path / part).read_bytes() == (whole.path / part).read_bytes()
    assert not (path / "unfinished.json").exists()


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_files_cut_anywhere(data: st.DataObject, unfinished: Path, whole: FaceStore) -> None:
    """The writer keeps every row of which both pixels and line are whole, and no other."""
    index = (unfinished / "index.tsv").read_bytes()
    images_cut = data.draw(st.integers(0, HEADER + COUNT * FACE), label="bytes of images.npy")
    index_cut = data.draw(st.integers(0, len(index)), label="bytes of index.tsv")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        shutil.copytree(unfinished, path)
        os.truncate(path / "images.npy", images_cut)
        os.truncate(path / "index.tsv", index_cut)
        with begin(path) as writer:
            whole_faces = max(0, images_cut - HEADER) // FACE
            assert len(writer) == min(whole_faces, index[:index_cut].count(b"\n"))
        complete(path, whole)


@settings(max_examples=25, deadline=None)
@given(place=st.integers(HEADER, HEADER + COUNT * FACE - 1))
def test_pixels_that_never_reached_the_disk(place: int, unfinished: Path, whole: FaceStore) -> None:
    """After a power cut a block may hold anything: rows from there on are made again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        shutil.copytree(unfinished, path)
        with (path / "images.npy").open("r+b") as file:
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ 0xFF]))
        with begin(path) as writer:
            assert len(writer) == (place - HEADER) // FACE
        complete(path, whole)


def test_killed_while_writing(tmp_path: Path) -> None:
    path = tmp_path / "store"
    process = subprocess.Popen([sys.executable, "-c", SLOW_WRITER, path, Path(__file__).parent])
    index = path / "index.tsv"
    deadline = time.monotonic() + 30
    while not (index.exists() and index.stat().st_size > 2000):
        assert process.poll() is None, "the writer ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    with begin(path) as writer:
        assert 20 < len(writer) < 200
        assert all(f"person {number // 3}/{number:03d}" in writer for number in range(len(writer)))
        fill(writer, 200, first=len(writer))
        store = writer.finish()
    assert store.digest == small_store(tmp_path / "in one go", 200).digest


def test_full_disk(tmp_path: Path, whole: FaceStore) -> None:
    path = tmp_path / "store"
    limit = HEADER + 3 * FACE + 1000  # the fourth face fits in part
    command = [sys.executable, "-c", LIMITED_WRITER, path, Path(__file__).parent, str(limit)]
    for _ in range(2):  # again on the still full disk: nothing is lost
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.startswith("3 cannot write ")
        assert "run the same command again" in done.stdout
        assert (path / "images.npy").stat().st_size == HEADER + 3 * FACE
    complete(path, whole)


def test_disk_refuses_the_index_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: FaceStore
) -> None:
    """Pixels without a line are taken back, and the same writer can go on once there is room."""
    with begin(tmp_path / "store") as writer:
        fill(writer, 2)
        real = append_file.AppendFile._write_at

        def full(self: append_file.AppendFile, offset: int, data: bytes) -> None:
            if self.path.name == "index.tsv":
                real(self, offset, data[:10])
                raise OSError(28, "No space left on device")
            real(self, offset, data)

        monkeypatch.setattr(append_file.AppendFile, "_write_at", full)
        with pytest.raises(WriteError, match="No space left on device"):
            writer.add(face(2), "person 0", "person 0/002")
        assert len(writer) == 2
        assert (tmp_path / "store" / "images.npy").stat().st_size == HEADER + 2 * FACE
        monkeypatch.undo()
        fill(writer, 4, first=2)
    complete(tmp_path / "store", whole)


def test_disk_refuses_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: FaceStore) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with begin(tmp_path / "store") as writer:
        fill(writer, COUNT)
        monkeypatch.setattr(os, "replace", refuse)
        with pytest.raises(WriteError, match=r"manifest\.json"):
            writer.finish()
        monkeypatch.undo()
    assert not (tmp_path / "store" / "manifest.json").exists()
    complete(tmp_path / "store", whole)


def test_killed_between_manifest_and_marker(tmp_path: Path) -> None:
    """The manifest decides: a marker that was left behind does no harm."""
    store = small_store(tmp_path / "store", COUNT)
    (store.path / "unfinished.json").write_text("{}")
    assert FaceStore.open(store.path, verify=True).digest == store.digest
