"""Synthetic faces: a parametric head, lit, photographed and aligned, in numpy and OpenCV alone.

A person is a row of numbers drawn from ``(seed, identity)``; what changes between photographs of that
person is a row drawn from ``(seed, identity, image)``. :mod:`.generate` fills an aligned-face store,
:mod:`.scene` makes whole photographs with their true boxes and landmarks, :mod:`.fairness` measures
whether the faces are a fair stand-in for real ones. Nobody who lives is shown.
"""
