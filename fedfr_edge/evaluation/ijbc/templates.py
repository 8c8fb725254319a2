"""Many faces, one template: pooled within each medium first, so that a long video counts once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import DataError, ModelError
from fedfr_edge.evaluation.ijbc.metadata import MediaList, Metadata
from fedfr_edge.types import Embeddings, Progress, no_progress

FACES_AT_ONCE = 8192


def media_weights(media: MediaList, scores: npt.NDArray[np.float32] | None) -> npt.NDArray[np.float64]:
    """How much each face weighs in its template.

    With n_m faces of medium m in template t, the mean within media and then over them is, up to scale,
    Σ_m (1/n_m) Σ_{i in m} e_i; with the detector's scores it is Σ_m (1/n_m) Σ_{i in m} s_i·e_i, as
    insightface's evaluation has it.

    Args:
        media: the r faces that are there.
        scores: float32, of every face of the data set; None to weigh them alike.

    Returns:
        float64 (r,).
    """
    key = np.stack([media.template, media.media], axis=1)
    _, member, sizes = np.unique(key, axis=0, return_inverse=True, return_counts=True)
    weights = 1.0 / sizes[member.reshape(-1)]
    return weights if scores is None else weights * scores[media.face]


class Pooling:
    """Adds weighted embeddings up, template by template, in float64.

    Args:
        templates: how many there are.
    """

    def __init__(self, templates: int) -> None:
        self._templates = templates
        self._sums: npt.NDArray[np.float64] | None = None

    def add(
        self, embeddings: Embeddings, template: npt.NDArray[np.int64], weights: npt.NDArray[np.float64]
    ) -> None:
        """Take in m faces.

        Args:
            embeddings: float32 (m, d), unit rows.
            template: int64 (m,), each one's template.
            weights: float64 (m,), see :func:`media_weights`.
        """
        if self._sums is None:
            self._sums = np.zeros((self._templates, embeddings.shape[1]), dtype=np.float64)
        order = np.argsort(template, kind="stable")
        weighted = embeddings[order] * weights[order, None]
        starts = np.flatnonzero(np.diff(template[order], prepend=-1))
        self._sums[template[order][starts]] += np.add.reduceat(weighted, starts, axis=0)

    def finish(self, metadata: Metadata, there: npt.NDArray[np.bool_]) -> Embeddings:
        """The templates, float32 (t, d): unit rows, and zeros where no face is ``there``.

        Raises:
            DataError: no face was added.
            ModelError: a template whose faces cancel out, or have weight 0 all of them.
        """
        if self._sums is None:
            raise DataError("no face of the set could be embedded; check that its images are there")
        lengths = np.linalg.norm(self._sums, axis=1)
        nothing = np.flatnonzero(there & (lengths <= 1e-9))
        if nothing.size:
            raise ModelError(
                f"the faces of {nothing.size} templates add up to nothing, the first is template "
                f"{metadata.template_ids[nothing[0]]}; their detector "
                "scores may be 0: try --no-detector-score"
            )
        return (self._sums / np.where(there, lengths, 1.0)[:, None]).astype(np.float32)


def pool_templates(
    embeddings: Embeddings,
    rows: npt.NDArray[np.int64],
    metadata: Metadata,
    *,
    weigh_by_score: bool,
    progress: Progress = no_progress,
    what: str = "pooling",
) -> tuple[Embeddings, npt.NDArray[np.bool_]]:
    """All templates from the embeddings of all faces.

    Args:
        embeddings: float32 (m, d), unit rows; may be a memory map, which is read block by block.
        rows: int64 (n,), the row of each face; -1 for a face that is missing.
        metadata: the data set.
        weigh_by_score: see :func:`media_weights`.
        progress: counts faces.
        what: what to call the work there.

    Returns:
        float32 (t, d) templates and bool (t,), which of them have a face (the others are zeros).

    Raises:
        ModelError: an embedding that is not finite.
        DataError, ModelError: see :meth:`Pooling.finish`.
    """
    media, there = present(metadata, rows >= 0)
    weights = media_weights(media, metadata.faces.scores if weigh_by_score else None)
    order = np.argsort(rows[media.face], kind="stable")  # read the file from front to back
    pooling = Pooling(len(metadata.template_ids))
    for start in range(0, len(order), FACES_AT_ONCE):
        chosen = order[start : start + FACES_AT_ONCE]
        block = embeddings[rows[media.face[chosen]]]
        faulty = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if faulty.size:
            name = metadata.faces.names[media.face[chosen[faulty[0]]]]
            raise ModelError(f"the embedding of {name!r} is not finite; embed the faces again")
        pooling.add(block, media.template[chosen], weights[chosen])
        progress(what, start + len(chosen), len(order))
    return pooling.finish(metadata, there), there


def present(metadata: Metadata, found: npt.NDArray[np.bool_]) -> tuple[MediaList, npt.NDArray[np.bool_]]:
    """What is left when some images are missing.

    Args:
        metadata: the data set.
        found: bool (n,), which faces there are.

    Returns:
        The rows of ``metadata.media`` whose face is there, and bool (t,) which templates have one.
    """
    kept = found[metadata.media.face]
    media = MediaList(metadata.media.face[kept], metadata.media.template[kept], metadata.media.media[kept])
    there = np.zeros(len(metadata.template_ids), dtype=bool)
    there[media.template] = True
    return media, there
