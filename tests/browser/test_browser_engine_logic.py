"""What the page's engine decides by, without any network: the library's answers on random values."""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fedfr_edge.recognition.capture import Reason
from fedfr_edge.recognition.decision import Decision
from fedfr_edge.recognition.frames import is_settled, k_of
from fedfr_edge.recognition.gallery import Person
from fedfr_edge.recognition.likeness import find_outliers, find_repeats
from fedfr_edge.recognition.lockout import WITH_LIVENESS, WITHOUT_LIVENESS, Policy
from fedfr_edge.recognition.template import make_template
from fedfr_edge.types import Embeddings
from fedfr_edge.vision.suppress import suppress

if TYPE_CHECKING:
    from playwright.sync_api import Page

SEEDS = range(40)


def call(page: Page, module: str, script: str, given: Any) -> Any:
    """``script``, an expression in the module's names (``all``) and ``given``."""
    return page.evaluate(
        f'async (given) => {{ const all = await import("/engine/{module}.js"); return {script}; }}', given
    )


@pytest.mark.parametrize("policy", [WITHOUT_LIVENESS, WITH_LIVENESS, Policy(2, 7, 1.0, 6.0)])
def test_browser_pauses_as_long_as_the_library(page: Page, policy: Policy) -> None:
    """How long each number of failures makes wait, and from when on login is off."""
    script = """Array.from({ length: given.limit + 2 }, (_, failures) =>
      all.blocked({ failures, last: 5000 }, given, 5000))"""
    for failures, found in enumerate(call(page, "lockout", script, dataclasses.asdict(policy))):
        if failures >= policy.limit:
            assert found["reason"] == Reason.OTHER_FACTOR
            assert found["wait_seconds"] is None
        elif policy.wait_after(failures) == 0:
            assert found is None
        else:
            assert (found["reason"], found["wait_seconds"]) == (Reason.LOCKED, policy.wait_after(failures))


def test_browser_counts_the_same_failures(page: Page) -> None:
    from fedfr_edge.recognition.lockout import FAILURES

    script = "given.map((reason) => all.counted({ failures: 3, last: 1 }, reason, 9))"
    for reason, found in zip(Reason, call(page, "lockout", script, list(Reason)), strict=True):
        if reason is Reason.ACCEPTED:
            assert found == {"failures": 0, "last": 0}
        elif reason in FAILURES:
            assert found == {"failures": 4, "last": 9}
        else:
            assert found == {"failures": 3, "last": 1}


def decisions(rng: random.Random) -> list[Decision]:
    made = []
    for _ in range(rng.randint(1, 6)):
        person = rng.choice([None, None, Person("a", "Ana", 1), Person("b", "Ben", 1)])
        reason = Reason.NOT_RECOGNISED if person is None else Reason.ACCEPTED
        score = round(rng.uniform(-1, 1), 3)
        made.append(Decision(person is not None, reason, person, score, 0.5, 1, ""))
    return made


def test_browser_agrees_on_frames_as_the_library(page: Page) -> None:
    script = "[all.isSettled(given.compared, given.k, given.n), all.kOf(given.compared, given.k)]"
    outcomes = set()
    for seed in range(200):
        rng = random.Random(seed)
        compared = decisions(rng)
        k = rng.randint(1, 4)
        n = max(k, len(compared)) + rng.randint(0, 2)
        sent = [
            {
                "accepted": each.accepted,
                "reason": each.reason.value,
                "score": each.score,
                "person": None if each.person is None else {"id": each.person.id},
            }
            for each in compared
        ]
        settled, found = call(page, "login", script, {"compared": sent, "k": k, "n": n})
        expected = k_of(compared, k)
        assert settled == is_settled(compared, k, n)
        assert (found["accepted"], found["score"]) == (expected.accepted, expected.score)
        assert found["reason"] == expected.reason.value
        outcomes.add((settled, expected.accepted))
    assert len(outcomes) == 3  # whoever is accepted, it is settled


def looks(seed: int, dim: int = 16) -> Embeddings:
    """Looks of one person, some the same again, some of somebody else."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=dim)
    rows = base + rng.normal(size=(int(rng.integers(1, 9)), dim)) * rng.choice([0.1, 0.8, 2.0])
    rows[rng.random(len(rows)) < 0.2] = rng.normal(size=dim)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def test_browser_leaves_out_the_same_looks(page: Page) -> None:
    script = "[all.repeats(given, 0.95), all.outliers(given, 0.4)]"
    repeated = dropped = 0
    for seed in SEEDS:
        rows = looks(seed)
        again, unlike = call(page, "likeness", script, rows.tolist())
        expected = find_repeats(rows, 0.95)
        assert [(each["row"], each["other"]) for each in again] == [
            (row, other) for row, other, _ in expected
        ]
        outliers = find_outliers(rows, 0.4)
        assert [each["row"] for each in unlike] == [row for row, _ in outliers.dropped]
        np.testing.assert_allclose([each["score"] for each in unlike], [x for _, x in outliers.dropped])
        repeated, dropped = repeated + len(again), dropped + len(unlike)
    assert repeated > 5
    assert dropped > 5


def test_browser_makes_the_same_template(page: Page) -> None:
    for seed in SEEDS:
        rows = looks(seed)
        found = call(page, "template", "Array.from(all.mean(given))", rows.tolist())
        np.testing.assert_allclose(found, make_template(rows, "0" * 64).vector, atol=1e-7)
    with pytest.raises(Exception, match="nothing in common"):
        call(page, "template", "all.mean(given)", [[1, 0], [-1, 0]])


def test_browser_suppresses_the_same_boxes(page: Page) -> None:
    script = "all.suppress(given, 0.3).map(({ row }) => row)"
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        corners, sides = rng.uniform(0, 60, (30, 2)), rng.uniform(0, 30, (30, 2))
        boxes, scores = np.hstack([corners, corners + sides]), rng.choice([0.5, 0.7, 0.9], 30)
        cells = [
            {"row": row, "box": box.tolist(), "score": float(score)}
            for row, (box, score) in enumerate(zip(boxes, scores, strict=True))
        ]
        assert call(page, "detect", script, cells) == suppress(boxes, scores, 0.3)


def test_browser_sizes_pictures_as_opencv_does(page: Page) -> None:
    import base64

    import cv2
    from in_browser import PICTURES, as_rgba

    page.evaluate(PICTURES)
    rng = np.random.default_rng(0)
    script = "asBase64(all.pixels(all.resize(asPicture(given[0]), given[1], given[2])))"
    for height, width, tall, wide in (
        (60, 80, 30, 40), (61, 83, 40, 51), (50, 40, 49, 40), (33, 20, 90, 64), (1, 1, 7, 5), (9, 1, 3, 1),
    ):  # fmt: skip
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        method = cv2.INTER_AREA if tall < height else cv2.INTER_LINEAR
        expected = cv2.resize(image, (wide, tall), interpolation=method).astype(int)
        sent = call(page, "picture", script, [as_rgba(image), wide, tall])
        found = np.frombuffer(base64.b64decode(sent), np.uint8).reshape(tall, wide, 3)
        assert np.abs(found - expected).max() <= 1
