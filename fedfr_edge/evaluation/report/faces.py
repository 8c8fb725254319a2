"""The hardest pairs of faces, as cards."""

from __future__ import annotations

from html import escape

from fedfr_edge.evaluation.report.content import FacePair, Faces
from fedfr_edge.evaluation.report.markup import symbols
from fedfr_edge.evaluation.report.thumbnails import thumbnail


def faces_strip(faces: Faces) -> str:
    """False accepts, then false rejects, and the terms under which they are shown."""
    parts = []
    for title, mated in (
        ("False accepts: different people above the threshold", False),
        ("False rejects: one person below the threshold", True),
    ):
        found = [pair for pair in faces.pairs if pair.mated == mated]
        if found:
            parts.append(f"<h3>{title}</h3>")
            parts.append(f'<div class="strip wide">{"".join(map(_card, found))}</div>')
        else:
            parts.append(f"<p>No {'false reject' if mated else 'false accept'} to show.</p>")
    terms = f"Terms of use of these faces: {faces.licence or 'not stated'}."
    if faces.private:
        terms += " They are shown because it was asked for; pass this page on only to those who may see them."
    parts.append(f'<p class="note">{symbols(terms)} The hardest of their kind, not a sample.</p>')
    return "\n".join(parts)


def _card(pair: FacePair) -> str:
    images = "".join(
        f'<img src="{thumbnail(image)}" alt="{escape(name, quote=True)}" width="112" height="112">'
        for image, name in ((pair.first, pair.names[0]), (pair.second, pair.names[1]))
    )
    first, second = (escape(name) for name in pair.names)
    return (
        f'<div class="card" style="--c:var(--wrong)"><div class="pair">{images}</div><div>'
        f'<span class="verdict">{pair.verdict}</span>: score {_score(pair.score)}, threshold '
        f"{_score(pair.threshold)}<br>{symbols(pair.model)}, {escape(pair.client)}<br>"
        f'<span class="names">{first}<br>{second}</span></div></div>'
    )


def _score(value: float) -> str:
    """With a minus that is no hyphen."""
    return f"{value:.3f}".replace("-", "−")
