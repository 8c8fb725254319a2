"""Lists that name images of any kind, and a ``.bin`` set from the file to its figures."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from lookup_encoder import LookupEncoder, numbered_faces, unit
from small_run import ROUND, SmallRun, make_run

from fedfr_edge.cli import main
from fedfr_edge.errors import DataError
from fedfr_edge.evaluation.pairs import Pair, check_images, evaluate_pairs, read_pairs
from fedfr_edge.evaluation.pairs_list import write_pairs
from fedfr_edge.train.checkpoint import load_global
from fedfr_edge.train.encoder import TorchEncoder


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pairs.txt"
    path.write_text(text)
    return path


def test_a_list_that_names_images(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    write_pairs(path, [("a b/1", "a b/2", True), ("a b/1", "c", False), ("c", "d/x/1", False)], folds=2)
    assert path.read_text() == "pairs\t3\t2\na b/1\ta b/2\t1\na b/1\tc\t0\nc\td/x/1\t0\n"
    pairs = read_pairs(path)
    assert pairs == [
        Pair("a b/1", "a b/2", True, 0),
        Pair("a b/1", "c", False, 0),
        Pair("c", "d/x/1", False, 1),
    ]
    assert [pair.line for pair in pairs] == [2, 3, 4]
    assert read_pairs(written(tmp_path, "pairs 1 1\n\nx y 1\n")) == [Pair("x", "y", True, 0)]
    write_pairs(path, [("a", "b", True)])
    assert path.read_text().startswith("pairs\t1\t1\n")


@pytest.mark.parametrize(("count", "folds"), [(6000, 10), (7000, 10), (23, 10), (10, 10), (7, 3)])
def test_folds_are_consecutive(tmp_path: Path, count: int, folds: int) -> None:
    """As k-fold without shuffling: the first ``count % folds`` have one more."""
    write_pairs(tmp_path / "p", [(f"{n}", f"{n}x", n % 2 == 0) for n in range(count)], folds)
    got = [pair.fold for pair in read_pairs(tmp_path / "p")]
    assert got == sorted(got)
    sizes = [got.count(fold) for fold in range(folds)]
    assert sizes == [len(part) for part in np.array_split(np.arange(count), folds)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pairs\n", "begins with 'pairs', expected pairs, the number of pairs and of folds"),
        ("pairs 3 0\n", "expected pairs, the number"),
        ("pairs 2 1\na\tb\t1\n", "has 1 pairs, its header says 2 in 1 folds; the file may be cut short"),
        ("pairs 1 2\na\tb\t1\n", "header says 1 in 2 folds"),
        ("pairs 2 1\na\tb\t1\na\tb\n", "line 3 of .* expected name, name, 1 or 0"),
        ("pairs 1 1\na\tb\tyes\n", "line 2 of .* expected name, name, 1 or 0"),
        ("pairs 1 1\na\t\t1\n", "line 2 of .* expected name, name, 1 or 0"),
        ("pairs ² 1\na\tb\t1\n", "expected pairs, the number"),
    ],
)
def test_faults_of_a_list_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_pairs(written(tmp_path, text))


def test_images_that_are_absent_are_named_with_their_line(tmp_path: Path) -> None:
    pairs = read_pairs(written(tmp_path, "pairs 4 1\n0\t1\t1\n0\tgone\t0\nlost\tgone\t0\n1\t2\t0\n"))
    rows = {str(number): number for number in range(3)}
    check_images(pairs[:1], rows.get)
    with pytest.raises(DataError) as raised:
        check_images(pairs, rows.get)
    assert str(raised.value).startswith(
        "line 3 of the list names image 'gone', which the store lacks (2 images, 2 of 4 pairs)"
    )
    result = evaluate_pairs(LookupEncoder(unit(np.eye(3))), numbered_faces(3), rows.get, pairs)
    assert (result.missing, result.left_out) == (("gone", "lost"), 2)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    return make_run(tmp_path_factory.mktemp("pairs"))


def test_a_bin_set_from_file_to_figures(
    small: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Accuracy by ten folds and TAR, held against the scores computed here."""

    def encoded(row: int) -> bytes:
        return bytes(cv2.imencode(".png", small.store.images[row][:, :, ::-1])[1])

    rng = np.random.default_rng(5)
    rows: list[int] = []
    same: list[bool] = []
    for number in range(40):  # who is on the images does not matter, and what is right is then no trifle
        rows += rng.choice(len(small.store), 2, replace=False).tolist()
        same.append(bool(number % 2))
    images = [encoded(row) for row in rows]
    images[10] = images[10][:50]  # damaged: one pair less, said so
    (tmp_path / "cplfw.bin").write_bytes(pickle.dumps((images, same), protocol=2))
    store = tmp_path / "store"
    assert main(["data", "import", str(tmp_path / "cplfw.bin"), "--out", str(store)]) == 0
    model = small.run / "checkpoints" / f"round_{ROUND:04d}.safetensors"
    command = [
        "evaluate",
        "pairs",
        "--store",
        str(store),
        "--model",
        str(model),
        "--out",
        str(tmp_path / "out"),
    ]
    command += ["--fars", "0.25", "--flip"]
    capsys.readouterr()
    assert main(command) == 1
    assert "line 7 of the list names image" in capsys.readouterr().err
    assert main([*command, "--allow-missing"]) == 0
    record = json.loads((tmp_path / "out" / "pairs.json").read_text())
    (result,) = record["results"]
    assert record["flip"] is True
    assert result["left_out_pairs"] == 1
    assert len(result["missing_images"]) == 1

    encoder = TorchEncoder(load_global(model), name="m")
    faces = small.store.images
    both = encoder.embed(faces[:]) + encoder.embed(np.ascontiguousarray(faces[:, :, ::-1]))
    both = both.astype(np.float64) / np.linalg.norm(both, axis=1, keepdims=True)
    scores = np.array([both[rows[2 * n]] @ both[rows[2 * n + 1]] for n in range(40)])
    mated, fold = np.array(same), np.arange(40) // 4
    kept = np.arange(40) != 5
    for number in range(10):
        rest, own = kept & (fold != number), kept & (fold == number)
        right = [np.sum((scores[rest] >= cut) == mated[rest]) for cut in scores[rest]]
        threshold = result["thresholds"][number]
        assert np.sum((scores[rest] >= threshold) == mated[rest]) == max(right)
        accuracy = np.mean((scores[own] >= threshold) == mated[own])
        assert result["folds"][number] == pytest.approx(accuracy)
    assert result["accuracy"] == pytest.approx(np.mean(result["folds"]))
    assert 0.2 < result["accuracy"] < 0.9
    (rate,) = result["rates"]
    assert (rate["trials"], rate["non_mated"], rate["false_accepts"]) == (19, 20, 5)
    assert rate["value"] == np.mean(scores[kept & mated] > np.sort(scores[kept & ~mated])[-6])


def test_a_store_without_a_list_asks_for_one(
    small: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = small.run / "checkpoints" / f"round_{ROUND:04d}.safetensors"
    command = ["evaluate", "pairs", "--store", str(small.store.path), "--model", str(model)]
    assert main([*command, "--out", str(tmp_path / "out")]) == 1
    assert "came with no list of pairs" in capsys.readouterr().err
