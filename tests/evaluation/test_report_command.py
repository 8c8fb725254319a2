"""``fedfr report`` from result folders to the page: equal numbers, refusals of what cannot be compared."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_run import SmallRun, make_run

from fedfr_edge.apps.report.faces import is_private
from fedfr_edge.apps.report.names import short_names
from fedfr_edge.apps.report.paper import seed_interval
from fedfr_edge.apps.report.read import read_personalised
from fedfr_edge.apps.study.scores import Mean
from fedfr_edge.cli import main
from fedfr_edge.data.split import make_split
from fedfr_edge.data.store import FaceStore

RATES = ("--fars", "0.1", "--fars", "0.01", "--fpirs", "0.5", "--intervals", "30")


def evaluate(small: SmallRun, out: Path, *options: object, split: Path | None = None) -> Path:
    base = ("--store", small.store.path, "--split", split or small.split_file, "--out", out, *RATES)
    assert main(["evaluate", "personalised", *map(str, (*base, *options))]) == 0
    return out


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    return make_run(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def evaluation(small: SmallRun) -> Path:
    """Standard and paper reading of the run."""
    return evaluate(small, small.run.parent / "results", "--run", small.run, "--reading", "all")


def report(out: Path, *arguments: object) -> int:
    return main(["report", *map(str, arguments), "--out", str(out)])


def refused(capsys: pytest.CaptureFixture[str], out: Path, *arguments: object) -> str:
    capsys.readouterr()
    assert report(out, *arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not out.exists()
    return error


class Sound(HTMLParser):
    """Checks that tags close in order, and gathers what is fetched."""

    VOID = ("meta", "img", "br", "link", "input", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.headers = 0
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        found = dict(attrs)
        if tag == "img":
            self.images.append(found)
        if tag == "th":
            self.headers += "scope" in found
        for name in ("src", "href", "xlink:href", "srcset"):
            assert (found.get(name) or "#").startswith(("#", "data:image/jpeg;base64,"))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def page_of(out: Path) -> Sound:
    text = (out / "report.html").read_text()
    # Namespaces and a licence's address are names; nothing else may look like a place to fetch from.
    assert not re.search(r"(?:src|href|action)\s*=\s*[\"']?(?:https?:)?//", text)
    assert not re.search(r"<script|<link|<iframe|@import|url\((?!#)", text)
    return Sound(text)


def test_a_page_holds_the_numbers_of_the_evaluation(evaluation: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert report(out, evaluation) == 0
    page = page_of(out)
    record = json.loads((out / "report.json").read_text())
    original = json.loads((evaluation / "personalised.json").read_text())
    for found, expected in zip(record["results"], original["results"], strict=True):
        for client in expected["clients"]:
            client.pop("hardest")
        # Means, spreads and intervals are computed anew from clients and replicates: to the last digit.
        assert found == expected
    shown = [one for one in original["results"] if one["reading"] == "standard"]
    for result in shown:
        rate = result["verification"][0]
        assert f"{100 * rate['value']:.2f}" in page.words
        low, high = (100 * rate["interval"][side] for side in ("low", "high"))
        assert f"[{low:.1f}, {high:.1f}]" in page.words
        assert rate["worst_client"] in page.words
    figures = {path.name for path in (out / "figures").iterdir()}
    for name in ("roc", "det", "clients", "scores", "differences"):
        assert {f"{name}.svg", f"{name}.png"} <= figures
    assert "18 mated and 192 non-mated pairs" in page.words
    assert page.headers > 20
    assert page.images == []  # no face unless it is asked for
    assert "no difference shown" in page.words
    assert "1e-2" in page.words  # unsupported: there, and counted
    assert "rest on fewer than ten false accepts" in page.words
    for heading in ("As the paper reads it", "As the published code reads it", "What is left out"):
        assert heading in page.words
    markdown = (out / "report.md").read_text()
    assert markdown.startswith("# Evaluation of results")
    assert f"{100 * shown[0]['verification'][0]['value']:.2f}" in markdown
    assert (out / "report.toml").is_file()


def test_differences_are_those_of_the_evaluation(evaluation: Path, tmp_path: Path) -> None:
    assert report(tmp_path, evaluation) == 0
    found = json.loads((tmp_path / "report.json").read_text())["differences"]
    original = json.loads((evaluation / "personalised.json").read_text())["comparisons"]
    expected = {
        (one["first"], one["second"], each["measure"]): each
        for one in original
        if one["reading"] == "standard"
        for each in one["differences"]
        if each["client"] is None
    }
    assert len(found) > 3
    for one in found:
        match = expected[one["first"], one["second"], one["measure"]]
        assert one["difference"] == match["value"]
        assert one["interval"] == [match["interval"]["low"], match["interval"]["high"]]
        assert one["verdict"] == match["verdict"]


def test_bands_and_curves_are_read_back(evaluation: Path) -> None:
    arrays = np.load(evaluation / "curves.npz")
    for result in read_personalised(evaluation).results:
        prefix = f"{result.reading}/{result.name}"
        np.testing.assert_array_equal(result.tar_band, arrays[f"{prefix}/mean_tar_band"])
        np.testing.assert_array_equal(result.tpir_band, arrays[f"{prefix}/mean_tpir_band"])
        for row, client in enumerate(result.clients):
            np.testing.assert_array_equal(client.tpir_curve, arrays[f"{prefix}/tpir"][row])


def test_results_of_earlier_versions_are_read(evaluation: Path, tmp_path: Path) -> None:
    """Without intervals, TPIR curves, hard pairs and the split's digest; what is missing is said."""
    old = tmp_path / "old"
    shutil.copytree(evaluation, old)
    record = json.loads((old / "personalised.json").read_text())
    del record["intervals"], record["comparisons"], record["split"]["sha256"]
    for result in record["results"]:
        for mean in (*result["verification"], *result["identification"]):
            del mean["interval"], mean["carried"]
        for client in result["clients"]:
            del client["hardest"], client["people"], client["rank_one_interval"]
            for rate in (*client["verification"], *client["identification"]):
                del rate["interval"], rate["far_interval"], rate["carried"]
    (old / "personalised.json").write_text(json.dumps(record))
    arrays = np.load(evaluation / "curves.npz")
    kept = ("clients", "fmr", "tar", "mated_histogram", "non_mated_histogram", "histogram_edges")
    np.savez(old / "curves.npz", **{key: arrays[key] for key in arrays.files if key.split("/")[-1] in kept})
    assert report(tmp_path / "out", old, evaluation) == 0
    words = page_of(tmp_path / "out").words
    assert "old was written without intervals" in words
    assert report(tmp_path / "alone", old) == 0
    words = page_of(tmp_path / "alone").words
    assert "No intervals by people" in words
    assert "TPIR over FPIR: these results hold no such curves" in words


def test_two_runs_side_by_side(small: SmallRun, evaluation: Path, tmp_path: Path) -> None:
    """The generic model of an earlier round beside the run: same people, other names, paired differences."""
    start = small.run / "checkpoints" / "round_0001.safetensors"
    earlier = evaluate(
        small, tmp_path / "earlier", "--generic", start, "--fars", "0.05", "--reading", "standard"
    )
    assert report(tmp_path / "out", earlier, evaluation) == 0
    record = json.loads((tmp_path / "out" / "report.json").read_text())
    names = [result["name"] for result in record["results"] if result["reading"] == "standard"]
    assert [name.rpartition("/")[2] for name in names] == [
        "earlier Θ_g",
        *(f"results {name}" for name in ("Θ_g", "Θ_l", "[Θ_l, Π_l]")),
    ]
    between = [one for one in record["differences"] if one["first"] == names[0]]
    assert {one["second"] for one in between} == {names[-1]}
    assert any("1 FAR (5e-2)" in text for text in record["left_out"])
    for result in record["results"]:
        assert [rate["far_target"] for rate in result["verification"]] == [0.1, 0.01]
    page_of(tmp_path / "out")


def test_a_run_with_an_evaluation_inside(small: SmallRun, evaluation: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(evaluation, run / "evaluation")
    settings = {"settings": {"method": "fedavg", "branch": "none", "seed": 3}}
    (run / "federation.json").write_text(json.dumps(settings))
    rounds = [{"round": number, "clients": {"a": {"loss": 1 / number}}} for number in (1, 2, 3)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rounds))
    assert report(tmp_path / "out", run) == 0
    assert (
        "Loss terms over 2 rounds" in page_of(tmp_path / "out").words
    )  # those that were measured, no later ones
    record = json.loads((tmp_path / "out" / "report.json").read_text())
    # Without a branch Π is the identity: the third model is the second.
    assert {result["name"] for result in record["results"]} == {"Θ_g", "Θ_l"}
    assert any("without a branch" in text for text in record["left_out"])


def test_methods_name_runs_and_fill_the_papers_tables(evaluation: Path, tmp_path: Path) -> None:
    for method, branch in (("fedavg", "none"), ("fedfr", "binary"), ("contrastive", "none")):
        shutil.copytree(evaluation, tmp_path / method / "evaluation")
        settings = {"settings": {"method": method, "branch": branch}}
        (tmp_path / method / "federation.json").write_text(json.dumps(settings))
    assert report(tmp_path / "out", *(tmp_path / name for name in ("fedfr", "fedavg", "contrastive"))) == 0
    record = json.loads((tmp_path / "out" / "report.json").read_text())
    titles = [table["title"] for table in record["tables"]]
    assert any("Table 1" in title for title in titles)
    assert any("Table 3" in title for title in titles)
    first = record["tables"][0]
    assert [row[0] for row in first["rows"]] == [
        "FedAvg",
        "+ contrastive",
        "+ DFC (FedFR)",
    ]  # the paper's order
    original = json.loads((evaluation / "personalised.json").read_text())["results"]
    branch = next(one for one in original if (one["reading"], one["name"]) == ("standard", "[Θ_l, Π_l]"))
    column = next(place for place, text in enumerate(first["header"]) if "TAR@FAR 1e-1" in text)
    assert first["rows"][2][column] == f"{100 * branch['verification'][0]['value']:.2f}"


def study_folder(evaluation: Path, folder: Path, rows: tuple[str, ...], seeds: tuple[int, ...]) -> Path:
    """A study's folder, its rates shifted a little from row to row and seed to seed."""
    results = [
        one
        for one in json.loads((evaluation / "personalised.json").read_text())["results"]
        if one["reading"] == "standard"
    ]
    runs = []
    for place, row in enumerate(rows):
        for seed in seeds:
            shutil.copytree(evaluation, folder / str(seed) / row / "evaluation")
            personalised = json.loads(json.dumps(results))
            for result in personalised:
                for rate in result["verification"]:
                    rate["value"] = 0.2 + 0.05 * place + 0.001 * seed
            strangers = {
                "people": 2,
                "images": 14,
                "rates": [{"value": 0.1 + 0.02 * place, "far_target": 0.1, "false_accepts": 40}],
            }
            branch = "binary" if row.startswith("fedfr") else "none"
            runs.append(
                {
                    "row": row,
                    "seed": seed,
                    "inputs": {"train": {"branch": branch}},
                    "personalised": personalised,
                    "strangers": strangers,
                    "pairs": None,
                }
            )
    record = {
        "version": "0",
        "settings": {"store": "faces", "split_per_seed": True},
        "seeds": list(seeds),
        "rows": list(rows),
        "runs": runs,
        "failures": [{"row": "kd", "seed": 1, "error": "it was late"}],
    }
    (folder / "study.json").write_text(json.dumps(record))
    return folder


def test_a_study(evaluation: Path, tmp_path: Path) -> None:
    rows = ("pre-trained", "fedavg", "fedfr", "fedfr,mining_threshold=0.3", "fedfr,mining_threshold=0.5")
    study = study_folder(evaluation, tmp_path / "study", rows, (0, 1, 2))
    assert report(tmp_path / "out", study) == 0
    page = page_of(tmp_path / "out")
    record = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [result["name"] for result in record["results"]] == list(rows)
    assert len(record["results"][0]["clients"]) == 6  # two clients, three seeds
    # Seeds share people, so that intervals by people alone would be too narrow.
    assert record["results"][0]["verification"][0]["interval"] is None
    table = next(one for one in record["tables"] if "Table 1" in one["title"])
    mean = Mean(0.301, 0.001, 3, 40)
    low, high = seed_interval(mean) or (0.0, 0.0)
    assert f"30.10 [{100 * low:.1f}, {100 * high:.1f}]" in table["rows"][2]
    assert low == pytest.approx(0.301 - 4.3027 * 0.001 / 3**0.5, abs=1e-6)
    differences = {(one["first"], one["second"], one["measure"]): one for one in record["differences"]}
    gain = differences["fedavg", "fedfr", "TAR@FAR 1e-1"]
    assert gain["difference"] == pytest.approx(0.05)
    assert gain["verdict"] == "higher"
    sweep = next(one for one in record["sweeps"] if one["name"] == "sweep-mining_threshold")
    (line,) = sweep["panels"][0]["lines"]
    assert [(point["x"], round(point["value"], 3)) for point in line["points"]] == [(0.3, 0.16), (0.5, 0.18)]
    assert "kd, seed 1 failed: it was late" in page.words
    assert (tmp_path / "out" / "figures" / "sweep-mining_threshold.svg").is_file()


@pytest.mark.parametrize("unit", ["clients", "people of a client"])
def test_studies_of_other_sizes_become_points_of_a_figure(
    unit: str, evaluation: Path, tmp_path: Path
) -> None:
    rows, seeds = ("fedavg", "fedfr"), (0, 1)
    one = study_folder(evaluation, tmp_path / "one", rows, seeds)
    other = study_folder(evaluation, tmp_path / "other", rows, seeds)
    record = json.loads((other / "study.json").read_text())
    for run in record["runs"]:
        for result in run["personalised"]:
            if unit == "clients":
                result["clients"] = result["clients"][:1]
            else:
                result["clients"][0]["gallery"] = 2
    (other / "study.json").write_text(json.dumps(record))
    assert report(tmp_path / "out", one, other) == 0
    sweeps = json.loads((tmp_path / "out" / "report.json").read_text())["sweeps"]
    assert [(one["setting"], [p["x"] for p in one["panels"][0]["lines"][0]["points"]]) for one in sweeps] == [
        (unit, [1, 2] if unit == "clients" else [2, 3])
    ]


def test_studies_and_results_do_not_mix(
    evaluation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = study_folder(evaluation, tmp_path / "study", ("fedavg", "fedfr"), (0, 1))
    assert "report them apart" in refused(capsys, tmp_path / "out", study, evaluation)
    again = tmp_path / "again"
    shutil.copytree(study, again)
    assert "studies of as many clients and people" in refused(capsys, tmp_path / "out", study, again)


def test_a_reproduction(evaluation: Path, tmp_path: Path) -> None:
    folder = study_folder(evaluation, tmp_path / "r", ("fedavg", "fedfr"), (0, 1))
    record = json.loads((folder / "study.json").read_text())
    (folder / "study.json").unlink()
    for run in record["runs"]:
        (folder / str(run["seed"]) / run["row"] / "scores.json").write_text(json.dumps(run))

    def cell(line: str, value: float, accepts: int) -> dict[str, Any]:
        return {
            "line": line,
            "column": "generic TAR@FAR 1e-2",
            "values": {"0": value, "1": value},
            "mean": value,
            "spread": 0.01,
            "interval": [value - 0.1, value + 0.1],
            "least_false_accepts": accepts,
        }

    ordering = {
        "ordering": "generic: FedAvg < + shared data",
        "measure": "TAR@FAR 1e-2",
        "differences": {"0": 0.1, "1": 0.2},
        "mean": 0.15,
        "interval": [0.05, 0.25],
    }
    common = {
        "version": "0",
        "scale": "tiny",
        "seeds": [0, 1],
        "failures": [],
        "remarks": ["small."],
        "settings": {},
    }
    table = {
        **common,
        "target": "table1",
        "parts": [
            {
                "title": "Table 1",
                "x": None,
                "cells": [cell("fedavg", 0.25, 50), cell("fedfr", 0.5, 3)],
                "orderings": [ordering],
            }
        ],
        "published": [{"row": "fedfr", "measure": "IJB-C", "value": 77.7, "source": "a paper"}],
    }
    figure = {
        **common,
        "target": "figure3",
        "parts": [
            {"title": "t", "x": x, "cells": [cell("fedfr", x, 50), cell("weak", x, 3)], "orderings": []}
            for x in (0.3, 0.5)
        ],
        "published": [],
    }
    (folder / "reproduce-table1.json").write_text(json.dumps(table))
    (folder / "reproduce-figure3.json").write_text(json.dumps(figure))
    assert report(tmp_path / "out", folder) == 0
    page_of(tmp_path / "out")
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert found["tables"][0]["rows"] == [
        ["fedavg", "25.00 [15.0, 35.0]", "–"],
        ["fedfr", "50.00 †3 [40.0, 60.0]", "77.70"],
    ]
    assert found["tables"][0]["header"] == ["", "generic: TAR@FAR 1e-2", "paper: IJB-C"]
    (line,) = found["sweeps"][0]["panels"][0]["lines"]
    assert (line["method"], [point["x"] for point in line["points"]]) == ("fedfr", [0.3, 0.5])
    assert [one["first"] for one in found["differences"]] == ["fedavg", "generic: FedAvg"]
    assert found["differences"][1]["interval"] == [0.05, 0.25]
    assert "small." in found["left_out"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<details><summary>Figure 3: the threshold" in page  # its figure has the same numbers
    assert "Figure 3, scale tiny" in page


def test_pairs_and_ijbc(evaluation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rate = {
        "value": 0.5,
        "trials": 9,
        "threshold": 0.3,
        "far_target": 0.1,
        "false_accepts": 1,
        "non_mated": 12,
        "supported": False,
    }
    pairs = {
        "version": "0",
        "store": {"path": "lfw", "digest": "d", "licence": "x"},
        "pairs": {"path": "pairs.txt", "count": 24},
        "results": [
            {
                "name": "m.onnx",
                "mated_pairs": 9,
                "non_mated_pairs": 12,
                "folds": [0.75, 0.85],
                "thresholds": [0.2, 0.3],
                "best_accuracy": 0.9,
                "best_threshold": 0.2,
                "rates": [rate],
                "auc": 0.91,
                "eer": 0.12,
                "left_out_pairs": 3,
                "missing_images": ["a", "b"],
            }
        ],
    }
    ijbc = {
        "version": "0",
        "templates": 4,
        "faces": {"listed": 40, "in_no_template": 0, "missing": {"f": "gone"}},
        "detector_score": False,
        "results": [
            {
                "name": "m.onnx",
                "dim": 4,
                "verification": {
                    "mated_pairs": 9,
                    "non_mated_pairs": 1200,
                    "left_out_pairs": 2,
                    "pairs_against_subject_lists": 0,
                    "rates": [{**rate, "value": 0.625, "supported": True}],
                },
                "identification": [
                    {
                        "reading": "standard",
                        "rates": [{"fpir_target": 0.1, "value": 0.375}],
                        "retrieval": {"1": 0.5, "5": 0.75},
                        "galleries": [
                            {
                                "gallery": "G1",
                                "people": 3,
                                "mated_probes": 5,
                                "non_mated_probes": 6,
                                "left_out_probes": 1,
                                "rates": [{"false_accepts": 4}],
                            }
                        ],
                    }
                ],
            }
        ],
    }
    for name, record in (("pairs", pairs), ("ijbc", ijbc)):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.json").write_text(json.dumps(record))
    assert report(tmp_path / "out", tmp_path / "pairs", tmp_path / "ijbc", evaluation) == 0
    page = page_of(tmp_path / "out")
    for text in ("80.00 ± 7.07", "50.00 †1", "62.50", "37.50 †4", "IJB-C, 1:N, standard reading"):
        assert text in page.words
    for text in (
        "3 of 24 pairs of pairs: 2 of their images",
        "1 of 40 faces of IJB-C",
        "2 template pairs",
        "1 probes",
    ):
        assert text in page.words
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "pairs.json").write_text(json.dumps({**pairs, "pairs": {"path": "p", "count": 25}}))
    assert "different lists of pairs" in refused(
        capsys, tmp_path / "x", tmp_path / "pairs", tmp_path / "other"
    )


def test_results_of_other_people_are_refused(
    small: SmallRun, evaluation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = make_split(small.store, public=2, clients=2, per_client=3, train_images=2, test_images=5, seed=1)
    split.save(tmp_path / "split.json")
    start = small.run / "checkpoints" / "round_0001.safetensors"
    other = evaluate(small, tmp_path / "other", "--generic", start, split=tmp_path / "split.json")
    error = refused(capsys, tmp_path / "out", evaluation, other)
    assert "other people or images" in error
    assert "report them apart" in error


def test_faces_only_from_stores_that_may_be_shown(
    small: SmallRun, evaluation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(tmp_path / "open", evaluation, "--faces", small.store.path) == 0
    page = page_of(tmp_path / "open")
    names = set(small.store.names)
    assert 2 <= len(page.images) <= 32
    assert len(page.images) % 2 == 0
    assert {image["alt"] for image in page.images} <= names
    assert "Terms of use of these faces: CC0-1.0" in page.words
    pairs = json.loads((tmp_path / "open" / "report.json").read_text())["hardest_pairs"]
    for pair in pairs:
        people = {name.split("/")[0] for name in pair["names"]}
        assert (len(people) == 1) == (pair["kind"] == "false reject")
        assert (pair["score"] < pair["threshold"]) == (pair["kind"] == "false reject")

    private = tmp_path / "private"
    shutil.copytree(small.store.path, private)
    manifest = json.loads((private / "manifest.json").read_text())
    manifest["licence"] = "the family's own"
    (private / "manifest.json").write_text(json.dumps(manifest))
    assert FaceStore.open(private).digest == small.store.digest
    error = refused(capsys, tmp_path / "out", evaluation, "--faces", private)
    assert "--show-private" in error
    assert "the family's own" in error
    assert report(tmp_path / "shown", evaluation, "--faces", private, "--show-private") == 0
    words = page_of(tmp_path / "shown").words
    assert "the family's own" in words
    assert "pass this page on only to those who may see them" in words

    from small_run import make_store

    other = make_store(tmp_path / "other", people=3)
    assert "not the store" in refused(capsys, tmp_path / "out", evaluation, "--faces", other.path)


@pytest.mark.parametrize(
    ("licence", "private"),
    [
        ("CC0-1.0 (synthetic)", False),
        ("CC-BY-4.0", False),
        ("public domain", False),
        ("MIT", False),
        ("not stated", True),
        ("research only", True),
        ("own", True),
        ("no CC0", True),
        ("MITigated", True),
        ("CC BY-NC-ND 4.0", True),
    ],
)
def test_which_licences_let_faces_be_shown(licence: str, private: bool) -> None:
    assert is_private(licence) == private


def test_folders_without_results(
    small: SmallRun, evaluation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert "is no folder" in refused(capsys, out, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "holds no results" in refused(capsys, out, tmp_path / "empty")
    assert "given twice" in refused(capsys, out, evaluation, evaluation)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "federation.json").write_text("{}")
    assert "fedfr evaluate personalised --run" in refused(capsys, out, tmp_path / "run")
    broken = tmp_path / "broken"
    shutil.copytree(evaluation, broken)
    (broken / "curves.npz").write_bytes((evaluation / "curves.npz").read_bytes()[:1000])
    assert "cannot be read" in refused(capsys, out, broken)
    (broken / "curves.npz").unlink()
    assert "cannot be read" in refused(capsys, out, broken)
    (broken / "personalised.json").write_text("{")
    assert "cannot read" in refused(capsys, out, broken)
    (broken / "personalised.json").write_text("[]")
    assert "cannot read" in refused(capsys, out, broken)
    study = tmp_path / "study"
    study.mkdir()
    (study / "study.json").write_text(json.dumps({"rows": ["fedavg"], "seeds": [0], "runs": [{}]}))
    assert "run fedfr study again" in refused(capsys, out, study)
    (study / "study.json").write_text(json.dumps({"rows": ["fedavg"], "seeds": [0], "runs": []}))
    assert "no finished part" in refused(capsys, out, study)


def test_short_names_tell_folders_apart(tmp_path: Path) -> None:
    def names(*paths: str) -> list[str]:
        return short_names([tmp_path / path for path in paths])

    assert names("a/evaluation", "b/evaluation") == ["a", "b"]
    assert names("x/a", "y/a") == ["x/a", "y/a"]
    assert names("a", "a/evaluation") == ["a", "a/evaluation"]
    assert names("a/results") == ["results"]


def test_intervals_over_seeds_stay_within_a_share() -> None:
    assert seed_interval(Mean(0.01, 0.05, 3, None)) == (
        0.0,
        pytest.approx(0.01 + 4.3027 * 0.05 / 3**0.5, abs=1e-4),
    )
    assert seed_interval(dataclasses.replace(Mean(0.5, 0.1, 3, None), seeds=1)) is None
