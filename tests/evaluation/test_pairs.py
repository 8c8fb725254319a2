"""LFW's pairs: the format with its faults, and the protocol against a loop."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from lookup_encoder import LookupEncoder, numbered_faces, unit

from fedfr_edge.errors import DataError
from fedfr_edge.evaluation import metrics
from fedfr_edge.evaluation.pairs import Pair, evaluate_pairs, read_pairs
from fedfr_edge.evaluation.tables import pairs_table

GOOD = "2\t1\nAnn_Lee\t1\t4\nAnn_Lee\t2\tBob\t10\nBob\t1\t2\nBob\t3\tAnn_Lee\t1\n"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pairs.txt"
    path.write_text(text)
    return path


def test_the_format(tmp_path: Path) -> None:
    assert read_pairs(written(tmp_path, GOOD)) == [
        Pair("Ann_Lee/Ann_Lee_0001", "Ann_Lee/Ann_Lee_0004", True, 0),
        Pair("Ann_Lee/Ann_Lee_0002", "Bob/Bob_0010", False, 0),
        Pair("Bob/Bob_0001", "Bob/Bob_0002", True, 1),
        Pair("Bob/Bob_0003", "Ann_Lee/Ann_Lee_0001", False, 1),
    ]
    spaces = GOOD.replace("\t", "  ").replace("\n", "\r\n")
    assert read_pairs(written(tmp_path, spaces)) == read_pairs(written(tmp_path, GOOD))
    one_fold = read_pairs(
        written(tmp_path, "1\nAnn\t1\t2\nAnn\t1\tBob\t2\n")
    )  # pairsDevTest.txt has this head
    assert [(pair.mated, pair.fold) for pair in one_fold] == [(True, 0), (False, 0)]
    assert (
        read_pairs(written(tmp_path, "1\nAnn Lee\t1\t2\nAnn Lee\t1\tBob\t2\n"))[0].first
        == "Ann Lee/Ann Lee_0001"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("Ann\t1\t2\n", "header"),
        ("0\t3\n", "header"),
        (GOOD[: GOOD.rindex("Bob")], "has 3 pairs, its header says 2 × 2 × 1 = 4"),
        (GOOD.replace("Bob\t1\t2", "Bob\t1"), "line 4 .* expected name, number, number"),
        (GOOD.replace("Bob\t1\t2", "Bob\t1\tAnn\t2"), r"line 4 .*\(a mated pair of fold 2\)"),
        (GOOD.replace("\t10", "\tten"), "line 3 .* expected name, number, name, number"),
    ],
)
def test_faults_of_a_list_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_pairs(written(tmp_path, text))


def test_unreadable_lists(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_pairs(tmp_path / "none.txt")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not text"):
        read_pairs(tmp_path / "binary")


def test_the_development_list_is_read_whole(dev_data: Path) -> None:
    pairs = read_pairs(dev_data / "faces" / "lfw_pairs_5folds.txt")
    assert len(pairs) == 3000
    assert [sum(pair.fold == fold and pair.mated for pair in pairs) for fold in range(5)] == [300] * 5
    names = {name for pair in pairs for name in (pair.first, pair.second)}
    folder = dev_data / "faces" / "lfw_aligned"
    assert all((folder / f"{name}.jpg").is_file() for name in names)


def random_pairs(folds: int, per_kind: int, images: int, seed: int) -> list[Pair]:
    generator = np.random.default_rng(seed)
    pairs = []
    for fold in range(folds):
        for mated in (True, False):
            for _ in range(per_kind):
                a, b = generator.choice(images, 2, replace=False)
                pairs.append(Pair(str(a), str(b), mated, fold))
    return pairs


def test_accuracy_by_folds_against_a_loop() -> None:
    generator = np.random.default_rng(3)
    table = unit(generator.normal(size=(60, 4)))
    pairs = random_pairs(5, 8, 60, seed=4)
    result = evaluate_pairs(LookupEncoder(table), numbered_faces(60), int, pairs, fars=(0.25,))
    scores = [float(table[int(pair.first)] @ table[int(pair.second)]) for pair in pairs]
    for fold in range(5):
        rest = [(s, p.mated) for s, p in zip(scores, pairs, strict=True) if p.fold != fold]
        own = [(s, p.mated) for s, p in zip(scores, pairs, strict=True) if p.fold == fold]
        # The lowest of the best cuts between neighbouring scores of the other folds.
        ranked = sorted({s for s, _ in rest})
        cuts = [
            ranked[0],
            *((a + b) / 2 for a, b in itertools.pairwise(ranked)),
            ranked[-1] + 1e-9,
        ]
        right = [sum((s >= cut) == mated for s, mated in rest) for cut in cuts]
        cut = cuts[right.index(max(right))]
        assert result.thresholds[fold] == pytest.approx(cut, abs=1e-6)
        assert result.folds[fold] == sum((s >= cut) == mated for s, mated in own) / len(own)
    assert result.accuracy == pytest.approx(np.mean(result.folds))
    assert result.spread == pytest.approx(np.std(result.folds, ddof=1))
    assert result.best_accuracy >= result.accuracy
    mated = [s for s, p in zip(scores, pairs, strict=True) if p.mated]
    non_mated = [s for s, p in zip(scores, pairs, strict=True) if not p.mated]
    assert result.rates[0].value == metrics.tar_at_far(mated, non_mated, 0.25).value
    assert result.auc == pytest.approx(metrics.auc(mated, non_mated))


def test_missing_images_are_counted_and_listed() -> None:
    table = unit(np.random.default_rng(5).normal(size=(10, 4)))
    pairs = [
        Pair("0", "1", True, 0),
        Pair("2", "gone", True, 0),
        Pair("3", "lost", False, 0),
        Pair("4", "5", False, 0),
    ]
    rows = {str(i): i for i in range(10)}
    result = evaluate_pairs(LookupEncoder(table), numbered_faces(10), rows.get, pairs)
    assert (result.missing, result.left_out) == (("gone", "lost"), 2)
    assert (result.mated.size, result.non_mated.size) == (1, 1)
    assert result.folds == ()  # one fold: no threshold from elsewhere
    assert math.isnan(result.accuracy)
    data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert data["missing_images"] == ["gone", "lost"]
    assert data["accuracy"] is None
    row = dict(zip(pairs_table([result]).header, pairs_table([result]).rows[0], strict=True))
    assert (row["left out"], row["mated pairs"]) == ("2", "1")
    assert row["accuracy"].startswith("≤")
    with pytest.raises(DataError, match=r"no pair of the list .* 6 of 6 images"):
        evaluate_pairs(LookupEncoder(table), numbered_faces(10), lambda name: None, [*pairs[:1], *pairs[2:]])
    with pytest.raises(DataError, match="no non-mated pair"):
        evaluate_pairs(LookupEncoder(table), numbered_faces(10), rows.get, pairs[:3])


def test_each_image_is_embedded_once() -> None:
    encoder = LookupEncoder(unit(np.random.default_rng(6).normal(size=(12, 4))))
    pairs = random_pairs(3, 10, 12, seed=7)
    evaluate_pairs(encoder, numbered_faces(12), int, pairs)
    assert encoder.faces_seen == len({name for pair in pairs for name in (pair.first, pair.second)})
