"""Clients in processes of their own: equal bits, bounded backlog, and what happens when one of them dies."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from small_federation import CLIENTS, SETTINGS, World, assert_same_bits, assert_same_state, plain_loop

from fedfr_edge.errors import FedFRError, PrivateStateError, QuorumError
from fedfr_edge.federation import process_grid, process_worker
from fedfr_edge.federation.client_app import ClientSite
from fedfr_edge.federation.engine import run_in_processes
from fedfr_edge.federation.private_state import PrivateStore
from fedfr_edge.federation.process_grid import ProcessGrid
from fedfr_edge.federation.run_folder import RunFolder
from fedfr_edge.federation.server_app import Job
from fedfr_edge.federation.sites import LocalSites
from fedfr_edge.federation.terms import Terms
from fedfr_edge.train.checkpoint import GlobalModel, load_global
from fedfr_edge.train.client import ClientData
from fedfr_edge.types import Progress


@dataclasses.dataclass(frozen=True)
class OddSites:
    """Sites one of whose clients cannot read its faces."""

    inner: LocalSites
    odd: str

    def open(self, *, progress: Progress) -> Callable[[str], ClientSite]:
        find = self.inner.open(progress=progress)

        def fails(model: GlobalModel) -> ClientData:
            raise ValueError("bad luck at /home/anna")

        def site(client: str) -> ClientSite:
            found = find(client)
            return dataclasses.replace(found, faces=fails) if client == self.odd else found

        return site


def run(
    world: World,
    out: Path,
    *,
    odd: str = "",
    progress: Progress = lambda what, done, total: None,
) -> GlobalModel:
    job = Job(
        out=out,
        pretrained=world.pretrained,
        settings=SETTINGS,
        seed=7,
        terms=Terms(len(CLIENTS), patience=1.0),
        progress=progress,
    )
    sites = LocalSites(world.store, world.split, (world.public_store,), out / "clients")
    run_in_processes(job, CLIENTS, OddSites(sites, odd) if odd else sites, processes=2)
    folder = RunFolder(out)
    return load_global(folder.checkpoint(folder.rounds()[-1]))


def children() -> set[int]:
    """Processes that this one has started and not yet collected."""
    found = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]) == os.getpid():
                found.add(int(entry.name))
    return found


def test_processes_and_the_plain_loop_give_equal_bits(world: World, tmp_path: Path) -> None:
    expected, states = plain_loop(world, 2)
    told: list[tuple[str, int, int]] = []
    before = children()
    model = run(world, tmp_path, progress=lambda *event: told.append(event))
    assert_same_bits(model, expected)
    run_folder = RunFolder(tmp_path)
    run_folder.open(world.model(), SETTINGS.resolved(), 7, {})
    for client in CLIENTS:
        folder = tmp_path / "clients" / client
        with PrivateStore(folder, federation=run_folder.federation, client=client) as store:
            kept = store.load_before(3)
        assert kept is not None
        assert_same_state(kept, states[client])
    # What happens inside of the clients is told here, and its end exactly once.
    ends = [what for what, done, total in told if done == total]
    for client in CLIENTS:
        for number in (1, 2):
            inside = {what for what in ends if f"{client}, round {number}" in what}
            assert inside
            assert all(ends.count(what) == 1 for what in inside)
    # All workers have ended (multiprocessing's own helper process stays).
    assert len(children() - before) <= 1


def test_a_clients_error_is_told_in_full_here_and_by_its_class_to_the_server(
    world: World, tmp_path: Path
) -> None:
    with pytest.raises(QuorumError, match=r"\(client-02: ValueError: bad luck at /home/anna\)") as caught:
        run(world, tmp_path, odd="client-02")
    assert "client-02: ValueError)" in str(caught.value)
    assert isinstance(caught.value.__cause__, FedFRError)


# --- the grid alone, with a client that needs no model ---


@dataclasses.dataclass(frozen=True)
class Script:
    """Not sites: what the worker of this test does with a message."""

    folder: Path


def scripted(connection: object, sites: Script, threads: int) -> None:
    """Stands in for :func:`process_worker.work`: notes that it began, waits as told, answers."""
    receiver = process_worker.Receiver(connection)  # type: ignore[arg-type]
    sender = process_worker.Sender(connection)  # type: ignore[arg-type]
    from fedfr_edge.federation.flower_private import task_identity

    with contextlib.suppress(EOFError, OSError):
        while True:
            message, context = receiver.receive()
            node = context.node_id
            (sites.folder / f"began-{node}").write_text(str(os.getpid()))
            while not (sites.folder / f"go-{node}").exists():
                time.sleep(0.01)
            if (sites.folder / f"kill-{node}").exists():
                os.kill(os.getpid(), signal.SIGKILL)
            if (sites.folder / f"exit-{node}").exists():
                os._exit(3)
            with task_identity(1):
                size = len(message.content["arrays"]["big"].data)
                content = RecordDict({"said": ConfigRecord({"node": node, "size": size})})
                sender.send(process_worker.Answer(Message(content, reply_to=message)), keep=False)


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flower: None) -> Iterator[ProcessGrid]:
    monkeypatch.setattr(process_grid, "work", scripted)
    monkeypatch.setattr(process_grid, "_LOOK", 0.3)
    contexts = {node: Context(1, node, {"client-id": f"c{node}"}, RecordDict(), {}) for node in range(10, 20)}
    made = ProcessGrid(ClientApp(), contexts, Script(tmp_path), processes=2)  # type: ignore[arg-type]
    with contextlib.closing(made):
        yield made


def messages(ttl: float = 60.0) -> list[Message]:
    big = Array("uint8", (10_000,), "raw", bytes(10_000))
    content = RecordDict({"arrays": ArrayRecord({"big": big})})
    return [Message(content, node, "train", ttl=ttl, group_id="1") for node in range(10, 20)]


def began(folder: Path) -> list[int]:
    return sorted(int(path.name[6:]) for path in folder.glob("began-*"))


def pull(grid: ProcessGrid, ids: list[str], seconds: float = 30.0) -> list[Message]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = list(grid.pull_messages(ids))
        if found:
            return found
    return []


def test_no_client_starts_whose_reply_would_have_to_wait_for_long(grid: ProcessGrid, tmp_path: Path) -> None:
    ids = list(grid.push_messages(messages()))
    for node in range(11, 20):  # all but the first may finish at once
        (tmp_path / f"go-{node}").touch()
    replies = [reply for _ in range(3) for reply in pull(grid, ids)]
    assert [reply.content["said"]["node"] for reply in replies] == [11, 12, 13]
    assert {reply.content["said"]["size"] for reply in replies} == {10_000}
    assert pull(grid, ids, seconds=1.0) == []  # the fifth would be a fourth to wait for the first
    assert began(tmp_path) == [10, 11, 12, 13]
    (tmp_path / "go-10").touch()
    while len(replies) < 10:
        replies += pull(grid, ids)
    assert [reply.metadata.reply_to_message_id for reply in replies[:4]] == [*ids[1:4], ids[0]]
    assert began(tmp_path) == list(range(10, 20))
    # Ten clients, but two processes.
    assert len({path.read_text() for path in tmp_path.glob("began-*")}) == 2
    assert list(grid.pull_messages(ids)) == []
    assert list(grid.pull_messages(["unknown"])) == []


def test_a_worker_that_dies_fails_its_client_alone_and_is_replaced(grid: ProcessGrid, tmp_path: Path) -> None:
    ids = list(grid.push_messages(messages()[:4]))
    for node in range(10, 14):
        (tmp_path / f"go-{node}").touch()
    for name in ("kill-10", "exit-11"):
        (tmp_path / name).touch()
    replies = {}
    while len(replies) < 4:
        replies |= {ids.index(reply.metadata.reply_to_message_id): reply for reply in pull(grid, ids)}
    assert [replies[index].has_error() for index in range(4)] == [True, True, False, False]
    assert replies[0].error.reason == (
        "the client's process was ended by SIGKILL, as the system does when memory runs out"
    )
    assert replies[1].error.reason == "the client's process ended with status 3 in the middle of its work"
    assert {node: str(cause) for node, cause in grid.causes.items()} == {
        10: replies[0].error.reason,
        11: replies[1].error.reason,
    }
    pids = {node: (tmp_path / f"began-{node}").read_text() for node in range(10, 14)}
    assert not {pids[10], pids[11]} & {pids[12], pids[13]}


def test_errors_of_ours_stay_what_they_are() -> None:
    assert isinstance(process_grid._as_error("PrivateStateError", "x"), PrivateStateError)
    assert str(process_grid._as_error("MemoryError", "")) == "MemoryError"
    assert str(process_grid._as_error("OSError", "disk")) == "OSError: disk"


def test_a_client_whose_message_expires_is_stopped(grid: ProcessGrid, tmp_path: Path) -> None:
    for node in (11, 12, 13):
        (tmp_path / f"go-{node}").touch()
    first = list(grid.push_messages(messages()[2:4]))  # starts the workers
    assert len([reply for _ in first for reply in pull(grid, first)]) == 2
    ids = list(grid.push_messages(messages(ttl=4.0)[:2]))
    replies = pull(grid, ids)
    assert [reply.content["said"]["node"] for reply in replies] == [11]
    while not (tmp_path / "began-10").exists() or not (tmp_path / "began-10").read_text():
        time.sleep(0.01)
    pid = int((tmp_path / "began-10").read_text())
    replies += pull(grid, ids)
    assert replies[1].error.reason == "the message expired while the client was training"
    # One that had not begun is not begun.
    late = list(grid.push_messages(messages(ttl=-1.0)[4:5]))
    assert [reply.error.reason for reply in pull(grid, late)] == ["the message expired"]
    assert not (tmp_path / "began-14").exists()
    assert not Path(f"/proc/{pid}").exists()
    # The next round finds workers again.
    again = list(grid.push_messages(messages()[1:2]))
    assert [reply.content["said"]["node"] for reply in pull(grid, again)] == [11]


def test_large_bytes_pass_once_as_long_as_they_stay_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    import multiprocessing

    here, there = multiprocessing.Pipe()
    passed: list[int] = []

    class Counting:
        def send(self, item: object) -> None:
            here.send(item)

        def send_bytes(self, data: object) -> None:
            passed.append(len(data))  # type: ignore[arg-type]
            here.send_bytes(data)  # type: ignore[arg-type]

    sender = process_worker.Sender(Counting())  # type: ignore[arg-type]
    receiver = process_worker.Receiver(there)
    one, other, small = bytes([1]) * 20_000, bytes([2]) * 30_000, b"small"
    for item in ([one, small, one], [one, other], [other], [one]):
        sender.send(item)
        assert receiver.receive() == item
    sender.send([one], keep=False)
    assert receiver.receive() == [one]
    sender.send([one])
    assert receiver.receive() == [one]
    large = [size for size in passed if size >= 20_000]
    # Forgotten where an item did not hold it, and where keep was off.
    assert large == [20_000, 30_000, 20_000, 20_000]
    assert max(size for size in passed if size < 20_000) < 200


PARENT = """
import signal, sys
# A shell's background job is born deaf to it, and so are we then.
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import small_federation as small
from fedfr_edge.federation.engine import run_in_processes
from fedfr_edge.federation.terms import Terms
from fedfr_edge.federation.server_app import Job
from fedfr_edge.federation.sites import LocalSites
import dataclasses
world = small.World(*(Path(part) for part in sys.argv[3:7]))
out = Path(sys.argv[2])
settings = dataclasses.replace(small.SETTINGS, rounds=500)
job = Job(out, world.pretrained, settings, 7, Terms(3, patience=1.0))
run_in_processes(job, small.CLIENTS, LocalSites(world.store, world.split, (world.public_store,),
                 out / "clients"), processes=2)
"""


def descendants(pid: int) -> set[int]:
    found = set()
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            found |= {int(child), *descendants(int(child))}
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT], ids=lambda sign: sign.name)
def test_no_worker_outlives_its_parent(world: World, tmp_path: Path, sign: signal.Signals) -> None:
    places = [world.store, world.public_store, world.split, world.pretrained]
    command = [sys.executable, "-c", PARENT, str(Path(__file__).parent), str(tmp_path), *map(str, places)]
    process = subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        end = time.monotonic() + 60
        while not (tmp_path / "checkpoints" / "round_0001.safetensors").exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < end
            time.sleep(0.05)
        workers = descendants(process.pid)
        assert len(workers) >= 2
        if sign == signal.SIGINT:
            os.killpg(process.pid, sign)  # as a terminal does: to all of them
        else:
            process.send_signal(sign)
        error = process.communicate(timeout=20)[1]
        end = time.monotonic() + 5
        while any(map(alive, workers)) and time.monotonic() < end:
            time.sleep(0.02)
        assert not [pid for pid in workers if alive(pid)]
        if sign == signal.SIGINT:
            assert error.count("KeyboardInterrupt") == 1, error  # the parent's alone
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
