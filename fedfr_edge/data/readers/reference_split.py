"""The layout that FedFR's published code divides MS1M into, as a store and a split.

``ROOT``, the output folder of its ``split_dataset`` scripts, holds (N identities, C clients)::

    split_pretrain_M/client_0000/train.rec      the public identities, labelled from 0 in each folder
    split_train_iNNNNcCCCC/client_0000/train.rec   a client's training images (about 60 an identity)
    local_veri_N/test.rec                       test images (40 each) of all clients' identities, 0 to N−1
    local_gallery_N/test.rec                    the training images once more, all clients in one

each with its ``.idx``. The header of a client's file ends with the number of its first identity. The
galleries are copies and are not read, nor are ``ID2idx.pickle`` and ``idx_id_pair.txt``: the
record files say the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fedfr_edge.data.readers.importing import NOTES, Imported, import_items
from fedfr_edge.data.readers.journal import Journal
from fedfr_edge.data.readers.record_images import Naming, RecordImages, RecordReader, check_room, identity_of
from fedfr_edge.data.readers.records import TRAIN, Found, find_records
from fedfr_edge.data.split import Split
from fedfr_edge.data.store import FaceStore
from fedfr_edge.errors import DataError
from fedfr_edge.types import Progress, no_progress

SPLIT = "split.json"
"""The split's file, in the folder of the store."""

SEED = 100
"""What the reference code draws its split with."""

_CLIENTS = re.compile(r"split_train_i(\d+)c\d+")
_CLIENT = re.compile(r"client_(\d+)")


@dataclass(frozen=True)
class Layout:
    """The record files of a reference split.

    Attributes:
        public: the public folders' files, in order.
        clients: number of a client -> its file.
        test: the file of all test images.
    """

    public: tuple[Path, ...]
    clients: dict[int, Path]
    test: Path


def is_reference_split(folder: Path) -> bool:
    """Whether ``folder`` holds a reference split: a folder like ``split_train_i4000c0040``."""
    return folder.is_dir() and any(_CLIENTS.fullmatch(entry.name) for entry in folder.iterdir())


def find_layout(folder: Path) -> Layout:
    """The record files of the reference split in ``folder``.

    Raises:
        DataError: a part is absent, or there are several of which one is meant.
    """
    clients = _one(folder, _CLIENTS, "split_train_i4000c0040")
    fits = _CLIENTS.fullmatch(clients.name)
    assert fits is not None
    test = folder / f"local_veri_{int(fits[1])}" / "test.rec"
    if not test.is_file():
        raise DataError(f"{test} is not there, expected the test images that belong to {clients.name}")
    public = _one(folder, re.compile(r"split_pretrain_\d+"), "split_pretrain_6000")
    return Layout(tuple(_client_files(public).values()), _client_files(clients), test)


def import_reference_split(
    folder: Path,
    out: Path,
    *,
    source: str,
    licence: str,
    resize: bool = False,
    progress: Progress = no_progress,
) -> tuple[Imported, Split]:
    """Import a reference split into a store at ``out``, and its division into ``out/split.json``.

    Identities are called ``public-0000012`` and ``local-0000345`` (the number among all clients'), images
    ``local-0000345/train-00000678`` after their keys. It resumes as other imports do. Identities that have
    no training or no test image left are kept out of the split and listed in ``notes.csv``.

    Raises:
        DataError: a part is absent or cannot be used, or no client is left.
        StoreError: ``out`` holds something else.
        WriteError: the disk refused; what is written stays.
    """
    layout = find_layout(folder)
    files: list[tuple[Found, Naming]] = []
    owner: dict[str, str] = {}

    def find(path: Path) -> tuple[Found, str]:
        shown = path.relative_to(folder).as_posix()
        return find_records(path, shown, progress), shown

    for number, path in enumerate(layout.public):
        found, shown = find(path)
        files.append((found, Naming(shown, f"public-{number:04d}-" if len(layout.public) > 1 else "public-")))
    start = 0
    for client, path in layout.clients.items():
        found, shown = find(path)
        start, following = _identities(found, start)
        naming = Naming(shown, "local-", start, "train-")
        for label in np.unique(found.labels):
            identity = identity_of(naming, int(label))
            if owner.setdefault(identity, f"client-{client:02d}") != f"client-{client:02d}":
                raise DataError(
                    f"{shown} has identity {int(label) + start} of all clients, which {owner[identity]} has "
                    "too; expected each in one; make the split anew"
                )
        start = following
        files.append((found, naming))
    found, shown = find(layout.test)
    files.append((found, Naming(shown, "local-", 0, "test-")))
    images = RecordImages(files)
    check_room(len(images), out)
    odd = [fault for found, _ in files for fault in found.faults]
    with RecordReader(images.paths, resize, kind="fedfr-split") as reader:
        done = import_items(
            images, odd, out, reader, source=source, licence=licence, companion=SPLIT, progress=progress
        )
    split, left_out = _split(done.store, owner)
    with Journal(out / NOTES) as noted:
        for identity, why in left_out:
            noted.add(identity, identity, "not_in_split", why)
        done = replace(done, notes=noted.counts())
    split.save(out / SPLIT)
    return done, split


def _split(store: FaceStore, owner: dict[str, str]) -> tuple[Split, list[tuple[str, str]]]:
    train: dict[str, list[str]] = {}
    test: dict[str, list[str]] = {}
    for name in store.names:
        identity, _, image = name.partition("/")
        if image.startswith("train-"):
            train.setdefault(identity, []).append(name)
        elif image.startswith("test-"):
            test.setdefault(identity, []).append(name)
    whole = train.keys() & test.keys() & owner.keys()
    clients: dict[str, list[str]] = {}
    for identity in sorted(whole):
        clients.setdefault(owner[identity], []).append(identity)
    if not clients:
        raise DataError("no identity has both training and test images; the parts belong to different splits")
    left_out = [
        (identity, "it has no training image" if identity not in train else "it has no test image")
        for identity in sorted((train.keys() | test.keys()) - whole)
    ]
    split = Split(
        seed=SEED,
        store_digest=store.digest,
        public=tuple(identity for identity in store.identities if identity.startswith("public-")),
        clients={client: tuple(identities) for client, identities in clients.items()},
        train={identity: tuple(train[identity]) for identity in whole},
        test={identity: tuple(test[identity]) for identity in whole},
    )
    return split, left_out


def _identities(found: Found, start: int) -> tuple[int, int]:
    """Number of a client's first identity among all clients', and of the next client's.

    The header gives how many it has, and in later versions of the reference code its first.
    """
    if len(found.header) > 2:
        start = int(found.header[2])
    count = int(found.header[1]) if len(found.header) > 1 else int(found.labels.max(initial=-1)) + 1
    return start, start + count


def _one(folder: Path, form: re.Pattern[str], example: str) -> Path:
    fitting: Sequence[Path] = sorted(entry for entry in folder.iterdir() if form.fullmatch(entry.name))
    if len(fitting) != 1:
        found = ", ".join(entry.name for entry in fitting) or "none"
        raise DataError(
            f"{folder} holds {len(fitting)} folders like {example} ({found}), expected one; give a folder "
            "with the one to import"
        )
    return fitting[0]


def _client_files(folder: Path) -> dict[int, Path]:
    files = {}
    for entry in sorted(folder.iterdir()):
        fits = _CLIENT.fullmatch(entry.name)
        if fits is None:
            continue
        if not (entry / TRAIN).is_file():
            raise DataError(f"{entry / TRAIN} is not there, expected a record file in each client's folder")
        files[int(fits[1])] = entry / TRAIN
    if not files:
        raise DataError(f"{folder} holds no folder like client_0000; check the path")
    return dict(sorted(files.items()))
