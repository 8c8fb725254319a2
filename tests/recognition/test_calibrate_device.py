"""Calibration on the device: against simulated truth, and with a real encoder and gallery."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tiny_model

from fedfr_edge.errors import ConfigError, DataError, ModelMismatchError
from fedfr_edge.recognition.calibrate_device import SECOND_FAR, calibrate_device, lowest_threshold
from fedfr_edge.recognition.calibration import Calibration
from fedfr_edge.recognition.confidence import upper_bound
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.gallery import Gallery
from fedfr_edge.recognition.login import LoginPolicy, login
from fedfr_edge.recognition.policy import operating_point
from fedfr_edge.recognition.spaces import embed_spaces, probe_of
from fedfr_edge.recognition.stranger_trials import Strangers, Trials
from fedfr_edge.recognition.template import Template, make_template

PUBLIC = "f" * 64


def normal_trials(rng: np.random.Generator, people: int, each: int, spread: float, k: int = 4) -> Trials:
    """Standard normal scores of which ``spread`` of the variance is the person's own."""
    labels = np.repeat(np.arange(people), each)
    own = rng.normal(size=(people, 1)).repeat(each, axis=0)
    rest = rng.normal(size=(people * each, k))
    scores = (np.sqrt(spread) * own + np.sqrt(1 - spread) * rest).astype(np.float32)
    return Trials(scores / 10, None, np.ones(scores.shape, np.bool_), labels, False)


def exceeds(threshold: float) -> float:
    """P(a tenth of a standard normal ≥ threshold)."""
    from math import erfc, sqrt

    return erfc(threshold * 10 / sqrt(2)) / 2


@pytest.mark.parametrize(
    ("people", "each", "spread", "far"),
    [(1500, 1, 0.0, 0.01), (75, 20, 0.0, 0.01), (150, 10, 0.3, 0.02), (100, 15, 0.6, 0.05)],
)
def test_the_true_rate_is_below_the_stated_one_nineteen_times_in_twenty(
    people: int, each: int, spread: float, far: float
) -> None:
    rng, times = np.random.default_rng(7), 150
    kept, naive = 0, 0
    for _ in range(times):
        trials = normal_trials(rng, people, each, spread)
        record = lowest_threshold(trials, far)
        assert record.supported
        kept += exceeds(record.threshold) <= far
        # What a count that takes all comparisons for independent would have said.
        naive += exceeds(record.threshold) <= upper_bound(record.false_accepts, record.comparisons)
    # 95 % less three standard deviations of so many tries.
    assert kept / times >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / times)
    if spread == 0:
        assert kept < times  # nor is it a bound that never fails
    if spread == 0.6:
        assert naive / times < 0.9


def test_the_count_is_the_largest_whose_bound_fits() -> None:
    """Independent trials: the threshold of the largest k with Clopper and Pearson's bound within the rate."""
    trials = normal_trials(np.random.default_rng(0), 3000, 1, 0.0, k=1)
    record = lowest_threshold(trials, 0.02)
    scores = np.sort(trials.scores[:, 0])[::-1]
    assert record.false_accepts == np.count_nonzero(scores >= record.threshold)
    assert record.comparisons == 3000
    allowed = max(k for k in range(60) if upper_bound(k, record.effective) <= 0.02)
    assert record.false_accepts == allowed * 3000 // record.effective
    assert record.threshold == np.nextafter(scores[record.false_accepts], np.float32(1))
    assert record.upper <= 0.02


def test_a_rate_that_the_trials_cannot_show() -> None:
    trials = normal_trials(np.random.default_rng(0), 200, 1, 0.0, k=1)
    record = lowest_threshold(trials, 1e-3)
    assert not record.supported
    assert record.false_accepts == 0
    assert record.threshold > trials.scores.max()
    assert record.upper == pytest.approx(1 - 0.05 ** (1 / record.effective), rel=1e-6)


def test_too_few_strangers_do_not_lower_the_models_own_threshold() -> None:
    few = normal_trials(np.random.default_rng(0), 20, 1, 0.0, k=1)
    record = lowest_threshold(few, 1e-3, floor=0.8)
    assert few.scores.max() < 0.8
    assert (record.threshold, record.supported, record.false_accepts) == (0.8, False, 0)
    # Where the trials show the rate they are believed.
    many = normal_trials(np.random.default_rng(0), 4000, 1, 0.0, k=1)
    shown = lowest_threshold(many, 1e-2, floor=0.8)
    assert shown == lowest_threshold(many, 1e-2)
    assert shown.supported
    assert shown.threshold < 0.8


def test_with_ties_none_or_all_are_accepted() -> None:
    scores = np.full((1000, 1), 0.25, np.float32)
    trials = Trials(scores, None, np.ones(scores.shape, np.bool_), np.arange(1000), False)
    record = lowest_threshold(trials, 0.1)
    assert (record.false_accepts, record.threshold > 0.25) == (0, True)


def test_two_gates_count_what_passes_both() -> None:
    rng = np.random.default_rng(3)
    trials = normal_trials(rng, 4000, 1, 0.0, k=2)
    second = rng.normal(size=trials.scores.shape).astype(np.float32)
    both = dataclasses.replace(trials, second=second)
    record, one = lowest_threshold(both, 0.01, second=0.5), lowest_threshold(trials, 0.01)
    passing = (trials.scores >= record.threshold) & (second >= 0.5)
    assert record.false_accepts == np.count_nonzero(passing)
    assert record.upper <= 0.01
    # Three in ten pass the second, so three in a hundred may pass the first.
    assert exceeds(record.threshold) == pytest.approx(exceeds(one.threshold) / exceeds(0.05), rel=0.25)
    assert (record.gates, record.second_threshold) == ("backbone", 0.5)


# --- with an encoder and a gallery -------------------------------------------------------------


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> OnnxEncoder:
    folder = tmp_path_factory.mktemp("model")
    return OnnxEncoder(tiny_model.write(folder / "m.onnx", personal=True), threads=1)


@pytest.fixture(scope="module")
def strangers() -> Strangers:
    """Sixty people with eight faces each, somewhat alike."""
    rng = np.random.default_rng(5)
    base = tiny_model.faces(60, seed=11).astype(int).repeat(8, axis=0)
    noise = rng.integers(-60, 61, (480, 14, 14, 3)).repeat(8, axis=1).repeat(8, axis=2)
    faces = np.clip(base + noise, 0, 255).astype(np.uint8)
    return Strangers(faces, np.repeat(np.arange(60), 8).astype(np.int64), "sixty made-up people", PUBLIC)


def enrolled(encoder: OnnxEncoder, people: int) -> Gallery:
    gallery = Gallery(encoder.digest, encoder.dim)
    for number, face in enumerate(tiny_model.faces(people, seed=1)):
        gallery.add(f"person {number}", probe_of(encoder, face[None]))
    return gallery


def test_strangers_against_the_people_enrolled(encoder: OnnxEncoder, strangers: Strangers) -> None:
    gallery = enrolled(encoder, 3)
    found = calibrate_device(encoder, gallery, strangers, fars=(1e-2, 5e-2))
    assert (found.model, found.against, found.templates, found.enrolled) == (encoder.digest, "gallery", 3, 3)
    assert (found.strangers, found.faces, found.source_digest) == (60, 480, PUBLIC)
    assert [(record.gates, record.far) for record in found.records] == [
        *(("one", 5e-2), ("one", 1e-2)),
        *(("backbone", 5e-2), ("backbone", 1e-2)),
    ]
    assert [(record.far, record.threshold) for record in found.exported] == [(1e-2, 0.80)]
    # Once more, by hand and one by one.
    own, backbone = embed_spaces(encoder, strangers.faces)
    assert backbone is not None
    templates = [gallery.template_of(person) for person in gallery.people]
    one = [[float(face @ t.vector) for t in templates] for face in own]
    two = [[float(face @ t.backbone) for t in templates] for face in backbone]
    limit = sorted((b for row in two for b in row), reverse=True)[int(SECOND_FAR * 1440)]
    for record in (*found.records, *found.exported):
        passes = [
            [
                a >= record.threshold - 1e-6 and (record.gates == "one" or b >= limit)
                for a, b in zip(x, y, strict=True)
            ]
            for x, y in zip(one, two, strict=True)
        ]
        assert record.comparisons == 1440
        assert abs(record.false_accepts - sum(map(sum, passes))) <= 1
        assert record.searches == 480
        taken = sum(row[int(np.argmax(x))] for row, x in zip(passes, one, strict=True))
        assert abs(record.search_false_accepts - taken) <= 1
        assert record.search_upper is not None
        assert record.search_upper >= record.search_false_accepts / 480
        if record.gates == "backbone":
            assert record.second_threshold == pytest.approx(limit, abs=1e-5)


def test_strangers_against_templates_of_strangers(encoder: OnnxEncoder, strangers: Strangers) -> None:
    """Three images make a template; they are not compared any more, nor are its owner's others with it."""
    nobody = Gallery(encoder.digest, encoder.dim)
    found = calibrate_device(encoder, nobody, strangers, fars=(1e-2,), images=3)
    assert (found.against, found.templates, found.enrolled, found.faces) == ("public", 60, 0, 300)
    record = found.records[0]
    assert record.comparisons == 300 * 59
    assert (record.searches, record.search_upper) == (0, None)
    own, _ = embed_spaces(encoder, strangers.faces)
    count = 0
    for label in range(60):
        mine = np.flatnonzero(strangers.labels == label)
        template = make_template(own[mine[:3]], encoder.digest).vector
        for row in range(480):
            other = strangers.labels[row]
            is_probe = row not in np.flatnonzero(strangers.labels == other)[:3]
            count += other != label and is_probe and float(own[row] @ template) >= record.threshold - 1e-6
    assert abs(record.false_accepts - count) <= 1
    both = calibrate_device(encoder, enrolled(encoder, 2), strangers, fars=(1e-2,), images=3, against="both")
    assert (both.against, both.templates, both.records[0].comparisons) == ("both", 62, 300 * 61)
    assert both.records[0].searches == 480


def test_single_faces_that_are_kept_are_compared_one_by_one(
    encoder: OnnxEncoder, strangers: Strangers
) -> None:
    faces = tiny_model.faces(4, seed=1)
    own, backbone = embed_spaces(encoder, faces)
    gallery = Gallery(encoder.digest, encoder.dim)
    template: Template = make_template(own, encoder.digest, backbone=backbone, combine="all")
    gallery.add("Ana", template)
    record = calibrate_device(encoder, gallery, strangers, fars=(5e-2,)).records[0]
    best = (embed_spaces(encoder, strangers.faces)[0] @ own.T).max(axis=1)
    assert record.comparisons == 480
    assert abs(record.false_accepts - np.count_nonzero(best >= record.threshold)) <= 1


def test_a_device_with_two_strangers_keeps_the_models_thresholds(
    encoder: OnnxEncoder, strangers: Strangers
) -> None:
    few = dataclasses.replace(strangers, faces=strangers.faces[:16], labels=strangers.labels[:16])
    found = calibrate_device(encoder, enrolled(encoder, 1), few, fars=(1e-2, 1e-3, 3e-4, 1e-5))
    own = {own.far: own.threshold for own in encoder.manifest.thresholds}
    for record in found.records:
        assert not record.supported
        least = max(threshold for far, threshold in own.items() if far >= record.far)
        assert record.threshold >= least


def test_what_cannot_be_calibrated(encoder: OnnxEncoder, strangers: Strangers, tmp_path: Path) -> None:
    nobody = Gallery(encoder.digest, encoder.dim)
    with pytest.raises(ConfigError, match="nobody is enrolled"):
        calibrate_device(encoder, nobody, strangers, against="gallery")
    with pytest.raises(ConfigError, match="between 0 and 1"):
        calibrate_device(encoder, nobody, strangers, fars=(0.0,))
    with pytest.raises(DataError, match="fewer than two"):
        calibrate_device(encoder, nobody, dataclasses.replace(strangers, labels=strangers.labels * 0))
    with pytest.raises(DataError, match="more than 8 faces"):
        calibrate_device(encoder, nobody, strangers, images=8)
    other = OnnxEncoder(tiny_model.write(tmp_path / "o.onnx", seed=1), threads=1)
    with pytest.raises(ModelMismatchError):
        calibrate_device(other, nobody, strangers)


# --- what a login does with it -----------------------------------------------------------------


def test_login_goes_by_the_calibration(encoder: OnnxEncoder, strangers: Strangers) -> None:
    gallery = enrolled(encoder, 2)
    found = calibrate_device(encoder, gallery, strangers, fars=(1e-3, 5e-2))
    gallery.calibration = Calibration.from_dict(found.to_dict())
    assert gallery.calibration == found
    face = tiny_model.faces(1, seed=1)[0]

    def decide(policy: LoginPolicy, claim: str | None = None):  # type: ignore[no-untyped-def]
        return login(face, encoder=encoder, gallery=gallery, detector=None, policy=policy, claim=claim)

    mild, strict = found.record_at(5e-2, "one"), found.record_at(1e-3, "one")
    assert mild is not None
    assert strict is not None
    decision = decide(LoginPolicy(far=5e-2))
    assert (decision.threshold, decision.far, decision.far_supported) == (mild.threshold, 5e-2, True)
    assert "calibrated on this device" in decision.rests_on
    assert f"{mild.search_false_accepts} of 480" in decision.rests_on
    assert "480" not in decide(LoginPolicy(far=5e-2), claim="person 0").rests_on.partition("templates")[2]
    # The default rate is one that these strangers cannot show.
    decision = decide(LoginPolicy())
    assert (decision.threshold, decision.far, decision.far_supported) == (strict.threshold, 1e-3, False)
    assert "not shown" in decision.rests_on
    # A rate that was not calibrated here is the model's own, if it has it.
    assert decide(LoginPolicy(far=1e-4)).threshold == 0.95
    two = found.record_at(5e-2, "backbone")
    assert two is not None
    decision = decide(LoginPolicy(far=5e-2, gates="backbone"))
    assert decision.threshold == two.threshold
    assert decision.second is not None
    assert decision.second.threshold == two.second_threshold


def test_another_models_calibration_is_left_aside(encoder: OnnxEncoder, strangers: Strangers) -> None:
    found = calibrate_device(encoder, enrolled(encoder, 1), strangers, fars=(1e-3,))
    stale = dataclasses.replace(found, model="0" * 64)
    point = operating_point(LoginPolicy(), encoder, stale, 1)
    assert point.threshold == 0.90
    assert point.rests_on.endswith("of another model, calibrate again")
