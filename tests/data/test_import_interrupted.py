"""An import that was killed, or that filled the disk, is completed by the same command."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from small_stores import crops

from fedfr_edge.cli import main
from fedfr_edge.data.readers import importing
from fedfr_edge.data.readers.aligned import AlignedReader
from fedfr_edge.data.readers.importing import import_faces
from fedfr_edge.data.readers.outcome import Outcome
from fedfr_edge.data.store import FaceStore

PEOPLE, EACH = 20, 10
FACE = 112 * 112 * 3

# ``fedfr data import`` with a limit on the size of files, which acts like a disk that fills up.
LIMITED = """
import resource, sys
from fedfr_edge.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.exit(main(sys.argv[2:]))
"""


# An import in two processes, each slow.
TWO_PROCESSES = """
import sys
from pathlib import Path
if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    from small_stores import SlowReader
    from fedfr_edge.data.readers.importing import import_faces
    source, out, folder = map(Path, sys.argv[2:])
    import_faces([source], out, SlowReader(folder), source="faces", licence="x", jobs=2)
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("import") / "faces"
    crops(folder, PEOPLE, EACH)
    (folder / "person_00" / "0_bad.png").write_bytes(b"bad")
    (folder / "person_19" / "bad.png").write_bytes(b"bad")
    return folder


@pytest.fixture(scope="module")
def whole(source: Path) -> FaceStore:
    return import_faces([source], source.parent / "whole", AlignedReader(), source="faces", licence="x").store


def arguments(source: Path, out: Path) -> list[str]:
    return ["data", "import", str(source), "--out", str(out), "--kind", "aligned", "--licence", "x"]


def same(out: Path, whole: FaceStore) -> None:
    store = FaceStore.open(out, verify=True)
    assert store.digest == whole.digest
    for file in ("images.npy", "index.tsv", "manifest.json", "skipped.csv", "notes.csv"):
        assert (out / file).read_bytes() == (whole.path / file).read_bytes(), file


def test_killed_in_the_middle(source: Path, whole: FaceStore, tmp_path: Path) -> None:
    out = tmp_path / "out"
    # Slowed down, so that the kill hits the middle on a fast machine too.
    code = (
        "import sys, time\n"
        "from fedfr_edge.cli import main\n"
        "from fedfr_edge.data.store import StoreWriter\n"
        "add = StoreWriter.add\n"
        "StoreWriter.add = lambda *given: (time.sleep(0.005), add(*given))[1]\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, *arguments(source, out)], stderr=subprocess.PIPE)
    index = out / "index.tsv"
    deadline = time.monotonic() + 60
    while not (index.exists() and index.stat().st_size > 5000):
        assert process.poll() is None, "the import ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    written = index.read_bytes().count(b"\n")
    assert 40 < written < PEOPLE * EACH
    assert main(["data", "show", str(out)]) == 1  # no store yet

    read: list[Path] = []

    class Counting(AlignedReader):
        def read(self, path: Path) -> Outcome:
            read.append(path)
            return super().read(path)

    done = import_faces([source], out, Counting(), source="faces", licence="x")
    assert done.resumed == written
    # Neither what was written nor what was skipped before is read again.
    assert len(read) == PEOPLE * EACH - written + 1
    assert source / "person_00" / "0_bad.png" not in read
    same(out, whole)


def test_full_disk(
    source: Path, whole: FaceStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    limit = 128 + 70 * FACE + 12345
    command = [sys.executable, "-c", LIMITED, str(limit), *arguments(source, out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "images.npy" in line
    assert "run the same command again" in line
    assert "Traceback" not in done.stderr
    assert (out / "index.tsv").read_bytes().count(b"\n") == 70
    assert main(arguments(source, out)) == 0
    assert "70 of them had been written by an interrupted run" in capsys.readouterr().out
    same(out, whole)


def test_interrupted_by_hand(
    source: Path, whole: FaceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while several processes read: exit status 130, and what was written is kept."""
    out = tmp_path / "out"

    def interrupted(what: str, done: int, total: int) -> None:
        if done == 49:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_faces(
            [source], out, AlignedReader(), source="faces", licence="x", jobs=2, progress=interrupted
        )
    done = import_faces([source], out, AlignedReader(), source="faces", licence="x")
    assert done.resumed == 48
    same(out, whole)


def test_killed_before_the_manifest(
    source: Path, whole: FaceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notes about the whole store are not written twice."""
    out = tmp_path / "out"

    def end(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(importing.StoreWriter, "finish", end)
        with pytest.raises(KeyboardInterrupt):
            import_faces([source], out, AlignedReader(), source="faces", licence="x")
    done = import_faces([source], out, AlignedReader(), source="faces", licence="x")
    assert done.resumed == PEOPLE * EACH
    same(out, whole)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")
def test_reading_processes_end_with_a_killed_import(source: Path, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    pids.mkdir()
    command = [sys.executable, "-c", TWO_PROCESSES, Path(__file__).parent, source, tmp_path / "out", pids]
    process = subprocess.Popen(command)
    wait_until(lambda: len(list(pids.iterdir())) == 2)
    assert str(process.pid) not in [entry.name for entry in pids.iterdir()]
    assert all(runs(entry.name) for entry in pids.iterdir())
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    wait_until(lambda: not any(runs(entry.name) for entry in pids.iterdir()))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def runs(pid: str) -> bool:
    try:
        state = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"  # ended, and nobody has asked how
