"""``fedfr reproduce``: the paper's tables and figures again, at a size that one chooses.

:mod:`.scale` reads what is to be run at which size (``recipes/*.toml``), :mod:`.target` says which rows and
columns a table or figure has, :mod:`.run` runs them as a study (:mod:`fedfr_edge.apps.study`),
:mod:`.outcome` puts the figures together, :mod:`.tables` and :mod:`.drawing` show them, :mod:`.published`
holds the paper's own, and :mod:`.estimate` tells beforehand what it will cost.
"""
