"""``fedfr study`` as a user types it: tiny, so that what is tested is the bookkeeping, not learning."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedfr_edge.apps.commands import train as train_command
from fedfr_edge.cli import main
from fedfr_edge.data.split import Split
from fedfr_edge.data.store import FaceStore, StoreWriter
from fedfr_edge.errors import NonFiniteError
from fedfr_edge.evaluation.metrics import tar_at_far
from fedfr_edge.evaluation.verification import mated_scores, non_mated_scores
from fedfr_edge.train.checkpoint import load_global
from fedfr_edge.train.encoder import TorchEncoder

RECIPE = """
[data.split]
public = 4
clients = 2
per_client = 2
train_images = 4
test_images = 4

[pretrain]
backbone = "sphereface10"
dim = 16
width = 4
input_size = 28
epochs = 2

[train]
rounds = 2
epochs = [1]
batch-size = 8
learning_rate = 0.01
mining_threshold = 0.0
plot = false

[train.contrastive]
alpha_con = 2.0
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 11 people (faint blocks under much noise), a recipe, and a list of pairs."""
    folder = tmp_path_factory.mktemp("study-data")
    rng = np.random.default_rng(3)
    with StoreWriter(folder / "store", source="drawn", licence="CC0-1.0") as writer:
        for person in range(11):
            blocks = rng.integers(0, 12, (7, 7, 3)).repeat(16, 0).repeat(16, 1)
            for image in range(1, 9):
                face = (blocks + rng.integers(0, 200) * rng.random((112, 112, 3))).astype(np.uint8)
                writer.add(face, f"P_{person}", f"P_{person}/P_{person}_{image:04d}")
        writer.finish()
    (folder / "recipe.toml").write_text(RECIPE)
    lines = ["2\t2"]
    for first, second in ((0, 1), (2, 3)):
        lines += [f"P_{person}\t1\t2" for person in (first, second)]
        lines += [f"P_{first}\t{image}\tP_{second}\t{image}" for image in (3, 4)]
    (folder / "pairs.txt").write_text("\n".join(lines) + "\n")
    return folder


def study(data: Path, out: Path, *more: object) -> int:
    base = ["study", data / "store", "--out", out, "--recipe", data / "recipe.toml", "--split-per-seed"]
    return main([*map(str, base), *map(str, more)])


def read(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "study.json").read_text()))


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of two methods, measured on pairs too."""
    out = tmp_path_factory.mktemp("study") / "out"
    pairs = ("--pairs", data / "pairs.txt", "--pairs-store", data / "store")
    assert study(data, out, "--seeds", 2, "--method", "fedfr", "--method", "contrastive", *pairs) == 0
    return out


def test_every_part_is_a_run_of_its_own(finished: Path, data: Path) -> None:
    record = read(finished)
    assert record["rows"] == ["pre-trained", "contrastive", "fedfr"]
    assert [(run["row"], run["seed"]) for run in record["runs"]] == [
        (row, seed) for seed in (0, 1) for row in record["rows"]
    ]
    for seed in ("0", "1"):
        for row in ("contrastive", "fedfr"):
            for name in ("train.toml", "metrics.jsonl", "scores.json", "evaluation/personalised.json"):
                assert (finished / seed / row / name).is_file(), name
    # The seeds have other people, other starts and other rounds; the methods of one seed have the same.
    assert Split.load(finished / "0/split.json").public != Split.load(finished / "1/split.json").public
    inputs = {(run["row"], run["seed"]): run["inputs"] for run in record["runs"]}
    assert inputs["fedfr", 0]["pretrained"] == inputs["contrastive", 0]["pretrained"]
    assert inputs["fedfr", 0]["pretrained"] != inputs["fedfr", 1]["pretrained"]
    # The method fills in what it stands for, and its own table of the recipe changes that.
    assert inputs["fedfr", 0]["train"]["branch"] == "binary"
    assert inputs["contrastive", 0]["train"]["branch"] == "none"
    assert inputs["fedfr", 0]["train"]["alpha_con"] == 5.0
    assert inputs["contrastive", 0]["train"]["alpha_con"] == 2.0
    assert inputs["contrastive", 0]["train"]["batch_size"] == 8


def test_the_generic_score_is_of_people_nobody_trained_on(finished: Path, data: Path) -> None:
    store = FaceStore.open(data / "store")
    split = Split.load(finished / "1/split.json")
    clients = {name for names in split.clients.values() for name in names}
    strangers = [name for name in store.identities if name not in {*split.public, *clients}]
    assert len(strangers) == 11 - 4 - 4
    rows = np.concatenate([store.rows_of(name) for name in strangers])
    encoder = TorchEncoder(load_global(finished / "1/fedfr/checkpoints/round_0002.safetensors"), name="g")
    embeddings, labels = encoder.embed(np.array(store.images[rows])), store.labels[rows]
    non_mated = np.concatenate(list(non_mated_scores(embeddings, labels)))
    expected = tar_at_far(mated_scores(embeddings, labels), non_mated, 1e-2)
    (run,) = [run for run in read(finished)["runs"] if (run["row"], run["seed"]) == ("fedfr", 1)]
    assert run["strangers"]["people"] == 3
    assert run["strangers"]["images"] == 24
    assert run["strangers"]["rates"][0]["value"] == pytest.approx(expected.value, abs=1e-12)
    assert run["strangers"]["rates"][0]["non_mated"] == 3 * 64
    assert run["pairs"]["mated_pairs"] == 4


def test_the_table_is_mean_and_spread_of_the_records(finished: Path) -> None:
    record = read(finished)
    values = []
    for seed in (0, 1):
        results = json.loads((finished / str(seed) / "fedfr/evaluation/personalised.json").read_text())
        (result,) = [one for one in results["results"] if one["name"] == "[Θ_l, Π_l]"]
        values.append(result["verification"][0]["value"])
        far = result["verification"][0]["far_target"]
    assert far == 0.01
    (cell,) = [
        cell
        for cell in record["means"]
        if (cell["row"], cell["column"], cell["measure"]) == ("fedfr", "[Θ_l, Π_l]", "TAR@FAR 1e-2")
    ]
    assert cell["value"] == pytest.approx(np.mean(values))
    assert cell["spread"] == pytest.approx(abs(values[0] - values[1]) / math.sqrt(2))
    text = (finished / "study.md").read_text()
    table = text[text.index("### TAR@FAR 1e-2") :].splitlines()
    rows = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in table[4:7]}
    assert f"{100 * cell['value']:.2f} ± {100 * cell['spread']:.2f}" in rows["fedfr"][3]
    # Cells that a row does not have: no personal model before the rounds, no Π without a branch.
    assert [cell.strip() == "–" for cell in rows["pre-trained"]] == [False, False, True, True]
    assert [cell.strip() == "–" for cell in rows["contrastive"]] == [False, False, False, True]
    assert not any(cell.strip() == "–" for cell in rows["fedfr"])


def test_differences_are_paired_by_seed(finished: Path) -> None:
    record = read(finished)

    def tar(seed: int, name: str) -> float:
        (run,) = [run for run in record["runs"] if (run["row"], run["seed"]) == ("fedfr", seed)]
        (result,) = [result for result in run["personalised"] if result["name"] == name]
        return float(result["verification"][0]["value"])

    (outcome,) = [
        outcome
        for outcome in record["orderings"]
        if (outcome["ordering"], outcome["measure"]) == ("FedFR: Θ_g < Θ_l", "TAR@FAR 1e-2")
    ]
    for seed in (0, 1):
        assert outcome["differences"][str(seed)] == pytest.approx(tar(seed, "Θ_l") - tar(seed, "Θ_g"))
    assert outcome["holds_in"] == sum(value > 0 for value in outcome["differences"].values())


def test_again_does_nothing_anew_and_says_the_same(finished: Path, data: Path, tmp_path: Path) -> None:
    out = shutil.copytree(finished, tmp_path / "out", copy_function=shutil.copy2)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.parent != out}
    pairs = ("--pairs", data / "pairs.txt", "--pairs-store", data / "store")
    arguments = ("--seeds", 2, "--method", "fedfr", "--method", "contrastive", *pairs)
    # What train.toml names is the first folder; a study that was moved is gone on with all the same.
    assert study(data, out, *arguments) == 0
    after = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.parent != out}
    assert after == before
    assert read(out)["means"] == read(finished)["means"]

    # A part that is not whole is done again, and only that.
    scores = out / "0/fedfr/scores.json"
    whole = json.loads(scores.read_text())
    scores.write_text(scores.read_text()[:100])
    assert study(data, out, *arguments) == 0
    again = json.loads(scores.read_text())
    for key in ("personalised", "strangers", "pairs", "inputs", "training_seconds"):
        assert again[key] == whole[key], key
    changed = {path for path, time in before.items() if path.is_file() and path.stat().st_mtime_ns != time}
    assert {path.relative_to(out).parts[:2] for path in changed} == {("0", "fedfr")}


def test_a_method_that_fails_does_not_end_the_others(
    data: Path,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    true_train = train_command.train

    def train(config: train_command.TrainRun, **how: Any) -> Path:
        if config.method == "contrastive":
            raise NonFiniteError("loss_con of client-00 is not finite in step 3")
        return true_train(config, **how)

    monkeypatch.setattr(train_command, "train", train)
    start = finished / "0/pretraining/model.safetensors"
    arguments = ("--seeds", 1, "--method", "contrastive", "--method", "fedfr", "--pretrained", start)
    assert study(data, tmp_path, *arguments) == 1
    printed = capsys.readouterr().out
    assert "failed: contrastive, seed 0: NonFiniteError: loss_con of client-00 is not finite" in printed
    record = read(tmp_path)
    assert [run["row"] for run in record["runs"]] == ["pre-trained", "fedfr"]
    assert record["failures"][0]["row"] == "contrastive"
    assert "Traceback" in (tmp_path / "0/contrastive/error.txt").read_text()
    assert "## Failed" in (tmp_path / "study.md").read_text()
    # One seed has no spread, and JSON no NaN.
    assert {cell["spread"] for cell in record["means"]} == {None}

    monkeypatch.setattr(train_command, "train", true_train)
    assert study(data, tmp_path, *arguments) == 0
    assert not (tmp_path / "0/contrastive/error.txt").exists()
    assert [run["row"] for run in read(tmp_path)["runs"]] == ["pre-trained", "contrastive", "fedfr"]


def test_what_was_made_with_other_settings_is_not_gone_on_with(
    data: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shutil.copytree(finished, tmp_path / "out", copy_function=shutil.copy2)
    before = (out / "0/split.json").read_bytes()
    for old, new, message in (
        ("public = 4", "public = 5", "another [data.split]"),
        ("public = 4", "public = 50", "the store has 11"),
        ("width = 4", "width = 5", "made with width = 4, now it is 5"),
        ("learning_rate = 0.01", "learning_rate = 0.02", "learning_rate is 0.02"),
    ):
        recipe = tmp_path / "other.toml"
        recipe.write_text(RECIPE.replace(old, new))
        arguments = ("--recipe", recipe, "--seeds", 1, "--method", "fedfr")
        assert study(data, out, *arguments) == 1
        (line,) = [
            line
            for line in capsys.readouterr().out.splitlines()
            if line.startswith("failed: fedfr, seed 0: ")
        ]
        assert message in line
        assert (out / "0/split.json").read_bytes() == before
    # As it was, it goes on; nothing of the above is left.
    assert study(data, out, "--seeds", 1, "--method", "fedfr") == 0
    assert not list(out.rglob("error.txt"))


def test_a_setting_can_be_swept(data: Path, finished: Path, tmp_path: Path) -> None:
    start = finished / "0/pretraining/model.safetensors"
    arguments = ("--seeds", 1, "--method", "fedfr", "--pretrained", start)
    assert study(data, tmp_path, *arguments, "--vary", "mining_threshold=-1.0,0.99") == 0
    record = read(tmp_path)
    assert record["rows"] == [
        "pre-trained",
        "fedfr,mining_threshold=-1.0",
        "fedfr,mining_threshold=0.99",
    ]
    hard = []
    for row in record["rows"][1:]:
        (first, *_) = (tmp_path / "0" / row / "metrics.jsonl").read_text().splitlines()
        hard.append(sum(client["hard_negatives"] for client in json.loads(first)["clients"].values()))
    assert hard[0] == 2 * 4 * 8  # at -1 every public image, in both clients
    assert hard[1] < hard[0]


@pytest.mark.parametrize(
    ("more", "recipe", "message"),
    [
        (["--split", "split.json"], "", "either --split FILE or --split-per-seed"),
        (["--seeds", "3", "--pretrained", "a", "--pretrained", "b"], "", "2 --pretrained are given for 3"),
        (["--pairs", "pairs.txt"], "", "belong together"),
        (["--vary", "threshold=1"], "", "expected SETTING=VALUE"),
        (["--vary", "branch='none'"], "", "expected SETTING=VALUE"),
        (["--vary", "epochs=[0]"], "", "at least 1"),
        (["--vary", "momentum=0.1,0.1"], "", "each once"),
        (["--vary", "momentum=high"], "", "values as in a TOML file"),
        ([], "[train]\nalpha_con = 1.0\n", "what the methods differ in"),
        ([], "[train.fedsgd]\nrounds = 1\n", "no method"),
        ([], "[train", "expected a TOML file"),
    ],
)
def test_bad_input_is_one_line_and_runs_nothing(
    more: list[str], recipe: str, message: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.toml").write_text(recipe)
    shutil.copy(data / "pairs.txt", tmp_path)
    more = [str(tmp_path / text) if text.endswith(".txt") else text for text in more]
    out = tmp_path / "out"
    assert study(data, out, "--recipe", tmp_path / "recipe.toml", *more) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()
