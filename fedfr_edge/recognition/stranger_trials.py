"""Strangers against templates: every comparison that a calibration counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import DataError
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.spaces import embed_spaces
from fedfr_edge.recognition.template import Template, make_template
from fedfr_edge.types import AlignedFaces, Embeddings, Labels, Progress, Scores

IMAGES = 5
"""Images of a stranger's template where nobody is enrolled to go by."""

_BLOCK = 256


@dataclass(frozen=True, eq=False)
class Strangers:
    """Faces of people who are not enrolled.

    Attributes:
        faces: uint8 (n, 112, 112, 3) RGB, aligned.
        labels: int64 (n,), whose face each is.
        source: whose faces these are, in words.
        digest: sha256 that names them, hexadecimal.
    """

    faces: AlignedFaces
    labels: Labels
    source: str
    digest: str


@dataclass(frozen=True, eq=False)
class Embedded:
    """Strangers' faces in every space of a model.

    Attributes:
        own: float32 (n, d), in the space in which it decides.
        backbone: float32 (n, d), in its backbone's; None for a generic model.
        labels: int64 (n,), whose face each is.
    """

    own: Embeddings
    backbone: Embeddings | None
    labels: Labels

    def take(self, rows: npt.NDArray[np.int64]) -> Embedded:
        """Some of them."""
        second = None if self.backbone is None else self.backbone[rows]
        return Embedded(self.own[rows], second, self.labels[rows])


@dataclass(frozen=True, eq=False)
class Trials:
    """Scores of strangers with templates.

    Attributes:
        scores: float32 (n, k), face by template.
        second: float32 (n, k), in the backbone's space; None where there is none.
        counted: bool (n, k), False where the template is the stranger's own.
        labels: int64 (n,), whose face each row is.
        sampled: whether the templates stand for others that may come, so that they cluster the trials too.
    """

    scores: Scores
    second: Scores | None
    counted: npt.NDArray[np.bool_]
    labels: Labels
    sampled: bool


def embed_strangers(encoder: OnnxEncoder, strangers: Strangers, progress: Progress) -> Embedded:
    """Embed all faces, block by block."""
    count = len(strangers.faces)
    parts = []
    for start in range(0, count, _BLOCK):
        parts.append(embed_spaces(encoder, np.asarray(strangers.faces[start : start + _BLOCK])))
        progress("faces", min(start + _BLOCK, count), count)
    own = np.concatenate([first for first, _ in parts])
    seconds = [second for _, second in parts if second is not None]
    return Embedded(own, np.concatenate(seconds) if seconds else None, strangers.labels)


def compare(
    faces: Embedded, templates: Sequence[Template], owners: npt.NDArray[np.int64], *, sampled: bool
) -> Trials:
    """Every face with every template.

    Args:
        faces: n of them.
        templates: k of them.
        owners: int64 (k,), whose each is among the faces' labels; -1 for nobody's.
        sampled: see :class:`Trials`.
    """
    starts = np.cumsum([0, *(len(template.rows) for template in templates[:-1])])
    stacked = np.concatenate([template.rows for template in templates])
    scores = np.concatenate(
        [
            np.maximum.reduceat(faces.own[start : start + _BLOCK] @ stacked.T, starts, axis=1)
            for start in range(0, len(faces.own), _BLOCK)
        ]
    )
    seconds = [template.backbone for template in templates if template.backbone is not None]
    second = None
    if faces.backbone is not None and len(seconds) == len(templates):
        second = faces.backbone @ np.stack(seconds).T
    return Trials(scores, second, faces.labels[:, None] != owners[None], faces.labels, sampled)


def templates_of_strangers(
    faces: Embedded, images: int, like: Sequence[Template], digest: str
) -> tuple[npt.NDArray[np.int64], list[Template], npt.NDArray[np.int64]]:
    """Templates of those with more than ``images`` faces, made of their first as enrolment makes them.

    Args:
        faces: of all.
        images: faces of a template.
        like: templates of those enrolled: where they keep single faces, these do too.
        digest: the model's.

    Returns:
        the rows that are left to compare, the templates, int64 (k,) whose they are.

    Raises:
        DataError: nobody has so many faces.
    """
    keep_all = any(template.singles is not None for template in like)
    left, templates, owners = [], [], []
    for label in np.unique(faces.labels):
        rows = np.flatnonzero(faces.labels == label)
        if len(rows) > images:
            chosen = faces.take(rows[:images])
            templates.append(
                make_template(
                    chosen.own, digest, backbone=chosen.backbone, combine="all" if keep_all else "mean"
                )
            )
            owners.append(int(label))
            rows = rows[images:]
        left.append(rows)
    if not templates:
        raise DataError(
            f"no stranger has more than {images} faces, so no template can be made of {images}; give a set "
            "with more of each, or a smaller --images"
        )
    return np.concatenate(left), templates, np.array(owners, np.int64)
