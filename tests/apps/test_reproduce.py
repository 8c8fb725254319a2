"""``fedfr reproduce`` as a user types it: one seed, two clients; bookkeeping is tested, not learning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedfr_edge.cli import main
from fedfr_edge.data.split import Split
from fedfr_edge.train.checkpoint import load_global

DIFFERENCES = """
[data.synth]
identities = 26
images = 8

[data.split]
public = 8
clients = 2
per_client = 4
train_images = 4
test_images = 4

[pretrain]
dim = 16
width = 4
epochs = 1

[train]
rounds = 1
epochs = [1]
second-epochs = 1
batch_size = 16
mining_threshold = -1.0

[reproduce]
seeds = 1
grid_clients = 2
grid_people = [2, 1]
thresholds = [-1.0, 0.99]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reproduce")
    (folder / "differences.toml").write_text(DIFFERENCES)
    return folder


def reproduce(folder: Path, target: str, *more: object, out: Path | None = None) -> int:
    base = ["reproduce", target, "--recipe", folder / "differences.toml", "--out", out or folder / "out"]
    return main([*map(str, base), *map(str, more)])


def record_of(out: Path, target: str) -> dict[str, Any]:
    return dict(json.loads((out / f"reproduce-{target}.json").read_text()))


@pytest.fixture(scope="module")
def finished(folder: Path) -> Path:
    """Table 1, then Table 3, in one folder."""
    assert reproduce(folder, "table1") == 0
    return folder / "out"


def cell(part: dict[str, Any], line: str, column: str) -> dict[str, Any]:
    (found,) = [one for one in part["cells"] if (one["line"], one["column"]) == (line, column)]
    return dict(found)


def test_a_table_reads_the_runs_beside_it(finished: Path) -> None:
    record = record_of(finished, "table1")
    (part,) = record["parts"]
    scores = json.loads((finished / "0/fedfr/scores.json").read_text())
    (branch,) = [one for one in scores["personalised"] if one["name"] == "[Θ_l, Π_l]"]
    found = cell(part, "fedfr", "personal TAR@FAR 1e-2")
    assert found["mean"] == branch["verification"][0]["value"]
    assert found["interval"] is None  # one seed
    (rate,) = [one for one in scores["strangers"]["rates"] if one["far_target"] == 1e-2]
    assert cell(part, "fedfr", "generic TAR@FAR 1e-2")["mean"] == rate["value"]
    assert (
        cell(part, "fedfr", "generic TPIR@FPIR 1e-1")["mean"] == scores["strangers"]["searches"][0]["value"]
    )
    # Without a branch Π is the identity, and Θ_l is the personal model; the start has none but itself.
    scores = json.loads((finished / "0/fedavg/scores.json").read_text())
    (backbone,) = [one for one in scores["personalised"] if one["name"] == "Θ_l"]
    assert cell(part, "fedavg", "personal TAR@FAR 1e-2")["mean"] == backbone["verification"][0]["value"]
    scores = json.loads((finished / "0/pre-trained/scores.json").read_text())
    (generic,) = scores["personalised"]
    assert cell(part, "pre-trained", "personal TAR@FAR 1e-2")["mean"] == generic["verification"][0]["value"]
    assert {one["source"] for one in part["orderings"]} == {"Table 1"}
    assert {one["verdict"] for one in part["orderings"]} == {"not shown"}
    text = (finished / "reproduce-table1.md").read_text()
    assert "no difference shown" in text
    for ending in ("svg", "png"):
        assert (finished / f"reproduce-table1.{ending}").stat().st_size > 1000


def test_targets_share_what_they_have_in_common(
    folder: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [path for path in finished.rglob("*") if path.is_file() and path.parent != finished]
    before = {path: path.stat().st_mtime_ns for path in runs}
    assert reproduce(folder, "table3") == 0
    printed = capsys.readouterr().out
    runs = [path for path in finished.rglob("*") if path.is_file() and path.parent != finished]
    assert {path: path.stat().st_mtime_ns for path in runs} == before  # nothing trained, nothing measured
    (part,) = record_of(finished, "table3")["parts"]
    assert {one["line"] for one in part["cells"]} == {"Θ_g", "Θ_l", "[Θ_l, Π_l]"}
    assert {one["ordering"] for one in part["orderings"]} == {"FedFR: Θ_g < Θ_l", "FedFR: Θ_l < [Θ_l, Π_l]"}
    assert "Orderings of the paper" in printed
    assert "Paper: –" in printed  # no figure of the paper is shipped that nobody could check


def test_the_papers_figures_stand_beside_ours(folder: Path, finished: Path, tmp_path: Path) -> None:
    file = tmp_path / "paper.toml"
    entry = '[[figure]]\ntarget = "table3"\nrow = "Θ_l"\nmeasure = "TAR@FAR 1e-5"\nsource = "a test"\n'
    file.write_text(entry + "value = 12.345\n" + entry.replace("table3", "table1") + "value = 1.0\n")
    assert reproduce(folder, "table3", "--published", file) == 0
    lines = (finished / "reproduce-table3.md").read_text().splitlines()
    header = next(line for line in lines if "TAR@FAR 1e-2" in line)
    rows = {
        line.split("|")[1].strip(): line.split("|")[-2].strip() for line in lines if line.startswith("| ")
    }
    assert header.split("|")[-2].strip() == "paper: TAR@FAR 1e-5"
    assert (rows["Θ_l"], rows["Θ_g"]) == ("12.35", "–") or rows["Θ_l"] == "12.34"
    assert "Paper: a test." in lines
    file.write_text(entry)
    assert reproduce(folder, "table3", "--published", file) == 1
    assert reproduce(folder, "table3") == 0


def test_the_sweep_uses_the_tables_run_for_the_usual_threshold(folder: Path, finished: Path) -> None:
    stamp = (finished / "0/fedfr/scores.json").stat().st_mtime_ns
    assert reproduce(folder, "figure3") == 0
    assert (finished / "0/fedfr/scores.json").stat().st_mtime_ns == stamp
    record = record_of(finished, "figure3")
    assert [part["x"] for part in record["parts"]] == [-1.0, 0.99]
    assert sorted(path.name for path in (finished / "0").glob("fedfr*")) == [
        "fedfr",
        "fedfr,mining_threshold=0.99",
    ]
    # At −1 every public image is a hard negative.
    assert record["hard_negatives"]["-1"] == [8 * 8]
    assert record["hard_negatives"]["0.99"][0] < 8 * 8


def test_the_grid_deals_the_same_people_out(folder: Path, finished: Path) -> None:
    assert reproduce(folder, "figure4", "--share-proxies") == 0
    record = record_of(finished, "figure4")
    assert [part["x"] for part in record["parts"]] == [2, 1]
    table = Split.load(finished / "0/split.json")
    two, one = (Split.load(finished / f"figure4/splits/seed-0-people-{n}.json") for n in (2, 1))
    owned = {name for hand in table.clients.values() for name in hand}
    for split, people in ((two, 2), (one, 1)):
        assert split.public == table.public
        assert [len(hand) for hand in split.clients.values()] == [people, people]
        assert {name for hand in split.clients.values() for name in hand} <= owned
        assert all(table.train[name] == images for name, images in split.train.items())
    assert all(set(one.clients[name]) < set(two.clients[name]) for name in one.clients)
    # The start is the tables' own, and unseen are those whom no client of the tables has.
    unseen = {
        json.loads(file.read_text())["strangers"]["people"]
        for file in finished.glob("figure4/people-*/0/*/scores.json")
    }
    assert unseen == {26 - 8 - 8}
    first = load_global(finished / "figure4/people-1/0/fedavg/checkpoints/round_0000.safetensors")
    start = load_global(finished / "0/pretraining/model.safetensors")
    assert all(np.array_equal(first.backbone[key], start.backbone[key]) for key in start.backbone)
    (kinds,) = {tuple(sorted({one["line"] for one in part["cells"]})) for part in record["parts"]}
    assert kinds == ("fedavg", "fedface", "fedfr", "pre-trained")


def test_without_share_proxies_fedface_is_left_out_and_that_is_said(
    folder: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reproduce(folder, "figure4") == 0
    assert "fedface is left out" in capsys.readouterr().out
    record = record_of(finished, "figure4")
    assert "fedface" not in {one["line"] for part in record["parts"] for one in part["cells"]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table1", "--scale", "small"], "needs faces"),
        (["table1", "--scale", "paper"], "needs faces"),
        (["table1", "--images-per-second", "3"], "is for --plan"),
        (["table1", "--pairs", "pairs.txt"], "belong together"),
    ],
)
def test_bad_input_is_one_line_and_runs_nothing(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    store = ["--store", str(tmp_path)] if "belong" in message else []
    assert main(["reproduce", *arguments, *store, "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (out / "0").exists()


def test_another_recipe_is_refused(folder: Path, finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = folder / "other.toml"
    other.write_text(DIFFERENCES.replace("rounds = 1", "rounds = 2"))
    assert main(["reproduce", "table3", "--recipe", str(other), "--out", str(finished)]) == 1
    assert "was begun with train.rounds = 1, now it is 2" in capsys.readouterr().err
    # What is only shown may change.
    other.write_text(DIFFERENCES + "personal_fars = [0.1]\n")
    assert main(["reproduce", "table3", "--recipe", str(other), "--out", str(finished)]) == 0
    other.write_text(DIFFERENCES + "[trian]\nrounds = 1\n")
    assert main(["reproduce", "table3", "--recipe", str(other), "--out", str(finished)]) == 1
    assert "[trian]" in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.parametrize("target", ["table1", "table2", "table3", "figure3", "figure4"])
def test_tiny(target: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every target as it is shipped; they share a folder, so each costs what it has of its own."""
    out = tmp_path_factory.getbasetemp() / "reproduce-tiny"
    command = ["reproduce", target, "--scale", "tiny", "--out", str(out), "--share-proxies"]
    assert main(command) == 0
    record = record_of(out, target)
    assert not record["failures"]
    assert record["seconds"] < 20 * 60
    # Rendered people are learned: far above chance, and far from what cannot be got better.
    values = [one["mean"] for part in record["parts"] for one in part["cells"] if "1e-2" in one["column"]]
    assert 0.05 < np.median(values) < 0.99
    assert all(len(one["values"]) == 3 for part in record["parts"] for one in part["cells"])
