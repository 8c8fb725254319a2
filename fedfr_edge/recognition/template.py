"""A template: several embeddings of one person as one vector, bound to the model that made them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import GalleryError, ModelMismatchError
from fedfr_edge.recognition.combine import geometric_median, mean_direction
from fedfr_edge.types import Embeddings

Combine = Literal["mean", "robust", "all"]
"""How several faces become a template: the mean of the paper's galleries, the geometric median, or each
face kept by itself."""

_UNIT_TOLERANCE = 1e-3

# Of faces that mostly disagree; an agreement is a weight and so above 0.
_LEAST_AGREEMENT = 1e-3


@dataclass(frozen=True, eq=False)
class Template:
    """What is kept of a person's faces, or made of a probe's.

    Attributes:
        vector: float32 (d,), unit length.
        model_digest: sha256 of the model file that made it, hexadecimal.
        images: how many faces it is made of.
        agreement: mean cosine of these faces with ``vector``; with it and ``images``, faces can be added
            later. Of a mean it is the mean's length before it was made a unit vector.
        backbone: float32 (d,), unit length: the same faces in the space of the model's backbone; None
            where the model has no space of its own beside that one (generic models).
        backbone_agreement: ``agreement`` there.
        singles: float32 (images, d), unit rows: the faces one by one, where they are kept; then a probe is
            compared with each of them, and with ``vector`` no more.
    """

    vector: npt.NDArray[np.float32]
    model_digest: str
    images: int
    agreement: float = 1.0
    backbone: npt.NDArray[np.float32] | None = None
    backbone_agreement: float = 1.0
    singles: npt.NDArray[np.float32] | None = None

    @property
    def rows(self) -> npt.NDArray[np.float32]:
        """float32 (m, d): what a probe is compared with; the best of them is the score."""
        return self.vector[None] if self.singles is None else self.singles


def make_template(
    embeddings: Embeddings,
    model_digest: str,
    *,
    backbone: Embeddings | None = None,
    combine: Combine = "mean",
    old: Template | None = None,
) -> Template:
    """Make a template of unit embeddings.

    ``mean`` is t = m / ‖m‖ with m = (1/n) Σᵢ eᵢ, the gallery of the 1:N protocol; ``robust`` is
    :func:`~fedfr_edge.recognition.combine.geometric_median`; ``all`` keeps every eᵢ (and the mean, also for
    the backbone's space). An old template counts as one face of weight images · agreement, averaged with the
    new ones (or their median): for means that gives what all faces at once would have given. Where its single
    faces are kept, they count instead.

    Args:
        embeddings: float32 (n, d), unit rows, n ≥ 1. One row gives that row.
        model_digest: sha256 of the model file.
        backbone: float32 (n, d): the same faces in the backbone's space; None leaves it out.
        combine: see above.
        old: an earlier template of the person, which the new one takes in.

    Raises:
        GalleryError: no embedding, one that is no unit vector, or embeddings that cancel out; an old
            template without single faces where all are to be kept, or without the backbone's space.
        ModelMismatchError: another model made ``old``.
    """
    _check(embeddings)
    images, old_rows = len(embeddings), None
    if old is not None:
        require_model(old.model_digest, model_digest)
        images += old.images
        old_rows = old.vector[None] if old.images == 1 else old.singles
        if old_rows is None and combine == "all":
            raise GalleryError(
                "single faces are to be kept, but only the mean of the old ones is there; enrol the person "
                "anew (--replace), or add to the mean (--combine mean)"
            )
    if old_rows is not None:
        embeddings, old_vector = np.concatenate([old_rows, embeddings]), None
    else:
        old_vector = None if old is None else (old.vector, old.images, old.agreement)
    vector, agreement = _direction(embeddings, old_vector, combine)
    second, second_agreement = None, 1.0
    if backbone is not None:
        _check(backbone)
        before = None
        if old is not None:
            if old.backbone is None:
                raise GalleryError(
                    "the old template has nothing in the backbone's space, an earlier version made it; enrol "
                    "the person anew (--replace)"
                )
            before = old.backbone, old.images, old.backbone_agreement
        second, second_agreement = _direction(backbone, before, combine)
    singles = np.array(embeddings, np.float32) if combine == "all" else None
    return Template(vector, model_digest, images, agreement, second, second_agreement, singles)


def score(template: Template, probe: Template) -> float:
    """The cosine of a probe with the person: with their template, or with the best of the faces kept.

    Float32 precision, −1 to 1; the number of every decision, 1:1 or 1:N.

    Raises:
        ModelMismatchError: different models made them.
    """
    require_model(probe.model_digest, template.model_digest)
    return max(float(row @ probe.vector) for row in template.rows)


def backbone_score(template: Template, probe: Template) -> float | None:
    """The cosine of the two in the space of the model's backbone; None if one of them has nothing there.

    Raises:
        ModelMismatchError: different models made them.
    """
    require_model(probe.model_digest, template.model_digest)
    if template.backbone is None or probe.backbone is None:
        return None
    return float(template.backbone @ probe.backbone)


def require_model(found: str, expected: str) -> None:
    """Refuse to mix embeddings of two models.

    Raises:
        ModelMismatchError: the digests differ.
    """
    if found != expected:
        raise ModelMismatchError(
            f"enrolled with model {found[:12]}…, but this is model {expected[:12]}…; embeddings of different "
            "models cannot be compared: use the model that enrolled ('fedfr doctor --model FILE' shows a "
            "file's digest), or enrol again with this one"
        )


def pack_template(template: Template) -> tuple[dict[str, Any], bytes]:
    """What is stored of a template: numbers for JSON, and its vectors as little-endian float32.

    The vectors stand one after another: ``vector``, then ``backbone`` if "backbone_agreement" is among the
    numbers, then as many ``singles`` as "singles" says.
    """
    about: dict[str, Any] = {"images": template.images, "agreement": template.agreement}
    vectors = [template.vector]
    if template.backbone is not None:
        about["backbone_agreement"] = template.backbone_agreement
        vectors.append(template.backbone)
    if template.singles is not None:
        about["singles"] = len(template.singles)
        vectors.extend(template.singles)
    return about, np.stack(vectors).astype("<f4").tobytes()


def unpack_template(about: dict[str, Any], data: bytes, model_digest: str) -> Template:
    """A template from what was stored of it; format 1 had ``images`` and ``vector`` only.

    Raises:
        ValueError, KeyError, TypeError: it is something else.
    """
    images, singles, second = about["images"], about.get("singles", 0), "backbone_agreement" in about
    numbers = [about.get("agreement", 1.0), about.get("backbone_agreement", 1.0)]
    count = 1 + second + singles
    if not all(isinstance(number, float) and 0 < number <= 1 + _UNIT_TOLERANCE for number in numbers):
        raise ValueError("an agreement is no number from 0 to 1")
    if type(images) is not int or images < 1 or singles not in (0, images):
        raise ValueError("the numbers of images do not fit")
    vectors = np.frombuffer(data, "<f4").astype(np.float32)
    if not data or len(vectors) % count:
        raise ValueError(f"{len(data)} bytes are no {count} vectors")
    vectors = vectors.reshape(count, -1)
    # Whoever can write it can write anything: a long vector would be like everybody.
    if not np.all(np.abs(np.linalg.norm(vectors, axis=1) - 1) <= _UNIT_TOLERANCE):
        raise ValueError("a template is no unit vector")
    return Template(
        vectors[0],
        model_digest,
        images,
        numbers[0],
        vectors[1] if second else None,
        numbers[1],
        vectors[1 + second :] if singles else None,
    )


def _check(embeddings: Embeddings) -> None:
    if embeddings.ndim != 2 or len(embeddings) == 0:
        raise GalleryError(
            f"a template needs at least one embedding, found an array of {embeddings.shape}; "
            "give photographs that show the person"
        )
    norms = np.linalg.norm(embeddings, axis=1)
    if not np.all(np.abs(norms - 1) <= _UNIT_TOLERANCE):
        raise GalleryError(
            "an embedding is no unit vector (or not finite), expected unit rows as Encoder.embed gives them"
        )


def _direction(
    embeddings: Embeddings, old: tuple[npt.NDArray[np.float32], int, float] | None, combine: Combine
) -> tuple[npt.NDArray[np.float32], float]:
    """The common direction of faces, and their mean cosine with it; ``old``: vector, images, agreement."""
    points, weights = embeddings.astype(np.float64), np.ones(len(embeddings))
    faces, total = len(embeddings), points.sum(axis=0)
    if combine == "robust":
        # Of the new ones alone: an old template is one point, which a median would stick to.
        points = geometric_median(points, weights)[None]
        weights = np.maximum(points @ total, _LEAST_AGREEMENT)
    if old is not None:
        vector, images, before = old
        points = np.concatenate([vector[None].astype(np.float64), points])
        weights = np.concatenate([[images * before], weights])
        faces += images
        total = total + images * before * vector
    direction = mean_direction(points, weights)
    agreement = max(float(total @ direction) / faces, _LEAST_AGREEMENT)
    return direction.astype(np.float32), agreement
