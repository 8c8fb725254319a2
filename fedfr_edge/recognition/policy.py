"""How careful a login is: its settings, and the thresholds that they come to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fedfr_edge.errors import ConfigError, ModelError
from fedfr_edge.recognition.calibration import Calibration
from fedfr_edge.recognition.capture import Gate
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.lockout import WITH_LIVENESS, WITHOUT_LIVENESS, Policy
from fedfr_edge.recognition.manifest import DEFAULT_FAR, Manifest, Threshold, far_key

Gates = Literal["one", "backbone"]
"""In which spaces a face must be recognised: the model's own, or its own and its backbone's too."""


@dataclass(frozen=True)
class LoginPolicy:
    """Settings of a login.

    Attributes:
        far: the false accept rate of one comparison to choose the threshold by; None takes
            :data:`~fedfr_edge.recognition.manifest.DEFAULT_FAR`, or what :func:`operating_threshold` says
            where only the model's own calibration is there.
        threshold: the score needed, instead of a calibrated one.
        gates: ``"backbone"`` asks the backbone's space too: it must not contradict. Personal models only. No
            gain could be measured, so ``"one"`` is the default: docs/results.md.
        second_threshold: the score needed there, instead of a calibrated one; with ``threshold``.
        frames: (k, n): of up to n usable frames of a session, k must be recognised as the same person. With a
            camera take 3 of 5, which measured best: docs/results.md. Not used with liveness, which has frames
            of its own, see :mod:`~fedfr_edge.recognition.session`.
        liveness: ask for moves in random order.
        moves: how many.
        least_live: probability of being live that a passive network must give, where there is one.
        quality: judges each face before it is compared, see :data:`~fedfr_edge.recognition.capture.Gate`.
    """

    far: float | None = None
    threshold: float | None = None
    gates: Gates = "one"
    second_threshold: float | None = None
    frames: tuple[int, int] = (1, 1)
    liveness: bool = False
    moves: int = 4
    least_live: float = 0.5
    quality: Gate | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: one that makes no sense.
        """
        k, n = self.frames
        if not 1 <= k <= n:
            raise ConfigError(f"frames are {k} of {n}, expected k of n with 1 ≤ k ≤ n, for example 2 of 3")
        for what, value in (("threshold", self.threshold), ("second threshold", self.second_threshold)):
            if value is not None and not -1 <= value <= 1:
                raise ConfigError(
                    f"the {what} is {value}, expected a cosine, -1 to 1; give --threshold or --far"
                )
        if self.far is not None and not 0 < self.far < 1:
            raise ConfigError(
                f"the false accept rate is {self.far}, expected one between 0 and 1, for example 1e-3"
            )
        if not 0 <= self.least_live <= 1:
            raise ConfigError(f"the least probability of being live is {self.least_live}, expected 0 to 1")
        if self.second_threshold is not None and (self.gates == "one" or self.threshold is None):
            raise ConfigError(
                "a threshold for the second gate is given without one for the first, or without a second "
                "gate; give --threshold and --gates backbone too"
            )
        if self.far is not None and self.threshold is not None:
            raise ConfigError("both a threshold and a false accept rate are given; leave one of them away")

    @property
    def lockout(self) -> Policy:
        """The limits on failed attempts that go with it."""
        return WITH_LIVENESS if self.liveness else WITHOUT_LIVENESS


@dataclass(frozen=True)
class OperatingPoint:
    """The thresholds that a login decides by.

    Attributes:
        threshold: the score needed.
        second: the score needed in the backbone's space; None without a second gate.
        far: the false accept rate of one comparison that they stand for; None for thresholds that were given.
        supported: whether the trials behind them carry that rate; None where ``far`` is.
        rests_on: the same in words.
    """

    threshold: float
    second: float | None
    far: float | None
    supported: bool | None
    rests_on: str


def operating_point(
    policy: LoginPolicy, encoder: OnnxEncoder, calibration: Calibration | None, people: int
) -> OperatingPoint:
    """The thresholds of a policy: those given, else this device's calibration, else the model's own.

    Args:
        policy: the settings.
        encoder: the model.
        calibration: the device's; left aside if it is of another model.
        people: among how many a face is searched; 1 for a claim.

    Raises:
        ModelError: the rate was not calibrated, or not for two gates.
    """
    manifest = encoder.manifest
    if policy.gates == "backbone" and manifest.kind == "generic":
        raise ModelError(
            f"model {manifest.name!r} is generic and has no second space, so there can be no second gate; "
            "log in with one gate (--gates one), or with a personal model"
        )
    if policy.threshold is not None:
        if policy.gates == "backbone" and policy.second_threshold is None:
            raise ModelError(
                "a threshold is given for the first gate alone; give one for the second too "
                "(--second-threshold), or calibrate ('fedfr calibrate') and give none"
            )
        return OperatingPoint(policy.threshold, policy.second_threshold, None, None, "a threshold given")
    stale = calibration is not None and calibration.model != encoder.digest
    if calibration is not None and not stale:
        found = calibration.record_at(policy.far or DEFAULT_FAR, policy.gates)
        if found is not None:
            rests_on = calibration.words(found, people)
            return OperatingPoint(
                found.threshold, found.second_threshold, found.far, found.supported, rests_on
            )
    if policy.gates == "backbone":
        raise ModelError(
            f"no thresholds for two gates at FAR {far_key(policy.far or DEFAULT_FAR)}: the model's own are "
            "for one; calibrate on this device first ('fedfr calibrate'), or give both thresholds"
        )
    record = operating_threshold(manifest, policy.far)
    rests_on = (
        f"FAR {far_key(record.far)} per comparison: {record.false_accepts} of {record.non_mated} non-mated "
        f"comparisons of {record.source}"
    )
    if people > 1:
        rests_on += f"; up to {min(1.0, record.far * people):g} for {people} people"
    if stale:
        rests_on += "; the calibration on this device is of another model, calibrate again"
    return OperatingPoint(record.threshold, None, record.far, record.supported, rests_on)


def operating_threshold(manifest: Manifest, far: float | None = None) -> Threshold:
    """The threshold that was calibrated when the model was exported.

    Args:
        manifest: the model's.
        far: the rate to choose; None takes :data:`DEFAULT_FAR`, or the strictest rate that the model was
            calibrated at where its trials did not carry that one.

    Its rate is that of comparing two single images of identities like those it was calibrated on.
    A template averaged over several images scores higher with everybody, so its rate is somewhat
    above the stated one; a search among N people multiplies the rate by up to N. A calibration on the
    device (:mod:`~fedfr_edge.recognition.calibration`) knows the templates and has neither fault.

    Raises:
        ModelError: the model was not calibrated at this rate.
    """
    if far is None:
        no_stricter = [record for record in manifest.thresholds if record.far >= DEFAULT_FAR]
        if no_stricter:
            return min(no_stricter, key=lambda record: record.far)
        far = DEFAULT_FAR
    record = manifest.threshold_at(far)
    if record is None:
        known = ", ".join(far_key(record.far) for record in manifest.thresholds) or "none"
        raise ModelError(
            f"model {manifest.name!r} has no threshold at a false accept rate of {far_key(far)} (it has: "
            f"{known}); choose one of these, calibrate on this device ('fedfr calibrate --far'), export it "
            "again with that rate, or give --threshold"
        )
    return record
