"""Templates of every kind in a gallery and in an export; galleries of format 1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from gallery_on_disk import DIM, MODEL, decrypt, key_in, template

from fedfr_edge.errors import GalleryError
from fedfr_edge.recognition import keys, people_file, sealed_gallery, transfer, vault_files
from fedfr_edge.recognition.keys import KeyFile, derive
from fedfr_edge.recognition.template import Template, make_template
from fedfr_edge.recognition.transfer import read_export, write_export
from fedfr_edge.recognition.vault import Vault


@pytest.fixture(autouse=True)
def fast_argon2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_ARGON2", {"memory_kib": 64, "iterations": 1, "lanes": 1})


def rows(seed: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    found = rng.normal(size=DIM) + rng.normal(size=(count, DIM))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


KINDS = {
    "mean": make_template(rows(1, 3), MODEL),
    "robust": make_template(rows(2, 4), MODEL, combine="robust", backbone=rows(3, 4)),
    "all": make_template(rows(4, 5), MODEL, combine="all"),
    "all of both": make_template(rows(5, 2), MODEL, combine="all", backbone=rows(6, 2)),
    "one": make_template(rows(7, 1), MODEL, backbone=rows(8, 1)),
}


def same(one: Template, other: Template) -> bool:
    def arrays(left: np.ndarray | None, right: np.ndarray | None) -> bool:
        return (left is None) == (right is None) and (
            left is None or right is None or np.array_equal(left, right)
        )

    numbers = [(each.images, each.agreement, each.backbone_agreement) for each in (one, other)]
    return (
        numbers[0] == numbers[1]
        and arrays(one.vector, other.vector)
        and arrays(one.backbone, other.backbone)
        and arrays(one.singles, other.singles)
    )


def test_every_kind_comes_back_from_the_gallery(tmp_path: Path) -> None:
    key = KeyFile(tmp_path / "k")
    with Vault.open_or_make(tmp_path / "g", key, model_digest=MODEL, dim=DIM) as opened:
        opened.enrol(list(KINDS.items()))
    with Vault.open(tmp_path / "g", key) as opened:
        assert opened.header.format == 2
        for name, expected in KINDS.items():
            person = opened.gallery.find(name)
            assert person is not None
            assert person.images == expected.images
            assert same(opened.gallery.template_of(person), expected)
        opened.enrol([("one", KINDS["all"])], replace=True)
    with Vault.open(tmp_path / "g", key) as opened:
        person = opened.gallery.find("one")
        assert person is not None
        assert same(opened.gallery.template_of(person), KINDS["all"])


def test_another_program_finds_the_vectors_one_after_the_other(tmp_path: Path) -> None:
    key = KeyFile(tmp_path / "k")
    with Vault.open_or_make(tmp_path / "g", key, model_digest=MODEL, dim=DIM) as opened:
        opened.enrol(list(KINDS.items()))
    _, people = decrypt(tmp_path / "g", key_in(key.path))
    for name, expected in KINDS.items():
        vectors = people[name][2].reshape(-1, DIM)
        parts = [expected.vector[None]]
        if expected.backbone is not None:
            parts.append(expected.backbone[None])
        if expected.singles is not None:
            parts.append(expected.singles)
        assert np.array_equal(vectors, np.concatenate(parts))


def test_nothing_of_any_vector_is_in_the_clear(tmp_path: Path) -> None:
    key = KeyFile(tmp_path / "k")
    with Vault.open_or_make(tmp_path / "g", key, model_digest=MODEL, dim=DIM) as opened:
        opened.enrol(list(KINDS.items()))
    written = b"".join(file.read_bytes() for file in (tmp_path / "g").iterdir())
    for expected in KINDS.values():
        for part in (expected.vector, expected.backbone, expected.singles):
            if part is not None:
                for vector in part.reshape(-1, DIM):
                    assert vector.tobytes()[:8] not in written


def test_every_kind_comes_back_from_an_export(tmp_path: Path) -> None:
    key = KeyFile(tmp_path / "k")
    with Vault.open_or_make(tmp_path / "g", key, model_digest=MODEL, dim=DIM) as opened:
        opened.enrol(list(KINDS.items()))
        write_export(tmp_path / "moved", opened.gallery, opened.header.gallery, "five words")
    found = dict(read_export(tmp_path / "moved", "five words").people)
    assert found.keys() == KINDS.keys()
    assert all(same(found[name], expected) for name, expected in KINDS.items())


# --- format 1 ----------------------------------------------------------------------------------


def as_format_1(template: Template) -> tuple[dict[str, Any], bytes]:
    """What format 1 stored of a template."""
    return {"images": template.images}, template.vector.astype("<f4").tobytes()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A gallery and an export as the first version wrote them."""
    key = KeyFile(tmp_path / "k")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(people_file, "pack_template", as_format_1)
        patch.setattr(transfer, "pack_template", as_format_1)
        patch.setattr(transfer, "FORMAT", 1)
        real = vault_files.Header
        patch.setattr(sealed_gallery, "Header", lambda *values: real(*values, format=1))
        with Vault.open_or_make(tmp_path / "g", key, model_digest=MODEL, dim=DIM) as opened:
            opened.enrol([("Ana", template(3))])
            write_export(tmp_path / "moved", opened.gallery, opened.header.gallery, "five words")
    assert json.loads((tmp_path / "g" / "header.json").read_text())["format"] == 1
    return tmp_path


def test_a_gallery_of_format_1_is_read_and_changed(old: Path) -> None:
    key = KeyFile(old / "k")
    _, people = decrypt(old / "g", key_in(key.path))
    assert np.array_equal(people["Ana"][2], template(3).vector)  # that is all there is
    with Vault.open(old / "g", key, model_digest=MODEL) as opened:
        assert opened.header.format == 1
        ana = opened.gallery.find("Ana")
        assert ana is not None
        assert same(opened.gallery.template_of(ana), template(3))
        assert opened.gallery.backbone_score(ana, KINDS["one"]) is None
        opened.enrol([("Ben", KINDS["all of both"])])
    with Vault.open(old / "g", key) as opened:
        assert [person.name for person in opened.gallery.people] == ["Ana", "Ben"]
        ben = opened.gallery.find("Ben")
        assert ben is not None
        assert same(opened.gallery.template_of(ben), KINDS["all of both"])


def test_an_export_of_format_1_is_read(old: Path) -> None:
    ((name, found),) = read_export(old / "moved", "five words").people
    assert name == "Ana"
    assert same(found, template(3))


@pytest.mark.parametrize("number", [0, 3, "2", None])
def test_a_gallery_of_another_format_is_refused_in_one_line(old: Path, number: object) -> None:
    header = old / "g" / "header.json"
    header.write_text(json.dumps({**json.loads(header.read_text()), "format": number}))
    with pytest.raises(
        GalleryError, match=r"reads 1 to 2 and AES-256-GCM; open it with the version"
    ) as error:
        Vault.open(old / "g", KeyFile(old / "k"))
    assert "\n" not in str(error.value)


def test_an_export_of_another_format_is_refused(old: Path) -> None:
    data = (old / "moved").read_bytes()
    start = data.index(b"{")
    end = start + int.from_bytes(data[start - 4 : start], "big")
    header = json.loads(data[start:end])
    new = json.dumps({**header, "format": 3}).encode()
    begin = data[: start - 4] + len(new).to_bytes(4, "big") + new
    sealed = bytes(12) + AESGCM(derive("five words", header["key"])).encrypt(bytes(12), b"[]", begin)
    (old / "moved").write_bytes(begin + sealed)
    with pytest.raises(GalleryError, match="no export of a gallery that this version reads"):
        read_export(old / "moved", "five words")


def test_templates_that_cannot_be_are_refused_in_an_export(tmp_path: Path) -> None:
    """Whoever knows the passphrase can write anything; also single faces that are long."""
    key = KeyFile(tmp_path / "k")
    long = Template(KINDS["all"].vector, MODEL, 5, 0.5, singles=9 * rows(4, 5))
    with Vault.open_or_make(tmp_path / "g", key, model_digest=MODEL, dim=DIM) as opened:
        opened.gallery.add("Eve", long)
        write_export(tmp_path / "moved", opened.gallery, opened.header.gallery, "five words")
    with pytest.raises(GalleryError, match=r"something unexpected.*no unit vector"):
        read_export(tmp_path / "moved", "five words")
