from __future__ import annotations

import errno
import json
import os
import stat
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedfr_edge.errors import GalleryError, MissingPartError, ModelMismatchError, WriteError
from fedfr_edge.recognition import keys
from fedfr_edge.recognition.gallery import Gallery
from fedfr_edge.recognition.keys import KeyFile, KeyringKey, Passphrase
from fedfr_edge.recognition.template import Template
from fedfr_edge.recognition.vault import Vault

MODEL, OTHER = "a" * 64, "b" * 64
DIM = 16


@pytest.fixture(autouse=True)
def fast_argon2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_ARGON2", {"memory_kib": 64, "iterations": 1, "lanes": 1})


def template(seed: int) -> Template:
    vector = np.random.default_rng(seed).normal(size=DIM).astype(np.float32)
    return Template(vector / np.linalg.norm(vector), MODEL, seed + 1)


def filled(path: Path, provider: Any) -> Vault:
    gallery = Gallery(MODEL, DIM)
    gallery.add("Ana Example", template(0))
    gallery.add("Bén", template(1))
    vault = Vault.create(path, gallery, provider)
    vault.save()
    return vault


@pytest.fixture
def key(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys" / "g.key")


def test_round_trip(tmp_path: Path, key: KeyFile) -> None:
    before = filled(tmp_path / "g.vault", key)
    after = Vault.open(tmp_path / "g.vault", key, model_digest=MODEL)
    assert after.id == before.id
    assert after.gallery.people == before.gallery.people
    for person in before.gallery.people:
        ours, theirs = before.gallery.template_of(person), after.gallery.template_of(person)
        assert np.array_equal(ours.vector, theirs.vector)
        assert (theirs.images, theirs.model_digest) == (ours.images, MODEL)


def test_files_are_private(tmp_path: Path, key: KeyFile) -> None:
    filled(tmp_path / "g.vault", key)
    for path in (tmp_path / "g.vault", key.path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_of_a_person_is_in_the_clear(tmp_path: Path, key: KeyFile) -> None:
    vault = filled(tmp_path / "g.vault", key)
    data = (tmp_path / "g.vault").read_bytes()
    for person in vault.gallery.people:
        assert person.name.encode() not in data
        assert person.id.encode() not in data
        assert vault.gallery.template_of(person).vector.tobytes()[:8] not in data
    assert MODEL.encode() in data  # so that a mismatch shows without the key


def test_the_same_gallery_is_never_encrypted_to_the_same_bytes(tmp_path: Path, key: KeyFile) -> None:
    vault = filled(tmp_path / "g.vault", key)
    first = (tmp_path / "g.vault").read_bytes()
    vault.save()
    assert (tmp_path / "g.vault").read_bytes() != first


def test_another_model_is_refused_before_the_key_is_needed(tmp_path: Path, key: KeyFile) -> None:
    filled(tmp_path / "g.vault", key)
    key.path.unlink()
    with pytest.raises(ModelMismatchError, match="enrol again"):
        Vault.open(tmp_path / "g.vault", key, model_digest=OTHER)


def test_every_altered_byte_is_noticed(tmp_path: Path, key: KeyFile) -> None:
    path = tmp_path / "g.vault"
    filled(path, key)
    data = path.read_bytes()
    for spot in range(0, len(data), 3):
        path.write_bytes(data[:spot] + bytes([data[spot] ^ 0x20]) + data[spot + 1 :])
        with pytest.raises((GalleryError, ModelMismatchError)):
            Vault.open(path, key, model_digest=MODEL)
    path.write_bytes(data)
    assert len(Vault.open(path, key).gallery) == 2


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.99])
def test_a_vault_cut_short_is_refused(tmp_path: Path, key: KeyFile, share: float) -> None:
    path = tmp_path / "g.vault"
    filled(path, key)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(GalleryError):
        Vault.open(path, key)


def test_a_header_cannot_be_put_on_other_people(tmp_path: Path, key: KeyFile) -> None:
    """The same key serves both vaults; still neither ciphertext opens under the other's header."""
    one, two = tmp_path / "1.vault", tmp_path / "2.vault"
    filled(one, key)
    filled(two, key)
    a, b = one.read_bytes(), two.read_bytes()
    assert len(a) == len(b)
    header = 17 + 4 + int.from_bytes(a[17:21], "big")
    one.write_bytes(a[:header] + b[header:])
    with pytest.raises(GalleryError, match="integrity check"):
        Vault.open(one, key)


def test_a_model_digest_cannot_be_rewritten(tmp_path: Path, key: KeyFile) -> None:
    path = tmp_path / "g.vault"
    filled(path, key)
    path.write_bytes(path.read_bytes().replace(MODEL.encode(), OTHER.encode()))
    with pytest.raises(GalleryError, match="integrity check"):
        Vault.open(path, key, model_digest=OTHER)


def test_wrong_key_and_missing_key_say_so(tmp_path: Path, key: KeyFile) -> None:
    path = tmp_path / "g.vault"
    filled(path, key)
    other = KeyFile(tmp_path / "other.key")
    other.create("x")
    with pytest.raises(GalleryError, match="does not fit"):
        Vault.open(path, other)
    with pytest.raises(GalleryError, match="cannot read key file"):
        Vault.open(path, KeyFile(tmp_path / "none.key"))
    with pytest.raises(GalleryError, match=r"kept as 'file'.*--key file"):
        Vault.open(path, Passphrase("x"))


def test_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "g.vault"
    filled(path, Passphrase("correct horse"))
    assert len(Vault.open(path, Passphrase("correct horse")).gallery) == 2
    with pytest.raises(GalleryError, match="passphrase"):
        Vault.open(path, Passphrase("correct house"))
    with pytest.raises(GalleryError, match="empty"):
        Passphrase("")


def test_passphrase_follows_argon2id(monkeypatch: pytest.MonkeyPatch) -> None:
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    key, parameters = Passphrase("secret").create("v")
    salt = bytes.fromhex(parameters["salt"])
    again = Argon2id(salt=salt, length=32, iterations=1, lanes=1, memory_cost=64).derive(b"secret")
    assert key == again
    assert Passphrase("secret").create("v")[1]["salt"] != parameters["salt"]
    for name, value in {"memory_kib": 10**9, "iterations": 0, "lanes": True, "salt": "zz"}.items():
        with pytest.raises(GalleryError, match="damaged"):
            Passphrase("secret").find("v", {**parameters, name: value})


def test_the_real_passphrase_cost_is_not_trivial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert keys._ARGON2["memory_kib"] >= 64 * 1024
    assert keys._ARGON2["iterations"] >= 3


@pytest.mark.parametrize("content", ["", "zz" * 32, "ab" * 31, "é" * 64])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "k"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(GalleryError, match="no key file"):
        KeyFile(path).find("v", {})
    with pytest.raises(GalleryError, match="no key file"):
        KeyFile(path).create("v")  # never overwrites
    assert path.read_text() == content


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_a_key_that_others_can_read_is_refused(key: KeyFile) -> None:
    key.create("v")
    key.path.chmod(0o640)
    with pytest.raises(GalleryError, match="chmod 600"):
        key.find("v", {})


def test_an_existing_key_file_is_used_again(key: KeyFile) -> None:
    assert key.create("one")[0] == key.create("two")[0]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_full_disk_leaves_the_old_vault(
    tmp_path: Path, key: KeyFile, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "g.vault"
    vault = filled(path, key)
    before = path.read_bytes()
    vault.gallery.remove("Bén")

    def full(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(WriteError, match=os.strerror(number)):
            vault.save()
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["g.vault", "keys"]
    vault.save()  # the object is still usable
    assert len(Vault.open(path, key).gallery) == 1


def test_a_full_disk_leaves_no_half_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError):
        KeyFile(tmp_path / "k").create("v")
    assert list(tmp_path.iterdir()) == []


def test_a_change_by_another_program_is_not_overwritten(tmp_path: Path, key: KeyFile) -> None:
    path = tmp_path / "g.vault"
    filled(path, key)
    one, two = Vault.open(path, key), Vault.open(path, key)
    one.gallery.add("Cem", template(2))
    one.save()
    two.gallery.remove("Bén")
    with pytest.raises(GalleryError, match="changed by another program"):
        two.save()
    assert len(Vault.open(path, key).gallery) == 3
    gone = Vault.open(path, key)
    path.unlink()
    with pytest.raises(GalleryError, match="changed by another program"):
        gone.save()


def test_create_does_not_overwrite(tmp_path: Path, key: KeyFile) -> None:
    path = tmp_path / "g.vault"
    filled(path, key)
    with pytest.raises(GalleryError, match="exists already"):
        Vault.create(path, Gallery(MODEL, DIM), key)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"fedfr-edge vault\n",
        b"fedfr-edge vault\n\xff\xff\xff\xff{}",
        b"fedfr-edge vault\n\0\0\0\2[]",
    ],
)
def test_other_files_are_refused(tmp_path: Path, key: KeyFile, content: bytes) -> None:
    path = tmp_path / "g.vault"
    path.write_bytes(content)
    with pytest.raises(GalleryError):
        Vault.open(path, key)


def test_a_later_format_is_refused(tmp_path: Path, key: KeyFile) -> None:
    path = tmp_path / "g.vault"
    text = json.dumps({"format": 9}).encode()
    path.write_bytes(b"fedfr-edge vault\n" + len(text).to_bytes(4, "big") + text)
    with pytest.raises(GalleryError, match="format 9, this version reads 1"):
        Vault.open(path, key)


class Ring:
    """A keyring back end in memory."""

    def __init__(self) -> None:
        self.secrets: dict[tuple[str, str], str] = {}

    def set_password(self, service: str, user: str, secret: str) -> None:
        self.secrets[service, user] = secret

    def get_password(self, service: str, user: str) -> str | None:
        return self.secrets.get((service, user))


def use_ring(monkeypatch: pytest.MonkeyPatch, ring: object) -> None:
    module = types.ModuleType("keyring")
    module.get_keyring = lambda: ring  # type: ignore[attr-defined]
    errors = types.ModuleType("keyring.errors")
    errors.KeyringError = RuntimeError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", module)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)


def test_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    safe = type("Keyring", (Ring,), {"__module__": "keyring.backends.SecretService"})()
    chain = types.SimpleNamespace(backends=[Ring(), safe])
    use_ring(monkeypatch, chain)
    path = tmp_path / "g.vault"
    vault = filled(path, KeyringKey())
    assert list(safe.secrets) == [("fedfr-edge", vault.id)]
    assert len(Vault.open(path, KeyringKey()).gallery) == 2
    safe.secrets.clear()
    with pytest.raises(GalleryError, match="keyring has no key"):
        Vault.open(path, KeyringKey())


@pytest.mark.parametrize(
    "module", ["keyrings.alt.file", "keyring.backends.fail", "keyring.backends.null", "somebody.elses"]
)
def test_keyrings_that_keep_plain_text_are_refused(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    use_ring(monkeypatch, type("Keyring", (Ring,), {"__module__": module})())
    with pytest.raises(MissingPartError, match=f"{module}.*--key file"):
        KeyringKey().create("v")


def test_no_keyring_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(MissingPartError, match="pip install keyring"):
        KeyringKey().create("v")
