"""``fedfr evaluate ijbc`` from images to files, on a small set in the official layout."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from ijbc_set import IjbcSet, SlowSearch, make_set, slow_tar, slow_templates, write_set
from lookup_encoder import unit
from small_run import SPEC

from fedfr_edge.apps import embedding_file
from fedfr_edge.cli import main
from fedfr_edge.config import resolve
from fedfr_edge.data.readers import landmarked
from fedfr_edge.data.store import FaceStore
from fedfr_edge.export.write import export_generic
from fedfr_edge.train.backbones.backbone import build_backbone
from fedfr_edge.train.checkpoint import GlobalModel, cpu_state, load_global, save_global
from fedfr_edge.train.encoder import TorchEncoder
from fedfr_edge.types import AlignedFaces, Embeddings
from fedfr_edge.vision.align import align
from fedfr_edge.vision.image import read_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ijbc")


@pytest.fixture(scope="module")
def made(folder: Path) -> IjbcSet:
    return make_set(folder / "set", subjects=8, probes=24, images=True)


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    """A generic model as a checkpoint, and beside it as an ONNX file."""
    import torch

    path = folder / "model.safetensors"
    start = GlobalModel(SPEC, cpu_state(build_backbone(SPEC, seed=3)), torch.zeros((2, SPEC.dim)), 1)
    save_global(start, path)
    export_generic(start, folder / "model.onnx", calibration=None)
    return path


def evaluate(made: IjbcSet, model: Path, out: Path, *arguments: str | Path) -> int:
    base = ["evaluate", "ijbc", "--root", made.root, "--model", model, "--out", out, "--jobs", "1"]
    return main([*map(str, base), *map(str, arguments)])


def result_of(out: Path) -> dict:  # type: ignore[type-arg]
    (result,) = json.loads((out / "ijbc.json").read_text())["results"]
    return result  # type: ignore[no-any-return]


def embeddings_by_hand(made: IjbcSet, model: Path, *, flip: bool) -> dict[str, np.ndarray]:
    """Aligned and embedded one by one."""
    encoder = TorchEncoder(load_global(model), name="")
    found = {}
    for name in made.names:
        face = align(read_image(made.root / "loose_crop" / name), made.landmarks[name].astype(np.float32))
        embedding = encoder.embed(face[None]).astype(np.float64)
        if flip:
            embedding = unit(embedding + encoder.embed(face[None, :, ::-1].copy()))
        found[name] = embedding[0]
    return found


@pytest.mark.parametrize(("flip", "weigh"), [(True, True), (False, False)])
def test_figures_from_images_agree_with_loops(
    made: IjbcSet, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flip: bool, weigh: bool
) -> None:
    options = ["--fars", "0.2", "--fars", "0.05", "--fpirs", "0.3", "--faces", str(tmp_path / "faces")]
    options += [] if flip else ["--no-flip"]
    options += [] if weigh else ["--no-detector-score"]
    assert evaluate(made, model, tmp_path / "out", *options) == 0
    slow = slow_templates(made, embeddings_by_hand(made, model, flip=flip), weigh)
    result = result_of(tmp_path / "out")
    mated, non_mated = (
        [float(slow[one] @ slow[two]) for one, two, label in made.pairs if label == wanted]
        for wanted in (1, 0)
    )
    for rate, far in zip(result["verification"]["rates"], (0.2, 0.05), strict=True):
        assert rate["value"] == pytest.approx(slow_tar(mated, non_mated, far))
        assert (rate["trials"], rate["non_mated"]) == (len(mated), len(non_mated))
    searches = [SlowSearch(made, slow, made.galleries[name]) for name in ("G1", "G2")]
    standard, reference = result["identification"]
    assert standard["rates"][0]["value"] == pytest.approx(np.mean([one.standard(0.3) for one in searches]))
    assert standard["retrieval"]["5"]["value"] == pytest.approx(
        np.mean([one.retrieval(5) for one in searches])
    )
    joined = SlowSearch(made, slow, [*made.galleries["G1"], *made.galleries["G2"]])
    assert reference["rates"][0]["value"] == pytest.approx(joined.reference(0.3))
    assert reference["retrieval"]["1"]["value"] == pytest.approx(joined.retrieval(1))
    shown = capsys.readouterr().out
    for title in ("1:1 verification", "standard reading", "reference reading"):
        assert title in shown


def test_what_is_written(
    made: IjbcSet, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert evaluate(made, model, out, "--protocol", "verification") == 0
    assert {path.name for path in out.iterdir()} == {
        "ijbc.json", "ijbc.md", "ijbc.toml", "roc.npz", "embeddings",
    }  # fmt: skip
    record = json.loads((out / "ijbc.json").read_text())
    assert record["faces"] == {"listed": len(made.names), "in_no_template": 0, "missing": {}}
    assert record["results"][0]["identification"] == []
    assert len(record["models"][0]["sha256"]) == 64
    with np.load(out / "roc.npz") as arrays:
        assert arrays["model.safetensors/tar"].shape == arrays["model.safetensors/fmr"].shape
    assert "| model.safetensors |" in (out / "ijbc.md").read_text()
    for file in (out / "embeddings").iterdir():
        assert file.stat().st_mode & 0o077 == 0
    from fedfr_edge.apps.commands.evaluate_ijbc import SECTION, EvaluateIjbcConfig

    for file in (made.root / "meta").glob("*.csv"):
        file.rename(file.with_suffix(".away"))
    try:
        faces = tmp_path / "faces"  # other identities: no subject is known
        assert evaluate(made, model, tmp_path / "no", "--protocol", "verification", "--faces", faces) == 0
    finally:
        for file in (made.root / "meta").glob("*.away"):
            file.rename(file.with_suffix(".csv"))
    assert "remark: no intervals" in " ".join(capsys.readouterr().err.split())
    assert result_of(tmp_path / "no")["verification"]["rates"][0]["interval"] is None
    assert resolve(EvaluateIjbcConfig, SECTION, out / "ijbc.toml").protocol == "verification"
    store = FaceStore.open(made.root / "aligned", verify=True)
    assert store.names == tuple(made.names)
    subjects = {f"subject-{subject}" for subject in made.subject_of.values()}
    assert set(store.identities) == subjects
    one = store.row_of("3.jpg")
    face = align(read_image(made.root / "loose_crop/3.jpg"), made.landmarks["3.jpg"].astype(np.float32))
    assert np.array_equal(store.images[one], face)


def test_a_checkpoint_and_its_export_give_the_same(
    made: IjbcSet, model: Path, folder: Path, tmp_path: Path
) -> None:
    both = tmp_path / "both"
    assert evaluate(made, model, both, "--model", folder / "model.onnx", "--protocol", "identification") == 0
    record = json.loads((both / "ijbc.json").read_text())
    by_torch, by_onnx = record["results"]
    differences = [one for found in record["comparisons"] for one in found["differences"]]
    assert {one["verdict"] for one in differences} == {"no difference shown"}
    assert "no difference shown" in (both / "ijbc.md").read_text()
    assert by_torch["verification"] is None
    for one, other in zip(by_torch["identification"], by_onnx["identification"], strict=True):
        for a, b in zip(one["galleries"], other["galleries"], strict=True):
            assert a["rates"][0]["threshold"] == pytest.approx(b["rates"][0]["threshold"], abs=1e-4)
            assert a["rates"][0]["value"] == pytest.approx(b["rates"][0]["value"], abs=0.051)


class Interrupted(Exception):
    pass


def test_aligning_goes_on_where_it_stopped(
    made: IjbcSet, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = tmp_path / "faces"
    read: list[str] = []
    original = landmarked.LandmarkedReader.read
    stop_at: list[int] = [10]

    def counted(self: landmarked.LandmarkedReader, image: landmarked.LandmarkedImage) -> object:
        if len(read) in stop_at:
            raise Interrupted
        read.append(image.name)
        return original(self, image)

    monkeypatch.setattr(landmarked.LandmarkedReader, "read", counted)
    with pytest.raises(Interrupted):
        evaluate(made, model, tmp_path / "out", "--faces", faces)
    stop_at.clear()
    assert evaluate(made, model, tmp_path / "out", "--faces", faces) == 0
    assert read == made.names  # each once
    assert evaluate(made, model, tmp_path / "out", "--faces", faces) == 0
    assert len(read) == len(made.names)
    assert evaluate(made, model, tmp_path / "whole") == 0
    assert FaceStore.open(faces).digest == FaceStore.open(made.root / "aligned").digest
    assert result_of(tmp_path / "whole") == result_of(tmp_path / "out")


class Half:
    """An encoder that is cut off in the middle."""

    name, dim = "half", 4

    def __init__(self, table: np.ndarray, left: int) -> None:
        self.table, self.left, self.seen = table, left, 0

    def embed(self, faces: AlignedFaces) -> Embeddings:
        if self.left <= 0:
            raise Interrupted
        self.left -= len(faces)
        self.seen += len(faces)
        return self.table[faces[:, 0, 0, 0]]


def test_embedding_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_file, "IMAGES_AT_ONCE", 8)
    table = unit(np.random.default_rng(0).standard_normal((50, 4)))
    images = np.zeros((50, 112, 112, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(50)
    seen: list[tuple[int, int]] = []

    def progress(what: str, done: int, total: int) -> None:
        seen.append((done, total))

    with pytest.raises(Interrupted):
        embedding_file.embed_into_file(Half(table, 20), images, tmp_path, {"model": "a"}, progress)
    (file,) = tmp_path.glob("*.f32")
    assert file.stat().st_size == 24 * 16
    file.write_bytes(file.read_bytes()[:-5])  # torn: that row is made anew
    encoder = Half(table, 50)
    found = embedding_file.embed_into_file(encoder, images, tmp_path, {"model": "a"}, progress)
    assert np.array_equal(found, table)
    assert encoder.seen == 50 - 23
    assert seen[-1] == (50, 50)
    embedding_file.embed_into_file(Half(table, 0), images, tmp_path, {"model": "a"}, progress)
    other = Half(table, 50)
    embedding_file.embed_into_file(other, images, tmp_path, {"model": "b"}, progress)
    assert other.seen == 50


def fails(capsys: pytest.CaptureFixture[str], made: IjbcSet, model: Path, out: Path, *more: str) -> str:
    assert evaluate(made, model, out, *more) == 1
    error = capsys.readouterr().err
    last = error.splitlines()[-1]
    assert last.startswith("error: ")
    assert not (out / "ijbc.json").exists()
    return last


def test_missing_and_damaged_images(
    made: IjbcSet, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = IjbcSet(tmp_path / "set", **{k: v for k, v in vars(made).items() if k != "root"})
    shutil.copytree(made.root, copy.root, ignore=shutil.ignore_patterns("aligned"))
    crops, out = copy.root / "loose_crop", tmp_path / "out"
    gone = [name for name, template, _ in made.rows if template == made.probes[0]]
    for name in gone:
        (crops / name).unlink()
    error = fails(capsys, copy, model, out)
    assert f"{len(gone)} of {len(made.names)} faces give no aligned image" in error
    assert f"they are not in {crops}" in error
    assert not (copy.root / "aligned").exists()
    broken = next(name for name in made.names if name not in gone)
    (crops / broken).write_bytes(b"no image")
    assert evaluate(copy, model, out, "--allow-missing") == 0
    record = json.loads((out / "ijbc.json").read_text())
    assert record["faces"]["missing"] == {**dict.fromkeys(gone, "missing"), broken: "undecodable"}
    assert record["results"][0]["verification"]["left_out_pairs"] > 0
    assert f"{len(gone) + 1} images are missing or damaged" in (out / "ijbc.md").read_text()
    assert "not comparable" in capsys.readouterr().out
    # The finished store still lacks them: no figure without being told so.
    error = fails(capsys, copy, model, tmp_path / "again")
    assert "skipped.csv" in error
    shutil.rmtree(crops)
    shutil.rmtree(copy.root / "aligned")
    assert f"cannot list {crops}" in fails(capsys, copy, model, tmp_path / "none")


def test_bad_landmarks_wrong_stores_and_wrong_models(
    made: IjbcSet, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = IjbcSet(tmp_path / "set", **{k: v for k, v in vars(made).items() if k != "root"})
    shutil.copytree(made.root, copy.root)
    copy.landmarks = dict(made.landmarks)
    copy.landmarks["2.jpg"] = made.landmarks["2.jpg"][[1, 0, 2, 4, 3]]  # mirrored: no face, but given
    write_set(copy)
    out = tmp_path / "out"
    assert "is a store of another list of faces" in fails(capsys, copy, model, out)
    assert evaluate(copy, model, out, "--faces", tmp_path / "faces") == 0
    assert "2.jpg,subject-" in (tmp_path / "faces" / "notes.csv").read_text()
    assert len(FaceStore.open(tmp_path / "faces")) == len(made.names)
    copy.landmarks["2.jpg"] = np.full((5, 2), 9.0)
    write_set(copy)
    error = fails(capsys, copy, model, tmp_path / "one", "--faces", str(tmp_path / "more"))
    assert "1 of" in error
    assert "(2.jpg)" in error
    missing = tmp_path / "no.onnx"
    assert "there is no model" in fails(capsys, made, missing, tmp_path / "two")
    assert "cannot read" in fails(capsys, IjbcSet(tmp_path), model, tmp_path / "three")
