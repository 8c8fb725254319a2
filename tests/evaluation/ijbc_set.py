"""A small set in the file layout of IJB-C (which is not to be had here), and slow loops to check against."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from fedfr_edge.vision.align import TEMPLATE


@dataclass
class IjbcSet:
    """What is written, kept as plain lists.

    ``rows`` holds (image name, template, media) of each face; ``subject_of`` each template's subject.
    """

    root: Path
    rows: list[tuple[str, int, int]] = field(default_factory=list)
    landmarks: dict[str, np.ndarray] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    subject_of: dict[int, int] = field(default_factory=dict)
    galleries: dict[str, list[int]] = field(default_factory=dict)
    probes: list[int] = field(default_factory=list)
    pairs: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return list(self.landmarks)


def make_set(
    root: Path, seed: int = 0, subjects: int = 12, probes: int = 60, images: bool = False
) -> IjbcSet:
    """Half of the subjects in each gallery; one to three media of one to four faces in each template."""
    rng = np.random.default_rng(seed)
    made = IjbcSet(root)
    numbers = rng.permutation(np.arange(100, 100 + subjects)).tolist()
    ids = iter(rng.permutation(np.arange(3, 3 + 5 * (subjects + probes))).tolist())
    made.galleries = {"G1": [], "G2": []}
    for place, subject in enumerate(numbers):
        template = next(ids)
        made.galleries["G1" if place % 2 else "G2"].append(template)
        made.subject_of[template] = subject
    for place in range(probes):
        template = next(ids)
        made.probes.append(template)
        made.subject_of[template] = numbers[place % subjects]
    for template in made.subject_of:
        for _ in range(int(rng.integers(1, 4))):
            media = int(rng.integers(1, 10_000))
            for _ in range(int(rng.integers(1, 5))):
                name = f"{len(made.rows) + 1}.jpg"
                made.rows.append((name, template, media))
                made.landmarks[name] = np.round(TEMPLATE + 8 + rng.normal(0, 2, (5, 2)), 3)
                made.scores[name] = round(float(rng.uniform(0.2, 1)), 3)
    rng.shuffle(made.rows)
    for one in [*made.galleries["G1"], *made.galleries["G2"]]:
        for other in made.probes:
            same = made.subject_of[one] == made.subject_of[other]
            if same or rng.random() < 0.5:
                made.pairs.append((one, other, int(same)))
    rng.shuffle(made.pairs)
    write_set(made)
    if images:
        write_images(made, rng)
    return made


def write_set(made: IjbcSet) -> None:
    """The six files of metadata."""
    meta = made.root / "meta"
    meta.mkdir(parents=True, exist_ok=True)
    with (meta / "ijbc_name_5pts_score.txt").open("w") as file:
        for name, points in made.landmarks.items():
            file.write(f"{name} {' '.join(f'{v:.3f}' for v in points.ravel())} {made.scores[name]:.3f}\n")
    with (meta / "ijbc_face_tid_mid.txt").open("w") as file:
        file.writelines(f"{name} {template} {media}\n" for name, template, media in made.rows)
    with (meta / "ijbc_template_pair_label.txt").open("w") as file:
        file.writelines(f"{one} {two} {label}\n" for one, two, label in made.pairs)
    lists = {f"gallery_{name}": templates for name, templates in made.galleries.items()}
    for name, templates in {**lists, "probe_mixed": made.probes}.items():
        with (meta / f"ijbc_1N_{name}.csv").open("w") as file:
            file.write("TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID,FACE_X\n")
            for template in templates:
                for image, of, media in made.rows:
                    if of == template:
                        file.write(f'{template},{made.subject_of[template]},"img/{image}",{media},1.5\n')


def write_images(made: IjbcSet, rng: np.random.Generator) -> None:
    """Crops of 128×128 pixels: coarse blocks for the subject, finer ones for the image."""
    folder = made.root / "loose_crop"
    folder.mkdir()
    look = {s: rng.integers(0, 200, (8, 8, 3)) for s in sorted(set(made.subject_of.values()))}
    for name, template, _ in made.rows:
        pixels = look[made.subject_of[template]].repeat(16, 0).repeat(16, 1)
        pixels = pixels + rng.integers(0, 56, (32, 32, 3)).repeat(4, 0).repeat(4, 1)
        cv2.imwrite(str(folder / name), pixels.astype(np.uint8))


def slow_templates(made: IjbcSet, embedding_of: dict[str, np.ndarray], weigh: bool) -> dict[int, np.ndarray]:
    """Mean within each medium, mean over the media, unit length; one template after another."""
    result = {}
    for template in made.subject_of:
        media: dict[int, list[np.ndarray]] = {}
        for name, of, medium in made.rows:
            if of == template and name in embedding_of:
                weight = made.scores[name] if weigh else 1.0
                media.setdefault(medium, []).append(embedding_of[name].astype(np.float64) * weight)
        if media:
            pooled = np.mean([np.mean(faces, axis=0) for faces in media.values()], axis=0)
            result[template] = pooled / math.sqrt(float((pooled**2).sum()))
    return result


def slow_tar(mated: list[float], non_mated: list[float], far: float) -> float:
    """The best share of mated scores accepted over all thresholds that keep FAR in bounds."""
    best = 0.0
    for threshold in {*mated, *non_mated}:
        if sum(score >= threshold for score in non_mated) / len(non_mated) <= far:
            best = max(best, sum(score >= threshold for score in mated) / len(mated))
    return best


@dataclass
class SlowSearch:
    """1:N by loops, from templates by number."""

    made: IjbcSet
    templates: dict[int, np.ndarray]
    gallery: list[int]

    def __post_init__(self) -> None:
        enrolled = {self.made.subject_of[t] for t in self.gallery}
        usable = [t for t in self.gallery if t in self.templates]
        lost = enrolled - {self.made.subject_of[t] for t in usable}
        self.mates: list[float] = []
        self.others: list[list[float]] = []
        self.strangers: list[list[float]] = []
        self.left_out = 0
        for probe in self.made.probes:
            subject = self.made.subject_of[probe]
            if probe not in self.templates or subject in lost:
                self.left_out += 1
                continue
            scores = {t: float(self.templates[probe] @ self.templates[t]) for t in usable}
            mate = [t for t in usable if self.made.subject_of[t] == subject]
            if mate:
                self.mates.append(scores.pop(mate[0]))
                self.others.append(list(scores.values()))
            else:
                self.strangers.append(list(scores.values()))

    def standard(self, fpir: float) -> float:
        """TPIR: the best over all thresholds that keep FPIR in bounds, the mate at rank 1."""
        best = 0.0
        for threshold in {*self.mates, *(max(scores) for scores in self.strangers)}:
            alarms = sum(max(scores) >= threshold for scores in self.strangers)
            if alarms / len(self.strangers) <= fpir:
                hits = sum(
                    mate >= threshold and mate > max(others)
                    for mate, others in zip(self.mates, self.others, strict=True)
                )
                best = max(best, hits / len(self.mates))
        return best

    def reference(self, fpir: float) -> float:
        """The published code's: among all non-genuine scores, no rank asked for."""
        all_others = sorted((score for scores in self.others for score in scores), reverse=True)
        threshold = all_others[math.ceil(len(self.mates) * fpir) - 1]
        return sum(mate > threshold for mate in self.mates) / len(self.mates)

    def retrieval(self, rank: int) -> float:
        """Share of mated probes with fewer than ``rank`` others above the mate."""
        hits = 0
        for mate, others in zip(self.mates, self.others, strict=True):
            hits += sum(other >= mate for other in others) < rank
        return hits / len(self.mates)
