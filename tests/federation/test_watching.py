"""What ``fedfr train`` writes beside a run: scores, event files, the plot."""

from __future__ import annotations

import importlib.util
import json
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from small_federation import CLIENTS, World, assert_same_bits, plain_loop

from fedfr_edge.apps.runs import plot, scores, watch
from fedfr_edge.cli import main
from fedfr_edge.train.checkpoint import load_global


def command(world: World, out: Path, *more: str, rounds: int = 2) -> list[str]:
    return [
        "train",
        *("--pretrained", str(world.pretrained), "--store", str(world.store), "--split", str(world.split)),
        *("--public-store", str(world.public_store), "--out", str(out), "--rounds", str(rounds)),
        *("--epochs", "1", "--batch-size", "8", "--mining-threshold", "0", "--learning-rate", "0.01"),
        *("--seed", "7", *more),
    ]


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def numbers(path: Path) -> list[dict[str, Any]]:
    """Scores without how long they took."""
    return [{key: value for key, value in line.items() if key != "seconds"} for line in json_lines(path)]


def event_steps(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


@pytest.fixture(scope="module")
def watched(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("watched") / "run"
    assert main(command(world, out, "--score-every", "1", "--tensorboard")) == 0
    return out


def test_scores_are_those_of_evaluate_personalised(world: World, watched: Path, tmp_path: Path) -> None:
    lines = json_lines(watched / "scores.jsonl")
    assert [line["round"] for line in lines] == [0, 1, 2]
    assert [model["name"] for model in lines[0]["models"]] == ["Θ_g"]
    for line in lines:
        number = line["round"]
        models = ["--run", str(watched), "--round", str(number)]
        if number == 0:
            models = ["--generic", str(watched / "checkpoints" / "round_0000.safetensors")]
        evaluate = ["evaluate", "personalised", "--store", str(world.store), "--split", str(world.split)]
        out = tmp_path / str(number)
        assert (
            main(
                [
                    *evaluate,
                    *models,
                    "--reading",
                    "standard",
                    "--fars",
                    "1e-2",
                    "--intervals",
                    "0",
                    "-o",
                    str(out),
                ]
            )
            == 0
        )
        results = json.loads((out / "personalised.json").read_text())["results"]
        assert [model["name"] for model in line["models"]] == [result["name"] for result in results]
        for model, result in zip(line["models"], results, strict=True):
            assert model["verification"] == result["verification"]
            assert model["rank_one"] == result["rank_one"]
            for client in result["clients"]:
                mine = model["clients"][client["client"]]
                assert mine["tar"] == [rate["value"] for rate in client["verification"]]
                assert mine["rank_one"] == client["rank_one"]


def test_watching_changes_no_bit_of_the_run(world: World, watched: Path) -> None:
    newest = load_global(watched / "checkpoints" / "round_0002.safetensors")
    assert_same_bits(newest, plain_loop(world, 2)[0])


def test_event_files_hold_the_numbers_of_the_json_lines(watched: Path) -> None:
    found = event_steps(watched / "tensorboard")
    records = json_lines(watched / "metrics.jsonl")
    for client in CLIENTS:
        for name in ("loss", "loss_bce", "hard_negatives"):
            wanted = [(record["round"], record["clients"][client][name]) for record in records]
            assert [step for step, _ in found[f"{client}/{name}"]] == [step for step, _ in wanted]
            values = [value for _, value in wanted]
            assert [value for _, value in found[f"{client}/{name}"]] == pytest.approx(values, rel=1e-6)
    lines = json_lines(watched / "scores.jsonl")
    ranks = {line["round"]: line["models"][0]["rank_one"] for line in lines}
    assert dict(found["scores/Θ_g rank 1"]) == pytest.approx(ranks, rel=1e-6)
    assert len(found["scores/Θ_g rank 1"]) == len(ranks)


def test_the_plot_has_a_panel_for_every_number(watched: Path) -> None:
    ElementTree.parse(watched / "run.svg")
    assert (watched / "run.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    drawn: list[plot.Panel] = []
    rounds, lines = json_lines(watched / "metrics.jsonl"), json_lines(watched / "scores.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plot, "_grid", lambda *arguments: drawn.extend(arguments[3]))
        plot.run_figure("title", rounds, lines)
    panels = {panel.title: panel.lines for panel in drawn}
    assert list(panels) == [
        "TAR at FAR 1e-2, %",
        "rank 1, %",
        *(plot.TITLES[name] for name in ("loss", "loss_cos", "loss_con", "loss_bce")),
        *(plot.TITLES[name] for name in ("hard_negatives", "seconds")),
    ]
    (line,) = panels[plot.TITLES["loss_cos"]]
    for (number, mean), (_, low, high), record in zip(line.points, line.band, rounds, strict=True):
        clients = record["clients"].values()
        weight = sum(client["images"] for client in clients)
        assert number == record["round"]
        assert mean == pytest.approx(sum(c["loss_cos"] * c["images"] for c in clients) / weight)
        assert (low, high) == (min(c["loss_cos"] for c in clients), max(c["loss_cos"] for c in clients))
    generic = next(line for line in panels["rank 1, %"] if line.name == "Θ_g")
    assert generic.points == [(line["round"], 100 * line["models"][0]["rank_one"]) for line in lines]


def test_printed_scores_and_files(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(world, tmp_path / "run", "--score-every", "5", "--no-plot", rounds=1)) == 0
    printed = capsys.readouterr().out
    lines = json_lines(tmp_path / "run" / "scores.jsonl")
    assert [line["round"] for line in lines] == [0, 1]  # the start, and the last one
    for line in lines:
        rank_one = line["models"][0]["rank_one"]
        (shown,) = [text for text in printed.splitlines() if f"scores after round {line['round']}:" in text]
        assert f"rank 1 {100 * rank_one:.2f}" in shown
    assert str(tmp_path / "run" / "scores.jsonl") in printed
    assert not list((tmp_path / "run").glob("run.*"))
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_a_kill_between_a_round_and_its_scores_loses_and_doubles_nothing(
    world: World, watched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    score = scores.Scorer.score

    def killed(self: scores.Scorer, round: int, *more: Any) -> dict[str, Any]:
        if round == 1:
            raise KeyboardInterrupt
        return score(self, round, *more)

    with monkeypatch.context() as patch:
        patch.setattr(scores.Scorer, "score", killed)
        assert main(command(world, out, "--score-every", "1", "--tensorboard", "--no-plot")) == 130
    assert [line["round"] for line in json_lines(out / "scores.jsonl")] == [0]
    assert [line["round"] for line in json_lines(out / "metrics.jsonl")] == [1]
    assert main(command(world, out, "--score-every", "1", "--tensorboard", "--no-plot")) == 0
    assert numbers(out / "scores.jsonl") == numbers(watched / "scores.jsonl")
    found = event_steps(out / "tensorboard")
    assert [step for step, _ in found["round/loss"]] == [1, 2]
    assert [step for step, _ in found["scores/Θ_g rank 1"]] == [0, 1, 2]

    # Scores of rounds that are to be done again are made again too.
    (out / "checkpoints" / "round_0002.safetensors").unlink()
    text = (out / "scores.jsonl").read_text(encoding="utf-8").replace('"round": 2', '"round": 9')
    (out / "scores.jsonl").write_text(text, encoding="utf-8")
    assert main(command(world, out, "--score-every", "1", "--no-plot")) == 0
    assert numbers(out / "scores.jsonl") == numbers(watched / "scores.jsonl")


def test_rounds_whose_personal_models_are_gone_are_scored_without_them(
    world: World, watched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(command(world, out, "--no-plot", rounds=4)) == 0
    assert not (out / "scores.jsonl").exists()
    assert main(command(world, out, "--no-plot", "--score-every", "1", rounds=4)) == 0
    lines = numbers(out / "scores.jsonl")
    assert [len(line["models"]) for line in lines] == [1, 1, 3, 3, 3]  # private folders keep three rounds
    assert "keeps no state of round 1 any more" in lines[1]["remarks"][0]
    assert "keeps no state of round 1 any more" in capsys.readouterr().err
    assert lines[1]["models"] == numbers(watched / "scores.jsonl")[1]["models"][:1]
    assert lines[2] == numbers(watched / "scores.jsonl")[2]


def test_a_client_that_has_not_taken_part_is_scored_with_the_generic_model(
    world: World, tmp_path: Path
) -> None:
    assert main(command(world, tmp_path, "--no-plot", "--participation", "0.4", rounds=1)) == 0
    assert main(
        command(world, tmp_path, "--no-plot", "--participation", "0.4", "--score-every", "1", rounds=1)
    ) == 0  # fmt: skip
    (record,) = json_lines(tmp_path / "metrics.jsonl")
    (took_part,) = record["clients"]
    line = numbers(tmp_path / "scores.jsonl")[1]
    models = {model["name"]: model["clients"] for model in line["models"]}
    assert len(line["remarks"]) == 2
    for client in CLIENTS:
        same = models["Θ_l"][client] == models["[Θ_l, Π_l]"][client] == models["Θ_g"][client]
        assert same or client == took_part


def test_a_central_run_has_scores_of_its_one_model(world: World, tmp_path: Path) -> None:
    more = ("--method", "central", "--score-every", "1", "--no-plot")
    assert main(command(world, tmp_path, *more, rounds=1)) == 0
    assert [[model["name"] for model in line["models"]] for line in numbers(tmp_path / "scores.jsonl")] == [
        ["Θ_g"],
        ["Θ_g"],
    ]


def test_a_failing_plot_ends_no_run_and_is_said_once(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no ink")

    monkeypatch.setattr(watch, "run_figure", fails)
    assert main(command(world, tmp_path)) == 0
    assert " ".join(capsys.readouterr().err.split()).count("could not be drawn (no ink)") == 1


def test_drawing_is_left_out_where_it_would_hold_up_the_run(tmp_path: Path) -> None:
    now, drawn = 0.0, []

    def draw_it() -> None:
        nonlocal now
        drawn.append(now)
        now += 2.0  # drawing takes two seconds

    plotter = plot.Plotter(draw_it, tmp_path, "run", print, clock=lambda: now)
    plotter()
    now = 5.0
    plotter()  # three seconds after the last one
    assert drawn == [0.0]
    now = 12.5
    plotter()
    assert drawn == [0.0, 12.5]
    plotter.close()  # nothing is left out
    assert drawn == [0.0, 12.5]
    plotter()
    plotter.close()
    assert drawn == [0.0, 12.5, 14.5]


def test_what_is_missing_is_said_before_anything_is_written(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "tensorboard" else find(name, package)

    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", without)
        assert main(command(world, tmp_path / "run", "--tensorboard")) == 1
    error = capsys.readouterr().err
    assert "pip install 'fedfr-edge[tensorboard]'" in error
    assert len(error.splitlines()) == 1

    # A split whose people have one test image each carries no mated pair.
    split = json.loads(world.split.read_text())
    split["test"] = {name: images[:1] for name, images in split["test"].items()}
    few = tmp_path / "few.json"
    few.write_text(json.dumps(split))
    poor = World(world.store, world.public_store, few, world.pretrained)
    assert main(command(poor, tmp_path / "run", "--score-every", "1")) == 1
    error = capsys.readouterr().err
    assert "--score-every needs two clients or more" in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_damaged_scores_are_said_in_one_line(
    world: World, watched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(world, tmp_path, "--score-every", "1", "--no-plot", rounds=1)) == 0
    (tmp_path / "scores.jsonl").write_text('{"round": 0, "mod')
    capsys.readouterr()
    assert main(command(world, tmp_path, "--score-every", "1", "--no-plot", rounds=1)) == 1
    error = capsys.readouterr().err
    assert "scores.jsonl" in error
    assert "delete it and the scores are made again" in error
    (tmp_path / "scores.jsonl").unlink()
    assert main(command(world, tmp_path, "--score-every", "1", "--no-plot", rounds=1)) == 0
    assert [line["round"] for line in json_lines(tmp_path / "scores.jsonl")] == [0, 1]
