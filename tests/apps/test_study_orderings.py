"""The figures behind a study's comparisons, against values worked out by hand or by other means."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fedfr_edge.apps.study.orderings import ORDERINGS, Outcome, at, compare, student_quantile
from fedfr_edge.apps.study.plan import PRETRAINED, rows_of
from fedfr_edge.apps.study.scores import Mean, Scores, Value, values_of
from fedfr_edge.apps.study.tables import ordering_table, score_tables
from fedfr_edge.errors import ConfigError
from fedfr_edge.train.config import METHODS

MEASURE = "TAR@FAR 1e-2"


def scores(table: dict[str, list[tuple[float | None, ...]]]) -> Scores:
    """row -> for each seed (generic, Θ_g, Θ_l, [Θ_l, Π_l])."""
    columns = ("generic", "Θ_g", "Θ_l", "[Θ_l, Π_l]")
    values = {
        (row, seed): {
            (column, MEASURE): Value(value, 50)
            for column, value in zip(columns, given, strict=True)
            if value is not None
        }
        for row, seeds in table.items()
        for seed, given in enumerate(seeds)
    }
    return Scores(tuple(table), tuple(range(len(next(iter(table.values()))))), values)


def outcome(text: str, found: list[Outcome]) -> Outcome:
    (one,) = [one for one in found if one.ordering.text == text]
    return one


@pytest.mark.parametrize(
    ("freedom", "expected"),
    # ν = 1: tan(0.475 π); ν = 2: closed form; others as any table of the distribution has them.
    [
        (1, math.tan(0.475 * math.pi)),
        (2, 0.95 * math.sqrt(2 / (1 - 0.95**2))),
        (4, 2.776445),
        (9, 2.262157),
        (1000, 1.962339),
    ],
)
def test_student_quantile(freedom: int, expected: float) -> None:
    assert student_quantile(freedom) == pytest.approx(expected, rel=1e-5)


def test_an_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        drawn = dict(enumerate(rng.normal(0.3, 1.0, 3).tolist()))
        low, high = Outcome(ORDERINGS[0], MEASURE, drawn).interval
        covered += low <= 0.3 <= high
    assert 0.94 < covered / 2000 < 0.96 + 1e-9


def test_differences_and_verdicts() -> None:
    none = (None, None, None)
    found = compare(
        scores(
            {
                PRETRAINED: [(0.30, *none), (0.50, *none), (0.40, *none)],
                "fedavg": [(0.20, None, 0.5, None), (0.41, None, 0.5, None), (0.30, None, 0.6, None)],
                "hard-negatives": [(0.25, None, 0.5, None), (0.40, None, 0.6, None), (0.35, None, 0.5, None)],
                "contrastive": [(0.20, None, 0.5, None), (0.30, None, 0.6, None), (0.25, None, 0.5, None)],
                "fedfr": [(0.3, 0.4, 0.5, 0.8), (0.3, 0.4, 0.6, 0.9), (0.3, 0.4, 0.5, 0.8)],
            }
        )
    )
    below = outcome("generic: FedAvg < pre-trained", found)
    assert list(below.differences.values()) == pytest.approx([0.10, 0.09, 0.10])
    assert (below.holds_in, below.verdict) == (3, "holds")
    assert outcome("generic: FedAvg < + hard negatives", found).verdict == "not shown"
    assert outcome("generic: FedAvg < + hard negatives", found).holds_in == 2
    assert outcome("generic: + hard negatives < + contrastive", found).verdict == "reversed"
    # Steps before: +0.0, +0.1, -0.1 and then 0; DFC: [Θ_l, Π_l] of FedFR over Θ_l of + contrastive.
    step = outcome("personal: the step to DFC lifts more than any step before", found)
    assert list(step.differences.values()) == pytest.approx([0.3, 0.2, 0.3])
    # Equal is not less: a difference of 0 does not hold.
    assert outcome("personal: + contrastive < + hard negatives", found).holds_in == 0
    texts = {one.ordering.text for one in found}
    assert "personal: fine-tune < KD" not in texts  # was not run
    assert "generic: best of all others < central" not in texts


def test_one_seed_shows_nothing() -> None:
    found = compare(scores({PRETRAINED: [(0.9, None, None, None)], "fedavg": [(0.1, None, None, None)]}))
    assert found[0].verdict == "not shown"
    assert found[0].to_dict()["interval"] is None


def test_central_is_compared_with_the_best_of_the_others() -> None:
    table = {name: [(0.1 + 0.01 * place, None, None, None)] for place, name in enumerate(METHODS)}
    found = compare(scores(table | {"kd": [(0.7, None, None, None)], "central": [(0.9, None, None, None)]}))
    assert outcome("generic: best of all others < central", found).mean == pytest.approx(0.2)


def test_every_method_stands_in_an_ordering() -> None:
    """A method that no ordering looks at would be run for nothing."""
    asked: set[str] = set()

    def get(row: str, column: str) -> float:
        asked.add(row)
        return 0.0

    for ordering in ORDERINGS:
        ordering.lower(get), ordering.higher(get)
    assert asked == {PRETRAINED, *METHODS}
    assert at("kd", "Θ_l")(get) == 0.0


def test_rows_follow_the_tables_of_the_paper() -> None:
    assert [row.name for row in rows_of((), None, share_proxies=True)] == [PRETRAINED, *METHODS]
    # FedFace's clients send what stands for faces: only where that is said to be right.
    assert [row.name for row in rows_of((), None)] == [PRETRAINED, *(m for m in METHODS if m != "fedface")]
    with pytest.raises(ConfigError, match="sends W to the server"):
        rows_of(("fedface",), None)
    assert [row.name for row in rows_of(("fedfr", "fedavg"), None)] == [PRETRAINED, "fedavg", "fedfr"]
    names = [row.name for row in rows_of(("fedfr",), "mining-threshold = 0.3, 0.5")]
    assert names == [PRETRAINED, "fedfr,mining_threshold=0.3", "fedfr,mining_threshold=0.5"]


def record(branch: str, false_accepts: int = 4) -> dict[str, Any]:
    rate = {"value": 0.5, "far_target": 1e-3, "false_accepts": 20, "least_false_accepts": false_accepts}
    results = [
        {"name": name, "verification": [rate], "identification": [], "rank_one": None}
        for name in ("Θ_g", "Θ_l", "[Θ_l, Π_l]")
    ]
    pairs = {"accuracy": 0.8, "rates": [{**rate, "value": None}]}
    return {
        "strangers": {"rates": [rate]},
        "pairs": pairs,
        "personalised": results,
        "inputs": {"train": {"branch": branch}},
    }


def test_reading_a_record() -> None:
    found = values_of(record("binary"))
    assert found["generic", "TAR@FAR 1e-3"] == Value(0.5, 20)
    assert found["generic", "accuracy on pairs"] == Value(0.8, None)
    assert found["[Θ_l, Π_l]", "TAR@FAR 1e-3"] == Value(0.5, 4)
    assert ("generic", "TAR@FAR 1e-3 on pairs") not in found  # null: nothing could be measured
    assert ("Θ_l", "rank 1") not in found
    assert {column for column, _ in values_of(record("none"))} == {"generic", "Θ_g", "Θ_l"}
    lean = values_of(record("none") | {"strangers": None, "pairs": None})
    assert {column for column, _ in lean} == {"Θ_g", "Θ_l"}


def test_cells_say_what_they_rest_on() -> None:
    assert Mean.over([Value(0.5, 30), Value(0.7, 9)]).text() == "60.00 ± 14.14 †9"
    assert Mean.over([Value(0.5, 30), Value(0.7, 10)]).text() == "60.00 ± 14.14"
    assert Mean.over([Value(0.5)]).text() == "50.00"
    both = Scores.of(
        ["fedfr", "kd"],
        (0, 1),
        {("fedfr", 0): record("binary"), ("fedfr", 1): record("binary"), ("kd", 0): record("none")},
    )
    tables = {table.title: table for table in score_tables(both, both.measures())}
    table = tables["TAR@FAR 1e-3"]
    assert table.header == ("method", "unseen people", "Θ_g", "Θ_l", "[Θ_l, Π_l]")
    assert table.rows[1][1:] == ("50.00 (1)", "50.00 †4 (1)", "50.00 †4 (1)", "–")
    assert any("†k" in note for note in table.notes)
    assert tables["Pairs, generic model"].header == ("method", "accuracy")


def test_the_table_of_orderings() -> None:
    found = compare(
        scores(
            {
                PRETRAINED: [(0.30, None, None, None), (0.50, None, None, None)],
                "fedavg": [(0.20, None, None, None), (0.60, None, None, None)],
            }
        )
    )
    table = ordering_table(found, [MEASURE, "accuracy on pairs"])
    assert table.rows == (("generic: FedAvg < pre-trained", "+0.00 ± 14.14 (1/2)", "–"),)
