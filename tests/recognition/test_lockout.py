from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from gallery_on_disk import DIM, MODEL, make

from fedfr_edge.recognition.capture import Reason
from fedfr_edge.recognition.decision import Decision
from fedfr_edge.recognition.keys import KeyFile
from fedfr_edge.recognition.lockout import (
    FAILURES,
    WITH_LIVENESS,
    WITHOUT_LIVENESS,
    Attempts,
    MachineClock,
    Policy,
    blocked,
)
from fedfr_edge.recognition.vault import Vault


@dataclass
class Machine:
    """A clock that the test moves."""

    now: float = 1000.0
    name: str = "first"

    def start(self) -> str:
        return self.name

    def seconds(self) -> float:
        return self.now


def ready(machine: Machine, failures: int) -> Attempts:
    attempts = Attempts().after_other_factor(machine)
    for _ in range(failures):
        attempts = attempts.after(Reason.NOT_RECOGNISED, machine)
    return attempts


def test_the_limits_are_those_of_nist() -> None:
    """SP 800-63B-4: 5 failures in a row (10 with PAD), 30 s at least, off after 50 (100)."""
    assert (WITHOUT_LIVENESS.failures, WITHOUT_LIVENESS.limit) == (5, 50)
    assert (WITH_LIVENESS.failures, WITH_LIVENESS.limit) == (10, 100)
    for policy in (WITHOUT_LIVENESS, WITH_LIVENESS):
        assert policy.wait_after(policy.failures - 1) == 0
        waits = [policy.wait_after(failures) for failures in range(policy.failures, policy.limit)]
        assert waits[:3] == [30, 60, 120]
        assert waits == sorted(waits)
        assert waits[-1] == 3600


@pytest.mark.parametrize("policy", [WITHOUT_LIVENESS, WITH_LIVENESS])
def test_failures_in_a_row_pause_and_end_face_login(policy: Policy) -> None:
    machine = Machine()
    attempts = ready(machine, 0)
    for failures in range(policy.limit):
        wait = 0.0 if failures < policy.failures else min(30.0 * 2 ** (failures - policy.failures), 3600.0)
        block = blocked(attempts, policy, machine)
        if wait:
            assert block is not None
            assert (block.reason, block.wait) == (Reason.LOCKED, wait)
            machine.now += wait - 0.5
            block = blocked(attempts, policy, machine)
            assert block is not None
            assert block.wait == pytest.approx(0.5)
            machine.now += 0.5
        assert blocked(attempts, policy, machine) is None
        attempts = attempts.after(Reason.NOT_RECOGNISED, machine)
    machine.now += 10**9
    block = blocked(attempts, policy, machine)
    assert block is not None
    assert (block.reason, block.wait) == (Reason.OTHER_FACTOR, None)
    assert blocked(attempts.after_other_factor(machine), policy, machine) is None


def test_an_accepted_login_starts_afresh() -> None:
    machine = Machine()
    attempts = ready(machine, 4).after(Reason.ACCEPTED, machine)
    assert attempts.failures == 0
    assert blocked(attempts, WITHOUT_LIVENESS, machine) is None


def test_a_photograph_without_a_comparison_does_not_count() -> None:
    machine = Machine()
    assert {Reason.NOT_RECOGNISED, Reason.NOT_LIVE} == FAILURES
    for reason in FAILURES:
        assert ready(machine, 4).after(reason, machine).failures == 5
    for reason in set(Reason) - {Reason.ACCEPTED, *FAILURES}:
        assert ready(machine, 4).after(reason, machine) == ready(machine, 4)


def test_another_factor_is_needed_after_a_start() -> None:
    machine = Machine()
    attempts = ready(machine, 0)
    machine.now, machine.name = 5.0, "second"
    block = blocked(attempts, WITHOUT_LIVENESS, machine)
    assert block is not None
    assert block.reason is Reason.OTHER_FACTOR
    assert "started" in block.detail
    accepted = attempts.after(Reason.ACCEPTED, machine)  # which a program that does not ask could do
    assert blocked(accepted, WITHOUT_LIVENESS, machine) is not None
    assert blocked(attempts.after_other_factor(machine), WITHOUT_LIVENESS, machine) is None


def test_a_start_does_not_shorten_a_pause() -> None:
    """Only with a clock that lies; another factor is needed first in any case."""
    machine = Machine()
    attempts = ready(machine, 7)
    later = Attempts(attempts.failures, attempts.last, attempts.start, "second")
    block = blocked(later, WITHOUT_LIVENESS, Machine(now=10**6, name="second"))
    assert block is not None
    assert block.wait == 120
    block = blocked(attempts, WITHOUT_LIVENESS, Machine(now=0.0))
    assert block is not None
    assert block.wait == 120


def test_setting_the_clock_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = MachineClock()
    attempts = Attempts().after_other_factor(clock)
    for _ in range(6):
        attempts = attempts.after(Reason.NOT_RECOGNISED, clock)
    if not Path("/proc/sys/kernel/random/boot_id").exists():
        pytest.skip("this system tells its start by the clock")
    for shift in (-1e9, 1e9):
        real = time.time()
        monkeypatch.setattr(time, "time", lambda real=real, shift=shift: real + shift)
        block = blocked(attempts, WITHOUT_LIVENESS, MachineClock())
        assert block is not None
        assert block.wait is not None
        assert 50 < block.wait <= 60


def decision(reason: Reason) -> Decision:
    return Decision(reason is Reason.ACCEPTED, reason, None, 0.1, 0.5, 1, "")


def test_attempts_are_kept_sealed_and_survive_the_program(tmp_path: Path) -> None:
    path, key, machine = tmp_path / "g", KeyFile(tmp_path / "k"), Machine()
    Vault.open_or_make(path, key, model_digest=MODEL, dim=DIM, clock=machine).close()
    for failures in range(5):
        with Vault.open(path, key, clock=machine) as vault:
            assert vault.attempts.failures == failures
            assert vault.blocked(WITHOUT_LIVENESS) is None
            vault.record(decision(Reason.NOT_RECOGNISED))
    with Vault.open(path, key, clock=machine) as vault:
        block = vault.blocked(WITHOUT_LIVENESS)
        assert block is not None
        assert block.wait == 30
        vault.record(decision(Reason.LOCKED))  # asking again does not lengthen it
        assert vault.attempts.failures == 5
        vault.record(decision(Reason.NOT_RECOGNISED), count=False)
        assert vault.attempts.failures == 5
        vault.other_factor()
        assert vault.blocked(WITHOUT_LIVENESS) is None


def test_the_real_clock(tmp_path: Path) -> None:
    clock = MachineClock()
    assert clock.start() == MachineClock().start() != ""
    first = clock.seconds()
    assert 0 <= clock.seconds() - first < 5
    key = KeyFile(tmp_path / "k")
    make(tmp_path / "g", key, "Ana")
    with Vault.open(tmp_path / "g", key) as vault:
        assert vault.blocked(WITHOUT_LIVENESS) is None
