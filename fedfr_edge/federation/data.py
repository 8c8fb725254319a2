"""Where a client's faces come from: its own D_l and the public D_g, out of aligned-face stores.

Row k of Φ belongs to the k-th name that the global model carries (``public_classes``), so D_g is put
together by name, whatever the order of the stores, and a client whose public people differ is told so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fedfr_edge.data.split import Split
from fedfr_edge.data.store import FaceStore
from fedfr_edge.errors import SplitError
from fedfr_edge.train.checkpoint import GlobalModel
from fedfr_edge.train.client import ClientData
from fedfr_edge.train.images import ImageRows, ImageSource
from fedfr_edge.train.mining import SharedEmbeddings
from fedfr_edge.train.public import PublicSet, held_out_classes, public_classes
from fedfr_edge.types import Labels


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
    public: PublicSet
    _shared: SharedEmbeddings = field(default_factory=SharedEmbeddings)

    @classmethod
    def open(cls, store: Path, split: Path | None, public_stores: Sequence[Path]) -> Faces:
        """Open the stores and check that they fit the split.

        Raises:
            StoreError: a store is missing or damaged.
            SplitError: the split is of another store, or an identity is public and a client's.
        """
        opened = FaceStore.open(store)
        further = tuple(FaceStore.open(path) for path in public_stores)
        if split is None:
            return cls(opened, None, further, PublicSet.gather(further))
        chosen = Split.load(split)
        chosen.check(opened)
        return cls(opened, chosen, further, PublicSet.gather([opened, *further], chosen))

    def public_faces(self, model: GlobalModel) -> tuple[ImageSource, Labels]:
        """D_g, and for each of its images the row of Φ, int64 (Ng,), by the names that ``model`` carries.

        People whom pre-training held out are no part of it.

        Raises:
            SplitError: the model was pre-trained on other public identities.
            CheckpointError: the model does not name them.
        """
        public = self.public.without(held_out_classes(model))
        row = {name: index for index, name in enumerate(public_classes(model))}
        here = set(public.identities)
        odd = sorted(here ^ set(row))
        if odd:
            side = "public here but unknown to the model" if odd[0] in here else "missing here"
            raise SplitError(
                f"{len(here)} people are public here, the model was pre-trained on {len(row)}: {len(odd)} "
                f"differ, first {odd[0]!r} ({side}); give the same split and public stores as then"
            )
        rows = np.array([row[name] for name in public.identities], np.int64)
        return public.images, rows[public.labels]

    def of_client(self, client: str, model: GlobalModel) -> ClientData:
        """What one client trains on.

        Args:
            client: its id; must be in the split where there is one.
            model: names the rows of Φ.

        Raises:
            SplitError: no such client, or other public identities than the model's.
            CheckpointError: the model does not name its public identities.
        """
        if self.split is None:
            images: ImageSource = self.store.images
            labels = self.store.labels
        else:
            rows = self.split.client_rows(self.store, client, "train")
            number = {name: index for index, name in enumerate(self.split.clients[client])}
            names = [self.store.identities[label] for label in self.store.labels[rows]]
            images = ImageRows(self.store.images, rows)
            labels = np.array([number[name] for name in names], np.int64)
        public_images, public_labels = self.public_faces(model)
        return ClientData(
            client=client,
            images=images,
            labels=labels,
            public_images=public_images,
            public_labels=public_labels,
            public_embeddings=self._shared,
        )
