"""One module for each command of ``fedfr``; see :mod:`fedfr_edge.cli` for what such a module holds."""
