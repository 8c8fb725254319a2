"""``fedfr runs list``, ``show`` and ``compare`` on run folders written here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from written_run import SPEC, make_run

from fedfr_edge.cli import main
from fedfr_edge.train.config import TrainConfig


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "study" / "one", TrainConfig(rounds=3, mining_threshold=0.5), done=3)
    make_run(
        tmp_path / "study" / "two",
        TrainConfig(method="fedavg", rounds=4, profile="reference"),
        done=2,
        seed=7,
        scored=False,
    )
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert main(["runs", *command]) == 0
    return capsys.readouterr().out


def fails(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert main(["runs", *command]) == 1
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    return error


def table(text: str, first: str) -> dict[str, list[str]]:
    """A printed table by its first column; columns are two blanks apart."""
    lines = text.splitlines()
    start = next(place for place, line in enumerate(lines) if line.split()[:1] == [first])
    assert set(lines[start + 1]) == {"─"}
    rows = {first: re.split(r"\s{2,}", lines[start].strip())[1:]}
    for line in lines[start + 2 :]:
        if not line.strip() or line.startswith("Scores:"):
            break
        name, *cells = re.split(r"\s{2,}", line.strip())
        rows[name] = cells
    return rows


def test_list_tells_how_far_and_how_good(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = table(printed(capsys, "list"), "run")
    one = dict(zip(rows["run"], rows["study/one"], strict=True))
    assert one["method"] == "fedfr"
    assert one["backbone"] == str(SPEC)
    assert (one["clients"], one["seed"], one["rounds"], one["state"]) == ("2", "0", "3/3", "finished")
    assert one["loss"] == "6.7500"  # (10 · 6 + 30 · 7) / 40
    assert one["FAR"] == "1e-2"  # at 1e-3 a threshold rests on three false accepts
    assert one["Θ_g: last, best"] == "40.00, 50.00 @ 1"
    assert one["personal: last, best"] == "70.00, 70.00 @ 3"
    two = dict(zip(rows["run"], rows["study/two"], strict=True))
    assert (two["method"], two["rounds"], two["state"]) == ("fedavg (reference)", "2/4", "unfinished")
    assert (two["seed"], two["Θ_g: last, best"]) == ("7", "–")

    (first, second) = json.loads(printed(capsys, "list", "study", "--json"))
    assert first["path"] == "study/one"
    assert first["scores"]["Θ_g"]["best"] == {"round": 1, "value": 0.5}
    assert first["lowest_loss"] == {"round": 2, "value": pytest.approx(5.75)}
    assert (second["done"], second["rounds"], second["scores"]) == (2, 4, {})


def test_numbers_of_show_are_those_of_the_files(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = runs / "study" / "one"
    text = printed(capsys, "show", str(path))
    assert "finished: 3 of 3 rounds" in text
    settings = [line.split() for line in text.splitlines() if "(default " in line]
    assert settings == [
        ["rounds", "3", "(default", "30)"],
        ["mining_threshold", "0.5", "(default", "0.4)"],
    ]
    assert re.search(rf"split +{'5' * 12} +split.json", text)
    assert re.search(rf"pretrained +{'b' * 12} +start.safetensors", text)
    assert "round 2: cleo left out: TrainingError" in text
    assert str(path / "checkpoints") in text
    rows = table(text, "round")
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        row = dict(zip(rows["round"], rows[str(line["round"])], strict=True))
        clients = line["clients"].values()
        for term in ("loss", "loss_cos"):
            mean = sum(c["images"] * c[term] for c in clients) / sum(c["images"] for c in clients)
            assert row[term] == f"{mean:.4f}"
        assert row["hard_neg"] == str(sum(c["hard_negatives"] for c in clients))
        assert row["seconds"] == f"{line['seconds']:.1f}"
        assert "loss_bce" not in row
        assert (row["MB_up"], row["MB_down"]) == ("1.60", "0.18")
    assert "Traffic of 3 rounds: 4.80 MB up, 0.54 MB down" in text
    rows = table(text[text.index("Scores, per cent: TAR at FAR 1e-2") :], "round")
    for line in map(json.loads, (path / "scores.jsonl").read_text().splitlines()):
        row = dict(zip(rows["round"], rows[str(line["round"])], strict=True))
        for model in line["models"]:
            assert row[f"{model['name']} TAR"] == f"{100 * model['verification'][0]['value']:.2f}"
            assert row[f"{model['name']} rank 1"] == f"{100 * model['rank_one']:.2f}"
    assert rows["0"] == ["45.00", "–", "90.00", "–"]  # no personal model at the start

    told = json.loads(printed(capsys, "show", str(path), "--json"))
    assert told["rounds_done"] == lines
    assert told["departures"]["mining_threshold"] == {"value": 0.5, "default": 0.4}
    assert told["digests"]["store"] == "a" * 64


def test_departures_are_from_the_method_and_the_profile(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = json.loads(printed(capsys, "show", str(runs / "study" / "two"), "--json"))
    assert set(told["departures"]) == {"method", "profile", "rounds"}
    assert "no client failed" not in printed(capsys, "show", str(runs / "study" / "two"))


def test_compare_says_what_differs_and_draws(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "compare", "study/one", "study/two", "--out", "curves.svg")
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    assert rows["method"] == ["fedfr", "fedavg"]
    assert rows["profile"] == ["paper", "reference"]
    assert rows["mining_threshold"] == ["0.5", "0.4"]
    assert rows["alpha_con"] == ["5", "0"]
    assert rows["seed"] == ["0", "7"]
    assert "weight_decay" not in rows  # the same in both
    assert "not comparable" not in text
    assert "losses are sums of different terms" in text
    assert "not every run has scores" in text
    losses = text[text.index("\nloss\n") :]
    curve = table(losses, "round")
    assert curve["round"] == ["one", "two"]
    assert [curve[number] for number in ("1", "2", "3")] == [
        ["6.7500", "7.4500"],
        ["5.7500", "6.4500"],
        ["6.7500", "–"],
    ]
    best = table(text, "run")
    assert best["one"] == ["5.7500 @ 2", "50.00 @ 1", "70.00 @ 3"]
    assert best["two"] == ["6.4500 @ 2", "–", "–"]
    ElementTree.parse(runs / "curves.svg")
    assert (runs / "curves.png").exists()

    told = json.loads(printed(capsys, "compare", "study/one", "study/two", "--json"))
    assert told["different"]["alpha_con"] == [5.0, 0.0]
    assert "weight_decay" not in told["different"]
    assert told["curves"]["one"]["loss"] == {"1": 6.75, "2": 5.75, "3": 6.75}
    assert told["curves"]["one"]["Θ_g TAR"]["1"] == 0.5


@pytest.mark.parametrize("what", ["store", "split", "pretrained"])
def test_compare_warns_where_data_differ(what: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(runs / "other", TrainConfig(rounds=3, mining_threshold=0.5), done=3)
    text = printed(capsys, "compare", "study/one", "other")
    assert "All settings and all data are the same" in text
    assert "remark" not in text
    record = json.loads((runs / "other" / "federation.json").read_text())
    record["settings"][what] = "c" * 64
    (runs / "other" / "federation.json").write_text(json.dumps(record))
    (remark,) = [
        line for line in printed(capsys, "compare", "study/one", "other").splitlines() if "remark" in line
    ]
    assert "not comparable" in remark
    assert {"store": "stores", "split": "splits", "pretrained": "starts"}[what] in remark


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("federation.json", "{", "federation.json"),
        ("federation.json", '{"settings": {"method": "magic"}}', "magic"),
        ("metrics.jsonl", '{"round": 1}\n', "metrics.jsonl"),
        ("metrics.jsonl", "", "lacks round 1"),
        ("scores.jsonl", "x", "scores.jsonl"),
        ("train.toml", "=", "train.toml"),
        ("checkpoints/round_0002.safetensors", "short", "round_0002.safetensors"),
    ],
)
def test_a_damaged_run_hides_no_other(
    file: str, content: str, message: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs / "study" / "two" / file).write_text(content)
    text = printed(capsys, "list")
    assert "study/one" in table(text, "run")
    (fault,) = [line for line in text.splitlines() if line.startswith("study/two: damaged: ")]
    assert message in fault
    rows = json.loads(printed(capsys, "list", "--json"))
    assert [row["path"] for row in rows] == ["study/one", "study/two"]
    assert message in rows[1]["error"]
    assert message in fails(capsys, "show", "study/two")
    assert message in fails(capsys, "compare", "study/one", "study/two")


def test_other_bad_input_is_one_line(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "empty").mkdir()
    assert "no training run in empty" in fails(capsys, "list", "empty")
    assert "nowhere is no folder" in fails(capsys, "list", "nowhere")
    assert "empty holds no federation.json" in fails(capsys, "show", "empty")
    assert "expected two or more different ones" in fails(capsys, "compare", "study/one")
    assert "expected two or more different ones" in fails(capsys, "compare", "study/one", "study/one")


def test_a_run_of_a_server_says_what_it_knows(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``flwr run`` writes no train.toml: how far the run was to go stands nowhere in its folder."""
    (runs / "study" / "one" / "train.toml").unlink()
    (row, _) = json.loads(printed(capsys, "list", "--json"))
    assert (row["rounds"], row["state"]) == (None, "?")
    assert "3 of ? rounds" in printed(capsys, "show", "study/one")


def test_listing_needs_no_torch(runs: Path) -> None:
    program = (
        "import sys; from fedfr_edge.cli import main; status = main(['runs', 'list']); "
        "sys.exit(status or ('torch' in sys.modules and 9))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "study/one" in done.stdout
