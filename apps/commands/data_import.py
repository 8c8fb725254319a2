"""``fedfr data import``: photo folders or aligned folders into an aligned-face store."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fedfr_edge.cli import Command
from fedfr_edge.config import option, save_config
from fedfr_edge.errors import ConfigError

if TYPE_CHECKING:
    from fedfr_edge.data.readers.outcome import FaceReader

_CODES = {
    "undecodable": "no image, or damaged",
    "no_face": "no face was found",
    "too_small": "the face is smaller than --min-face",
    "misaligned": "landmarks are no face's",
    "wrong_size": "not 112×112 (--resize fits it)",
    "not_an_image": "by its ending no image",
    "no_identity": "lies in no identity's folder",
    "bad_name": "the name cannot be stored",
    "empty": "an identity's folder without files",
    "several_faces": "kept the largest central one",
    "resized": "fitted into 112×112",
    "single_image": "identities with one image",
    "duplicate": "the same pixels twice in one identity",
    "shared": "the same pixels in two identities",
}


@dataclass(frozen=True)
class ImportConfig:
    """Settings of ``fedfr data import``."""

    inputs: tuple[Path, ...] = option(help="folders with one folder per identity", argument=True)
    out: Path = option(help="folder of the new store", short="o")
    kind: Literal["photos", "aligned"] = option(
        "photos", help="photos: detect and align; aligned: 112×112 crops, taken as they are"
    )
    detector: str = option("centerface", help="photos: centerface, yunet:FILE.onnx or insightface:FILE.onnx")
    min_face: int = option(32, help="photos: least side of a face's box in pixels", low=1)
    resize: bool = option(False, help="aligned: fit other sizes into 112×112 (black bands), else skip them")
    merge: bool = option(False, help="equal identity names in several inputs are the same person")
    source: str | None = option(None, help="where the faces come from; else the inputs' folder names")
    licence: str = option("not stated", help="terms of use, recorded in the store and in models made from it")
    jobs: int | None = option(None, help="processes that read photos; else one per CPU core", low=1)


def run(config: ImportConfig) -> None:
    """Import, then print what came in and what did not."""
    from fedfr_edge.apps.console import out, progress_bars
    from fedfr_edge.data.readers.importing import NOTES, SKIPPED, import_faces

    if not config.inputs:
        raise ConfigError("no input folder is set: name one or more folders with one folder per identity")
    start = time.perf_counter()
    with progress_bars() as progress:
        done = import_faces(
            config.inputs,
            config.out,
            _reader(config),
            source=config.source or ", ".join(folder.resolve().name for folder in config.inputs),
            licence=config.licence,
            merge=config.merge,
            jobs=_jobs(config),
            progress=progress,
        )
    save_config(config, "data.import", config.out / "import.toml")
    store, seconds = done.store, time.perf_counter() - start
    lines = [f"{len(store)} images of {len(store.identities)} identities in {config.out} ({seconds:.1f} s)"]
    if done.resumed:
        lines.append(f"{done.resumed} of them had been written by an interrupted run")
    lines += _counts(f"skipped, of {done.found} files", done.skipped, config.out / SKIPPED)
    lines += _counts("noted", done.notes, config.out / NOTES)
    if 2 * done.skipped.get("no_face", 0) > done.found:
        lines.append("most photos show no face: if they are aligned crops already, use --kind aligned")
    if config.licence == "not stated":
        lines.append("no licence is recorded: state one with --licence before you pass on what comes of this")
    lines.append(f"digest {store.digest}")
    for line in lines:
        out.print(line)


def _reader(config: ImportConfig) -> FaceReader:
    if config.kind == "aligned":
        from fedfr_edge.data.readers.aligned import AlignedReader

        return AlignedReader(resize=config.resize)
    from fedfr_edge.data.readers.photos import PhotoReader

    return PhotoReader(config.detector, config.min_face)


def _jobs(config: ImportConfig) -> int:
    if config.kind == "aligned":
        return 1  # decoding a crop takes less time than sending it between processes
    if config.jobs is not None:
        return config.jobs
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _counts(title: str, counts: Mapping[str, int], file: Path) -> list[str]:
    if not counts:
        return []
    head = f"{sum(counts.values())} {title}; each with its reason in {file}"
    return [head, *(f"  {code:<13} {count:>6}  {_CODES.get(code, '')}" for code, count in counts.items())]


COMMAND = Command(
    section="data.import",
    config=ImportConfig,
    run=run,
    help=(
        "Bring folders of faces into an aligned-face store, which everything that trains or evaluates "
        "reads.\n\n"
        "An interrupted import goes on where it stopped when the same command is given again.\n\n"
        "In: folders that hold one folder per identity, with photographs (one face is detected and "
        "aligned in each) or with crops that are aligned already.\n\n"
        "Out: the store; in it skipped.csv (what was left out, and why), notes.csv (duplicates, "
        "identities with one image, photographs with several faces) and import.toml (the settings)."
    ),
)
