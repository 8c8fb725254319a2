"""A calibration in a gallery on disk: sealed, bound to the gallery and its model, logged."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from gallery_on_disk import MODEL, OTHER, decrypt, key_in, make, template

from fedfr_edge.errors import IntegrityError, ModelMismatchError
from fedfr_edge.recognition.audit import verify
from fedfr_edge.recognition.calibration import Calibrated, Calibration
from fedfr_edge.recognition.keys import KeyFile
from fedfr_edge.recognition.vault import Vault

FOUND = Calibration(
    model=MODEL,
    made="2026-11-24T15:00:00+00:00",
    source="store of strangers",
    source_digest="5" * 64,
    strangers=40,
    faces=4000,
    against="gallery",
    templates=2,
    enrolled=2,
    records=(
        Calibrated("one", 1e-3, 0.61234567, None, 8000, 3, 9.7e-4, 8000, 4000, 3, 1.9e-3),
        Calibrated("backbone", 1e-3, 0.5, 0.25, 8000, 3, 9.7e-4, 8000),
    ),
)


@pytest.fixture
def key(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys" / "g.key")


@pytest.fixture
def path(tmp_path: Path, key: KeyFile) -> Path:
    make(tmp_path / "g", key, "Ana", "Ben")
    with Vault.open(tmp_path / "g", key) as vault:
        assert vault.gallery.calibration is None
        vault.calibrate(FOUND)
        assert vault.gallery.calibration == FOUND
    return tmp_path / "g"


def kept(path: Path, key: KeyFile) -> Calibration | None:
    with Vault.open(path, key) as vault:
        return vault.gallery.calibration


def test_it_is_there_again_and_stays(tmp_path: Path, path: Path, key: KeyFile) -> None:
    assert kept(path, key) == FOUND
    elsewhere = KeyFile(tmp_path / "other.key")
    with Vault.open(path, key) as vault:
        vault.enrol([("Eve", template(5))])
        vault.delete("Ana")
        vault.other_factor()
        assert vault.gallery.calibration == FOUND
        vault.rekey(elsewhere)
    assert kept(path, elsewhere) == FOUND
    newer = dataclasses.replace(FOUND, faces=17)
    with Vault.open(path, elsewhere) as vault:
        vault.calibrate(newer)
    assert kept(path, elsewhere) == newer


def test_a_restored_copy_that_is_accepted_keeps_it(tmp_path: Path, path: Path, key: KeyFile) -> None:
    shutil.copytree(path, tmp_path / "copy")
    with Vault.open(path, key) as vault:
        vault.calibrate(dataclasses.replace(FOUND, faces=17))
    shutil.rmtree(path)
    shutil.copytree(tmp_path / "copy", path)
    with pytest.raises(IntegrityError):  # an older calibration is not taken for the newest
        kept(path, key)
    with Vault.open(path, key, accept_restored=True) as vault:
        assert vault.gallery.calibration == FOUND


def test_it_is_sealed_and_nowhere_in_the_clear(path: Path, key: KeyFile) -> None:
    state, _ = decrypt(path, key_in(key.path))
    assert state["calibration"]["records"][0]["threshold"] == 0.61234567
    written = b"".join(file.read_bytes() for file in path.iterdir())
    assert b"store of strangers" not in written
    data = bytearray((path / "state").read_bytes())
    data[-40] ^= 1
    (path / "state").write_bytes(data)
    with pytest.raises(IntegrityError):
        kept(path, key)


def test_another_gallerys_is_not_taken(tmp_path: Path, path: Path, key: KeyFile) -> None:
    second = KeyFile(tmp_path / "second.key")
    make(tmp_path / "h", second, "Ana", "Ben")
    shutil.copy(path / "state", tmp_path / "h" / "state")
    with pytest.raises(IntegrityError, match="swapped or altered"):
        kept(tmp_path / "h", second)


def test_it_is_logged(path: Path, key: KeyFile) -> None:
    line = json.loads((path / "audit.jsonl").read_text().splitlines()[-1])
    assert (line["event"], line["strangers"], line["templates"]) == ("calibrate", "5" * 12, 2)
    assert line["thresholds"] == {"1e-3 one": 0.6123, "1e-3 backbone": 0.5}
    with Vault.open(path, key) as vault:
        assert verify(vault.log_bytes(), vault.start_of_log, vault.head) == []


def test_another_models_is_refused(path: Path, key: KeyFile) -> None:
    with Vault.open(path, key) as vault, pytest.raises(ModelMismatchError):
        vault.calibrate(dataclasses.replace(FOUND, model=OTHER))
    assert kept(path, key) == FOUND


def test_what_a_record_rests_on_in_words() -> None:
    one, two = FOUND.records
    claim = FOUND.words(one, 1)
    assert claim == (
        "FAR 1e-3 per comparison, at most 0.00097 with 95 % confidence: 3 of 8000 comparisons of 40 "
        "strangers (store of strangers) with 2 templates, calibrated on this device on 2026-11-24"
    )
    assert FOUND.words(one, 2) == claim + "; searched among 2 people: 3 of 4000, at most 0.0019"
    # More people than were searched among then: the rate of one comparison is all that is known.
    assert FOUND.words(one, 3) == claim + "; up to 0.003 for 3 people"
    assert FOUND.words(two, 2) == claim + "; up to 0.002 for 2 people"
    strict = dataclasses.replace(one, far=1e-4)
    assert not strict.supported
    assert "FAR 1e-4 per comparison, not shown, at most 0.00097" in FOUND.words(strict, 1)
    assert FOUND.record_at(1e-3, "backbone") is two
    assert FOUND.record_at(2e-3, "one") is None
