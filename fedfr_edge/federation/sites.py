"""Where the clients of one machine and their things are, in a form that worker processes can be sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedfr_edge.types import Progress, no_progress

if TYPE_CHECKING:
    from fedfr_edge.federation.client_app import ClientSite
    from fedfr_edge.federation.data import Faces


@dataclass(frozen=True)
class LocalSites:
    """The clients of a split whose faces lie in stores of this machine.

    Attributes:
        store: the store that the split was made for.
        split: who is who in it.
        public_stores: stores whose identities are all public.
        private: folder of the clients' private folders.
        share_proxies: see :class:`.client_app.ClientSite`.
    """

    store: Path
    split: Path
    public_stores: tuple[Path, ...]
    private: Path
    share_proxies: bool = False

    def open(
        self, faces: Faces | None = None, progress: Progress = no_progress
    ) -> Callable[[str], ClientSite]:
        """Client id -> its site.

        Args:
            faces: the stores, if they are open already; otherwise they are opened here, once for all sites.
            progress: told about the clients' rounds.

        Raises:
            StoreError: a store is missing or damaged.
            SplitError: the split is of another store, or an identity is public and a client's.
        """
        from fedfr_edge.federation.client_app import ClientSite
        from fedfr_edge.federation.data import Faces

        opened = faces or Faces.open(self.store, self.split, self.public_stores)

        def site(client: str) -> ClientSite:
            return ClientSite(
                client=client,
                private=self.private / client,
                faces=lambda model: opened.of_client(client, model),
                progress=progress,
                share_proxies=self.share_proxies,
            )

        return site
