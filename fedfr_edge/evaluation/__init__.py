"""From embeddings to rates: numpy only, shared by trainer, exporter and device.

:mod:`.metrics` holds the rates themselves, :mod:`.verification` (1:1) and :mod:`.identification`
(1:N) turn embeddings into scores block by block, :mod:`.personalised`, :mod:`.pairs` and
:mod:`.ijbc` are the protocols, :mod:`.report` draws them. A score is a cosine; ``score >= threshold``
accepts.
"""
