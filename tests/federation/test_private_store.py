"""A client's private folder: whose it is, which snapshot a round starts from, what a crash leaves."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from small_federation import SPEC, assert_same_state

from fedfr_edge.errors import CheckpointError, PrivateStateError, WriteError
from fedfr_edge.federation.private_state import PrivateStore, load_personal_from, snapshots
from fedfr_edge.train.backbones.backbone import build_backbone
from fedfr_edge.train.checkpoint import cpu_state
from fedfr_edge.train.private import PrivateState

BACKBONE = cpu_state(build_backbone(SPEC, seed=6))


def state(round: int) -> PrivateState:
    generator = torch.Generator().manual_seed(round)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return PrivateState(draw(2, 16), draw(16, 16), draw(16), draw(2, 16), draw(2), BACKBONE, round)


def store_in(folder: Path, *, federation: str = "fed", client: str = "client-00") -> PrivateStore:
    return PrivateStore(folder, federation=federation, client=client, patience=0.1)


def save(folder: Path, *rounds: int) -> None:
    with store_in(folder) as store:
        for number in rounds:
            store.save(state(number), SPEC, {"licence": "none"})


def test_a_snapshot_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    save(tmp_path / "a", 1)
    with store_in(tmp_path / "a") as store:
        kept = store.load_before(2)
    assert kept is not None
    assert_same_state(kept, state(1))


def test_a_round_starts_from_the_newest_snapshot_below_it(tmp_path: Path) -> None:
    save(tmp_path, 1, 2, 4)
    with store_in(tmp_path) as store:
        assert [store.load_before(number).round for number in (2, 3, 4, 5, 9)] == [1, 2, 2, 4, 4]  # type: ignore[union-attr]
        assert store.load_before(1) is None


def test_three_snapshots_are_kept_and_later_ones_dropped(tmp_path: Path) -> None:
    save(tmp_path, 1, 2, 3, 4, 5)
    assert snapshots(tmp_path) == [3, 4, 5]
    save(tmp_path, 4)  # the server went back to round 3
    assert snapshots(tmp_path) == [3, 4]
    save(tmp_path, 9)
    assert snapshots(tmp_path) == [3, 4, 9]


def test_going_back_past_the_kept_snapshots_is_an_error(tmp_path: Path) -> None:
    save(tmp_path, 1, 2, 3, 4)
    with store_in(tmp_path) as store:
        assert store.load_before(3) is not None
        with pytest.raises(PrivateStateError, match=r"round 2, but .* after rounds 2, 3, 4"):
            store.load_before(2)


def test_a_client_that_joined_late_may_be_asked_for_an_earlier_round(tmp_path: Path) -> None:
    save(tmp_path, 7)
    with store_in(tmp_path) as store:
        assert store.load_before(5) is None


def test_only_the_owner_can_look_inside(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        save(tmp_path / "deep" / "folder", 1)
    finally:
        os.umask(before)
    folder = tmp_path / "deep" / "folder"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert {path.name for path in folder.iterdir()} == {".lock", "owner.json", "round_0001.safetensors"}


def test_an_open_folder_is_closed_to_others(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir(mode=0o755)
    save(tmp_path / "folder", 1)
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("federation", "client"), [("fed", "client-01"), ("other", "client-00"), ("other", "client-01")]
)
def test_a_folder_of_another_client_or_federation_is_refused(
    tmp_path: Path, federation: str, client: str
) -> None:
    save(tmp_path, 1)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with (
        pytest.raises(PrivateStateError) as caught,
        store_in(tmp_path, federation=federation, client=client),
    ):
        pass
    for name in ("'client-00'", "'fed'", repr(client), repr(federation)):
        assert name in str(caught.value)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_with_foreign_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(PrivateStateError, match=r"thesis\.tex"), store_in(tmp_path):
        pass


def test_a_damaged_owner_file_is_refused(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / "owner.json").write_text("[")
    with pytest.raises(PrivateStateError, match="owner"), store_in(tmp_path):
        pass
    with pytest.raises(PrivateStateError, match="owner"):
        load_personal_from(tmp_path)


def test_two_stores_cannot_be_open_at_once(tmp_path: Path) -> None:
    with store_in(tmp_path), pytest.raises(PrivateStateError, match="in use"), store_in(tmp_path):
        pass
    with store_in(tmp_path):
        pass


def hold(folder: Path, ready: multiprocessing.synchronize.Event) -> None:
    store_in(folder).__enter__()
    ready.set()
    multiprocessing.Event().wait()


@contextmanager
def held_by_another(folder: Path) -> Iterator[BaseProcess]:
    """A process that holds the folder's lock, until it is killed."""
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=hold, args=(folder, ready))
    process.start()
    try:
        assert ready.wait(60)
        yield process
    finally:
        process.kill()
        process.join()


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    with (
        held_by_another(tmp_path),
        pytest.raises(PrivateStateError, match="in use"),
        store_in(tmp_path),
    ):
        pass
    save(tmp_path, 1)


def test_a_dying_process_is_waited_for(tmp_path: Path) -> None:
    with held_by_another(tmp_path) as process:
        timer = threading.Timer(0.3, process.kill)
        timer.start()
        with PrivateStore(tmp_path, federation="fed", client="client-00", patience=30):
            assert not timer.is_alive()


def test_what_a_kill_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / ".round_0002.safetensors.12ab.tmp").write_bytes(b"half")
    save(tmp_path, 2)
    assert snapshots(tmp_path) == [1, 2]
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize("damage", ["cut", "flipped", "renamed", "header"])
def test_a_damaged_snapshot_is_noticed(tmp_path: Path, damage: str) -> None:
    save(tmp_path, 1, 2)
    path = tmp_path / "round_0002.safetensors"
    data = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(data[:-4])
    elif damage == "flipped":
        data[-5] ^= 1
        path.write_bytes(data)
    elif damage == "renamed":
        path.rename(tmp_path / "round_0003.safetensors")
    else:
        path.write_bytes(data.replace(b"sphereface", b"iresnet18x").replace(b"iresnet18", b"iresnet19"))
    with store_in(tmp_path) as store, pytest.raises(CheckpointError, match="damaged"):
        store.load_before(9)
    # The round before is still there, as the message says.
    path.unlink(missing_ok=True)
    (tmp_path / "round_0003.safetensors").unlink(missing_ok=True)
    with store_in(tmp_path) as store:
        assert_same_state(store.load_before(9), state(1))  # type: ignore[arg-type]


def test_a_full_disk_leaves_the_earlier_snapshots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 1)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with store_in(tmp_path) as store:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(WriteError, match="No space left"):
            store.save(state(2), SPEC, {})
        monkeypatch.undo()
        assert snapshots(tmp_path) == [1]
        assert_same_state(store.load_before(2), state(1))  # type: ignore[arg-type]


def test_a_personal_model_out_of_a_folder(tmp_path: Path) -> None:
    save(tmp_path, 1, 2)
    newest, older = load_personal_from(tmp_path), load_personal_from(tmp_path, 1)
    assert (newest.round, older.round, newest.client) == (2, 1, "client-00")
    assert (newest.spec, newest.metadata) == (SPEC, {"licence": "none"})
    assert torch.equal(newest.transform_weight, state(2).transform_weight)
    assert torch.equal(newest.transform_bias, state(2).transform_bias)
    assert all(torch.equal(tensor, BACKBONE[name]) for name, tensor in newest.backbone.items())
    with pytest.raises(PrivateStateError, match="keeps 1, 2"):
        load_personal_from(tmp_path, 3)
    with pytest.raises(PrivateStateError, match="no private state"):
        load_personal_from(tmp_path / "absent")


def test_a_snapshot_put_into_another_clients_folder_is_noticed(tmp_path: Path) -> None:
    save(tmp_path / "one", 1)
    with store_in(tmp_path / "two", client="client-01"):
        pass
    (tmp_path / "one" / "round_0001.safetensors").rename(tmp_path / "two" / "round_0001.safetensors")
    with pytest.raises(PrivateStateError, match=r"'client-00'.*'client-01'"):
        load_personal_from(tmp_path / "two")
    with store_in(tmp_path / "two", client="client-01") as store, pytest.raises(PrivateStateError):
        store.load_before(2)


def test_nothing_is_pickled(tmp_path: Path) -> None:
    save(tmp_path, 1)
    data = (tmp_path / "round_0001.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert "local_proxies" in header
    assert not data.startswith((b"\x80", b"PK"))
