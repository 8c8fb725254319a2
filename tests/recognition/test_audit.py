from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from gallery_on_disk import DIM, MODEL, make, template

from fedfr_edge.errors import IntegrityError
from fedfr_edge.recognition.audit import Fault, of_decision, verify
from fedfr_edge.recognition.capture import Reason
from fedfr_edge.recognition.decision import Decision, SecondScore
from fedfr_edge.recognition.gallery import Person
from fedfr_edge.recognition.keys import KeyFile
from fedfr_edge.recognition.vault import Vault


@pytest.fixture
def key(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "k")


@pytest.fixture
def path(tmp_path: Path, key: KeyFile) -> Path:
    """A gallery whose log has eight lines."""
    path = tmp_path / "g"
    make(path, key, "Ana Example", "Bén")
    with Vault.open(path, key) as vault:
        ana = vault.gallery.find("Ana Example")
        vault.record(Decision(True, Reason.ACCEPTED, ana, 0.87654321, 0.5, 1, "'Ana Example' is recognised"))
        vault.record(Decision(False, Reason.NOT_RECOGNISED, None, 0.2, 0.5, 2, "unknown"))
        vault.record(Decision(False, Reason.NO_FACE, None, None, 0.5, 0, "no face"))
        vault.delete("Bén")
        vault.log("export", people=1)
    return path


def test_the_log_tells_what_was_done_without_names_and_biometric_data(path: Path) -> None:
    text = (path / "audit.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["event"] for line in lines] == [
        *("make", "enrol", "enrol", "login", "login", "login", "delete", "export")
    ]
    assert [line["number"] for line in lines] == list(range(1, 9))
    common = {"number", "time", "event", "subject", "chain"}
    assert set(lines[1]) == common | {"images"}
    assert set(lines[3]) == common | {"accepted", "reason", "score", "threshold", "far", "faces_seen"}
    assert (lines[3]["subject"], lines[4]["subject"]) == (lines[1]["subject"], None)
    assert lines[6]["subject"] == lines[2]["subject"]
    assert (lines[3]["score"], lines[3]["reason"], lines[5]["score"]) == (0.8765, "accepted", None)
    # Nothing nested, nothing long: no room for an embedding or an image.
    for line in lines:
        assert all(value is None or isinstance(value, str | int | float) for value in line.values())
        assert all(len(str(value)) <= 32 for name, value in line.items() if name != "chain")
    for word in ("Ana", "Example", "B\\u00e9n", "Bén"):
        assert word not in text


def test_a_second_gate_is_in_the_line() -> None:
    second = SecondScore(0.1234567, 0.3)
    decision = Decision(False, Reason.NOT_RECOGNISED, None, 0.7, 0.5, 1, "contradicts", second=second)
    about = of_decision(decision)
    assert (about["score"], about["threshold"]) == (0.7, 0.5)
    assert (about["second_score"], about["second_threshold"]) == (0.1235, 0.3)


def test_the_chain_is_what_the_docstring_says(path: Path) -> None:
    chain = hashlib.sha256((path / "header.json").read_bytes()).hexdigest()
    for line in (path / "audit.jsonl").read_text().splitlines():
        text, found = line.split(', "chain": "')
        chain = hashlib.sha256(f"{chain}\n{text}}}".encode()).hexdigest()
        assert found == chain + '"}'


def check(path: Path, key: KeyFile, lines: list[bytes]) -> list[Fault]:
    (path / "audit.jsonl").write_bytes(b"".join(lines))
    with Vault.open(path, key, inspect=True) as vault:
        return verify(vault.log_bytes(), vault.start_of_log, vault.head)


def forged(lines: list[bytes], header: bytes) -> list[bytes]:
    """The same lines with a chain that fits."""
    chain, out = hashlib.sha256(header).hexdigest(), []
    for line in lines:
        text = line.decode().split(', "chain": "')[0] + "}"
        chain = hashlib.sha256(f"{chain}\n{text}".encode()).hexdigest()
        out.append(f'{text[:-1]}, "chain": "{chain}"}}\n'.encode())
    return out


def test_what_was_done_to_a_log_is_named(path: Path, key: KeyFile) -> None:
    lines = (path / "audit.jsonl").read_bytes().splitlines(keepends=True)
    assert check(path, key, lines) == []
    edited = lines[4].replace(b"not_recognised", b"accepted")

    def found(*changed: bytes) -> list[tuple[int, str]]:
        faults = check(path, key, list(changed))
        with pytest.raises(IntegrityError, match="audit verify"):
            Vault.open(path, key)
        return [(fault.line, fault.kind) for fault in faults]

    assert found(*lines[:4], edited, *lines[5:7], lines[7].replace(b'"people": 1', b'"people": 2')) == [
        (5, "edited"),
        (8, "edited"),
    ]
    assert found(*lines[:6]) == [(7, "cut")]
    assert found() == [(1, "cut")]

    assert found(*lines, lines[-1].replace(b'"number": 8', b'"number": 9'))[-1] == (9, "added")
    assert (9, "edited") in found(*lines, b"{}\n")
    rewritten = forged([*lines[:4], edited, *lines[5:]], (path / "header.json").read_bytes())
    assert found(*rewritten)[-1] == (8, "rewritten")
    assert check(path, key, lines) == []


def test_changes_before_the_last_line_are_found_by_verify(path: Path, key: KeyFile) -> None:
    """Opening looks at length and newest line alone; a whole check is what 'audit verify' is for."""
    lines = (path / "audit.jsonl").read_bytes().splitlines(keepends=True)
    edited = lines[4].replace(b"0.2", b"0.9")
    kinds = {
        "edited": [*lines[:4], edited, *lines[5:]],
        "order": [lines[0], lines[2], lines[1], *lines[3:]],
    }
    for kind, changed in kinds.items():
        faults = check(path, key, changed)
        assert kind in {fault.kind for fault in faults}
    assert [fault.kind for fault in check(path, key, [*lines[:2], *lines[3:]])] == ["missing"]


def test_a_log_with_an_edit_can_be_put_aside(path: Path, key: KeyFile) -> None:
    whole = (path / "audit.jsonl").read_bytes()
    (path / "audit.jsonl").write_bytes(whole.replace(b'"make"', b'"fake"'))
    with Vault.open(path, key, accept_restored=True) as vault:
        assert verify(vault.log_bytes(), vault.start_of_log, vault.head) == []
        assert vault.head.lines == 1
    assert b'"fake"' in (path / "audit-until-00000008.jsonl").read_bytes()
    with Vault.open(path, key, accept_restored=True) as vault:  # all fits: nothing is put aside
        assert vault.head.lines == 1


def test_every_altered_byte_of_the_log_is_found(path: Path, key: KeyFile) -> None:
    data = (path / "audit.jsonl").read_bytes()
    with Vault.open(path, key) as vault:
        start, head = vault.start_of_log, vault.head
    assert verify(data, start, head) == []
    for spot in range(len(data)):
        for bit in (1, 0x80):
            assert verify(data[:spot] + bytes([data[spot] ^ bit]) + data[spot + 1 :], start, head)
    for end in range(len(data)):
        assert verify(data[:end], start, head)


def test_a_last_line_that_is_missing_is_put_back(path: Path, key: KeyFile) -> None:
    """As after a kill between the gallery's state and its log."""
    data = (path / "audit.jsonl").read_bytes()
    last = data.rindex(b"\n", 0, -1) + 1
    for end in (last, last + 1, last + 30, len(data) - 1):
        (path / "audit.jsonl").write_bytes(data[:end])
        Vault.open(path, key).close()
        assert (path / "audit.jsonl").read_bytes() == data


def test_the_log_only_grows(tmp_path: Path, path: Path, key: KeyFile) -> None:
    before = (path / "audit.jsonl").read_bytes()
    for number in range(3):
        with Vault.open(path, key) as vault:
            vault.enrol([(f"p{number}", template(number))])
        after = (path / "audit.jsonl").read_bytes()
        assert after.startswith(before)
        assert after.count(b"\n") == before.count(b"\n") + 1
        before = after


@pytest.mark.parametrize("line", [b"\n", b"[]\n", b'{"number": 1}\n', b"\xff\xfe\n", b"[" * 5000 + b"\n"])
def test_hostile_lines_are_faults(tmp_path: Path, key: KeyFile, line: bytes) -> None:
    path = tmp_path / "g"
    Vault.open_or_make(path, key, model_digest=MODEL, dim=DIM).close()
    assert any(fault.kind == "edited" for fault in check(path, key, [line]))


def test_a_person_is_logged_by_id(tmp_path: Path, key: KeyFile) -> None:
    path = tmp_path / "g"
    make(path, key)
    with Vault.open(path, key) as vault:
        vault.record(Decision(True, Reason.ACCEPTED, Person("ab12", "Ana", 1), 0.9, 0.5, 1, "Ana"))
        last = json.loads(vault.log_bytes().splitlines()[-1])
    assert last["subject"] == "ab12"
    assert "Ana" not in json.dumps(last)
