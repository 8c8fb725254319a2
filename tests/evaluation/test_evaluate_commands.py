"""``fedfr evaluate …`` from the command line to the files, from torch and from ONNX."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from small_run import ROUND, SmallRun, make_run

from fedfr_edge.apps.models_for_evaluation import Backend, TorchSpaces, open_personals
from fedfr_edge.cli import main
from fedfr_edge.config import resolve
from fedfr_edge.evaluation.bootstrap import Resampling
from fedfr_edge.evaluation.compare import compare_files
from fedfr_edge.evaluation.outcome import READINGS
from fedfr_edge.evaluation.personalised import ClientRows, evaluate_personalised
from fedfr_edge.export.write import export_generic, export_personal
from fedfr_edge.federation.private_state import load_personal_from
from fedfr_edge.train.checkpoint import load_global, save_global, save_personal
from fedfr_edge.train.encoder import TorchEncoder

MODELS = ["Θ_g", "Θ_l", "[Θ_l, Π_l]"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    return make_run(tmp_path_factory.mktemp("evaluate"))


@pytest.fixture(scope="module")
def exported(small: SmallRun) -> Path:
    """All three models as ONNX files."""
    folder = small.run.parent / "exported"
    folder.mkdir()
    newest = load_global(small.run / "checkpoints" / f"round_{ROUND:04d}.safetensors")
    export_generic(newest, folder / "generic.onnx", calibration=None)
    for client in small.split.clients:
        model = load_personal_from(small.run / "clients" / client)
        export_personal(model, folder / f"personal-{client}.onnx", calibration=None)
    return folder


def evaluate(small: SmallRun, out: Path, *arguments: str | Path) -> int:
    base = [
        "evaluate",
        "personalised",
        "--store",
        small.store.path,
        "--split",
        small.split_file,
        "--out",
        out,
    ]
    return main([*map(str, base), *map(str, arguments)])


def results_of(out: Path) -> dict[tuple[str, str], dict]:  # type: ignore[type-arg]
    record = json.loads((out / "personalised.json").read_text())
    return {(result["reading"], result["name"]): result for result in record["results"]}


def fails(capsys: pytest.CaptureFixture[str], small: SmallRun, out: Path, *arguments: str | Path) -> str:
    assert evaluate(small, out, *arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not out.exists()
    return error


def test_a_run_gives_the_papers_three_rows_in_every_reading(
    small: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(small, tmp_path / "out", "--run", small.run) == 0
    results = results_of(tmp_path / "out")
    assert list(results) == [(reading, name) for reading in READINGS for name in MODELS]
    # 3 people with 4 test images: 18 mated pairs; 12 × 12 strangers' pairs, and 48 within the client.
    for (reading, _), result in results.items():
        for client in result["clients"]:
            rate = client["verification"][0]
            assert (rate["trials"], rate["non_mated"]) == (18, 144 if reading == "paper" else 192)
            assert client["identification"][0]["trials"] == 12
    # The same rates as from the library with two plain encoders per client.
    clients = {
        client: ClientRows(
            small.split.client_rows(small.store, client, "train"),
            small.split.client_rows(small.store, client, "test"),
        )
        for client in small.split.clients
    }
    for name, use_transform in zip(MODELS[1:], (False, True), strict=True):
        encoders = {
            client: TorchEncoder(
                load_personal_from(small.run / "clients" / client), name=name, use_transform=use_transform
            )
            for client in clients
        }
        expected = evaluate_personalised(
            encoders, small.store.images, small.store.labels, clients, resampling=Resampling(200, 0)
        )
        found = [dict(client) for client in results["standard", name]["clients"]]
        for client, of_library in zip(found, expected.clients, strict=True):
            assert client.pop("hardest") == of_library.hardest.to_dict(lambda row: small.store.names[row])
        assert found == json.loads(json.dumps(expected.to_dict()["clients"]))
    shown = capsys.readouterr().out
    assert all(name in shown for name in MODELS)
    assert "18 mated and 192 non-mated pairs" in shown
    assert "†" in shown


def test_what_is_written(small: SmallRun, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert evaluate(small, out, "--run", small.run, "--fars", "0.1", "--fpirs", "0.2", "--report") == 0
    assert {path.name for path in out.iterdir()} == {
        "personalised.json",
        "personalised.md",
        "personalised.toml",
        "curves.npz",
        "report.html",
        "figures",
    }
    record = json.loads((out / "personalised.json").read_text())
    assert record["store"]["digest"] == small.store.digest
    assert [(model["client"], model["round"]) for model in record["models"]] == [
        (None, ROUND),
        ("client-00", ROUND),
        ("client-01", ROUND),
    ]
    assert all(len(model["sha256"]) == 64 for model in record["models"])
    with np.load(out / "curves.npz") as arrays:
        assert arrays["standard/[Θ_l, Π_l]/tar"].shape == (2, arrays["standard/Θ_g/fmr"].size)
    from fedfr_edge.apps.commands.evaluate_personalised import SECTION, EvaluatePersonalisedConfig

    again = resolve(EvaluatePersonalisedConfig, SECTION, out / "personalised.toml")
    assert (again.run, again.fars, again.fpirs) == (small.run, (0.1,), (0.2,))
    intervals = record["intervals"]
    assert (intervals["replicates"], intervals["seed"], len(intervals["pairing"])) == (200, 0, 64)
    names = set(small.store.names)
    for result in record["results"]:
        for client in result["clients"]:
            rate = client["verification"][0]
            assert rate["carried"] is True
            assert rate["interval"]["low"] <= rate["value"] <= rate["interval"]["high"]
            assert rate["far_interval"]["low"] <= rate["false_accepts"] / rate["non_mated"]
            assert client["rank_one_interval"] is not None
            assert {name for pair in client["hardest"]["false_accepts"] for name in pair["names"]} <= names
            # Three people: three pairs of two own ones (not in the paper's reading), nine with strangers.
            assert len(client["hardest"]["false_accepts"]) == (9 if result["reading"] == "paper" else 12)
            assert len(client["hardest"]["false_rejects"]) == 3
    assert [(c["reading"], c["first"], c["second"]) for c in record["comparisons"][:3]] == [
        ("standard", "Θ_g", "Θ_l"),
        ("standard", "Θ_g", "[Θ_l, Π_l]"),
        ("standard", "Θ_l", "[Θ_l, Π_l]"),
    ]
    with np.load(out / "curves.npz") as arrays:
        assert arrays["standard/Θ_l/tar_replicates"].shape == (2, 200, 1)
        assert arrays["standard/Θ_l/rank_one_replicates"].shape == (2, 200)
        assert arrays["standard/Θ_l/mean_tar_band"].shape == (2, arrays["standard/Θ_g/fmr"].size)
        assert arrays["standard/Θ_l/tpir"].shape == (2, arrays["standard/Θ_g/fpir"].size)
    other = tmp_path / "other"
    assert (
        evaluate(small, other, "--run", small.run, "--round", "1", "--reading", "standard", "--fars", "0.1")
        == 0
    )
    comparison = compare_files(out, other, "Θ_l", "Θ_l")
    assert {one.measure for one in comparison.means} == {"TAR@FAR 1e-1", "rank 1"}  # what both have
    assert evaluate(small, tmp_path / "none", "--run", small.run, "--intervals", "0") == 0
    none = json.loads((tmp_path / "none" / "personalised.json").read_text())
    assert none["intervals"]["pairing"] is None
    assert none["comparisons"] == []
    assert none["results"][0]["verification"][0]["interval"] is None
    assert "| Θ_l |" in (out / "personalised.md").read_text()
    assert ">Training</h2>" in (out / "report.html").read_text()  # from the run's metrics.jsonl
    assert (out / "figures" / "losses.svg").is_file()


def test_onnx_files_give_the_same_rates_as_torch(small: SmallRun, exported: Path, tmp_path: Path) -> None:
    assert evaluate(small, tmp_path / "torch", "--run", small.run, "--reading", "standard") == 0
    assert evaluate(small, tmp_path / "onnx", "--exported", exported, "--reading", "standard") == 0
    by_torch, by_onnx = results_of(tmp_path / "torch"), results_of(tmp_path / "onnx")
    assert list(by_torch) == list(by_onnx) == [("standard", name) for name in MODELS]
    for key, result in by_torch.items():
        for one, other in zip(result["clients"], by_onnx[key]["clients"], strict=True):
            for kind in ("verification", "identification"):
                for a, b in zip(one[kind], other[kind], strict=True):
                    assert a["threshold"] == pytest.approx(b["threshold"], abs=1e-4)
                    # At most one pair may change sides of the threshold by rounding.
                    assert a["value"] == pytest.approx(b["value"], abs=1 / a["trials"] + 1e-9)


def test_exported_files_are_evaluated_without_torch(
    small: SmallRun, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.split(".")[0] in ("torch", "flwr", "safetensors") or name.startswith(
            ("fedfr_edge.train", "fedfr_edge.federation")
        ):
            monkeypatch.delitem(sys.modules, name)
    for name in ("torch", "flwr", "safetensors"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it now raises ImportError
    assert evaluate(small, tmp_path / "out", "--exported", exported, "--reading", "paper") == 0


def test_single_files_of_every_kind(small: SmallRun, exported: Path, tmp_path: Path) -> None:
    save_personal(load_personal_from(small.run / "clients" / "client-00"), tmp_path / "mine.safetensors")
    assert (
        evaluate(
            small,
            tmp_path / "out",
            "--generic",
            exported / "generic.onnx",
            "--personal",
            f"client-00={tmp_path / 'mine.safetensors'}",
            "--personal",
            f"client-01={small.run / 'clients' / 'client-01'}",
        )
        == 0
    )
    assert evaluate(small, tmp_path / "run", "--run", small.run) == 0
    mixed, of_run = results_of(tmp_path / "out"), results_of(tmp_path / "run")
    assert mixed["standard", MODELS[2]] == of_run["standard", MODELS[2]]
    only = tmp_path / "generic"
    newest = small.run / "checkpoints" / f"round_{ROUND:04d}.safetensors"
    assert evaluate(small, only, "--generic", newest, "--reading", "standard") == 0
    assert list(results_of(only)) == [("standard", "Θ_g")]


def test_an_earlier_round_takes_the_personal_models_of_that_round(small: SmallRun, tmp_path: Path) -> None:
    assert evaluate(small, tmp_path / "out", "--run", small.run, "--round", "1") == 0
    record = json.loads((tmp_path / "out" / "personalised.json").read_text())
    assert [model["round"] for model in record["models"]] == [1, 1, 1]


def recorded(small: SmallRun, run: Path, **settings: object) -> Path:
    """A copy of the run that says what it was begun with."""
    shutil.copytree(small.run, run)
    record = {"format": 1, "federation": "test", "settings": settings}
    (run / "federation.json").write_text(json.dumps(record))
    return run


def test_a_central_run_has_a_generic_model_alone(
    small: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = recorded(small, tmp_path / "run", method="central")
    for client in small.split.clients:
        shutil.rmtree(run / "clients" / client)
    assert evaluate(small, tmp_path / "out", "--run", run) == 0
    assert "is a central run and has no personal models" in " ".join(capsys.readouterr().err.split())
    results, plain = results_of(tmp_path / "out"), tmp_path / "plain"
    assert list(results) == [(reading, MODELS[0]) for reading in READINGS]
    assert evaluate(small, plain, "--generic", run / "checkpoints" / f"round_{ROUND:04d}.safetensors") == 0
    assert results_of(plain) == results


def test_a_client_that_was_never_drawn_has_no_personal_model(
    small: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = recorded(small, tmp_path / "run", method="fedfr", participation=0.5)
    assert evaluate(small, tmp_path / "all", "--run", run) == 0
    assert len(results_of(tmp_path / "all")) == 9
    shutil.rmtree(run / "clients" / "client-01")
    assert evaluate(small, tmp_path / "out", "--run", run) == 0
    assert "client-01 took part in no round" in " ".join(capsys.readouterr().err.split())
    assert len(results_of(tmp_path / "out")) == 3
    # Where everybody is asked, a folder that is not there is an error.
    whole = recorded(small, tmp_path / "whole", method="fedfr", participation=1.0)
    shutil.rmtree(whole / "clients" / "client-01")
    assert "clients/client-01 is no model file" in fails(capsys, small, tmp_path / "none", "--run", whole)


def test_a_second_stage_is_a_round_like_any_other(small: SmallRun, tmp_path: Path) -> None:
    """Its personal models with the generic one that they were made from."""
    run = recorded(small, tmp_path / "run", method="kd", second_stage="kd", rounds=1)
    first, second = (run / "checkpoints" / f"round_{number:04d}.safetensors" for number in (1, 2))
    save_global(dataclasses.replace(load_global(first), round=2), second)
    for number in (1, 2):
        out = tmp_path / f"out-{number}"
        assert evaluate(small, out, "--run", run, "--round", str(number), "--reading", "standard") == 0
        record = json.loads((out / "personalised.json").read_text())
        assert [model["round"] for model in record["models"]] == [number] * 3
    one, two = (results_of(tmp_path / f"out-{number}") for number in (1, 2))
    assert one["standard", MODELS[0]] == two["standard", MODELS[0]]
    assert one["standard", MODELS[1]] != two["standard", MODELS[1]]


def test_one_backbone_pass_gives_both_spaces(small: SmallRun) -> None:
    model = load_personal_from(small.run / "clients" / "client-00")
    faces = small.store.images[:9]
    plain, transformed = TorchSpaces(model, "cpu", batch=4).embed_each(faces)
    for found, use_transform in ((plain, False), (transformed, True)):
        expected = TorchEncoder(model, name="", use_transform=use_transform, batch=4).embed(faces)
        assert np.array_equal(found, expected)
    assert not np.allclose(plain, transformed, atol=0.05)


def test_only_one_personal_model_is_open_at_a_time(small: SmallRun, monkeypatch: pytest.MonkeyPatch) -> None:
    from fedfr_edge.apps import models_for_evaluation

    opened: list[str] = []
    original = models_for_evaluation._open_personal

    def counted(client: str, *rest: object) -> object:
        opened.append(client)
        return original(client, *rest)

    monkeypatch.setattr(models_for_evaluation, "_open_personal", counted)
    folders = {client: small.run / "clients" / client for client in small.split.clients}
    models, _ = open_personals(folders, Backend())
    assert opened == ["client-00", "client-01"]  # checked before any work begins
    for client in ("client-00", "client-00", "client-01", "client-00"):
        models[client].embed_each(small.store.images[:2])
    assert opened[2:] == ["client-00", "client-01", "client-00"]


def test_contradictions_are_refused_in_one_line(
    small: SmallRun, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, generic = tmp_path / "out", exported / "generic.onnx"
    mine = exported / "personal-client-00.onnx"
    assert "0 of the three" in fails(capsys, small, out)
    assert "2 of the three" in fails(capsys, small, out, "--run", small.run, "--generic", generic)
    assert "--round chooses" in fails(capsys, small, out, "--generic", generic, "--round", "1")
    assert "CLIENT=FILE" in fails(capsys, small, out, "--personal", str(mine))
    assert "twice" in fails(
        capsys, small, out, "--personal", f"client-00={mine}", "--personal", f"client-00={mine}"
    )
    assert "no personal model is given for client-01" in fails(
        capsys, small, out, "--personal", f"client-00={mine}"
    )
    assert "names client-07" in fails(capsys, small, out, "--personal", f"client-07={mine}")
    swapped = ["--personal", f"client-00={mine}", "--personal", f"client-01={mine}"]
    assert "is the personal model of client-00, expected that of client-01" in fails(
        capsys, small, out, *swapped
    )
    assert "is the personal model of client-00" in fails(capsys, small, out, "--generic", mine)
    assert "is a generic model" in fails(
        capsys, small, out, "--personal", f"client-00={generic}", "--personal", f"client-01={mine}"
    )
    assert "there is no model" in fails(capsys, small, out, "--generic", tmp_path / "none.onnx")
    assert "is no model file" in fails(capsys, small, out, "--generic", small.split_file)
    assert "checkpoints holds no" in fails(capsys, small, out, "--run", tmp_path)
    (tmp_path / "broken.onnx").write_bytes(b"not a model")
    assert "is no ONNX model" in fails(capsys, small, out, "--generic", tmp_path / "broken.onnx")


def pairs_file(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_pairs_from_every_kind_of_model(
    small: SmallRun, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["2\t3"]
    for fold in (0, 3):
        lines += [f"P_{fold + i}\t1\t{i + 2}" for i in range(3)]
        lines += [f"P_{fold + i}\t1\tP_{fold + i + 1}\t2" for i in range(2)] + [f"P_{fold}\t3\tLost\t1"]
    arguments = [
        "--store", small.store.path,
        "--pairs", pairs_file(tmp_path / "pairs.txt", lines),
        "--model", exported / "generic.onnx",
        "--model", exported / "personal-client-01.onnx",
        "--model", small.run / "checkpoints" / f"round_{ROUND:04d}.safetensors",
        "--out", tmp_path / "out",
    ]  # fmt: skip
    assert main(["evaluate", "pairs", *map(str, arguments)]) == 1
    assert (
        "line 7 of the list names image 'Lost/Lost_0001', which the store lacks (1 images, 2 of 12 pairs)"
        in (capsys.readouterr().err)
    )
    assert main(["evaluate", "pairs", "--allow-missing", *map(str, arguments)]) == 0
    said = capsys.readouterr()
    assert "Lost/Lost_0001" in said.err
    assert "2 pairs left out" in said.err
    record = json.loads((tmp_path / "out" / "pairs.json").read_text())
    names = [result["name"] for result in record["results"]]
    assert names == [
        "generic.onnx",
        "personal-client-01.onnx Θ_l",
        "personal-client-01.onnx [Θ_l, Π_l]",
        f"round_{ROUND:04d}.safetensors",
    ]
    for result in record["results"]:
        assert (result["mated_pairs"], result["non_mated_pairs"], result["left_out_pairs"]) == (6, 4, 2)
        assert len(result["folds"]) == 2
    # The exported generic model is the checkpoint: the same accuracy.
    assert record["results"][0]["accuracy"] == record["results"][3]["accuracy"]
    assert (tmp_path / "out" / "pairs.toml").is_file()
    assert "left out" in said.out


def test_pairs_need_a_model_and_a_list(
    small: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["evaluate", "pairs", "--store", str(small.store.path), "--out", str(tmp_path / "out")]
    assert main([*base, "--pairs", str(tmp_path / "none.txt")]) == 1
    assert "'model' is not set" in capsys.readouterr().err
    model = small.run / "checkpoints" / "round_0000.safetensors"
    assert main([*base, "--pairs", str(tmp_path / "none.txt"), "--model", str(model)]) == 1
    assert "cannot read pairs list" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
