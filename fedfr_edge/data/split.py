"""The protocol's split: public identities, clients, and training and test images of each client.

A split is a small JSON file that can be shared. It names identities and images, never rows, and
carries the digest of the store it was made for.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fedfr_edge import atomic
from fedfr_edge.data.split_choice import Quota, choose_identities, choose_images
from fedfr_edge.data.store import FaceStore
from fedfr_edge.errors import SplitError

FORMAT = "fedfr-split"
VERSION = 1
# Clients' ids become folder names.
_CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Split:
    """Who is public, who belongs to which client, and which images train or test.

    A ``Split`` that exists does not contradict itself and is sorted throughout: the constructor
    sees to both.

    Attributes:
        seed: what the choice was drawn with.
        store_digest: digest of the store it was made for.
        public: the public identities (D_g), sorted; all their images are used.
        clients: client id -> its identities (D_l), both sorted.
        train: identity of a client -> names of its training images, sorted.
        test: identity of a client -> names of its test images, sorted.

    Raises:
        SplitError: an identity that is public and a client's, or two clients'; an image that is in
            training and test, or in two identities; an identity without training or test images.
    """

    seed: int
    store_digest: str
    public: tuple[str, ...]
    clients: dict[str, tuple[str, ...]]
    train: dict[str, tuple[str, ...]]
    test: dict[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "public", tuple(sorted(self.public)))
        for field in ("clients", "train", "test"):
            table: dict[str, tuple[str, ...]] = getattr(self, field)
            object.__setattr__(self, field, {key: tuple(sorted(table[key])) for key in sorted(table)})
        _check_identities(self)
        _check_images(self)

    @classmethod
    def load(cls, path: Path) -> Split:
        """Read a split from its JSON file.

        Raises:
            SplitError: unreadable, of another format, or it contradicts itself.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise SplitError(
                f"cannot read split {path}: {error.strerror}; make one with fedfr data split"
            ) from error
        except ValueError as error:
            raise SplitError(f"{path} is no split: not valid JSON ({error}); make it anew") from error
        try:
            return _from_json(data)
        except SplitError as error:
            raise SplitError(f"split {path}: {error}") from error

    def save(self, path: Path) -> None:
        """Write the split as JSON, atomically; equal splits give equal bytes.

        Raises:
            WriteError: the disk refused; an earlier file is untouched.
        """
        atomic.write_text(Path(path), self._text())

    @property
    def digest(self) -> str:
        """Sha256 that names the division, in hexadecimal: who is where, by names, whichever the store."""
        return hashlib.sha256(replace(self, store_digest="")._text().encode()).hexdigest()

    def for_store(self, store: FaceStore) -> Split:
        """The same split for another store of the same images, such as one that another person imported.

        Raises:
            SplitError: the store lacks an identity or an image that this names.
        """
        other = replace(self, store_digest=store.digest)
        other.check(store)
        return other

    def check(self, store: FaceStore) -> None:
        """Raise :class:`SplitError` unless ``store`` is the one this was made for and holds all it names."""
        self._check_digest(store)
        for identity in self.public:
            self._rows(store, identity)
        for client in self.clients:
            for part in ("train", "test"):
                self.client_rows(store, client, part)

    def public_rows(self, store: FaceStore) -> npt.NDArray[np.int64]:
        """Rows in ``store`` of all public images, int64, sorted by (identity, name).

        Raises:
            SplitError: another store.
        """
        self._check_digest(store)
        return _rows(row for identity in self.public for row in self._rows(store, identity))

    def client_rows(
        self, store: FaceStore, client: str, part: Literal["train", "test"]
    ) -> npt.NDArray[np.int64]:
        """Rows in ``store`` of one client's training or test images, int64, sorted by (identity, name).

        Raises:
            SplitError: another store, or no such client.
        """
        self._check_digest(store)
        if client not in self.clients:
            raise SplitError(f"no client {client!r} in this split; it has {_some(sorted(self.clients))}")
        images = self.train if part == "train" else self.test
        rows = []
        for identity in self.clients[client]:
            own = set(self._rows(store, identity))
            for name in images[identity]:
                row = store.row_of(name)
                if row is None or row not in own:
                    raise SplitError(
                        f"the split names image {name!r} of {identity!r}, which store {store.path} lacks; "
                        "make the split anew"
                    )
                rows.append(row)
        return _rows(rows)

    def _text(self) -> str:
        content = {"format": FORMAT, "version": VERSION}
        content.update({field.name: getattr(self, field.name) for field in fields(self)})
        return json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False) + "\n"

    def _check_digest(self, store: FaceStore) -> None:
        if store.digest != self.store_digest:
            raise SplitError(
                f"the split was made for store {self.store_digest[:12]}…, {store.path} is "
                f"{store.digest[:12]}…; use the store it was made for, or make a new split"
            )

    def _rows(self, store: FaceStore, identity: str) -> list[int]:
        if not store.has_identity(identity):
            raise SplitError(
                f"the split names identity {identity!r}, which store {store.path} lacks; make the split anew"
            )
        return sorted(map(int, store.rows_of(identity)), key=lambda row: store.names[row])


def make_split(
    store: FaceStore,
    *,
    public: int,
    clients: int,
    per_client: int | None,
    train_images: int,
    test_images: int,
    seed: int,
    allow_fewer: bool = False,
    public_identities: Iterable[str] | None = None,
    client_identities: Iterable[str] | None = None,
) -> Split:
    """Draw a split of ``store``; the same arguments give the same split on every machine.

    The choice orders names by a keyed hash, so that it depends neither on row order nor on the
    version of a random generator.

    Args:
        store: what to divide.
        public: number of public identities; with ``public_identities`` it must be their number.
        clients: number of clients, named ``client-00`` and so on.
        per_client: identities of each client; None shares out all that are left, as evenly as
            possible.
        train_images: training images of each client identity (the paper: 60).
        test_images: test images of each client identity (the paper: 40).
        seed: drawn anew with another one.
        allow_fewer: take client identities with fewer images too (two at least), divided in the
            same proportion; without it they can only be public.
        public_identities: exactly these are public.
        client_identities: clients get identities of these only.

    Raises:
        SplitError: the store has too few identities or images, or the lists do not fit.
    """
    for what, value, low in (
        ("public", public, 0),
        ("clients", clients, 1),
        ("per_client", 1 if per_client is None else per_client, 1),
        ("train_images", train_images, 1),
        ("test_images", test_images, 1),
    ):
        if value < low:
            raise SplitError(f"{what} is {value}, expected {low} or more")
    quota = Quota(train_images, test_images, allow_fewer)
    chosen_public, shares = choose_identities(
        {identity: len(store.rows_of(identity)) for identity in store.identities},
        public=public,
        clients=clients,
        per_client=per_client,
        quota=quota,
        seed=seed,
        public_only=None if public_identities is None else tuple(public_identities),
        clients_only=None if client_identities is None else tuple(client_identities),
    )
    train, test = {}, {}
    for identity in (identity for share in shares for identity in share):
        names = [store.names[row] for row in store.rows_of(identity)]
        train[identity], test[identity] = choose_images(names, identity, quota, seed)
    width = max(2, len(str(clients - 1)))
    return Split(
        seed=seed,
        store_digest=store.digest,
        public=tuple(chosen_public),
        clients={f"client-{number:0{width}d}": tuple(share) for number, share in enumerate(shares)},
        train=train,
        test=test,
    )


def _check_identities(split: Split) -> None:
    owner: dict[str, str] = {}
    for before, after in pairwise(split.public):
        if before == after:
            raise SplitError(f"public identity {after!r} is listed twice; list it once")
    for client, identities in split.clients.items():
        if not _CLIENT_ID.fullmatch(client):
            raise SplitError(f"client id {client!r} is not allowed; use letters, digits, '.', '_' and '-'")
        if not identities:
            raise SplitError(f"{client} has no identity; give it one, or remove it")
        for identity in identities:
            if identity in owner:
                raise SplitError(
                    f"identity {identity!r} is in {owner[identity]} and in {client}; keep it in one"
                )
            owner[identity] = client
    both = sorted(set(split.public) & owner.keys())
    if both:
        raise SplitError(
            f"{len(both)} identities are public and a client's, first {both[0]!r} ({owner[both[0]]}); "
            "remove them from one side"
        )
    for part, images in (("train", split.train), ("test", split.test)):
        odd = sorted(images.keys() ^ owner.keys())
        if odd:
            fault = "no image of" if odd[0] in owner else "images of no client's identity,"
            raise SplitError(f"{part} has {fault} {odd[0]!r}; make the split anew")


def _check_images(split: Split) -> None:
    place: dict[str, str] = {}
    for part, images in (("training", split.train), ("test", split.test)):
        for identity, names in images.items():
            if not names:
                raise SplitError(
                    f"{identity!r} has no {part} image; every client identity needs one at least"
                )
            for name in names:
                here = f"{part} images of {identity!r}"
                if name in place:
                    raise SplitError(f"image {name!r} is in {place[name]} and in {here}; keep it in one")
                place[name] = here


def _from_json(data: Any) -> Split:
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise SplitError(f"not of format {FORMAT!r}; make one with fedfr data split")
    if data.get("version") != VERSION:
        raise SplitError(
            f"format version {data.get('version')!r}, this program reads {VERSION}; make it anew"
        )
    expected = {"format", "version", *(field.name for field in fields(Split))}
    odd = sorted(data.keys() ^ expected)
    if odd:
        raise SplitError(f"key {odd[0]!r} is {'missing' if odd[0] in expected else 'unknown'}; make it anew")
    if type(data["seed"]) is not int or not isinstance(data["store_digest"], str):
        raise SplitError("seed must be a whole number and store_digest a text; make it anew")
    return Split(
        seed=data["seed"],
        store_digest=data["store_digest"],
        public=_texts(data["public"], "public"),
        clients=_text_lists(data["clients"], "clients"),
        train=_text_lists(data["train"], "train"),
        test=_text_lists(data["test"], "test"),
    )


def _text_lists(value: Any, what: str) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, Mapping):
        raise SplitError(f"{what!r} is no table; make it anew")
    return {key: _texts(names, f"{what}.{key}") for key, names in value.items()}


def _texts(value: Any, what: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise SplitError(f"{what!r} is no list of names; make it anew")
    return tuple(value)


def _rows(rows: Iterable[int]) -> npt.NDArray[np.int64]:
    return np.fromiter(rows, dtype=np.int64)


def _some(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 6 else f"{', '.join(names[:3])} … {names[-1]}"
