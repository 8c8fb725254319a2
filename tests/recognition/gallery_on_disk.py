"""What the tests of galleries on disk share: templates, a filled gallery, and a reader of its own.

The reader uses the primitives of ``cryptography`` alone. It follows what the docstrings of
``vault_files.py``, ``people_file.py`` and ``state_file.py`` say, and none of their code.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedfr_edge.recognition.keys import KeyProvider
from fedfr_edge.recognition.template import Template
from fedfr_edge.recognition.vault import Vault

MODEL, OTHER = "a" * 64, "b" * 64
DIM = 16


def template(seed: int, model: str = MODEL) -> Template:
    vector = np.random.default_rng(seed).normal(size=DIM).astype(np.float32)
    return Template(vector / np.linalg.norm(vector), model, seed + 1)


def make(path: Path, keys: KeyProvider, *names: str) -> None:
    """A gallery of these people, with templates 0, 1, …"""
    with Vault.open_or_make(path, keys, model_digest=MODEL, dim=DIM) as vault:
        for seed, name in enumerate(names):
            vault.enrol([(name, template(seed))])


def names(path: Path, keys: KeyProvider) -> list[str]:
    with Vault.open(path, keys) as vault:
        return [person.name for person in vault.gallery.people]


def key_in(key_file: Path) -> bytes:
    """The one key of a key file."""
    title, line = key_file.read_text().splitlines()
    assert title.startswith("fedfr-edge key of gallery ")
    return bytes.fromhex(line.split()[1])


def decrypt(folder: Path, key: bytes) -> tuple[dict[str, Any], dict[str, tuple[str, int, np.ndarray]]]:
    """``(state, {name: (id, images, vector)})`` of a gallery, read independently."""

    def sub(purpose: str) -> bytes:
        info = b"fedfr-edge gallery " + purpose.encode()
        return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(key)

    header = (folder / "header.json").read_bytes()
    data = (folder / "state").read_bytes()
    magic = b"fedfr-edge gallery state\n"
    assert data.startswith(magic)
    end = len(magic) + 4 + struct.unpack(">I", data[len(magic) : len(magic) + 4])[0]
    state = json.loads(
        AESGCM(sub("state")).decrypt(data[end : end + 12], data[end + 12 :], header + data[:end])
    )
    file = folder / f"people-{state['people']['generation']:08d}"
    data = file.read_bytes()
    assert hashlib.sha256(data).hexdigest() == state["people"]["sha256"]
    people, place = {}, data.index(b"\n") + 1
    while place < len(data):
        subject, enrolled = data[place : place + 8].hex(), int.from_bytes(data[place + 8 : place + 16], "big")
        wrapped, length = data[place + 16 : place + 76], int.from_bytes(data[place + 76 : place + 80], "big")
        sealed = data[place + 80 : place + 80 + length]
        place += 80 + length
        own = AESGCM(sub("wrap")).decrypt(
            wrapped[:12], wrapped[12:], header + f"key {subject} {enrolled}".encode()
        )
        plain = AESGCM(own).decrypt(
            sealed[:12], sealed[12:], header + f"template {subject} {enrolled}".encode()
        )
        about = 2 + int.from_bytes(plain[:2], "big")
        entry = json.loads(plain[2:about])
        people[entry["name"]] = (subject, entry["images"], np.frombuffer(plain[about:], "<f4"))
    return state, people
