"""What models of several folders are called, so that each is told from the others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fedfr_edge.evaluation.outcome import PersonalisedResult

from ..models_for_evaluation import SPACES
from .read import Personalised


def short_names(folders: Sequence[Path]) -> list[str]:
    """Each path without the folders that all share, and without a last ``evaluation``."""
    if not folders:
        return []
    resolved = [folder.resolve() for folder in folders]
    runs = [path.parent if path.name == "evaluation" else path for path in resolved]
    if len(set(runs)) < len(runs):
        runs = resolved
    shared = Path(os.path.commonpath([path.parent for path in runs]))
    return [str(path.relative_to(shared)) for path in runs]


def labels_of(folders: Sequence[Path]) -> list[str]:
    """What to put before the models of each folder: nothing where there is one folder only."""
    return short_names(folders) if len(folders) > 1 else [""] * len(folders)


def labels_of_runs(evaluations: Sequence[Personalised]) -> list[str]:
    """The same, but by the runs' methods where these differ."""
    methods = [str(one.training.get("method", "")) for one in evaluations]
    if len(evaluations) > 1 and all(methods) and len(set(methods)) == len(methods):
        return methods
    return labels_of([one.folder for one in evaluations])


def named(label: str, name: str) -> str:
    """A model's name behind its folder's."""
    return f"{label} {name}" if label else name


def distinct(evaluation: Personalised) -> list[PersonalisedResult]:
    """The results without those that are another one again: without a branch Π is the identity."""
    bare = evaluation.training.get("branch") == "none"
    return [result for result in evaluation.results if not (bare and result.name == SPACES[1])]
