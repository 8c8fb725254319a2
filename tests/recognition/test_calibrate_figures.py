"""Whether a calibrated threshold keeps its word with other strangers: real faces, the model that comes along.

``pytest -m long tests/recognition/test_calibrate_figures.py -s`` prints the figures.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fedfr_edge.apps.known_models import shipped_models
from fedfr_edge.recognition.calibrate import calibrate
from fedfr_edge.recognition.calibrate_device import at_threshold, lowest_threshold
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.spaces import embed_spaces
from fedfr_edge.recognition.stranger_trials import Strangers, Trials, compare, embed_strangers
from fedfr_edge.recognition.template import make_template
from fedfr_edge.types import no_progress

HALVES = 200


def faces_of(folder: Path, people: int | None, images: int | None) -> tuple[np.ndarray, np.ndarray]:
    faces, labels = [], []
    for label, person in enumerate(sorted(each for each in folder.iterdir() if each.is_dir())[:people]):
        for file in sorted(person.iterdir())[:images]:
            picture = cv2.imread(str(file))
            if picture is not None and picture.shape == (112, 112, 3):
                faces.append(picture[:, :, ::-1])
                labels.append(label)
    return np.ascontiguousarray(faces), np.array(labels, np.int64)


def part(trials: Trials, rows: np.ndarray) -> Trials:
    return Trials(trials.scores[rows], None, trials.counted[rows], trials.labels[rows], False)


@pytest.mark.long
def test_the_rate_among_strangers_who_were_not_calibrated_on(dev_data: Path) -> None:
    """Ten people enrolled; a threshold from half of the strangers, its rate among the other half."""
    (model,) = shipped_models()
    encoder = OnnxEncoder(model, threads=1)
    known, whose = faces_of(dev_data / "faces" / "pins_aligned", 10, 5)
    own, _ = embed_spaces(encoder, known)
    templates = [make_template(own[whose == label], encoder.digest) for label in np.unique(whose)]
    faces, labels = faces_of(dev_data / "faces" / "lfw_aligned", None, None)
    strangers = embed_strangers(encoder, Strangers(faces, labels, "LFW", "0" * 64), no_progress)
    trials = compare(strangers, templates, np.full(len(templates), -1), sampled=False)
    people, rng = np.unique(labels), np.random.default_rng(0)
    print(f"\n{encoder.name}: {len(faces)} faces of {len(people)} strangers, {len(templates)} templates")
    for far in (1e-2, 3e-3):
        ours, plain = [], []
        for _ in range(HALVES):
            first = np.isin(labels, rng.permutation(people)[: len(people) // 2])
            here, there = part(trials, np.flatnonzero(first)), part(trials, np.flatnonzero(~first))
            record = lowest_threshold(here, far)
            assert record.supported
            (naive,) = calibrate(here.scores.reshape(-1), (far,), "half")
            for rates, threshold in ((ours, record.threshold), (plain, naive.threshold)):
                found = at_threshold(there, far, threshold)
                rates.append(found.false_accepts / found.comparisons)
        over, plain_over = (float(np.mean(np.array(rates) > far)) for rates in (ours, plain))
        print(
            f"FAR {far:g}, {HALVES} halves: the others {np.mean(ours):.2e}, above in {over:.1%}; with the "
            f"plain quantile {np.mean(plain):.2e}, above in {plain_over:.1%}"
        )
        assert np.mean(ours) < far
        # Both halves vary: with independent trials P(Z > 1.645 / √2) = 12 % would be above.
        assert over < 0.2
        assert plain_over > 0.35
    for record in encoder.manifest.thresholds:
        found = at_threshold(trials, record.far, record.threshold)
        rate = found.false_accepts / found.comparisons
        print(f"as exported, FAR {record.far:g}: {rate:.2e}, at most {found.upper:.2e}")
