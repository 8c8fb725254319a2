"""What ``fedfr reproduce`` makes of a study's figures, against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedfr_edge.apps.reproduce.outcome import Line, Part, Reproduction
from fedfr_edge.apps.reproduce.published import Figure
from fedfr_edge.apps.reproduce.scale import Settings
from fedfr_edge.apps.reproduce.tables import cell_text, for_terminal, main_table, ordering_lines
from fedfr_edge.apps.reproduce.target import PERSONAL, TARGETS, Column
from fedfr_edge.apps.study.measure import search_strangers, stranger_rows
from fedfr_edge.apps.study.orderings import ORDERINGS
from fedfr_edge.apps.study.scores import Scores, Value
from fedfr_edge.types import Embeddings

MEASURE = "TAR@FAR 1e-2"


def scores(table: dict[str, list[dict[str, float]]]) -> Scores:
    """row -> for each seed its embedding's figures."""
    values = {
        (row, seed): {(column, MEASURE): Value(value, 50) for column, value in given.items()}
        for row, seeds in table.items()
        for seed, given in enumerate(seeds)
    }
    return Scores(tuple(table), tuple(range(len(next(iter(table.values()))))), values)


def test_the_personal_column_takes_the_branch_then_the_backbone_then_the_generic_model() -> None:
    found = scores(
        {
            "pre-trained": [{"Θ_g": 0.1}],
            "fedavg": [{"Θ_g": 0.1, "Θ_l": 0.2}],
            "fedfr": [{"Θ_g": 0.1, "Θ_l": 0.2, "[Θ_l, Π_l]": 0.3}],
        }
    )
    lines = [Line(name, name) for name in found.rows]
    part = Part.of("t", found, lines, [Column("personal", PERSONAL, MEASURE)])
    means = [part.cells[line.name, "personal"].mean.value for line in lines]
    assert means == [0.1, 0.2, 0.3]


def test_a_cell_and_its_interval() -> None:
    found = scores({"fedfr": [{"generic": value} for value in (0.5, 0.6, 0.7)]})
    part = Part.of("t", found, [Line("fedfr", "fedfr")], [Column("g", "generic", MEASURE)])
    cell = part.cells["fedfr", "g"]
    half = 4.302653 * 0.1 / math.sqrt(3)  # Student's t with two degrees of freedom
    assert cell.interval == pytest.approx((0.6 - half, 0.6 + half), rel=1e-5)
    assert cell_text(cell, (0, 1, 2)) == "60.00 ± 10.00 [35.16, 84.84]"
    assert cell_text(cell, (0, 1, 2, 3)).endswith(" (3)")
    assert cell_text(None, (0,)) == "–"
    record = cell.to_dict()
    assert record["values"] == {"0": 0.5, "1": 0.6, "2": 0.7}
    one = Part.of("t", scores({"fedfr": [{"generic": 0.5}]}), part.lines, part.columns)
    assert cell_text(one.cells["fedfr", "g"], (0,)) == "50.00"


def test_the_terminal_shows_a_wide_table_in_pieces() -> None:
    columns = [Column(f"c{number} x", "generic", MEASURE) for number in range(7)]
    found = scores({"fedfr": [{"generic": 0.5}, {"generic": 0.6}]})
    part = Part.of("t", found, [Line("fedfr", "fedfr")], columns)
    paper = [Figure("table1", "fedfr", "IJB-C", 90.0, "s")]
    table = main_table(Reproduction([part], {}, (0, 1), paper), "title")
    assert table.header[-1] == "paper: IJB-C"
    assert table.rows[0][-1] == "90.00"
    pieces = for_terminal(table, 80)
    assert len(pieces) > 1
    assert [name for piece in pieces for name in piece.header[1:]] == [
        name.replace(" ", "\n") for name in table.header[1:]
    ]
    assert all(piece.rows[0][0] == "fedfr" for piece in pieces)
    assert [bool(piece.notes) for piece in pieces] == [False] * (len(pieces) - 1) + [True]


def test_orderings_say_where_no_difference_is_shown() -> None:
    found = scores(
        {
            "pre-trained": [{"generic": 0.30}, {"generic": 0.50}, {"generic": 0.40}],
            "fedavg": [{"generic": 0.20}, {"generic": 0.41}, {"generic": 0.30}],
            "hard-negatives": [{"generic": 0.25}, {"generic": 0.40}, {"generic": 0.35}],
        }
    )
    lines = [Line(name, name) for name in found.rows]
    part = Part.of("t", found, lines, [Column("g", "generic", MEASURE)], TARGETS["table1"].orderings)
    text = ordering_lines(part)
    assert text[0] == "generic: FedAvg < pre-trained"
    assert text[1].split() == [
        *("TAR@FAR", "1e-2", "+9.67", "±", "0.58", "[+8.23,", "+11.10]", "3/3", "holds")
    ]
    assert text[3].endswith("2/3  no difference shown")


def test_every_ordering_belongs_to_a_target_with_its_rows() -> None:
    """An ordering that no target shows, or whose rows its target does not train, would never be seen."""
    found = [one for target in TARGETS.values() for one in target.orderings]
    assert sorted(found, key=lambda one: one.text) == sorted(ORDERINGS, key=lambda one: one.text)
    for target in TARGETS.values():
        asked: set[str] = set()

        def get(row: str, column: str, asked: set[str] = asked) -> float:
            asked.add(row)
            return 0.0

        for one in target.orderings:
            one.lower(get), one.higher(get)
        more = {"branch-cosface", "fine-tune", "kd", "fedface"} if target.name == "table1" else set()
        assert asked <= {*target.methods} | more  # "best of all others" takes what is there


@pytest.mark.parametrize("scale", ["paper", "small", "tiny"])
def test_shipped_recipes_hold_together(scale: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    settings = Settings.read(scale, None, None, tmp_path)  # type: ignore[arg-type]
    split, shown = settings.section("data.split"), settings.shown
    assert shown.grid_clients * max(shown.grid_people) <= split["clients"] * split["per_client"]
    # Several thresholds, and in the sweep the one that the tables are run with.
    assert settings.section("train").get("mining_threshold", 0.4) in shown.thresholds
    settings.write()
    again = Settings.read(scale, settings.file, None, tmp_path)  # type: ignore[arg-type]
    assert again.table == settings.table


def test_the_papers_recipe_is_the_papers() -> None:
    from pathlib import Path

    settings = Settings.read("paper", None, None, Path("nowhere"))
    assert settings.section("data.split") == {
        "public": 6000,
        "clients": 40,
        "per_client": 100,
        "train_images": 60,
        "test_images": 40,
    }
    assert settings.section("pretrain")["backbone"] == "sphereface64"
    # The others are fedfr train's own defaults: T = 30, E = 4, 1e-3, t_HN = 0.4.
    assert settings.section("train").keys() == {"batch_size", "second_epochs", "device", "plot"}
    assert settings.section("train")["batch_size"] == 256


def circle(angles: list[float]) -> Embeddings:
    """Unit vectors in the plane at these degrees."""
    radians = np.radians(angles)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_strangers_are_searched_in_two_galleries() -> None:
    """Four people of four images: 0 and 2 in the first gallery, 1 and 3 in the second."""
    labels = np.repeat([0, 1, 2, 3], 4)
    angles = [0.0, 2, 1, 60, 90.0, 92, 91, 91, 180.0, 182, 181, 181, 270.0, 272, 271, 271]
    (rate,) = search_strangers(circle(angles), labels)[:1]
    # First gallery, templates at 1° and 181°: probes at 1, 60, 181, 181; strangers at 91, 91, 271, 271, which
    # all score 0 with both. Second, templates at 91° and 271°: likewise, but for the stranger at 60°,
    # who scores cos 31°. FPIR 0.1 of four probes allows no false accept.
    assert rate["far_target"] == 0.1
    assert (rate["trials"], rate["non_mated"], rate["false_accepts"]) == (8, 8, 0)
    assert rate["value"] == pytest.approx((1.0 + 1.0) / 2)
    # A stranger as near as a mate: the threshold rises above it, and the mate at 60° is lost to the gallery.
    angles[4:8] = [90.0, 92, 91, 60]
    (rate,) = search_strangers(circle(angles), labels)[:1]
    first = 3 / 4  # cos 59° of the mate does not exceed the best stranger's
    assert rate["value"] == pytest.approx((first + 3 / 4) / 2)


def test_a_gallery_without_people_is_no_gallery() -> None:
    assert search_strangers(circle([0.0, 1, 2, 3]), np.zeros(4, dtype=np.int64)) == []
    assert search_strangers(circle([0.0, 90]), np.array([0, 1])) == []  # one image each: nothing to enrol


def test_unseen_people_can_be_limited() -> None:
    class Store:
        identities = tuple(f"p{number}" for number in range(10))
        labels = np.repeat(np.arange(10), 2)

    class Split:
        seed = 0
        public = ("p0", "p1")
        clients = {"c": ("p2",)}  # noqa: RUF012

    every = stranger_rows(Store(), Split())  # type: ignore[arg-type]
    assert every.tolist() == list(range(6, 20))
    some = stranger_rows(Store(), Split(), 3)  # type: ignore[arg-type]
    assert len(some) == 6
    assert set(some.tolist()) < set(every.tolist())
    assert set(stranger_rows(Store(), Split(), 2).tolist()) < set(some.tolist())  # type: ignore[arg-type]
