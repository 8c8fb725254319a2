from __future__ import annotations

import errno
import os
import stat
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from gallery_on_disk import DIM, MODEL, make, names

from fedfr_edge.errors import GalleryError, IntegrityError, MissingPartError, WriteError
from fedfr_edge.recognition import keys
from fedfr_edge.recognition.keys import KeyFile, Passphrase, state_folder
from fedfr_edge.recognition.os_keyring import KeyringKey
from fedfr_edge.recognition.vault import Vault


@pytest.fixture(autouse=True)
def fast_argon2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_ARGON2", {"memory_kib": 64, "iterations": 1, "lanes": 1})


# --- passphrase --------------------------------------------------------------------------------


def test_passphrase_follows_argon2id(tmp_path: Path) -> None:
    words = Passphrase("secret", counters=tmp_path)
    made = words.make("v")
    salt = bytes.fromhex(made.parameters["salt"])
    assert made.key == Argon2id(salt=salt, length=32, iterations=1, lanes=1, memory_cost=64).derive(b"secret")
    assert words.find("v", made.id, made.parameters) == made.key
    assert words.make("v").parameters["salt"] != made.parameters["salt"]
    assert "secret" not in repr(made)
    assert made.key.hex() not in repr(made)
    for name, value in {"memory_kib": 10**9, "iterations": 0, "lanes": True, "salt": "zz"}.items():
        with pytest.raises(GalleryError, match="damaged"):
            words.find("v", made.id, {**made.parameters, name: value})


def test_the_real_passphrase_cost_is_not_trivial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert keys._ARGON2["memory_kib"] >= 64 * 1024
    assert keys._ARGON2["iterations"] >= 3


def test_an_empty_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="empty"):
        Passphrase("", counters=tmp_path)


def test_counters_of_passphrases_lie_in_the_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    words = Passphrase("secret")
    assert words.counter("v") is None
    words.count("v", 3)
    assert words.counter("v") == 3
    assert (tmp_path / "state" / "fedfr-edge" / "v.count").read_text() == "v 3\n"
    assert stat.S_IMODE((tmp_path / "state" / "fedfr-edge").stat().st_mode) == 0o700
    words.keep_only("v", None)
    assert words.counter("v") is None
    monkeypatch.delenv("XDG_STATE_HOME")
    assert state_folder() == Path.home() / ".local" / "state" / "fedfr-edge"


# --- key file ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "",
        "zz" * 32,
        "ab" * 32,
        "fedfr-edge key of gallery v\n",
        "fedfr-edge key of gallery v\nid " + "ab" * 31 + "\n",
        "fedfr-edge key of gallery v\nid " + "é" * 64 + "\n",
        "fedfr-edge key of gallery v\nid " + "ab" * 32 + " more\n",
    ],
)
def test_a_file_that_is_no_key_is_refused_and_kept(tmp_path: Path, content: str) -> None:
    path = tmp_path / "k"
    path.write_text(content)
    path.chmod(0o600)
    for attempt in (lambda: KeyFile(path).find("v", "id", {}), lambda: KeyFile(path).make("v")):
        with pytest.raises(GalleryError, match="no key file"):
            attempt()
    assert path.read_text() == content


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "k")
    made = file.make("v")
    file.path.chmod(0o640)
    with pytest.raises(GalleryError, match="chmod 600"):
        file.find("v", made.id, {})


def test_a_key_file_serves_one_gallery(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "k")
    one = file.make("one")
    before = file.path.read_text()
    with pytest.raises(IntegrityError, match="belongs to another gallery"):
        file.make("two")
    assert file.path.read_text() == before
    assert file.find("one", one.id, {}) == one.key


def test_old_keys_go_when_told(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "k")
    one, two = file.make("v"), file.make("v")
    assert file.find("v", one.id, {}) == one.key
    with file.path.open("rb") as old:
        file.keep_only("v", two.id)
        assert set(old.read()) == {0}  # overwritten before it went
    assert one.key.hex() not in file.path.read_text()
    assert file.find("v", two.id, {}) == two.key
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    with pytest.raises(IntegrityError, match="does not hold the key"):
        file.find("v", one.id, {})
    file.count("v", 2)
    file.keep_only("v", None)
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_left_of_a_key_file_goes(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "k")
    made = file.make("v")
    left = tmp_path / ".k.0a1b2c3d.tmp"
    left.write_text(file.path.read_text())
    (tmp_path / ".other.tmp").write_text("mine")
    with left.open("rb") as half:
        file.keep_only("v", made.id)
        assert set(half.read()) == {0}
    assert {entry.name for entry in tmp_path.iterdir()} == {"k", ".other.tmp"}


def test_a_full_disk_leaves_no_half_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError):
        KeyFile(tmp_path / "k").make("v")
    assert list(tmp_path.iterdir()) == []


def test_a_key_file_is_never_replaced_by_another_gallerys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one appears between the look and the write."""
    path, real = tmp_path / "k", os.link

    def late(source: Any, target: Any) -> None:
        monkeypatch.setattr(os, "link", real)
        KeyFile(path).make("other")
        real(source, target)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(IntegrityError, match="belongs to another gallery"):
        KeyFile(path).make("mine")
    assert path.read_text().startswith("fedfr-edge key of gallery other\n")
    assert [entry.name for entry in tmp_path.iterdir()] == ["k"]


# --- keyring -----------------------------------------------------------------------------------


class Ring:
    """A keyring back end in memory."""

    def __init__(self) -> None:
        self.secrets: dict[tuple[str, str], str] = {}

    def set_password(self, service: str, user: str, secret: str) -> None:
        self.secrets[service, user] = secret

    def get_password(self, service: str, user: str) -> str | None:
        return self.secrets.get((service, user))

    def delete_password(self, service: str, user: str) -> None:
        del self.secrets[service, user]


def use_ring(monkeypatch: pytest.MonkeyPatch, ring: object) -> None:
    module = types.ModuleType("keyring")
    module.get_keyring = lambda: ring  # type: ignore[attr-defined]
    errors = types.ModuleType("keyring.errors")
    errors.KeyringError = RuntimeError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", module)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)


def test_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    safe = type("Keyring", (Ring,), {"__module__": "keyring.backends.SecretService"})()
    use_ring(monkeypatch, types.SimpleNamespace(backends=[Ring(), safe]))
    path, ring = tmp_path / "g", KeyringKey()
    make(path, ring, "Ana", "Ben")
    with Vault.open(path, ring) as vault:
        gallery = vault.header.gallery
        vault.delete("Ana")
    assert set(safe.secrets) == {("fedfr-edge", gallery), ("fedfr-edge", f"{gallery} counter")}
    assert safe.secrets["fedfr-edge", f"{gallery} counter"] == "4"
    assert safe.secrets["fedfr-edge", gallery].count(":") == 1  # the old key is gone
    assert names(path, ring) == ["Ben"]
    file = KeyFile(tmp_path / "k")
    with Vault.open(path, ring) as vault:
        vault.rekey(file)
    assert safe.secrets == {}
    with Vault.open(path, file) as vault:
        vault.rekey(ring)
    safe.secrets["fedfr-edge", gallery] = '{"x": "no key"}'
    with pytest.raises(GalleryError, match="no key of ours"):
        Vault.open(path, ring)
    safe.secrets["fedfr-edge", gallery] = '{"x": "' + "ab" * 32 + '"}'
    with pytest.raises(IntegrityError, match="rolled back"):
        Vault.open(path, ring)
    safe.secrets.clear()
    with pytest.raises(GalleryError, match="keyring has no key"):
        Vault.open(path, ring)


def test_a_keyring_that_refuses_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    safe = type("Keyring", (Ring,), {"__module__": "keyring.backends.SecretService"})()
    use_ring(monkeypatch, safe)

    def locked(*_: str) -> None:
        raise RuntimeError("locked")

    monkeypatch.setattr(safe, "set_password", locked, raising=False)
    with pytest.raises(GalleryError, match=r"refused \(locked\)"):
        KeyringKey().make("v")


@pytest.mark.parametrize(
    "module", ["keyrings.alt.file", "keyring.backends.fail", "keyring.backends.null", "somebody.elses"]
)
def test_keyrings_that_keep_plain_text_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    ring = type("Keyring", (Ring,), {"__module__": module})()
    use_ring(monkeypatch, ring)
    with pytest.raises(MissingPartError, match=f"{module}.*--key file"):
        Vault.open_or_make(tmp_path / "g", KeyringKey(), model_digest=MODEL, dim=DIM)
    assert ring.secrets == {}


def test_no_keyring_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(MissingPartError, match="pip install keyring"):
        KeyringKey().make("v")
