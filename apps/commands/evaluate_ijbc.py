"""``fedfr evaluate ijbc``: models on IJB-C's 1:1 and 1:N protocols."""

from __future__ import annotations

import io
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fedfr_edge
from fedfr_edge.cli import Command
from fedfr_edge.config import option, save_config
from fedfr_edge.cores import usable_cores
from fedfr_edge.errors import DataError

from .. import console
from ..file_digest import sha256_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedfr_edge.data.store import FaceStore
    from fedfr_edge.evaluation.compare import Comparison
    from fedfr_edge.evaluation.ijbc.metadata import Metadata
    from fedfr_edge.evaluation.ijbc.result import IjbcResult, Reading
    from fedfr_edge.evaluation.tables import Table
    from fedfr_edge.types import Embeddings, Encoder, Progress

SECTION = "evaluate.ijbc"
LICENCE = "IJB-C's terms of use (NIST)"
SHOWN = 3
"""Missing images that are named on the terminal; the result file lists all."""


@dataclass(frozen=True)
class EvaluateIjbcConfig:
    """Settings of ``fedfr evaluate ijbc``."""

    root: Path = option(help="folder of IJB-C in insightface's layout: meta/ and loose_crop/")
    model: tuple[Path, ...] = option(help="a model, exported .onnx or checkpoint .safetensors")
    out: Path = option(help="folder for the results", short="o")
    faces: Path | None = option(
        None, help="store of the aligned faces, made on first use (17.7 GB); default: ROOT/aligned"
    )
    protocol: Literal["both", "verification", "identification"] = option(
        "both", help="1:1 (verification), 1:N (identification) or both"
    )
    reading: Literal["standard", "reference", "both"] = option(
        "both", help="1:N: galleries apart, open set (standard), or joined as the published code does"
    )
    flip: bool = option(True, help="add the mirror image's embedding (twice the time)")
    detector_score: bool = option(True, help="weigh each face by the detector's score")
    fars: tuple[float, ...] = option(
        (), help="1:1 false-accept rate; default: 1e-1 to 1e-6 as far as the pairs carry", low=0, high=1
    )
    fpirs: tuple[float, ...] = option(
        (), help="1:N false-positive identification rate; default: 1e-1 to 1e-3 likewise", low=0, high=1
    )
    intervals: int = option(
        200, help="replicates of the bootstrap by subject behind the 95 % intervals; 0 for none", low=0
    )
    intervals_seed: int = option(0, help="seed of those draws", low=0)
    allow_missing: bool = option(
        False, help="evaluate without images that are missing or damaged; they are counted and listed"
    )
    device: str = option("cpu", help="where models run: cpu, cuda, cuda:1, …")
    threads: int = option(1, help="CPU threads of a model", low=1)
    jobs: int | None = option(None, help="processes that align faces; else one per CPU core", low=1)


def run(config: EvaluateIjbcConfig) -> None:
    """Evaluate, write, and print the tables."""
    from ..result_tables import print_table

    for table in evaluate(config):
        print_table(table, turned=table.header[0] == "model")
    console.out.print(f"written to {config.out}")


def evaluate(config: EvaluateIjbcConfig) -> list[Table]:
    """Align, embed, pool, compare and search; write, and return the tables.

    Raises:
        FedFRError: bad input; no result is written then.
    """
    from fedfr_edge.evaluation.ijbc.compare import compare_models
    from fedfr_edge.evaluation.ijbc.metadata import read_metadata

    from ..models_for_evaluation import Backend, open_for_pairs

    started = time.monotonic()
    metadata = read_metadata(
        config.root,
        verification=config.protocol != "identification",
        identification=config.protocol != "verification",
    )
    backend = Backend(config.device, config.threads)
    for path in config.model:  # a wrong file is found before faces are aligned
        open_for_pairs(path, backend, path.name)
    results: list[IjbcResult] = []
    with console.progress_bars() as progress:
        store, missing = _aligned(config, metadata, progress)
        for path in config.model:
            same_name = [other for other in config.model if other.name == path.name]
            name = path.name if len(same_name) == 1 else str(path)
            sha256 = sha256_of(path)
            for space, encoder in enumerate(open_for_pairs(path, backend, name)):
                key = {"model": sha256, "space": space, "flip": config.flip, "store": store.digest}
                results.append(_evaluate(config, encoder, key, store, metadata, progress))
    verification = results[0].verification
    if config.intervals and verification is not None and verification.replicates is None:
        console.log.print(
            "remark: no intervals, as the 1:N lists, which name the subjects, are not there or lack some"
        )
    comparisons = compare_models(results)
    tables = [*_tables(results), *_difference_tables(comparisons)]
    _write(config, store, metadata, missing, results, comparisons, tables, time.monotonic() - started)
    return tables


def _aligned(
    config: EvaluateIjbcConfig, metadata: Metadata, progress: Progress
) -> tuple[FaceStore, dict[str, str]]:
    """The store of aligned faces, and why each face that it lacks is not there."""
    from fedfr_edge.data.readers.landmarked import LandmarkedImage, import_landmarked, lacking_images
    from fedfr_edge.data.store_format import MANIFEST
    from fedfr_edge.evaluation.ijbc.metadata import IMAGES

    folder = config.faces or config.root / "aligned"
    images = [
        LandmarkedImage(config.root / IMAGES / name, landmarks, identity, name)
        for name, landmarks, identity in zip(
            metadata.faces.names, metadata.faces.landmarks, metadata.identities(), strict=True
        )
    ]
    absent: dict[str, str] = {}
    if not (folder / MANIFEST).is_file():
        absent = _absent(config.root / IMAGES, metadata.faces.names)
        _judge(config, absent, len(images), f"they are not in {config.root / IMAGES}")
    store = import_landmarked(
        images,
        folder,
        source="IJB-C",
        licence=LICENCE,
        jobs=config.jobs or usable_cores(),
        progress=progress,
    )
    lacking = lacking_images(store, metadata.faces.names)
    _judge(
        config,
        lacking,
        len(images),
        f"each with its reason in {folder / 'skipped.csv'}; once the images are whole, delete {folder}",
    )
    return store, lacking


def _absent(folder: Path, names: tuple[str, ...]) -> dict[str, str]:
    try:
        there = set(os.listdir(folder))
    except OSError as error:
        raise DataError(
            f"cannot list {folder}: {error.strerror}; it must hold IJB-C's loosely cropped faces"
        ) from error
    return {name: "missing" for name in names if name not in there and not (folder / name).is_file()}


def _judge(config: EvaluateIjbcConfig, lacking: dict[str, str], total: int, why: str) -> None:
    """Stop where faces are lacking, unless the user allows it."""
    if not lacking:
        return
    named = ", ".join(list(lacking)[:SHOWN]) + (", …" if len(lacking) > SHOWN else "")
    found = f"{len(lacking)} of {total} faces give no aligned image ({named}): {why}"
    if not config.allow_missing:
        raise DataError(f"{found}; or leave them out with --allow-missing, which counts and lists them")


def _evaluate(
    config: EvaluateIjbcConfig,
    encoder: Encoder,
    key: dict[str, Any],
    store: FaceStore,
    metadata: Metadata,
    progress: Progress,
) -> IjbcResult:
    from fedfr_edge.evaluation.bootstrap import Resampling
    from fedfr_edge.evaluation.ijbc.protocol import evaluate_ijbc
    from fedfr_edge.evaluation.mirror import Mirrored

    from ..embedding_file import embed_into_file

    embeddings = embed_into_file(
        Mirrored(encoder) if config.flip else encoder,
        store.images,
        config.out / "embeddings",
        key,
        progress,
    )
    readings: tuple[Reading, ...] = (
        ("standard", "reference") if config.reading == "both" else (config.reading,)
    )
    templates, there = _pool(config, embeddings, store, metadata, progress, encoder.name)
    return evaluate_ijbc(
        encoder.name,
        templates,
        there,
        metadata,
        readings=readings,
        fars=config.fars or None,
        fpirs=config.fpirs or None,
        resampling=Resampling(config.intervals, config.intervals_seed) if config.intervals else None,
        progress=progress,
    )


def _pool(
    config: EvaluateIjbcConfig,
    embeddings: Embeddings,
    store: FaceStore,
    metadata: Metadata,
    progress: Progress,
    name: str,
) -> Any:
    import numpy as np

    from fedfr_edge.evaluation.ijbc.templates import pool_templates

    row_of = (store.row_of(face) for face in metadata.faces.names)
    rows = np.array([-1 if row is None else row for row in row_of], dtype=np.int64)
    return pool_templates(
        embeddings,
        rows,
        metadata,
        weigh_by_score=config.detector_score,
        progress=progress,
        what=f"pooling ({name})",
    )


def _tables(results: list[IjbcResult]) -> list[Table]:
    from fedfr_edge.evaluation.ijbc.tables import identification_table, verification_table

    verification = verification_table(results)
    tables = [] if verification is None else [verification]
    return tables + [identification_table(results, place) for place in range(len(results[0].identification))]


def _difference_tables(comparisons: list[Comparison]) -> Iterator[Table]:
    from fedfr_edge.evaluation.compare import difference_table

    for reading in dict.fromkeys(found.reading for found in comparisons):
        yield difference_table([found for found in comparisons if found.reading == reading])


def _write(
    config: EvaluateIjbcConfig,
    store: FaceStore,
    metadata: Metadata,
    missing: dict[str, str],
    results: list[IjbcResult],
    comparisons: list[Comparison],
    tables: list[Table],
    seconds: float,
) -> None:
    import numpy as np

    from fedfr_edge import atomic
    from fedfr_edge.evaluation.bootstrap import LEVEL
    from fedfr_edge.evaluation.ijbc.tables import detail_table

    record = {
        "version": fedfr_edge.__version__,
        "root": str(config.root),
        "store": {"path": str(store.path), "digest": store.digest},
        "models": [{"path": str(path), "sha256": sha256_of(path)} for path in config.model],
        "faces": {
            "listed": len(metadata.faces.names),
            "in_no_template": metadata.unused_faces,
            "missing": dict(sorted(missing.items())),
        },
        "templates": len(metadata.template_ids),
        "flip": config.flip,
        "detector_score": config.detector_score,
        "intervals": {
            "replicates": config.intervals,
            "seed": config.intervals_seed,
            "level": LEVEL,
            "resampled": "subjects",
        },
        "device": config.device,
        "seconds": round(seconds, 1),
        "results": [result.to_dict() for result in results],
        "comparisons": [found.to_dict() for found in comparisons],
    }
    buffer = io.BytesIO()
    arrays = {f"{result.name}/{key}": a for result in results for key, a in result.to_arrays().items()}
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # names are not allow_pickle
    pages = [table.to_markdown() for table in [*tables, *map(detail_table, results)]]
    if missing:
        pages.append(f"{len(missing)} images are missing or damaged and left out; ijbc.json lists them.\n")
    atomic.write_bytes(config.out / "roc.npz", buffer.getvalue())
    atomic.write_text(config.out / "ijbc.md", "\n".join(pages))
    atomic.write_text(
        config.out / "ijbc.json", json.dumps(record, ensure_ascii=False, allow_nan=False, indent=1)
    )
    save_config(config, SECTION, config.out / "ijbc.toml")


COMMAND = Command(
    section=SECTION,
    config=EvaluateIjbcConfig,
    run=run,
    help="""Measure models on IJB-C: 1:1 TAR@FAR, and 1:N TPIR@FPIR and rank 1, 5, 10 with the mixed probes.

    Faces are aligned once, by the landmarks that the set gives, and embedded once for each model; both go on
    where they stopped when the same command is given again. The set itself is to be had from NIST; this
    command was tested on a small made-up set in its file layout.

    In: IJB-C's folder (meta/ijbc_*.txt and .csv, loose_crop/), and one model or more. --reading standard
    searches the galleries G1 and G2 apart, reference joins them.

    Out: the tables, and in --out ijbc.json, ijbc.md, roc.npz (ROC), embeddings/ (biometric data: delete it
    when you are done) and the resolved settings as ijbc.toml.
    """,
)
