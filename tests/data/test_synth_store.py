"""Filling a store, interrupted or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedfr_edge.data.synth import generate
from fedfr_edge.data.synth.faces import render_faces
from fedfr_edge.data.synth.generate import synthesize_store
from fedfr_edge.errors import DataError


def test_a_store_of_synthetic_people(tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    store = synthesize_store(
        tmp_path / "store", identities=3, images=4, seed=2, progress=lambda *call: calls.append(call)
    )
    assert len(store) == 12
    assert store.identities == ("synth-0000", "synth-0001", "synth-0002")
    assert store.names[5] == "synth-0001/0001"
    assert store.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert np.array_equal(store.images, render_faces(2, [(i // 4, i % 4) for i in range(12)]))
    assert store.manifest["licence"] == "CC0-1.0 (synthetic)"
    assert store.manifest["source"].startswith("synthetic, fedfr-edge renderer v")
    assert calls[-1][1:] == (12, 12)


def test_an_interrupted_store_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = synthesize_store(tmp_path / "whole", identities=2, images=5, seed=2)
    monkeypatch.setattr(generate, "_CHUNK", 4)

    def stop(what: str, done: int, total: int) -> None:
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize_store(tmp_path / "part", identities=2, images=5, seed=2, progress=stop)
    rendered: list[int] = []

    def watched(seed: int, pairs: list[tuple[int, int]]) -> object:
        rendered.append(len(pairs))
        return render_faces(seed, pairs)

    monkeypatch.setattr(generate, "render_faces", watched)
    store = synthesize_store(tmp_path / "part", identities=2, images=5, seed=2)
    assert store.digest == whole.digest
    assert sum(rendered) == 6


def test_processes_change_nothing(tmp_path: Path) -> None:
    one = synthesize_store(tmp_path / "one", identities=2, images=20, seed=3)
    two = synthesize_store(tmp_path / "two", identities=2, images=20, seed=3, jobs=2)
    assert one.digest == two.digest


def test_more_images_leave_the_first_as_they_were(tmp_path: Path) -> None:
    few = synthesize_store(tmp_path / "few", identities=1, images=2, seed=7)
    many = synthesize_store(tmp_path / "many", identities=2, images=3, seed=7)
    assert np.array_equal(few.images[:2], many.images[:2])


@pytest.mark.parametrize(("identities", "images", "seed"), [(0, 3, 0), (3, 0, 0), (3, 3, -1)])
def test_bad_counts_leave_nothing_behind(tmp_path: Path, identities: int, images: int, seed: int) -> None:
    with pytest.raises(DataError, match="expected"):
        synthesize_store(tmp_path / "store", identities=identities, images=images, seed=seed)
    assert not (tmp_path / "store").exists()
