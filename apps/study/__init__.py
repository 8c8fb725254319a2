"""``fedfr study``: every method with every seed, measured alike, and what the paper says of their order.

:mod:`.plan` says what is to be run and with which settings, :mod:`.run` runs it, :mod:`.measure` measures
one run, :mod:`.scores` gathers the figures, :mod:`.orderings` compares them and :mod:`.tables` shows them.
"""
