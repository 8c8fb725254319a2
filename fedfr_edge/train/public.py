"""The public set D_g: whose faces it holds, and which of them a model's Φ was trained on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from fedfr_edge.data.split import Split
from fedfr_edge.data.store import FaceStore
from fedfr_edge.errors import CheckpointError, SplitError
from fedfr_edge.train.checkpoint import LICENCE_KEY, GlobalModel
from fedfr_edge.train.images import ImageRows, ImageSource, JoinedImages
from fedfr_edge.types import Labels

PUBLIC_CLASSES = "public_classes"
"""Key in a global model's metadata: JSON list of identity names, one for each row of Φ."""

PUBLIC_STORES = "public_stores"
"""Key in a global model's metadata: JSON list of the digests of the stores they are from."""

HELD_OUT_CLASSES = "held_out_classes"
"""Key in a global model's metadata: JSON list of the public identities that pre-training held out. No
round trains on them either: only so are they strangers to the models, as the people are whom a device
turns away, and give honest thresholds."""


@dataclass(frozen=True)
class PublicSet:
    """Public faces of one or several stores, with one numbering of identities.

    Attributes:
        images: uint8 (n, 112, 112, 3), read as needed.
        labels: int64 (n,), numbers into ``identities``.
        identities: names, unique over all stores; identity k is row k of Φ.
        stores: digests of the stores.
        licences: their terms, each once.
        first: how many of the identities are from the first store.
    """

    images: ImageSource
    labels: Labels
    identities: tuple[str, ...]
    stores: tuple[str, ...]
    licences: tuple[str, ...]
    first: int

    @classmethod
    def gather(cls, stores: Sequence[FaceStore], split: Split | None = None) -> PublicSet:
        """Unite stores; of the store that ``split`` was made for, take its public identities only.

        Raises:
            SplitError: no store fits the split, an identity's name is in two stores, or an identity
                of another store is a client's: its faces would not be public.
        """
        if split is not None and split.store_digest not in {store.digest for store in stores}:
            raise SplitError(
                f"the split was made for store {split.store_digest[:12]}…, which is not among those given "
                f"({', '.join(str(store.path) for store in stores)}); give that store too, or no split"
            )
        owner = {} if split is None else {name: c for c, names in split.clients.items() for name in names}
        number: dict[str, int] = {}
        parts, labels, first = list[ImageSource](), list[Labels](), None
        for store in stores:
            if split is not None and store.digest == split.store_digest:
                rows = split.public_rows(store)
                names = split.public
            else:
                rows = np.arange(len(store), dtype=np.int64)
                names = store.identities
            for name in names:
                if name in number or (name in owner and names is store.identities):
                    where = "another store" if name in number else f"the split's {owner[name]}"
                    raise SplitError(
                        f"identity {name!r} of {store.path} is also in {where}; rename it if that is another "
                        "person, or remove it from one side"
                    )
                number[name] = len(number)
            first = len(number) if first is None else first
            parts.append(ImageRows(store.images, rows))
            found = [number[store.identities[label]] for label in store.labels[rows]]
            labels.append(np.array(found, dtype=np.int64))
        return cls(
            images=JoinedImages(parts),
            labels=np.concatenate([*labels, np.zeros(0, np.int64)]),
            identities=tuple(number),
            stores=tuple(store.digest for store in stores),
            licences=tuple(dict.fromkeys(str(store.manifest["licence"]) for store in stores)),
            first=first or 0,
        )

    def without(self, names: Collection[str]) -> PublicSet:
        """The same people but for ``names``, numbered anew without gaps; unknown names do not matter."""
        kept = np.array([name not in names for name in self.identities], dtype=bool)
        rows = np.flatnonzero(kept[self.labels])
        number = np.cumsum(kept) - 1
        return dataclasses.replace(
            self,
            images=ImageRows(self.images, rows),
            labels=number[self.labels[rows]],
            identities=tuple(name for name in self.identities if name not in names),
            first=int(kept[: self.first].sum()),
        )

    def metadata(self) -> dict[str, str]:
        """What a model that was trained on this set says about it."""
        return {
            PUBLIC_CLASSES: json.dumps(self.identities, ensure_ascii=False),
            PUBLIC_STORES: json.dumps(self.stores),
            LICENCE_KEY: "; ".join(self.licences),
        }


def public_classes(model: GlobalModel) -> tuple[str, ...]:
    """Names of the public identities, one for each row of Φ, in that order.

    Raises:
        CheckpointError: the model does not say.
    """
    try:
        names = json.loads(model.metadata[PUBLIC_CLASSES])
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"the model does not name the identities of its Φ ({PUBLIC_CLASSES!r} in its metadata); "
            "make it with fedfr pretrain"
        ) from error
    if not isinstance(names, list) or len(names) != len(model.global_proxies):
        count = len(names) if isinstance(names, list) else 0
        raise CheckpointError(
            f"the model names {count} public identities, but its Φ has {len(model.global_proxies)} rows; "
            "make it anew with fedfr pretrain"
        )
    return tuple(map(str, names))


def held_out_classes(model: GlobalModel) -> tuple[str, ...]:
    """Names of the public identities that pre-training held out; none where the model does not say."""
    return tuple(map(str, json.loads(model.metadata.get(HELD_OUT_CLASSES, "[]"))))
