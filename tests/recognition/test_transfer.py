from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from gallery_on_disk import MODEL, make, template

from fedfr_edge.errors import GalleryError, IntegrityError
from fedfr_edge.recognition import keys
from fedfr_edge.recognition.gallery import Gallery
from fedfr_edge.recognition.keys import KeyFile
from fedfr_edge.recognition.transfer import read_export, write_export
from fedfr_edge.recognition.vault import Vault


@pytest.fixture(autouse=True)
def fast_argon2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_ARGON2", {"memory_kib": 64, "iterations": 1, "lanes": 1})


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    key = KeyFile(tmp_path / "k")
    make(tmp_path / "g", key, "Ana Example", "Bén")
    with Vault.open(tmp_path / "g", key) as vault:
        return vault.gallery


def test_round_trip(tmp_path: Path, gallery: Gallery) -> None:
    path = tmp_path / "moved"
    write_export(path, gallery, "ab12", "five words")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    export = read_export(path, "five words")
    assert (export.model, export.dim, export.gallery) == (MODEL, 16, "ab12")
    assert [name for name, _ in export.people] == ["Ana Example", "Bén"]
    for seed, (_, found) in enumerate(export.people):
        assert np.array_equal(found.vector, template(seed).vector)
        assert found.images == seed + 1
    key = KeyFile(tmp_path / "k2")
    with Vault.open_or_make(tmp_path / "g2", key, model_digest=export.model, dim=export.dim) as vault:
        people = vault.enrol(export.people, event="import", source=export.gallery)
    assert not {person.id for person in people} & {person.id for person in gallery.people}


def test_another_program_can_decrypt_it(tmp_path: Path, gallery: Gallery) -> None:
    path = tmp_path / "moved"
    write_export(path, gallery, "ab12", "five words")
    data = path.read_bytes()
    magic = b"fedfr-edge gallery export\n"
    end = len(magic) + 4 + int.from_bytes(data[len(magic) : len(magic) + 4], "big")
    header = json.loads(data[len(magic) + 4 : end])
    salt = bytes.fromhex(header["key"]["salt"])
    key = Argon2id(salt=salt, length=32, iterations=1, lanes=1, memory_cost=64).derive(b"five words")
    people = json.loads(AESGCM(key).decrypt(data[end : end + 12], data[end + 12 :], data[:end]))
    assert [person["name"] for person in people] == ["Ana Example", "Bén"]
    assert b"Ana" not in data


def test_every_altered_byte_and_the_wrong_passphrase_are_noticed(tmp_path: Path, gallery: Gallery) -> None:
    path = tmp_path / "moved"
    write_export(path, gallery, "ab12", "five words")
    data = path.read_bytes()
    with pytest.raises(IntegrityError, match="passphrase"):
        read_export(path, "six words")
    for spot in range(len(data)):
        path.write_bytes(data[:spot] + bytes([data[spot] ^ 1]) + data[spot + 1 :])
        with pytest.raises(GalleryError):
            read_export(path, "five words")
    for end in range(0, len(data), 5):
        path.write_bytes(data[:end])
        with pytest.raises(GalleryError):
            read_export(path, "five words")


@pytest.mark.parametrize(
    "people",
    [
        [{"name": "Eve", "images": 1, "vector": base64.b64encode(np.full(16, 9, "<f4")).decode()}],
        [{"name": "Eve", "images": 1, "vector": base64.b64encode(np.full(16, np.nan, "<f4")).decode()}],
        [{"name": "Eve", "images": 1, "vector": "AAAA"}],
        [{"name": 3, "images": 1, "vector": ""}],
        ["Eve"],
        3,
    ],
)
def test_what_is_sealed_is_not_trusted(tmp_path: Path, gallery: Gallery, people: object) -> None:
    """Somebody who knows the passphrase made a template that is like everybody, or nonsense."""
    path = tmp_path / "moved"
    write_export(path, gallery, "ab12", "five words")
    data = path.read_bytes()
    end = 30 + int.from_bytes(data[26:30], "big")
    header = json.loads(data[30:end])
    salt = bytes.fromhex(header["key"]["salt"])
    key = Argon2id(salt=salt, length=32, iterations=1, lanes=1, memory_cost=64).derive(b"five words")
    path.write_bytes(
        data[:end] + bytes(12) + AESGCM(key).encrypt(bytes(12), json.dumps(people).encode(), data[:end])
    )
    with pytest.raises(GalleryError, match="something unexpected"):
        read_export(path, "five words")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"fedfr-edge gallery export\n\xff\xff\xff\xff{}",
        b"fedfr-edge gallery export\n\0\0\0\2[]",
        b"fedfr-edge gallery export\n\0\0\xea\x60" + b"[" * 60_000,
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(GalleryError, match="no export of a gallery"):
        read_export(tmp_path / "f", "x")
    with pytest.raises(GalleryError, match="cannot read export"):
        read_export(tmp_path / "none", "x")


def test_an_export_replaces_nothing_and_needs_a_passphrase(tmp_path: Path, gallery: Gallery) -> None:
    (tmp_path / "f").write_text("mine")
    with pytest.raises(GalleryError, match="exists already"):
        write_export(tmp_path / "f", gallery, "ab12", "five words")
    with pytest.raises(GalleryError, match="empty"):
        write_export(tmp_path / "new", gallery, "ab12", "")
    assert (tmp_path / "f").read_text() == "mine"
    assert not os.path.exists(tmp_path / "new")
