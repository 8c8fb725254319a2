"""Where a client's faces come from: its own D_l and the public D_g, out of aligned-face stores.

Row k of Φ belongs to the k-th name that the global model carries (``public_classes``), so D_g is put
together by name, whatever the order of the stores, and a client whose public people differ is told so.
Where the method uses no public faces, the model comes without Φ, and no public store is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fedfr_edge.data.split import Split
from fedfr_edge.data.store import FaceStore
from fedfr_edge.errors import SplitError
from fedfr_edge.federation.refusal import coded
from fedfr_edge.train.checkpoint import GlobalModel
from fedfr_edge.train.client import ClientData
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.images import ImageRows, ImageSource
from fedfr_edge.train.mining import SharedEmbeddings
from fedfr_edge.train.public import PUBLIC_CLASSES, PublicSet, held_out_classes, public_classes
from fedfr_edge.types import Labels

CENTRAL = "central"
"""The one client of method central, which holds the images of all clients of the split."""


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
        own = {name for names in chosen.clients.values() for name in names}
        _check_apart(
            own, {name for part in further if part.digest != opened.digest for name in part.identities}
        )
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
            raise coded(
                "other-public",
                SplitError(
                    f"{len(here)} people are public here, the model was pre-trained on {len(row)}: "
                    f"{len(odd)} differ, first {odd[0]!r} ({side}); give the same split and public stores as "
                    "then"
                ),
            )
        rows = np.array([row[name] for name in public.identities], np.int64)
        return public.images, rows[public.labels]

    def _public_names(self, model: GlobalModel) -> set[str]:
        """Everybody who is public: in the public stores, or by the model's own word."""
        names = {name for store in self.further for name in store.identities}
        if PUBLIC_CLASSES in model.metadata:
            named = json.loads(model.metadata[PUBLIC_CLASSES])
            names |= set(map(str, named)) | set(held_out_classes(model))
        return names

    def clients(self, settings: TrainConfig) -> list[str]:
        """Who trains: the split's clients, sorted, or with method central one that holds all their images.

        Raises:
            SplitError: there is no split, or nobody in it, or somebody in it is called ``central``.
        """
        names = [] if self.split is None else sorted(self.split.clients)
        if not names:
            raise SplitError("the split has no clients; make one with fedfr data split --clients N")
        if settings.method != "central":
            return names
        if CENTRAL in names:
            raise SplitError(
                f"a client of the split is called {CENTRAL!r}, as all of them together are; rename it"
            )
        return [CENTRAL]

    def of_client(self, client: str, model: GlobalModel) -> ClientData:
        """What one client trains on.

        Args:
            client: its id; must be in the split where there is one, or be ``central`` for all of the split's.
            model: names the rows of Φ; if it has none, the public arrays are empty.

        Raises:
            SplitError: no such client, or other public identities than the model's.
            CheckpointError: the model does not name its public identities.
        """
        if self.split is None:
            _check_apart(set(self.store.identities), self._public_names(model))
            images: ImageSource = self.store.images
            labels = self.store.labels
        else:
            names = self.split.clients
            everybody = client == CENTRAL and CENTRAL not in names
            parts = sorted(names) if everybody else [client]
            rows = np.concatenate([self.split.client_rows(self.store, part, "train") for part in parts])
            people = [name for part in parts for name in names[part]]
            number = {name: index for index, name in enumerate(people)}
            images = ImageRows(self.store.images, rows)
            labels = np.array([number[self.store.identities[k]] for k in self.store.labels[rows]], np.int64)
        public_images: ImageSource = np.zeros((0, *self.store.images.shape[1:]), np.uint8)
        public_labels: Labels = np.zeros(0, np.int64)
        if len(model.global_proxies):
            public_images, public_labels = self.public_faces(model)
        return ClientData(
            client=client,
            images=images,
            labels=labels,
            public_images=public_images,
            public_labels=public_labels,
            public_embeddings=self._shared,
        )


def _check_apart(own: Collection[str], public: Collection[str]) -> None:
    """A public person's faces would be their own negatives; a client's people are nobody else's to hold."""
    both = sorted(set(own) & set(public))
    if both:
        raise coded(
            "public-among-own",
            SplitError(
                f"{len(both)} people are public and the client's own, first {both[0]!r}; rename whoever is "
                "another person, or remove them from one side"
            ),
        )
