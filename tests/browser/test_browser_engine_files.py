"""What the server hands to a page that decides by itself, and what it says where a part is missing."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import onnx
import pytest

from fedfr_edge.apps.known_models import known_models, shipped_models
from fedfr_edge.apps.web.browser_files import (
    DETECTOR,
    MODEL,
    RUNTIME_FILES,
    RUNTIME_FOLDER,
    about_browser,
    browser_files,
    runtime_place,
)
from fedfr_edge.errors import MissingPartError, ModelError
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.policy import LoginPolicy
from fedfr_edge.vision.runtime import open_session

PARTS = {name: b"\0asm of old" if name.endswith(".wasm") else name.encode() for name in RUNTIME_FILES}
"""A runtime as far as the server looks into it."""


@pytest.fixture(scope="module")
def encoder() -> OnnxEncoder:
    (model,) = shipped_models()
    return OnnxEncoder(model, provider="cpu")


def folder(place: Path, parts: dict[str, bytes]) -> Path:
    place.mkdir(parents=True)
    for name, data in parts.items():
        (place / name).write_bytes(data)
    return place


def package(path: Path, parts: dict[str, bytes]) -> Path:
    """As npm packs it, with other files before and between."""
    with tarfile.open(path, "w:gz") as archive:
        for name, data in {"../../evil": b"no", **{f"package/dist/{n}": d for n, d in parts.items()}}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def test_browser_files_are_model_detector_and_runtime(encoder: OnnxEncoder, tmp_path: Path) -> None:
    as_package = browser_files(encoder, package(tmp_path / "web.tgz", PARTS))
    unpacked = folder(tmp_path / "package" / "dist", PARTS)
    for given in (unpacked, unpacked.parent):
        assert browser_files(encoder, given) == as_package
    assert set(as_package) == {MODEL, DETECTOR, *(RUNTIME_FOLDER + name for name in RUNTIME_FILES)}
    for name in RUNTIME_FILES:
        assert as_package[RUNTIME_FOLDER + name].content == PARTS[name]
    assert [as_package[place].kind for place in sorted(as_package)] == [
        "application/octet-stream",
        "application/octet-stream",
        "text/javascript; charset=utf-8",
        "application/wasm",
        "text/javascript; charset=utf-8",
    ]
    assert hashlib.sha256(as_package[MODEL].content).hexdigest() == encoder.digest
    # The detector is the one that the library runs: weights no inputs, any height and width.
    network = onnx.load_model_from_string(as_package[DETECTOR].content)
    assert len(network.graph.input) == 1
    session = open_session(as_package[DETECTOR].content, provider="cpu")
    heat = session.run(None, {session.get_inputs()[0].name: np.zeros((1, 3, 64, 96), np.float32)})[0]
    assert heat.shape == (1, 1, 16, 24)


def test_browser_files_that_are_missing(encoder: OnnxEncoder, tmp_path: Path) -> None:
    wasm = RUNTIME_FILES[-1]
    lacking = {name: data for name, data in PARTS.items() if name != wasm}
    nonsense = tmp_path / "nonsense.tgz"
    nonsense.write_bytes(b"nonsense")
    cut = tmp_path / "cut.tgz"
    cut.write_bytes(package(tmp_path / "whole.tgz", {**PARTS, wasm: b"\0asm" * 9999}).read_bytes()[:-40])
    for given, found in (
        (tmp_path / "nowhere.tgz", "nowhere.tgz"),
        (tmp_path, RUNTIME_FILES[0]),
        (folder(tmp_path / "lacking", lacking), wasm),
        (package(tmp_path / "lacking.tgz", lacking), wasm),
        (nonsense, "cannot be read as npm's onnxruntime-web"),
        (cut, "cannot be read as npm's onnxruntime-web"),
        (folder(tmp_path / "html", {**PARTS, wasm: b"<html>"}), "no WebAssembly"),
    ):
        with pytest.raises(MissingPartError) as caught:
            browser_files(encoder, given)
        text = str(caught.value)
        assert found in text
        assert "fedfr models get onnxruntime-web" in text
        assert "\n" not in text
    assert not (tmp_path.parent / "evil").exists()


def test_browser_runtime_is_looked_for_where_it_was_put(
    encoder: OnnxEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDFR_MODELS", str(tmp_path))
    assert runtime_place() == tmp_path / known_models()["onnxruntime-web"].file
    package(runtime_place(), PARTS)
    assert browser_files(encoder)[RUNTIME_FOLDER + RUNTIME_FILES[0]].content == PARTS[RUNTIME_FILES[0]]


def test_browser_settings_are_the_librarys(encoder: OnnxEncoder, tmp_path: Path) -> None:
    files = browser_files(encoder, folder(tmp_path / "dist", PARTS))
    about = about_browser(encoder, files, policy=LoginPolicy(far=1e-2, frames=(2, 3)))
    json.dumps(about, allow_nan=False)
    record = encoder.manifest.threshold_at(1e-2)
    assert record is not None
    assert about["model"]["threshold"] == about["engine"]["point"]["threshold"] == record.threshold
    assert about["frames"] == about["engine"]["login"]["frames"] == [2, 3]
    assert not about["liveness"]
    for name, place in (("model", MODEL), ("detector", DETECTOR)):
        file = about["engine"]["files"][name]
        assert f"/{file['address']}" == place
        assert file["sha256"] == hashlib.sha256(files[place].content).hexdigest()
    with pytest.raises(ModelError, match="no threshold"):
        about_browser(encoder, files, policy=LoginPolicy(far=1e-5))
