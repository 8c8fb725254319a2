"""The report page of a quickstart."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fedfr_edge.evaluation.report import Decision, ReportData, write_report
from fedfr_edge.types import Image

from . import steps
from .device import Visit
from .steps import Places

if TYPE_CHECKING:
    from fedfr_edge.evaluation.outcome import PersonalisedResult
    from fedfr_edge.vision.detect import Detector

    from ..commands.quickstart import QuickstartConfig


def write_page(
    config: QuickstartConfig,
    places: Places,
    results: Sequence[PersonalisedResult],
    visit: Visit,
    *,
    seconds: float,
) -> Path:
    """Write ``report.html`` and its figures; returns the page."""
    store, split = steps.open_data(places)
    whose = "people who do not exist (rendered)" if places.data is None else str(places.data)
    people = sum(map(len, split.clients.values()))
    data = ReportData(
        title="fedfr quickstart",
        intro=(
            "A face model was pre-trained on public people, then improved by clients who kept their "
            "faces to themselves. Θ_g is the model they share; Θ_l is a client's own backbone and "
            "[Θ_l, Π_l] its personal model, with the transform that never left it."
        ),
        facts=[
            ("faces", f"{len(store)} of {whose}, {len(store.identities)} identities"),
            ("public", f"{len(split.public)} identities"),
            ("clients", f"{len(split.clients)} with {people} identities"),
            ("backbone", f"{config.backbone}, width {config.width}, {config.input_size} px"),
            ("rounds", f"{config.rounds} of {config.epochs} local epochs"),
            ("seed", str(config.seed)),
            (
                "machine",
                f"{os.cpu_count()} CPU cores, {platform.machine()}, Python {platform.python_version()}",
            ),
            ("time so far", f"{seconds / 60:.1f} minutes"),
            ("device", _sentence(visit)),
        ],
        results=results,
        rounds=[json.loads(line) for line in (places.run / "metrics.jsonl").read_text().splitlines()],
        decisions=_decisions(visit),
        files=paths(places, visit),
        notes=[
            f"The device's threshold: {visit.rests_on}.",
            "Rendered people are easier to tell apart than real ones; figures on real faces are in "
            "docs/results.md."
            if places.data is None
            else "Faces came aligned from the store, so no detector took part in the logins.",
        ],
    )
    return write_report(places.out, data)


def paths(places: Places, visit: Visit) -> list[tuple[str, str]]:
    """What was written, and where."""
    return [
        ("store", str(places.store)),
        ("split", str(places.split)),
        ("pre-trained model", str(places.pretrained)),
        ("rounds and private folders", str(places.run)),
        ("results", str(places.out / "evaluation")),
        ("results of the exported files", str(places.out / "evaluation-exported")),
        ("ONNX files", str(places.exported)),
        ("encrypted gallery", str(visit.gallery)),
    ]


def _sentence(visit: Visit) -> str:
    genuine, strangers = visit.count(True), visit.count(False)
    return (
        f"{genuine[0]} of {genuine[1]} genuine attempts let in, "
        f"{strangers[0]} of {strangers[1]} strangers kept out"
    )


def _decisions(visit: Visit) -> list[Decision]:
    from fedfr_edge.vision.detect import open_detector
    from fedfr_edge.vision.image import read_image

    detector = open_detector() if visit.photographs else None
    return [
        Decision(
            image=_close_up(read_image(attempt.photo), detector),
            name=attempt.who if attempt.expected else f"{attempt.who} (stranger)",
            score=attempt.decision.score,
            threshold=attempt.decision.threshold,
            accepted=attempt.decision.accepted,
            expected=attempt.expected,
            detail=attempt.decision.reason.value,
        )
        for attempt in visit.attempts
    ]


def _close_up(image: Image, detector: Detector | None) -> Image:
    """The square around the face, twice its size as far as the photograph reaches."""
    from fedfr_edge.vision.select import largest_central

    faces = detector.detect(image) if detector is not None else []
    if not faces:
        return image
    left, top, right, bottom = largest_central(faces, image.shape).box
    side = min(2 * max(right - left, bottom - top), *image.shape[:2])
    x = int(np.clip((left + right - side) / 2, 0, image.shape[1] - side))
    y = int(np.clip((top + bottom - side) / 2, 0, image.shape[0] - side))
    return image[y : y + int(side), x : x + int(side)]
