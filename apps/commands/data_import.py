"""``fedfr data import``: folders, record files or verification sets into an aligned-face store."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fedfr_edge.cli import Command
from fedfr_edge.config import option, save_config
from fedfr_edge.cores import usable_cores
from fedfr_edge.errors import ConfigError

if TYPE_CHECKING:
    from fedfr_edge.data.readers.importing import Imported
    from fedfr_edge.types import Progress

PAIRS = "pairs.txt"
"""The list of pairs of a verification set, in the folder of its store."""

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
    "bad_record": "cut short or damaged",
    "bad_label": "its label is no identity's number",
    "missing": "the index lacks it",
    "few_images": "identities with fewer than --least-images",
    "several_faces": "kept the largest central one",
    "resized": "fitted into 112×112",
    "single_image": "identities with one image",
    "duplicate": "the same pixels twice in one identity",
    "shared": "the same pixels in two identities",
    "other_count": "the property file says otherwise",
    "not_in_split": "identities without training or test images",
    "repeated": "images of a .bin that are in several pairs",
}


@dataclass(frozen=True)
class ImportConfig:
    """Settings of ``fedfr data import``."""

    inputs: tuple[Path, ...] = option(
        help="folders with one folder per identity; .rec files or their folders; one .bin; or one folder of "
        "the reference code's split",
        argument=True,
    )
    out: Path = option(help="folder of the new store", short="o")
    kind: Literal["auto", "photos", "aligned", "records", "bin", "fedfr-split"] = option(
        "auto",
        help="photos: detect and align; aligned: 112×112 crops, taken as they are; records: MXNet's .rec; "
        "bin: insightface's .bin; fedfr-split: the reference code's split; auto: by the input, else photos",
    )
    detector: str = option("centerface", help="photos: centerface or yunet:, scrfd:, insightface:FILE.onnx")
    min_face: int = option(32, help="photos: least side of a face's box in pixels", low=1)
    resize: bool = option(
        False, help="all but photos: fit other sizes into 112×112 (black bands), else skip them"
    )
    merge: bool = option(False, help="equal identity names in several inputs are the same person")
    least_images: int = option(
        1, help="records: leave out identities with fewer images (each decoded image takes 37 kB)", low=1
    )
    source: str | None = option(None, help="where the faces come from; else the inputs' folder names")
    licence: str = option("not stated", help="terms of use, recorded in the store and in models made from it")
    jobs: int | None = option(None, help="processes that read photos; else one per CPU core", low=1)


def run(config: ImportConfig) -> None:
    """Import, then print what came in and what did not."""
    from fedfr_edge.apps.console import out, progress_bars
    from fedfr_edge.data.readers.importing import NOTES, SKIPPED

    if not config.inputs:
        raise ConfigError("no input is set: name folders with one folder per identity, .rec files or a .bin")
    start = time.perf_counter()
    kind = _kind(config)
    if config.least_images > 1 and kind != "records":
        raise ConfigError(f"--least-images goes with record files, this input is {kind}; leave it out")
    with progress_bars() as progress:
        done, more = _IMPORTS[kind](config, progress)
    save_config(config, "data.import", config.out / "import.toml")
    store, seconds = done.store, time.perf_counter() - start
    lines = [f"{len(store)} images of {len(store.identities)} identities in {config.out} ({seconds:.1f} s)"]
    lines += more
    if done.resumed:
        lines.append(f"{done.resumed} of them had been written by an interrupted run")
    of = "files" if kind in ("photos", "aligned") else "images"
    if "few_images" in done.skipped:
        of += " and identities"
    lines += _counts(f"skipped, of {done.found} {of}", done.skipped, config.out / SKIPPED)
    lines += _counts("noted", done.notes, config.out / NOTES)
    if 2 * done.skipped.get("no_face", 0) > done.found:
        lines.append("most photos show no face: if they are aligned crops already, use --kind aligned")
    if config.licence == "not stated":
        lines.append("no licence is recorded: state one with --licence before you pass on what comes of this")
    lines.append(f"digest {store.digest}")
    for line in lines:
        out.print(line)


def _kind(config: ImportConfig) -> str:
    """What the inputs are, where the user did not say."""
    from fedfr_edge.data.readers.records import records_in
    from fedfr_edge.data.readers.reference_split import is_reference_split

    if config.kind != "auto":
        return config.kind
    kinds = set()
    for path in config.inputs:
        if path.suffix.lower() == ".bin" and path.is_file():
            kinds.add("bin")
        elif is_reference_split(path):
            kinds.add("fedfr-split")
        elif path.suffix.lower() == ".rec" or (path.is_dir() and records_in(path) is not None):
            kinds.add("records")
        else:
            kinds.add("photos")
    if len(kinds) > 1:
        raise ConfigError(
            f"the inputs are of different kinds ({', '.join(sorted(kinds))}); import them apart"
        )
    return kinds.pop()


def _folders(config: ImportConfig, progress: Progress) -> tuple[Imported, list[str]]:
    from fedfr_edge.data.readers.aligned import AlignedReader
    from fedfr_edge.data.readers.importing import import_faces
    from fedfr_edge.data.readers.photos import PhotoReader

    aligned = config.kind == "aligned"
    done = import_faces(
        config.inputs,
        config.out,
        AlignedReader(config.resize) if aligned else PhotoReader(config.detector, config.min_face),
        source=_source(config),
        licence=config.licence,
        merge=config.merge,
        jobs=1 if aligned else _jobs(config),  # a crop decodes faster than it is sent between processes
        progress=progress,
    )
    return done, []


def _records(config: ImportConfig, progress: Progress) -> tuple[Imported, list[str]]:
    from fedfr_edge.data.readers.record_images import import_records
    from fedfr_edge.data.readers.records import records_in

    paths = []
    for path in config.inputs:
        found = records_in(path) if path.is_dir() else path
        if found is None:
            raise ConfigError(f"{path} holds no .rec file, expected train.rec or another one; check the path")
        paths.append(found)
    done = import_records(
        paths,
        config.out,
        source=_source(config),
        licence=config.licence,
        resize=config.resize,
        merge=config.merge,
        least_images=config.least_images,
        progress=progress,
    )
    return done, []


def _bin(config: ImportConfig, progress: Progress) -> tuple[Imported, list[str]]:
    from fedfr_edge.data.readers.verification_bin import import_bin
    from fedfr_edge.evaluation.pairs_list import write_pairs

    done, pairs = import_bin(
        _only(config),
        config.out,
        source=_source(config),
        licence=config.licence,
        resize=config.resize,
        companion=PAIRS,
        progress=progress,
    )
    write_pairs(config.out / PAIRS, pairs)
    mated = sum(same for _, _, same in pairs)
    line = f"{len(pairs)} pairs ({mated} mated, {len(pairs) - mated} non-mated) in {config.out / PAIRS}"
    return done, [line]


def _fedfr_split(config: ImportConfig, progress: Progress) -> tuple[Imported, list[str]]:
    from fedfr_edge.apps.commands.data_show import split_lines
    from fedfr_edge.data.readers.reference_split import SPLIT, import_reference_split

    done, split = import_reference_split(
        _only(config),
        config.out,
        source=_source(config),
        licence=config.licence,
        resize=config.resize,
        progress=progress,
    )
    return done, [f"split written to {config.out / SPLIT}", *split_lines(split)]


_IMPORTS: Mapping[str, Callable[[ImportConfig, Progress], tuple[Imported, list[str]]]] = {
    "photos": _folders,
    "aligned": _folders,
    "records": _records,
    "bin": _bin,
    "fedfr-split": _fedfr_split,
}
"""Kind -> what imports it and says more about it."""


def _only(config: ImportConfig) -> Path:
    if len(config.inputs) != 1:
        raise ConfigError(
            f"{len(config.inputs)} inputs are given, expected one of this kind; import them apart"
        )
    return config.inputs[0]


def _source(config: ImportConfig) -> str:
    return config.source or ", ".join(path.resolve().name for path in config.inputs)


def _jobs(config: ImportConfig) -> int:
    if config.jobs is not None:
        return config.jobs
    return usable_cores()


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
        "aligned in each) or with crops that are aligned already; MXNet's record files, with or without "
        "their .idx (faces_emore and its like); an insightface .bin; or the folder into which the reference "
        "code divides MS1M.\n\n"
        "Out: the store; in it skipped.csv (what was left out, and why), notes.csv (duplicates, "
        "identities with one image, photographs with several faces) and import.toml (the settings); of a "
        ".bin pairs.txt, of the reference code's split split.json."
    ),
)
