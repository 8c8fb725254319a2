"""D_g out of several stores: one numbering, and no client's face in it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from tiny_training import faces, model

from fedfr_edge.data.split import Split, make_split
from fedfr_edge.data.store import FaceStore, StoreWriter
from fedfr_edge.errors import CheckpointError, SplitError
from fedfr_edge.train.images import ImageRows, JoinedImages
from fedfr_edge.train.public import PublicSet, public_classes


def make_store(path: Path, names: list[str], images: int, seed: int, licence: str = "own") -> FaceStore:
    pixels, labels = faces(len(names), images, seed)
    with StoreWriter(path, source="made up", licence=licence) as writer:
        for number in np.random.default_rng(seed).permutation(len(pixels)):
            name = names[labels[number]]
            writer.add(pixels[number], name, f"{name}/{number:03d}")
        return writer.finish()


@pytest.fixture(scope="module")
def main(tmp_path_factory: pytest.TempPathFactory) -> FaceStore:
    return make_store(tmp_path_factory.mktemp("stores") / "main", [f"p{k}" for k in range(6)], 4, 1)


@pytest.fixture(scope="module")
def extra(tmp_path_factory: pytest.TempPathFactory) -> FaceStore:
    return make_store(tmp_path_factory.mktemp("stores") / "extra", ["x0", "x1"], 3, 2, licence="CC0")


@pytest.fixture(scope="module")
def split(main: FaceStore) -> Split:
    return make_split(main, public=3, clients=1, per_client=3, train_images=2, test_images=2, seed=0)


def check_pixels(public: PublicSet, stores: list[FaceStore]) -> None:
    """Each image lies, with its identity's name, in one of the stores."""
    known = {
        store.images[row].tobytes(): store.identities[store.labels[row]]
        for store in stores
        for row in range(len(store))
    }
    images = public.images[:]
    assert len(images) == len(public.images) == len(public.labels)
    for image, label in zip(images, public.labels, strict=True):
        assert known[image.tobytes()] == public.identities[label]


def test_of_the_splits_store_only_public_identities_are_taken(
    main: FaceStore, extra: FaceStore, split: Split
) -> None:
    public = PublicSet.gather([main, extra], split)
    assert public.identities == (*split.public, *extra.identities)
    assert public.first == 3
    assert len(public.images) == 3 * 4 + 2 * 3
    check_pixels(public, [main, extra])
    assert public.stores == (main.digest, extra.digest)
    assert public.licences == ("own", "CC0")


def test_without_a_split_everybody_is_public(main: FaceStore, extra: FaceStore) -> None:
    public = PublicSet.gather([extra, main])
    assert (len(public.identities), public.first, len(public.images)) == (8, 2, 30)
    check_pixels(public, [main, extra])


def test_a_split_of_a_store_that_is_not_there_is_refused(extra: FaceStore, split: Split) -> None:
    with pytest.raises(SplitError, match="not among those given"):
        PublicSet.gather([extra], split)


def test_a_name_in_two_stores_is_refused(main: FaceStore, tmp_path: Path) -> None:
    twin = make_store(tmp_path / "twin", ["p0", "y"], 2, 3)
    with pytest.raises(SplitError, match=r"'p0' of .* is also in another store"):
        PublicSet.gather([main, twin])


def test_a_clients_person_does_not_come_in_through_another_store(
    main: FaceStore, split: Split, tmp_path: Path
) -> None:
    person = split.clients["client-00"][0]
    leak = make_store(tmp_path / "leak", [person, "y"], 2, 3)
    for stores in ([main, leak], [leak, main]):
        with pytest.raises(SplitError, match=f"{person!r} of .* is also in the split's client-00"):
            PublicSet.gather(stores, split)


def test_metadata_names_the_rows_of_phi(main: FaceStore, extra: FaceStore) -> None:
    public = PublicSet.gather([main, extra])
    one = dataclasses.replace(model(public=8), metadata=public.metadata())
    assert public_classes(one) == public.identities
    assert json.loads(one.metadata["public_stores"]) == [main.digest, extra.digest]
    assert one.metadata["training_data_licence"] == "own; CC0"


@pytest.mark.parametrize("metadata", [{}, {"public_classes": "["}, {"public_classes": '["a"]'}])
def test_a_model_that_does_not_name_them_is_refused(metadata: dict[str, str]) -> None:
    with pytest.raises(CheckpointError, match="fedfr pretrain"):
        public_classes(dataclasses.replace(model(public=2), metadata=metadata))


def test_joined_sources_read_like_one_array() -> None:
    a, _ = faces(2, 3, 1)
    b, _ = faces(1, 4, 2)
    whole = np.concatenate([a, b, a[:0], a[::-1]])
    joined = JoinedImages([a, b, a[:0], ImageRows(a, np.arange(5, -1, -1))])
    assert len(joined) == len(whole) == 16
    assert np.array_equal(joined[:], whole)
    assert np.array_equal(joined[4:9], whole[4:9])
    rows = np.array([15, 0, 7, 7, 6, 5])
    assert np.array_equal(joined[rows], whole[rows])
    assert joined[np.zeros(0, np.int64)].shape == (0, 112, 112, 3)
    assert joined[20:].shape == (0, 112, 112, 3)


def test_without_some_people_the_rest_is_numbered_anew(main: FaceStore, extra: FaceStore) -> None:
    public = PublicSet.gather([main, extra])
    gone = {public.identities[1], public.identities[-1], "nobody"}
    rest = public.without(gone)
    assert rest.identities == tuple(name for name in public.identities if name not in gone)
    assert rest.first == public.first - 1
    assert set(rest.labels.tolist()) == set(range(len(rest.identities)))
    kept = [row for row, label in enumerate(public.labels) if public.identities[label] not in gone]
    assert np.array_equal(rest.images[:], public.images[np.array(kept)])
    names = [rest.identities[label] for label in rest.labels]
    assert names == [public.identities[public.labels[row]] for row in kept]
