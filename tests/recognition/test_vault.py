from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.exceptions import InvalidTag
from gallery_on_disk import DIM, MODEL, OTHER, decrypt, key_in, make, names, template

from fedfr_edge.errors import FedFRError, GalleryError, IntegrityError, ModelMismatchError, WriteError
from fedfr_edge.recognition import keys
from fedfr_edge.recognition.keys import KeyFile, Passphrase
from fedfr_edge.recognition.vault import Vault


@pytest.fixture(autouse=True)
def fast_argon2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_ARGON2", {"memory_kib": 64, "iterations": 1, "lanes": 1})


@pytest.fixture
def key(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys" / "g.key")


@pytest.fixture
def path(tmp_path: Path, key: KeyFile) -> Path:
    make(tmp_path / "g", key, "Ana Example", "Bén")
    return tmp_path / "g"


def people_file(path: Path) -> Path:
    (file,) = path.glob("people-*")
    return file


def files(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


# --- what is on disk ---------------------------------------------------------------------------


def test_round_trip(path: Path, key: KeyFile) -> None:
    with Vault.open(path, key, model_digest=MODEL) as vault:
        assert [(person.name, person.images) for person in vault.gallery.people] == [
            ("Ana Example", 1),
            ("Bén", 2),
        ]
        for seed, person in enumerate(vault.gallery.people):
            assert np.array_equal(vault.gallery.template_of(person).vector, template(seed).vector)
            assert person.enrolled > 1_700_000_000


def test_another_program_can_decrypt_it(path: Path, key: KeyFile) -> None:
    """With the primitives alone, as the docstrings describe the files."""
    state, people = decrypt(path, key_in(key.path))
    assert state["generation"] == 3  # made, two people
    assert set(people) == {"Ana Example", "Bén"}
    for seed, (_, images, vector) in enumerate(people.values()):
        assert images == seed + 1
        assert np.array_equal(vector, template(seed).vector)
    header = json.loads((path / "header.json").read_text())
    assert (header["model"], header["cipher"], header["dim"]) == (MODEL, "AES-256-GCM", DIM)
    assert header["created"].endswith("+00:00")


def test_folder_and_files_are_private(path: Path, key: KeyFile) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    private = [*path.iterdir(), key.path, key.path.with_name("g.key.count")]
    assert {stat.S_IMODE(file.stat().st_mode) for file in private} == {0o600}
    assert {file.name for file in path.iterdir()} == {
        *("header.json", "state", "audit.jsonl", "lock", "people-00000003")
    }


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_a_folder_that_others_may_enter_is_refused(path: Path, key: KeyFile) -> None:
    path.chmod(0o755)
    with pytest.raises(GalleryError, match="chmod 700"):
        Vault.open(path, key)


def test_nothing_of_a_person_is_in_the_clear(path: Path, key: KeyFile) -> None:
    data = b"".join(files(path).values())
    for seed, name in enumerate(("Ana Example", "Bén")):
        assert name.encode() not in data
        assert template(seed).vector.tobytes()[:8] not in data
    assert key_in(key.path) not in data
    assert key_in(key.path).hex().encode() not in data


def test_every_person_has_a_key_of_their_own(path: Path, key: KeyFile) -> None:
    """The same template twice, and no bytes in common."""
    with Vault.open(path, key) as vault:
        vault.enrol([("Cem", template(0))])
    records = people_file(path).read_bytes()
    pieces = [records[start : start + 8] for start in range(len(records) - 8)]
    assert len(set(pieces)) > 0.99 * len(pieces)


def test_another_model_is_refused_before_the_key_is_needed(path: Path, key: KeyFile) -> None:
    key.path.unlink()
    with pytest.raises(ModelMismatchError, match="enrol again"):
        Vault.open(path, key, model_digest=OTHER)


# --- altered, cut short, swapped ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["header.json", "state", "people-00000003"])
def test_every_altered_byte_is_noticed(path: Path, key: KeyFile, name: str) -> None:
    file = path / name
    data = file.read_bytes()
    for spot in range(len(data)):
        file.write_bytes(data[:spot] + bytes([data[spot] ^ (1 << spot % 8)]) + data[spot + 1 :])
        with pytest.raises((GalleryError, ModelMismatchError)):
            Vault.open(path, key, model_digest=MODEL)
    file.write_bytes(data)
    assert len(names(path, key)) == 2


@pytest.mark.parametrize("name", ["header.json", "state", "people-00000003"])
def test_every_length_but_the_whole_is_noticed(path: Path, key: KeyFile, name: str) -> None:
    file = path / name
    data = file.read_bytes()
    for end in [*range(0, len(data), 7), len(data) - 1]:
        file.write_bytes(data[:end])
        with pytest.raises(GalleryError) as caught:
            Vault.open(path, key)
        if name.startswith("people"):
            assert f"was cut short ({end} of {len(data)} bytes)" in str(caught.value)
    file.write_bytes(data + b"x")
    with pytest.raises(GalleryError):
        Vault.open(path, key)


@pytest.mark.parametrize("name", ["header.json", "state", "people-00000003"])
def test_a_missing_file_is_named(path: Path, key: KeyFile, name: str) -> None:
    (path / name).unlink()
    with pytest.raises(GalleryError, match=name):
        Vault.open(path, key)
    if name != "header.json":
        with pytest.raises(IntegrityError, match="is missing"):  # and no new one is made in its place
            Vault.open_or_make(path, key, model_digest=MODEL, dim=DIM)
        key.path.with_name("g.key.count").unlink()
        (path / "audit.jsonl").unlink()
        if name == "state":
            with pytest.raises(IntegrityError, match="is missing"):  # not even without log and counter
                Vault.open_or_make(path, key, model_digest=MODEL, dim=DIM)


def test_an_altered_record_is_named(path: Path, key: KeyFile) -> None:
    with Vault.open(path, key) as vault:
        ben = vault.gallery.find("Bén")
    assert ben is not None
    data = bytearray(people_file(path).read_bytes())
    data[-1] ^= 1
    people_file(path).write_bytes(data)
    with pytest.raises(IntegrityError, match=f"was altered: the record of {ben.id} is not what"):
        Vault.open(path, key)


def split_records(data: bytes) -> tuple[bytes, list[bytes]]:
    place = data.index(b"\n") + 1
    title, records = data[:place], []
    while place < len(data):
        end = place + 80 + int.from_bytes(data[place + 76 : place + 80], "big")
        records.append(data[place:end])
        place = end
    return title, records


def test_records_of_two_people_cannot_be_exchanged(path: Path, key: KeyFile) -> None:
    """Neither whole templates, nor templates with their wrapped keys, fit under the other's id."""
    file = people_file(path)
    title, (ana, ben) = split_records(file.read_bytes())
    for parts in ([ana[:76] + ben[76:], ben[:76] + ana[76:]], [ana[:16] + ben[16:], ben[:16] + ana[16:]]):
        file.write_bytes(title + b"".join(parts))
        with pytest.raises(IntegrityError, match=f"was altered: the record of {ana[:8].hex()}"):
            Vault.open(path, key)
    file.write_bytes(title + ben + ana)
    with pytest.raises(IntegrityError, match="in another order"):
        Vault.open(path, key)


def test_files_of_another_gallery_are_named(tmp_path: Path, path: Path, key: KeyFile) -> None:
    other = tmp_path / "other"
    make(other, KeyFile(tmp_path / "other.key"), "Eve", "Fay")
    for name in ("people-00000003", "state", "header.json"):
        data = (path / name).read_bytes()
        (path / name).write_bytes((other / name).read_bytes())
        with pytest.raises(IntegrityError, match="swapped"):
            Vault.open(path, key)
        (path / name).write_bytes(data)
    shutil.rmtree(path)
    shutil.copytree(other, path)
    with pytest.raises(IntegrityError, match="belongs to another gallery"):
        Vault.open(path, key)


# --- rolled back -------------------------------------------------------------------------------


def test_an_older_people_file_is_named(path: Path, key: KeyFile) -> None:
    before = people_file(path).read_bytes()
    with Vault.open(path, key) as vault:
        vault.enrol([("Cem", template(2))])
    people_file(path).write_bytes(before)
    with pytest.raises(IntegrityError, match="was rolled back: it is of generation 3, expected 4"):
        Vault.open(path, key)


@pytest.mark.parametrize("what", ["folder", "state"])
def test_an_older_copy_is_named(tmp_path: Path, path: Path, key: KeyFile, what: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    with Vault.open(path, key) as vault:
        vault.log("something")
    if what == "folder":
        shutil.rmtree(path)
        shutil.copytree(copy, path)
    else:
        shutil.copy(copy / "state", path / "state")
    with pytest.raises(IntegrityError, match=r"rolled back to an older copy \(generation 3, expected 4\)"):
        Vault.open(path, key)


def test_a_restored_copy_can_be_accepted(tmp_path: Path, path: Path, key: KeyFile) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    with Vault.open(path, key) as vault:
        for _ in range(5):
            vault.log("something")
    shutil.rmtree(path)
    shutil.copytree(copy, path)
    with Vault.open(path, key, accept_restored=True) as vault:
        assert vault.attempts.factor == ""  # another factor is needed
        assert [person.name for person in vault.gallery.people] == ["Ana Example", "Bén"]
        assert b"accept_restored" in vault.log_bytes()
    assert (path / "audit-until-00000008.jsonl").read_bytes() == (copy / "audit.jsonl").read_bytes()
    assert names(path, key) == ["Ana Example", "Bén"]
    shutil.rmtree(path)
    shutil.copytree(copy, path)
    with pytest.raises(IntegrityError, match=r"generation 3, expected 9"):
        Vault.open(path, key)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no counter"),
        ("{id} 1\n", "its counter was set back to 1"),
        ("{id} 9\n", "rolled back"),
        ("0000 3\n", "altered or swapped"),
        ("{id} -3\n", "altered or swapped"),
        ("", "altered or swapped"),
    ],
)
def test_a_counter_that_does_not_fit_is_named(
    path: Path, key: KeyFile, content: str | None, message: str
) -> None:
    counter = key.path.with_name("g.key.count")
    gallery = counter.read_text().split()[0]
    if content is None:
        counter.unlink()
    else:
        counter.write_text(content.format(id=gallery))
    with pytest.raises(IntegrityError, match=message):
        Vault.open(path, key)
    with Vault.open(path, key, accept_restored=True) as vault:
        assert len(vault.gallery) == 2
    assert len(names(path, key)) == 2


# --- deletion ----------------------------------------------------------------------------------


def test_deleting_destroys_template_key_and_what_wrapped_it(tmp_path: Path, path: Path, key: KeyFile) -> None:
    copy, old_key = tmp_path / "copy", key_in(key.path)
    shutil.copytree(path, copy)
    _, records = split_records(people_file(path).read_bytes())
    with Vault.open(path, key) as vault:
        gone = vault.delete("Ana Example")
        assert vault.gallery.find("Ana Example") is None
    assert records[0][:8].hex() == gone.id
    data = b"".join(content for name, content in files(path).items() if name != "audit.jsonl")
    for piece in (records[0][16:76], records[0][80:], bytes.fromhex(gone.id), gone.id.encode()):
        assert piece not in data
    assert old_key.hex() not in key.path.read_text()
    _, people = decrypt(path, key_in(key.path))
    assert list(people) == ["Bén"]
    # The copy opens with the old key only: who has the device has it no longer.
    assert "Ana Example" in decrypt(copy, old_key)[1]
    with pytest.raises(InvalidTag):
        decrypt(copy, key_in(key.path))
    shutil.rmtree(path)
    shutil.copytree(copy, path)
    for accept in (False, True):
        with pytest.raises(IntegrityError, match="does not hold the key"):
            Vault.open(path, key, accept_restored=accept)


def test_the_old_people_file_is_overwritten(path: Path, key: KeyFile) -> None:
    with people_file(path).open("rb") as old:
        with Vault.open(path, key) as vault:
            vault.delete("Bén")
        assert set(old.read()) == {0}


def test_replacing_destroys_the_old_template(path: Path, key: KeyFile) -> None:
    old_key, (_, records) = key_in(key.path), split_records(people_file(path).read_bytes())
    with Vault.open(path, key) as vault:
        (new,) = vault.enrol([("Ana Example", template(7))], replace=True)
    assert new.id != records[0][:8].hex()
    assert old_key.hex() not in key.path.read_text()
    people = decrypt(path, key_in(key.path))[1]
    assert np.array_equal(people["Ana Example"][2], template(7).vector)
    assert len(people) == 2


def test_deleting_nobody_changes_nothing(path: Path, key: KeyFile) -> None:
    before = files(path)
    with Vault.open(path, key) as vault, pytest.raises(GalleryError, match="nobody called"):
        vault.delete("Eve")
    assert files(path) == before


# --- keys --------------------------------------------------------------------------------------


def test_wrong_key_and_missing_key_say_so(tmp_path: Path, path: Path, key: KeyFile) -> None:
    other = tmp_path / "other.key"
    make(tmp_path / "other", KeyFile(other))
    with pytest.raises(IntegrityError, match="belongs to another gallery"):
        Vault.open(path, KeyFile(other))
    with pytest.raises(GalleryError, match="cannot read key file"):
        Vault.open(path, KeyFile(tmp_path / "none.key"))
    with pytest.raises(GalleryError, match=r"kept as 'file'.*--key file"):
        Vault.open(path, Passphrase("x"))
    title, line = key.path.read_text().splitlines()
    key.path.write_text(f"{title}\n{line.split()[0]} {'ab' * 32}\n")
    with pytest.raises(GalleryError, match="does not fit"):
        Vault.open(path, key)


def test_passphrase(tmp_path: Path) -> None:
    path, counters = tmp_path / "g", tmp_path / "state"
    make(path, Passphrase("correct horse", counters=counters), "Ana")
    assert names(path, Passphrase("correct horse", counters=counters)) == ["Ana"]
    with pytest.raises(GalleryError, match="passphrase"):
        Vault.open(path, Passphrase("correct house", counters=counters))
    with pytest.raises(IntegrityError, match="no counter"):
        Vault.open(path, Passphrase("correct horse", counters=tmp_path / "elsewhere"))
    with Vault.open(path, Passphrase("correct horse", counters=counters)) as vault:
        vault.delete("Ana")
        assert not vault.key_is_destroyed  # and the command says so
    assert names(path, Passphrase("correct horse", counters=counters)) == []


def test_a_new_key_in_the_same_place_and_elsewhere(tmp_path: Path, path: Path, key: KeyFile) -> None:
    old = key_in(key.path)
    with Vault.open(path, key) as vault:
        vault.rekey(key)
    assert key_in(key.path) != old
    assert len(decrypt(path, key_in(key.path))[1]) == 2
    words = Passphrase("five words", counters=tmp_path / "state")
    with Vault.open(path, key) as vault:
        vault.rekey(words)
        vault.log("still writable")
    assert list(key.path.parent.iterdir()) == []
    assert len(names(path, words)) == 2
    other = Passphrase("other words", counters=tmp_path / "state")
    with Vault.open(path, words) as vault:
        vault.rekey(other)
    with pytest.raises(GalleryError, match="does not fit"):
        Vault.open(path, words)
    back = KeyFile(tmp_path / "back.key")
    with Vault.open(path, other) as vault:
        vault.rekey(back)
    assert list((tmp_path / "state").iterdir()) == []
    assert len(decrypt(path, key_in(back.path))[1]) == 2
    with Vault.open(path, back) as vault:
        vault.log("and again")


# --- crashes and full disks --------------------------------------------------------------------


class Killed(BaseException):
    """Stands in for a kill: nothing handles it, nothing after it runs."""


@pytest.mark.parametrize("action", ["make", "enrol", "replace", "delete", "log", "rekey", "move"])
def test_a_kill_between_any_two_writes_leaves_the_old_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """Every write of the action in turn is the last that happens."""
    from fedfr_edge import atomic
    from fedfr_edge.recognition import audit

    words = Passphrase("words", counters=tmp_path / "counters")
    real_write, real_line = atomic.write_with, audit.bring_up_to

    def act(folder: Path) -> None:
        key = KeyFile(folder / "g.key")
        if action == "make":
            make(folder / "g", key)
            return
        with Vault.open(folder / "g", key) as vault:
            if action == "enrol":
                vault.enrol([("Cem", template(2))])
            elif action == "replace":
                vault.enrol([("Ana", template(2))], replace=True)
            elif action == "delete":
                vault.delete("Ana")
            elif action == "log":
                vault.log("something")
            elif action == "rekey":
                vault.rekey(key)
            else:
                vault.rekey(words)

    for count in range(30):
        folder = tmp_path / f"{action}-{count}"
        folder.mkdir()
        key = KeyFile(folder / "g.key")
        if action != "make":
            make(folder / "g", key, "Ana", "Ben")
        done = 0

        def counted(path: Path, *rest: Any, _at: int = count, **named: Any) -> None:
            nonlocal done
            if done == _at:
                raise Killed
            done += 1
            real_write(path, *rest, **named)

        def counted_line(path: Path, head: Any, _at: int = count) -> None:
            nonlocal done
            if head.last and path.exists() and path.stat().st_size < head.size:
                if done == _at:
                    # Half a line reaches the disk.
                    with path.open("ab") as file:
                        file.write(head.last.encode()[: len(head.last) // 2])
                    raise Killed
                done += 1
            real_line(path, head)

        with monkeypatch.context() as patch:
            patch.setattr(atomic, "write_with", counted)
            patch.setattr(audit, "bring_up_to", counted_line)
            killed = True
            try:
                act(folder)
                killed = False
            except Killed:
                pass
        if action == "move" and b'"kind": "passphrase"' in (folder / "g" / "state").read_bytes():
            with Vault.open(folder / "g", words) as vault:
                vault.rekey(key)
        left = set(names(folder / "g", key)) if (folder / "g" / "state").exists() else None
        allowed = {
            "make": [None, set()],
            "enrol": [{"Ana", "Ben"}, {"Ana", "Ben", "Cem"}],
            "replace": [{"Ana", "Ben"}],
            "delete": [{"Ana", "Ben"}, {"Ben"}],
            "log": [{"Ana", "Ben"}],
            "rekey": [{"Ana", "Ben"}],
            "move": [{"Ana", "Ben"}],
        }[action]
        assert left in allowed, (action, count, left)
        # And it goes on: whole, one key, one people file, nothing half-written.
        with Vault.open_or_make(folder / "g", key, model_digest=MODEL, dim=DIM) as vault:
            vault.enrol([("Dan", template(5))])
            assert audit.verify(vault.log_bytes(), vault.start_of_log, vault.head) == []
        assert "Dan" in decrypt(folder / "g", key_in(key.path))[1]
        assert len(list((folder / "g").iterdir())) == 5
        if not killed:  # all its writes happened
            break
    assert 3 <= count < 29


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_full_disk_leaves_the_old_gallery(
    path: Path, key: KeyFile, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    before = files(path)

    def full(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with Vault.open(path, key) as vault:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(WriteError, match=os.strerror(number)):
                vault.delete("Bén")
        assert files(path) == before
        assert len(vault.gallery) == 2  # the object is still usable
        vault.delete("Bén")
    assert names(path, key) == ["Ana Example"]


def test_a_log_that_cannot_be_written_stops_changes(path: Path, key: KeyFile) -> None:
    with Vault.open(path, key) as vault:
        (path / "audit.jsonl").rename(path / "away")
        (path / "audit.jsonl").mkdir()
        with pytest.raises(WriteError):
            vault.log("something")
    (path / "audit.jsonl").rmdir()
    (path / "away").rename(path / "audit.jsonl")
    with Vault.open(path, key) as vault:
        assert vault.head.lines == 3


def test_a_change_takes_place_for_all_or_none(path: Path, key: KeyFile) -> None:
    before = files(path)
    with Vault.open(path, key) as vault:
        with pytest.raises(GalleryError, match="enrolled already"):
            vault.enrol([("Cem", template(2)), ("Bén", template(3))])
        with pytest.raises(ModelMismatchError):
            vault.enrol([("Dan", template(2)), ("Eve", template(3, OTHER))])
        assert [person.name for person in vault.gallery.people] == ["Ana Example", "Bén"]
    assert files(path) == before


def test_a_gallery_in_use_is_waited_for(path: Path, key: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    from fedfr_edge.recognition import vault_files

    monkeypatch.setattr(vault_files, "_PATIENCE", 0.1)
    with Vault.open(path, key), pytest.raises(GalleryError, match="in use by another program"):
        Vault.open(path, key)
    with pytest.raises(ModelMismatchError):
        Vault.open(path, key, model_digest=OTHER)
    vault = Vault.open(path, key)  # a failed opening gave the lock back
    vault.close()
    before = files(path) | files(key.path.parent)
    for change in (lambda: vault.delete("Bén"), lambda: vault.log("x"), lambda: vault.rekey(key)):
        with pytest.raises(GalleryError, match="is closed"):
            change()
    assert files(path) | files(key.path.parent) == before
    assert len(vault.gallery) == 2


# --- other things at that place ----------------------------------------------------------------


def test_other_things_are_refused_and_left_alone(tmp_path: Path, key: KeyFile) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_bytes(b"fedfr-edge vault\n")
    folder.mkdir()
    (folder / "letter.txt").write_text("mine")
    for place in (file, folder):
        with pytest.raises(GalleryError, match="no gallery of fedfr-edge"):
            Vault.open(place, key)
        with pytest.raises(GalleryError, match="something else"):
            Vault.open_or_make(place, key, model_digest=MODEL, dim=DIM)
    with pytest.raises(GalleryError, match="enrol somebody first"):
        Vault.open(tmp_path / "none", key)
    assert {entry.name for entry in folder.iterdir()} == {"letter.txt"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("header.json", b"[" * 60_000),
        ("header.json", b"{}"),
        ("header.json", b'{"format": 9, "cipher": "AES-256-GCM"}'),
        ("header.json", b'{"format": 1, "cipher": "ROT13"}'),
        ("header.json", b"\xff" * 200_000),
        ("state", b""),
        ("state", b"fedfr-edge gallery state\n"),
        ("state", b"fedfr-edge gallery state\n\xff\xff\xff\xff{}"),
        ("state", b"fedfr-edge gallery state\n\0\0\0\2[]" + bytes(28)),
        ("state", b"fedfr-edge gallery state\n\0\0\xea\x60" + b"[" * 60_000 + bytes(28)),
        ("people-00000003", b"\xff\n"),
        ("people-00000003", b"fedfr-edge people of gallery x, generation y\n"),
        ("people-00000003", b"fedfr-edge people of gallery x, generation 3\n" + b"\xff" * 80),
    ],
)
def test_hostile_files_are_one_error(path: Path, key: KeyFile, name: str, content: bytes) -> None:
    (path / name).write_bytes(content)
    with pytest.raises(FedFRError) as caught:
        Vault.open(path, key)
    assert len(str(caught.value)) < 600


def test_a_header_cannot_ask_for_a_costly_passphrase(tmp_path: Path) -> None:
    path, words = tmp_path / "g", Passphrase("x", counters=tmp_path / "state")
    make(path, words)
    data = (path / "state").read_bytes()
    assert b'"memory_kib": 64' in data
    longer = data.replace(b'"memory_kib": 64', b'"memory_kib": 99999999')
    start = data.index(b"\n") + 1
    length = int.from_bytes(data[start : start + 4], "big") + 6
    (path / "state").write_bytes(longer[:start] + length.to_bytes(4, "big") + longer[start + 4 :])
    with pytest.raises(GalleryError, match="memory_kib = 99999999"):
        Vault.open(path, words)
