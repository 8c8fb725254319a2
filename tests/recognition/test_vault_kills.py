"""Many programs on one gallery at once, killed at random: nothing acknowledged is lost, nothing corrupt."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from gallery_on_disk import DIM, MODEL, decrypt, key_in

from fedfr_edge.recognition.audit import verify
from fedfr_edge.recognition.keys import KeyFile
from fedfr_edge.recognition.vault import Vault

# Enrols, logs in, deletes some and says so only after each is done, until it is killed. One line is one
# acknowledgement; a line that a kill cut short counts as none.
WORKER = """
import os, random, sys
from pathlib import Path
import numpy as np
from fedfr_edge.recognition.capture import Reason
from fedfr_edge.recognition.keys import KeyFile
from fedfr_edge.recognition.decision import Decision
from fedfr_edge.recognition.template import Template
from fedfr_edge.recognition.vault import Vault

folder, name, model, dim = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
chance = random.Random(name)
def say(*words):
    os.write(1, (" ".join(words) + "\\n").encode())
say("begun")
mine = []
for number in range(10**9):
    vector = np.random.default_rng(number).normal(size=dim).astype(np.float32)
    template = Template(vector / np.linalg.norm(vector), model, 1)
    key = KeyFile(folder / "g.key")
    with Vault.open_or_make(folder / "g", key, model_digest=model, dim=dim) as vault:
        (person,) = vault.enrol([(f"{name}-{number}", template)])
    say("enrolled", person.name, person.id)
    mine.append(person.name)
    with Vault.open(folder / "g", key, model_digest=model) as vault:
        found = vault.gallery.identify(template, 0.99)
        assert found.person is not None
        vault.record(Decision(True, Reason.ACCEPTED, found.person, found.score, 0.99, 1, ""))
    say("accepted", found.person.id)
    if chance.random() < 0.3:
        gone = mine.pop(chance.randrange(len(mine)))
        say("deleting", gone)
        with Vault.open(folder / "g", key) as vault:
            vault.delete(gone)
        say("deleted", gone)
"""


@dataclass
class Outcome:
    """What the workers said."""

    enrolled: dict[str, str] = field(default_factory=dict)
    deleting: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    accepted: int = 0
    kills: int = 0
    errors: list[str] = field(default_factory=list)

    def read(self, text: bytes) -> None:
        for line in text.decode().split("\n")[:-1]:
            what, *words = line.split()
            if what == "enrolled":
                self.enrolled[words[0]] = words[1]
            elif what == "accepted":
                self.accepted += 1
            elif what == "deleting":
                self.deleting.add(words[0])
            elif what == "deleted":
                self.deleted.add(words[0])


def play(folder: Path, workers: int, kills: int, seed: int, longest: float) -> Outcome:
    """Keep ``workers`` running and kill one at a time, ``kills`` times, then all of them."""
    chance, outcome = random.Random(seed), Outcome()
    outputs: dict[subprocess.Popen[bytes], Path] = {}

    def start() -> None:
        number = len(list(folder.glob("out-*")))
        path = folder / f"out-{number}"
        command = [sys.executable, "-c", WORKER, str(folder), f"w{number}", MODEL, str(DIM)]
        with path.open("wb") as out, (folder / f"err-{number}").open("wb") as err:
            process = subprocess.Popen(
                command, stdout=out, stderr=err, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )
        outputs[process] = path

    def end(process: subprocess.Popen[bytes]) -> None:
        ended_itself = process.poll() is not None
        process.send_signal(signal.SIGKILL)
        process.wait()
        path = outputs.pop(process)
        outcome.read(path.read_bytes())
        outcome.kills += 1
        error = (folder / path.name.replace("out", "err")).read_text()
        if ended_itself or error:
            outcome.errors.append(error)

    for _ in range(workers):
        start()
    try:
        for _ in range(kills):
            # Into its work, not its imports.
            victim = chance.choice(list(outputs))
            until = time.monotonic() + 60
            while not outputs[victim].stat().st_size and victim.poll() is None and time.monotonic() < until:
                time.sleep(0.005)
            time.sleep(chance.random() * longest)
            end(victim)
            start()
    finally:
        for process in list(outputs):
            end(process)
    return outcome


def check(folder: Path, outcome: Outcome) -> None:
    assert outcome.errors == []
    key = KeyFile(folder / "g.key")
    with Vault.open(folder / "g", key, model_digest=MODEL) as vault:
        found = {person.name: person.id for person in vault.gallery.people}
        assert verify(vault.log_bytes(), vault.start_of_log, vault.head) == []
        log = vault.log_bytes().decode()
    assert set(decrypt(folder / "g", key_in(key.path))[1]) == set(found)
    lost = {name for name in outcome.enrolled if name not in found and name not in outcome.deleting}
    assert lost == set()
    assert not outcome.deleted & set(found)
    for name, subject in outcome.enrolled.items():
        assert found.get(name, subject) == subject
        assert f'"enrol", "subject": "{subject}"' in log
    assert log.count('"login"') >= outcome.accepted
    assert log.count('"delete"') >= len(outcome.deleted)
    names = {entry.name for entry in (folder / "g").iterdir()}
    assert len(names) == 5, names
    assert {"header.json", "state", "audit.jsonl", "lock"} < names


def test_programs_killed_at_random_lose_nothing(tmp_path: Path) -> None:
    outcome = play(tmp_path, workers=3, kills=5, seed=1, longest=0.5)
    assert outcome.kills == 8
    assert len(outcome.enrolled) >= 3
    check(tmp_path, outcome)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_ten_programs_and_many_kills(tmp_path: Path, seed: int) -> None:
    outcome = play(tmp_path, workers=10, kills=60, seed=seed, longest=0.6)
    assert outcome.kills == 70
    assert len(outcome.enrolled) >= 60
    check(tmp_path, outcome)
    print(f"enrolled {len(outcome.enrolled)}, accepted {outcome.accepted}, deleted {len(outcome.deleted)}")


def test_a_gallery_is_made_once(tmp_path: Path) -> None:
    """Programs that begin together make one gallery, also if the first is killed while it makes it."""
    outcome = play(tmp_path, workers=3, kills=2, seed=4, longest=0.01)
    if not (tmp_path / "g" / "state").exists():
        assert outcome.enrolled == {}
    with Vault.open_or_make(
        tmp_path / "g", KeyFile(tmp_path / "g.key"), model_digest=MODEL, dim=DIM
    ) as vault:
        assert vault.log_bytes().count(b'"make"') == 1
    check(tmp_path, outcome)
