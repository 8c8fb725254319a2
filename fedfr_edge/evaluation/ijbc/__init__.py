"""IJB-C from its official metadata files: templates of several images, 1:1 and 1:N.

:mod:`.metadata` and :mod:`.pair_list` read the files, :mod:`.templates` pools embeddings of images into
one per template, :mod:`.protocol` compares and searches, :mod:`.result` and :mod:`.tables` say what came
of it. Aligning the images is not done here: see :mod:`fedfr_edge.data.readers.landmarked`.
"""
