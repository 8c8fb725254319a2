"""Where a client's faces come from: its own D_l and the public D_g, out of aligned-face stores.

Row k of Φ belongs to the k-th name in the global model's metadata (``public_classes``, written by
pre-training), so D_g is put together by name and a client whose public faces differ is told so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedfr_edge.data.split import Split
from fedfr_edge.data.store import FaceStore
from fedfr_edge.errors import SplitError
from fedfr_edge.train.client import ClientData
from fedfr_edge.train.images import ImageRows, ImageSource
from fedfr_edge.train.mining import SharedEmbeddings
from fedfr_edge.types import AlignedFaces, Labels

PUBLIC_CLASSES = "public_classes"
"""Key of the global model's metadata: JSON list of the public identities, one for each row of Φ."""


class JoinedImages:
    """Several image sources, one after the other, read only as rows are asked for."""

    def __init__(self, parts: Sequence[ImageSource]) -> None:
        self._parts = list(parts)
        self._starts = np.cumsum([0, *(len(part) for part in parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, rows: slice | npt.NDArray[np.int64], /) -> AlignedFaces:
        numbers = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows)
        out = np.empty((len(numbers), 112, 112, 3), np.uint8)
        which = np.searchsorted(self._starts, numbers, side="right") - 1
        for part in np.unique(which):
            chosen = which == part
            out[chosen] = self._parts[part][numbers[chosen] - self._starts[part]]
        return out


@dataclass
class PublicFaces:
    """D_g: images and, for each, the name of its identity.

    Attributes:
        images: uint8 (Ng, 112, 112, 3).
        identities: the public identities: the split's, sorted, then those of each further store.
        labels: int64 (Ng,), numbers into ``identities``.
    """

    images: ImageSource
    identities: tuple[str, ...]
    labels: Labels

    @classmethod
    def gather(cls, store: FaceStore, split: Split | None, further: Sequence[FaceStore]) -> PublicFaces:
        """The split's public identities in ``store``, then all identities of ``further`` stores.

        Raises:
            SplitError: a name that occurs twice, or that is public and a client's.
        """
        parts: list[ImageSource] = []
        owners: dict[str, str] = {}
        labels: list[Labels] = []
        taken = {name: client for client, names in split.clients.items() for name in names} if split else {}
        if split is not None:
            rows = split.public_rows(store)
            parts.append(ImageRows(store.images, rows))
            number = {name: index for index, name in enumerate(split.public)}
            labels.append(np.array([number[store.identities[store.labels[row]]] for row in rows], np.int64))
            owners |= dict.fromkeys(split.public, str(store.path))
        for other in further:
            for name in other.identities:
                if name in owners or name in taken:
                    raise SplitError(
                        f"identity {name!r} of public store {other.path} is also in "
                        f"{owners.get(name) or taken.get(name)}; rename it or leave it out of one"
                    )
            parts.append(other.images)
            labels.append(other.labels + len(owners))
            owners |= dict.fromkeys(other.identities, str(other.path))
        return cls(JoinedImages(parts), tuple(owners), np.concatenate(labels or [np.zeros(0, np.int64)]))

    def rows_of_phi(self, metadata: Mapping[str, str]) -> Labels:
        """For each image the row of Φ, int64 (Ng,), by the names that the global model carries.

        Raises:
            SplitError: the model was pre-trained on other public identities, or does not name them.
        """
        try:
            names = json.loads(metadata[PUBLIC_CLASSES])
            row = {str(name): index for index, name in enumerate(names)}
        except (KeyError, ValueError, TypeError) as error:
            raise SplitError(
                f"the global model does not say which identity each row of Φ is ({PUBLIC_CLASSES} in its "
                "metadata); start from a model that fedfr pretrain made"
            ) from error
        odd = sorted(set(self.identities) ^ set(row))
        if odd:
            side = "public here but unknown to the model" if odd[0] in self.identities else "missing here"
            raise SplitError(
                f"{len(self.identities)} people are public here, the model was pre-trained on {len(row)}: "
                f"{len(odd)} differ, first {odd[0]!r} ({side}); give the same split and public stores as then"
            )
        rows = np.array([row[name] for name in self.identities], np.int64)
        return rows[self.labels]


@dataclass
class Faces:
    """The opened stores of one machine.

    Attributes:
        store: holds D_l, and the split's public identities.
        split: who is who in ``store``; None where all of it belongs to one client (a device).
        further: stores whose identities are all public.
        public: D_g.
    """

    store: FaceStore
    split: Split | None
    further: tuple[FaceStore, ...]
    public: PublicFaces
    _shared: SharedEmbeddings = field(default_factory=SharedEmbeddings)

    @classmethod
    def open(cls, store: Path, split: Path | None, public_stores: Sequence[Path]) -> Faces:
        """Open the stores and check that they fit the split.

        Raises:
            StoreError, SplitError: see there.
        """
        opened = FaceStore.open(store)
        chosen = None if split is None else Split.load(split)
        if chosen is not None:
            chosen.check(opened)
        further = tuple(FaceStore.open(path) for path in public_stores)
        return cls(opened, chosen, further, PublicFaces.gather(opened, chosen, further))

    def of_client(self, client: str, metadata: Mapping[str, str]) -> ClientData:
        """What one client trains on.

        Args:
            client: its id; must be in the split where there is one.
            metadata: of the global model; names the rows of Φ.

        Raises:
            SplitError: no such client, or other public identities than the model's.
        """
        if self.split is None:
            images: ImageSource = self.store.images
            labels = self.store.labels
        else:
            rows = self.split.client_rows(self.store, client, "train")
            number = {name: index for index, name in enumerate(self.split.clients[client])}
            names = [self.store.identities[self.store.labels[row]] for row in rows]
            images = ImageRows(self.store.images, rows)
            labels = np.array([number[name] for name in names], np.int64)
        return ClientData(
            client=client,
            images=images,
            labels=labels,
            public_images=self.public.images,
            public_labels=self.public.rows_of_phi(metadata),
            public_embeddings=self._shared,
        )
