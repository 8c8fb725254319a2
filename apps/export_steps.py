"""What ``fedfr export generic`` and ``fedfr export personal`` share: faces, licence, summary, card."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from fedfr_edge import atomic
from fedfr_edge.config import option, save_config
from fedfr_edge.errors import CheckpointError, ConfigError, MissingPartError

from .console import log, out, progress_bars

if TYPE_CHECKING:
    from fedfr_edge.data.store import FaceStore
    from fedfr_edge.export.bundle import ExportReport
    from fedfr_edge.export.calibration import Calibration
    from fedfr_edge.recognition.manifest import Precision
    from fedfr_edge.train.checkpoint import GlobalModel, PersonalModel


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """Settings that both export commands have."""

    out: Path = option(help="the .onnx file to write; variants, card and settings go beside it", short="o")
    store: Path | None = option(None, help="aligned-face store with the public identities")
    split: Path | None = option(
        None, help="split of that store; without one all its identities count as public"
    )
    uncalibrated: bool = option(False, help="export without thresholds; each login must then state one")
    calibration_faces: int = option(4000, help="calibrate with at most so many public faces", low=2)
    seed: int = option(0, help="seed of the draw of these faces", low=0)
    name: str | None = option(None, help="what to call the model in tables; else what it is and its round")
    variants: str = option(
        "fp32",
        help="precisions, as fp32,fp16,int8; one beside fp32 is kept if as accurate, and faster or smaller",
    )
    accuracy_faces: int = option(
        2000, help="compare the accuracy of variants on at most so many faces", low=4
    )
    package: Literal["insightface"] | None = option(
        None, help="also write OUT's model as a folder that insightface loads"
    )
    only_recommended: bool = option(False, help="write one file only, OUT: of --variants the recommended one")
    evaluation: tuple[Path, ...] = option(
        (), help="results of fedfr evaluate personalised or pairs on this model, for its card"
    )


def need_exporter() -> None:
    """Raise MissingPartError unless torch and the ONNX exporter's own needs are installed."""
    for package in ("torch", "onnxscript", "safetensors"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise MissingPartError(
                f"{package} cannot be imported ({error}), the export needs it; "
                "install it with 'pip install fedfr-edge[cpu,train]'"
            ) from error


def check_out(path: Path) -> None:
    """Raise ConfigError unless ``path`` ends in ``.onnx``: the settings go beside it as ``.toml``."""
    if path.suffix != ".onnx":
        raise ConfigError(f"--out is {path}, expected a name that ends in .onnx; correct it")


def round_file(run: Path, number: int | None) -> Path:
    """The checkpoint of round ``number`` (default: the newest) in the run folder ``run``.

    Raises:
        CheckpointError: there is none.
    """
    from fedfr_edge.federation.run_folder import RunFolder

    folder = RunFolder(run)
    rounds = folder.rounds()
    if not rounds:
        raise CheckpointError(
            f"{run}/checkpoints holds no round_NNNN.safetensors, expected the folder of a 'fedfr train' run; "
            "check --run"
        )
    if number is not None and number not in rounds:
        raise CheckpointError(
            f"{run} has no round {number}, it has {rounds[0]} to {rounds[-1]}; choose one with --round"
        )
    return folder.checkpoint(rounds[-1] if number is None else number)


def precisions_of(text: str) -> list[Precision]:
    """``"fp32,int8"`` as precisions; float32 is always among them.

    Raises:
        ConfigError: an unknown one.
    """
    from fedfr_edge.recognition.manifest import Precision

    known: tuple[Precision, ...] = get_args(Precision)
    found = [part.strip() for part in text.split(",") if part.strip()]
    for part in found:
        if part not in known:
            raise ConfigError(f"--variants names {part!r}, expected some of {', '.join(known)}; correct it")
    return [one for one in known if one in found or one == "fp32"]


def export_calibrated(
    config: ExportSettings,
    section: str,
    model: GlobalModel | PersonalModel,
    export: Callable[..., ExportReport],
    *,
    source: Path,
    run: Path | None,
) -> None:
    """Choose faces, export ``model`` with ``export``, print the report, write card and settings beside it.

    Args:
        config: the command's settings.
        section: the command's section.
        model: what to export.
        export: ``export_generic`` or ``export_personal``.
        source: the file that the model was read from.
        run: its training run's folder, if it has one.

    Raises:
        FedFRError: as :func:`open_calibration`, ``read_evaluations`` and ``export``; nothing is written then.
    """
    from .export_evaluation import read_evaluations
    from .export_origin import config_line, gather_origin

    variants, client = precisions_of(config.variants), getattr(model, "client", None)
    evaluation = read_evaluations(config.evaluation, client, (source, config.out))
    calibration, store = open_calibration(
        config.store,
        config.split,
        config.uncalibrated,
        metadata=model.metadata,
        limit=config.calibration_faces,
        seed=config.seed,
    )
    judges = None
    if len(variants) > 1 and calibration is not None and store is not None:
        from fedfr_edge.data.split import Split
        from fedfr_edge.export.accuracy import choose_judges

        judges = choose_judges(
            store,
            None if config.split is None else Split.load(config.split),
            calibration,
            client=client,
            limit=config.accuracy_faces,
            seed=config.seed,
        )
    with progress_bars() as progress:
        report = export(
            model,
            config.out,
            calibration=calibration,
            name=config.name,
            licence=licence_of(model.metadata, store, config.split),
            variants=variants,
            judges=judges,
            insightface=config.package == "insightface",
            only_recommended=config.only_recommended,
            progress=progress,
        )
    show_report(report, calibration)
    from fedfr_edge.export.card import write_card

    origin = gather_origin(
        model,
        report,
        source=source,
        run=run,
        store=store,
        split=config.split,
        calibration=calibration,
        evaluation=evaluation,
        results=config.evaluation,
        command=config_line(config, section),
    )
    card = config.out.with_suffix(".md")
    atomic.write_text(card, write_card(report, origin))
    save_config(config, section, config.out.with_suffix(".toml"))
    out.print(f"card: {card}")


def open_calibration(
    store: Path | None,
    split: Path | None,
    uncalibrated: bool,
    *,
    metadata: dict[str, str],
    limit: int,
    seed: int,
) -> tuple[Calibration | None, FaceStore | None]:
    """The public faces to calibrate with, and their store; ``(None, None)`` with ``--uncalibrated``.

    Raises:
        ConfigError: neither or both of a store and ``--uncalibrated``; a split without a store.
        StoreError: no store there. SplitError: no split, or one of another store.
    """
    if uncalibrated:
        if store is not None or split is not None:
            raise ConfigError("--uncalibrated excludes --store and --split; leave one or the other out")
        return None, None
    if store is None:
        raise ConfigError(
            "no --store given, so the thresholds have no impostors to be taken from; give the store (and the "
            "--split) with the public identities, or --uncalibrated if each login will state a threshold"
        )
    from fedfr_edge.data.split import Split
    from fedfr_edge.data.store import FaceStore
    from fedfr_edge.export.calibration import choose_faces

    opened = FaceStore.open(store)
    public = None if split is None else Split.load(split)
    return choose_faces(opened, public, metadata=metadata, limit=limit, seed=seed), opened


def licence_of(metadata: dict[str, str], store: FaceStore | None, split: Path | None) -> str | None:
    """Terms of the training data: what the model says, else those of the store that its split is of.

    Without a split nothing ties the store to the training, so its terms say nothing about the model.
    """
    from fedfr_edge.train.checkpoint import LICENCE_KEY

    if metadata.get(LICENCE_KEY):
        return metadata[LICENCE_KEY]
    return str(store.manifest["licence"]) if store is not None and split is not None else None


def show_report(report: ExportReport, calibration: Calibration | None) -> None:
    """Print what was written, how well it agrees with torch, and its thresholds."""
    from fedfr_edge.recognition.manifest import far_key

    manifest = report.manifest
    out.print(f"{report.path}: {manifest.name}, {report.bytes / 1e6:.1f} MB, {report.seconds:.1f} s")
    noise = report.faces_compared - report.public_faces
    out.print(
        f"against torch, {report.public_faces} public faces and {noise} images of noise: largest difference "
        f"{report.max_abs_difference:.1e}, lowest cosine {report.lowest_cosine:.7f}"
    )
    if report.judged:
        from fedfr_edge.export.card import files_table

        from .result_tables import print_table

        print_table(files_table(report))
    if report.package is not None:
        out.print(f"for insightface: {report.package}")
    for old in report.removed:
        log.print(f"removed {old}, which belonged to an earlier export")
    out.print(f"training data: {manifest.training_data_licence}")
    if calibration is None:
        log.print("not calibrated: enrol and login will need --threshold")
        return
    for record in report.thresholds:
        out.print(
            f"threshold {record.threshold:.4f} at FAR {far_key(record.far)} "
            f"({record.false_accepts} of {record.non_mated} comparisons)"
        )
    out.print(f"impostors: {report.thresholds[0].source}")
    if calibration.identities_seen:
        log.print(
            "the model was trained on these impostors, which it keeps further apart than strangers: more "
            "strangers than stated will pass; calibrate with a store of people it has not seen if you can"
        )
