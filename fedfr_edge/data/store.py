"""The aligned-face store: what everything that trains or evaluates reads.

:class:`FaceStore` opens a finished store, :class:`StoreWriter` makes one. Its files and their bytes
are described in :mod:`fedfr_edge.data.store_format`.
"""

from fedfr_edge.data.store_reader import FaceStore
from fedfr_edge.data.store_writer import StoreWriter

__all__ = ["FaceStore", "StoreWriter"]
