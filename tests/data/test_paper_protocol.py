"""``fedfr data split --protocol paper``: the paper's numbers, smaller ones, and the same split elsewhere."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_stores import named_store

from fedfr_edge.cli import main
from fedfr_edge.data import paper_protocol
from fedfr_edge.data.paper_protocol import fitting, paper_split
from fedfr_edge.data.split import Split
from fedfr_edge.data.store import FaceStore
from fedfr_edge.errors import SplitError

COUNTS = {f"p{number:02d}": 10 for number in range(12)} | {f"few{number}": 4 for number in range(8)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FaceStore:
    return named_store(tmp_path_factory.mktemp("paper") / "store", COUNTS)


class Ids:
    """As much of a store as a split asks for, with ten thousand people: 4,100 have 101 images, the rest 3."""

    path = Path("ms1m")
    digest = "0" * 64

    def __init__(self, rich: int = 4_100, total: int = 10_000) -> None:
        self.identities = tuple(f"{number:07d}" for number in range(total))
        counts = [101 if number < rich else 3 for number in range(total)]
        self.labels = np.repeat(np.arange(total), counts)
        self.ends = np.cumsum([0, *counts])
        self.names = tuple(
            f"{identity}/{image:03d}"
            for identity, n in zip(self.identities, counts, strict=True)
            for image in range(n)
        )

    def rows_of(self, identity: str) -> range:
        return range(self.ends[int(identity)], self.ends[int(identity) + 1])


@pytest.fixture(scope="module")
def ms1m() -> FaceStore:
    return Ids()  # type: ignore[return-value]


def test_the_papers_numbers(ms1m: FaceStore) -> None:
    split = paper_split(ms1m)
    assert len(split.public) == 6_000
    assert list(split.clients) == [f"client-{number:02d}" for number in range(40)]
    assert {len(people) for people in split.clients.values()} == {100}
    people = set(itertools.chain(*split.clients.values()))
    assert len(people) == 4_000
    assert not people & set(split.public)
    assert {len(names) for names in split.train.values()} == {60}
    assert {len(names) for names in split.test.values()} == {40}


def test_fewer_clients_share_the_same_four_thousand(ms1m: FaceStore) -> None:
    split = paper_split(ms1m, clients=10)
    assert [len(people) for people in split.clients.values()] == [400] * 10
    with pytest.raises(SplitError, match="cannot be shared out evenly over 7 clients"):
        paper_split(ms1m, clients=7)
    assert len(paper_split(ms1m, clients=7, per_client=5).clients) == 7


def test_a_store_that_is_too_small() -> None:
    small: FaceStore = Ids(total=9_999)  # type: ignore[assignment]
    with pytest.raises(SplitError) as raised:
        paper_split(small)
    assert str(raised.value) == (
        "6000 public and 40 × 100 client identities with 60+40 images are wanted; ms1m has 9999 identities, "
        "4100 of them with 100 images or more; what would fit: --public 5940 --clients 40 --per-client 99"
    )
    poor: FaceStore = Ids(rich=0, total=50)  # type: ignore[assignment]
    with pytest.raises(
        SplitError, match="0 of them with 100 images or more; most images of one: 3; ask for fewer"
    ):
        paper_split(poor)


@given(identities=st.integers(1, 30_000), rich=st.floats(0, 1))
def test_what_would_fit_fits(identities: int, rich: float) -> None:
    able = int(identities * rich)
    numbers = fitting(identities, able)
    if numbers is None:
        assert able == 0 or identities == 1
        return
    public, clients, each = numbers
    assert min(numbers) >= 1
    assert clients * each <= able
    assert public + clients * each <= identities
    assert public <= paper_protocol.PUBLIC
    assert clients <= 2 * paper_protocol.CLIENTS
    if identities >= 10_000 and able >= 4_000:
        assert numbers == (6_000, 40, 100)


def test_the_command(store: FaceStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "split.json"
    command = ["data", "split", str(store.path), "-o", str(out), "--protocol", "paper"]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert "has 20 identities, 0 of them with 100 images or more; most images of one: 10" in error
    command += ["--train-images", "6", "--test-images", "4"]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert "12 of them with 10 images or more" in error
    numbers = error.split("what would fit: ")[1].split()
    assert not out.exists()
    assert main([*command, *numbers, "--seed", "5"]) == 0  # the very words of the advice
    said = capsys.readouterr().out
    split = Split.load(out)
    assert f"digest      {split.digest}" in said
    assert split.seed == 5
    assert len(split.public) == int(numbers[1])
    assert main([*command, "--allow-fewer"]) == 1
    assert "draws its identities itself" in capsys.readouterr().err
    assert main([*command, "--reuse", str(out)]) == 1
    assert "--reuse takes a split as it is" in capsys.readouterr().err


def test_the_same_split_for_another_store(
    store: FaceStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another person's import of the same images may have more, and other rows."""
    split = paper_split(store, public=5, clients=2, per_client=3, train_images=6, test_images=4)
    split.save(tmp_path / "shared.json")
    other = named_store(tmp_path / "other", {"new": 3, **dict(reversed(COUNTS.items()))})
    command = ["data", "split", str(other.path), "-o", str(tmp_path / "mine.json"), "--reuse"]
    assert main([*command, str(tmp_path / "shared.json")]) == 0
    assert f"digest      {split.digest}" in capsys.readouterr().out
    mine = Split.load(tmp_path / "mine.json")
    mine.check(other)
    assert (mine.digest, mine.clients, mine.train) == (split.digest, split.clients, split.train)
    assert mine.store_digest != split.store_digest
    lacking = named_store(tmp_path / "lacking", dict.fromkeys(COUNTS, 5))
    command[2] = str(lacking.path)
    (tmp_path / "mine.json").unlink()
    assert main([*command, str(tmp_path / "shared.json")]) == 1
    assert "lacks" in capsys.readouterr().err
    assert not (tmp_path / "mine.json").exists()
    data = json.loads((tmp_path / "shared.json").read_text())
    data["seed"] += 1
    (tmp_path / "changed.json").write_text(json.dumps(data))
    assert Split.load(tmp_path / "changed.json").digest != split.digest
