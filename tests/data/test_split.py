"""The split: what is drawn, that it is reproducible, and every contradiction that is refused."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_stores import named_store

from fedfr_edge.data.split import Split, make_split
from fedfr_edge.data.split_choice import Quota, choose_identities, choose_images, shuffled
from fedfr_edge.data.store import FaceStore
from fedfr_edge.errors import SplitError

COUNTS = {f"p{number:02d}": 10 for number in range(10)} | {"few": 4, "one": 1}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FaceStore:
    return named_store(tmp_path_factory.mktemp("split") / "store", COUNTS)


def draw(store: FaceStore, **changes: Any) -> Split:
    wanted: dict[str, Any] = {"public": 6, "clients": 2, "per_client": 2, "train_images": 6, "test_images": 4}
    return make_split(store, **{**wanted, "seed": 0, **changes})


def keyed_order(names: list[str], seed: int, purpose: str) -> list[str]:
    """The definition of :func:`shuffled`, written out."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}\0{purpose}\0{name}".encode()).hexdigest())


def test_what_is_drawn(store: FaceStore) -> None:
    split = draw(store)
    split.check(store)
    able = [name for name, count in COUNTS.items() if count >= 10]
    drawn = keyed_order(able, 0, "client identities")[:4]
    assert set(itertools.chain(*split.clients.values())) == set(drawn)
    left = [name for name in COUNTS if name not in drawn]
    assert set(split.public) == set(keyed_order(left, 0, "public identities")[:6])
    for identity in drawn:
        images = keyed_order([f"{identity}/{n:03d}" for n in range(10)], 0, f"images of {identity}")
        assert split.train[identity] == tuple(sorted(images[:6]))
        assert split.test[identity] == tuple(sorted(images[6:]))


def test_order_of_everything(store: FaceStore) -> None:
    split = draw(store)
    assert list(split.clients) == ["client-00", "client-01"]
    assert list(split.public) == sorted(split.public)
    assert list(split.train) == sorted(split.train)
    for identities in split.clients.values():
        assert list(identities) == sorted(identities)


def test_rows(store: FaceStore) -> None:
    split = draw(store)
    rows = split.public_rows(store)
    assert rows.dtype == np.int64
    assert [store.names[row] for row in rows] == [
        f"{identity}/{n:03d}" for identity in split.public for n in range(COUNTS[identity])
    ]
    for client, identities in split.clients.items():
        train, test = (split.client_rows(store, client, part) for part in ("train", "test"))
        assert [store.names[row] for row in train] == [n for i in identities for n in split.train[i]]
        assert [store.names[row] for row in test] == [n for i in identities for n in split.test[i]]
        assert not set(train.tolist()) & set(test.tolist())
        assert {store.identities[store.labels[row]] for row in train} == set(identities)
    with pytest.raises(SplitError, match="no client 'client-07'"):
        split.client_rows(store, "client-07", "train")


def test_the_order_of_rows_in_the_store_does_not_matter(store: FaceStore, tmp_path: Path) -> None:
    other = named_store(tmp_path / "turned", dict(reversed(COUNTS.items())))
    assert other.names != store.names
    first, second = draw(store), draw(other)
    assert (first.public, first.clients, first.train) == (second.public, second.clients, second.train)
    assert [store.names[row] for row in first.public_rows(store)] == [
        other.names[row] for row in second.public_rows(other)
    ]


def test_seeds(store: FaceStore) -> None:
    assert draw(store, seed=1) == draw(store, seed=1)
    splits = [draw(store, seed=seed) for seed in range(5)]
    assert len({split.public for split in splits}) > 1
    assert len({str(split.train) for split in splits}) == 5


def test_sharing_out_all_that_are_left(store: FaceStore) -> None:
    split = draw(store, public=5, clients=3, per_client=None)
    assert [len(identities) for identities in split.clients.values()] == [3, 2, 2]
    assert len(split.public) == 5
    # Ten can be clients'; two can only be public, so with one public identity wanted all ten are shared out.
    split = draw(store, public=1, clients=3, per_client=None)
    assert sorted(len(identities) for identities in split.clients.values()) == [3, 3, 4]
    assert split.public[0] in ("few", "one")


def test_identities_with_too_few_images(store: FaceStore) -> None:
    split = draw(store, public=2, clients=5, per_client=2)
    assert set(split.public) == {"few", "one"}
    split = draw(store, public=1, clients=11, per_client=1, allow_fewer=True)
    assert (len(split.train["few"]), len(split.test["few"])) == (2, 2)
    assert split.public == ("one",)


def test_client_ids_sort_as_numbers(store: FaceStore) -> None:
    wide = named_store(store.path.parent / "wide", {f"p{number:03d}": 2 for number in range(101)})
    split = make_split(wide, public=0, clients=101, per_client=1, train_images=1, test_images=1, seed=0)
    assert list(split.clients) == [f"client-{number:03d}" for number in range(101)]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"public": 9}, "9 public and 4 client identities are wanted, the store has 12"),
        ({"public": 12, "per_client": None}, "12 public and 2 client identities are wanted"),
        ({"clients": 6}, r"6 clients with 2 identities each are wanted; 10 of 12 .* the 6\+4 images"),
        ({"train_images": 7}, r"0 of 12 .* the 7\+4 images that one needs \(most: 10\)"),
        ({"clients": 13, "per_client": None, "allow_fewer": True}, "11 of 12 .* the 2 images"),
        ({"clients": 0}, "clients is 0, expected 1 or more"),
        ({"public": -1}, "public is -1"),
        ({"test_images": 0}, "test_images is 0"),
        ({"public_identities": ["p00"]}, "6 public identities are wanted, the list names 1"),
        ({"public": 2, "public_identities": ["p00", "nobody"]}, "1 of 2 public .* first 'nobody'"),
        ({"client_identities": ["p00", "p00"]}, "client identities names one of them twice"),
        ({"client_identities": ["p00", "p01"]}, "2 clients with 2 .*; 2 of 2 identities"),
        (
            {"public": 1, "public_identities": ["p00"], "client_identities": ["p00", "p01"]},
            "on both lists, public and client, first 'p00'",
        ),
        (
            {"public": 9, "client_identities": [f"p{n:02d}" for n in range(4)]},
            "the store has 12, 4 of them reserved for clients",
        ),
    ],
)
def test_what_cannot_be_drawn(store: FaceStore, changes: dict[str, Any], match: str) -> None:
    with pytest.raises(SplitError, match=match):
        draw(store, **changes)


def test_given_identities(store: FaceStore) -> None:
    public = ["p07", "one", "p03"]
    split = draw(store, public=3, public_identities=public)
    assert split.public == ("one", "p03", "p07")
    clients = ["p00", "p01", "p02", "p03", "p04"]
    split = draw(store, client_identities=clients)
    assert set(itertools.chain(*split.clients.values())) < set(clients)
    assert not set(split.public) & set(clients)
    split = draw(store, public=3, public_identities=public, client_identities=clients[:3], per_client=None)
    assert set(itertools.chain(*split.clients.values())) == {"p00", "p01", "p02"}


@settings(deadline=None)
@given(
    images=st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(1, 12), min_size=4),
    public=st.integers(0, 6),
    clients=st.integers(1, 4),
    per_client=st.none() | st.integers(1, 3),
    allow_fewer=st.booleans(),
    seed=st.integers(0, 3),
)
def test_any_choice_keeps_the_rules(
    images: dict[str, int],
    public: int,
    clients: int,
    per_client: int | None,
    allow_fewer: bool,
    seed: int,
) -> None:
    quota = Quota(4, 3, allow_fewer)
    able = sum(count >= quota.least for count in images.values())
    least = clients * (per_client or 1)
    try:
        chosen, shares = choose_identities(
            images,
            public=public,
            clients=clients,
            per_client=per_client,
            quota=quota,
            seed=seed,
            public_only=None,
            clients_only=None,
        )
    except SplitError:
        assert able < least or len(images) < public + least
        return
    assert able >= least
    assert len(chosen) == len(set(chosen)) == public
    people = list(itertools.chain(*shares))
    assert len(people) == len(set(people))
    assert not set(people) & set(chosen)
    assert len(shares) == clients
    if per_client is None:
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        assert len(people) == min(able, len(images) - public)
    else:
        assert {len(share) for share in shares} == {per_client}
    for identity in people:
        names = [f"{identity}/{number}" for number in range(images[identity])]
        train, test = choose_images(names, identity, quota, seed)
        assert train
        assert test
        assert set(train) | set(test) <= set(names)
        assert not set(train) & set(test)
        assert len(train) + len(test) == min(len(names), 7)
        if len(names) >= 7:
            assert (len(train), len(test)) == (4, 3)


@given(images=st.integers(2, 200), train=st.integers(1, 80), test=st.integers(1, 80))
def test_fewer_images_are_divided_in_proportion(images: int, train: int, test: int) -> None:
    got_train, got_test = Quota(train, test, True).of(images)
    assert got_train >= 1
    assert got_test >= 1
    if images >= train + test:
        assert (got_train, got_test) == (train, test)
    else:
        assert got_train + got_test == images
        # The nearest whole number, unless that leaves one side empty.
        exact = images * train / (train + test)
        assert abs(got_train - exact) <= 0.5 or got_train in (1, images - 1)


def test_one_more_identity_leaves_the_order_of_the_others() -> None:
    names = [f"n{number}" for number in range(20)]
    order = shuffled(names, 5, "test")
    assert order != names
    assert [name for name in shuffled([*names, "new"], 5, "test") if name != "new"] == order


def test_file_round_trip(store: FaceStore, tmp_path: Path) -> None:
    split = draw(store)
    split.save(tmp_path / "split.json")
    again = Split.load(tmp_path / "split.json")
    assert again == split
    again.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "split.json").read_bytes()
    data = json.loads((tmp_path / "split.json").read_text())
    assert data["format"] == "fedfr-split"
    assert list(data) == sorted(data)


def test_another_store(store: FaceStore, tmp_path: Path) -> None:
    split = draw(store)
    other = named_store(tmp_path / "other", {**COUNTS, "one": 2})
    match = f"made for store {store.digest[:12]}…, .* is {other.digest[:12]}…"
    for use in (split.check, split.public_rows, lambda s: split.client_rows(s, "client-00", "test")):
        with pytest.raises(SplitError, match=match):
            use(other)


def edited(split: Split, tmp_path: Path, edit: Any) -> Path:
    path = tmp_path / "split.json"
    split.save(path)
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))
    return path


def train_of(data: dict[str, Any], number: int) -> list[str]:
    return list(data["train"].values())[number]  # type: ignore[no-any-return]


CONTRADICTIONS = {
    "public and client": (
        lambda data: data["public"].append(data["clients"]["client-01"][0]),
        r"1 identities are public and a client's, first '.*' \(client-01\)",
    ),
    "two clients": (
        lambda data: data["clients"]["client-01"].append(data["clients"]["client-00"][0]),
        "is in client-00 and in client-01",
    ),
    "public twice": (lambda data: data["public"].append(data["public"][0]), "is listed twice"),
    "training and test": (
        lambda data: next(iter(data["test"].values())).append(train_of(data, 0)[0]),
        "is in training images of '.*' and in test images of",
    ),
    "image twice": (
        lambda data: train_of(data, 0).append(train_of(data, 0)[0]),
        "is in training images of '.*' and in training images of",
    ),
    "no test image": (lambda data: next(iter(data["test"].values())).clear(), "has no test image"),
    "identity without training": (
        lambda data: data["train"].pop(next(iter(data["train"]))),
        "train has no image of",
    ),
    "images of a stranger": (
        lambda data: data["test"].update(stranger=["stranger/1"]),
        "test has images of no client's identity, 'stranger'",
    ),
    "empty client": (lambda data: data["clients"].update({"client-02": []}), "client-02 has no identity"),
    "client that is a path": (
        lambda data: data["clients"].update({"../x": data["clients"].pop("client-00")}),
        "client id '../x' is not allowed",
    ),
    "unknown key": (lambda data: data.update(valid=[]), "key 'valid' is unknown"),
    "missing key": (lambda data: data.pop("seed"), "key 'seed' is missing"),
    "seed of text": (lambda data: data.update(seed="0"), "seed must be a whole number"),
    "public of numbers": (lambda data: data.update(public=[1]), "'public' is no list of names"),
    "clients as list": (lambda data: data.update(clients=[]), "'clients' is no table"),
    "train of text": (lambda data: data.update(train={"a": "b"}), "'train.a' is no list"),
    "other format": (lambda data: data.update(format="x"), "not of format 'fedfr-split'"),
    "other version": (lambda data: data.update(version=2), "format version 2, this program reads 1"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_contradictions_are_refused(store: FaceStore, tmp_path: Path, case: str) -> None:
    edit, match = CONTRADICTIONS[case]
    path = edited(draw(store), tmp_path, edit)
    with pytest.raises(SplitError, match=match) as raised:
        Split.load(path)
    assert str(path) in str(raised.value)


def test_files_that_are_no_split(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match="cannot read split"):
        Split.load(tmp_path / "nowhere.json")
    (tmp_path / "split.json").write_text("{")
    with pytest.raises(SplitError, match="not valid JSON"):
        Split.load(tmp_path / "split.json")
    (tmp_path / "split.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SplitError, match="not valid JSON"):
        Split.load(tmp_path / "split.json")


def test_images_and_identities_that_the_store_lacks(store: FaceStore, tmp_path: Path) -> None:
    """Only an edited file gets here: the digest is right, the names are not."""

    def lose_image(data: dict[str, Any]) -> None:
        train_of(data, 0)[0] = "gone"

    def foreign_image(data: dict[str, Any]) -> None:
        train_of(data, 0)[0] = f"{data['public'][0]}/000"

    for edit in (lose_image, foreign_image):
        split = Split.load(edited(draw(store), tmp_path, edit))
        with pytest.raises(SplitError, match=r"which store .* lacks"):
            split.check(store)
    split = Split.load(edited(draw(store), tmp_path, lambda data: data["public"].append("gone")))
    with pytest.raises(SplitError, match=r"names identity 'gone', which store .* lacks"):
        split.public_rows(store)
