"""Where an exported model came from, gathered from the records beside it for its card."""

from __future__ import annotations

import dataclasses
import importlib
import json
import shlex
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedfr_edge.config import as_dict

from .typed import words

if TYPE_CHECKING:
    from fedfr_edge.data.store import FaceStore
    from fedfr_edge.evaluation.tables import Table
    from fedfr_edge.export.bundle import ExportReport
    from fedfr_edge.export.calibration import Calibration
    from fedfr_edge.export.card import Origin
    from fedfr_edge.train.checkpoint import GlobalModel, PersonalModel

_TOLD = ("method", "profile", "epochs", "learning_rate", "batch_size", "dp_noise", "participation", "seed")
"""Settings of a run that its card names; the others stand in the command."""


def gather_origin(
    model: GlobalModel | PersonalModel,
    report: ExportReport,
    *,
    source: Path,
    run: Path | None,
    store: FaceStore | None,
    split: Path | None,
    calibration: Calibration | None,
    evaluation: Sequence[Table],
    results: Sequence[Path],
    command: str,
) -> Origin:
    """All that a card tells beside the export's own report.

    Args:
        model: what was exported.
        report: of the export.
        source: the checkpoint or snapshot that the model was read from.
        run: its training run's folder, if it has one.
        store: the aligned-face store of the public faces.
        split: its split.
        calibration: the faces behind the thresholds.
        evaluation: see :mod:`.export_evaluation`.
        results: the folders that it is from.
        command: the export's command line.
    """
    from fedfr_edge.export.card import Origin

    records = [*_records(source, run, store, split)]
    records += [folder / name for folder in results for name in ("personalised.toml", "pairs.toml")]
    commands = [line for file in records if (line := command_of(file))]
    return Origin(
        facts=_facts(model, run, store),
        commands=[*dict.fromkeys(commands), command],
        evaluation=evaluation,
        impostors_seen=None if calibration is None else calibration.identities_seen,
        synthetic="synthetic" in report.manifest.training_data_licence.lower(),
    )


def command_line(section: str, settings: Mapping[str, Any], config: type[Any]) -> str:
    """``fedfr …`` as one would type it: required settings, and others where they differ from the default."""
    given: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = settings.get(field.name)
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        if value is not None and value != default and value != str(default):
            given[field.name] = value
    return shlex.join(["fedfr", *section.split("."), *words(given)])


def command_of(record: Path) -> str | None:
    """The command behind a settings file that it left, None where the file is missing or not one."""
    try:
        table: Any = tomllib.loads(record.read_text())
    except (OSError, ValueError):
        return None
    path: list[str] = []
    while len(table) == 1 and isinstance(next(iter(table.values())), dict):
        ((name, table),) = table.items()
        path.append(name)
    try:
        module = importlib.import_module("fedfr_edge.apps.commands." + "_".join(path))
    except ImportError:
        return None
    return command_line(".".join(path), table, module.COMMAND.config)


def config_line(config: object, section: str) -> str:
    """The command line of the command that is running."""
    return command_line(section, as_dict(config), type(config))


def _facts(
    model: GlobalModel | PersonalModel, run: Path | None, store: FaceStore | None
) -> list[tuple[str, str]]:
    from fedfr_edge.train.public import HELD_OUT_CLASSES, PUBLIC_CLASSES, PUBLIC_STORES

    facts: list[tuple[str, str]] = []
    for what, key in (
        ("public identities trained on", PUBLIC_CLASSES),
        ("public identities held out", HELD_OUT_CLASSES),
    ):
        if key in model.metadata:
            facts.append((what, str(len(json.loads(model.metadata[key])))))
    if PUBLIC_STORES in model.metadata:
        digests = json.loads(model.metadata[PUBLIC_STORES])
        facts.append(("public stores, sha256", ", ".join(digest[:12] for digest in digests)))
    if store is not None:
        facts.append(
            ("calibration store", f"{store.manifest.get('source')}, terms: {store.manifest.get('licence')}")
        )
    pretrained = run is None and model.round == 0 and HELD_OUT_CLASSES in model.metadata
    facts.append(("method", "CosFace pre-training, no federated round" if pretrained else _method(run)))
    return facts


def _method(run: Path | None) -> str:
    if run is None:
        return "not recorded here, see the commands"
    from fedfr_edge.federation.run_folder import RunFolder

    settings = RunFolder(run).settings()
    names = (
        "method",
        "profile",
        "epochs",
        "learning_rate",
        "batch_size",
        "dp_noise",
        "participation",
        "seed",
    )
    told = [f"{name} {settings[name]}" for name in names if settings.get(name) is not None]
    return ", ".join(told) or "not recorded"


def _records(source: Path, run: Path | None, store: FaceStore | None, split: Path | None) -> Iterable[Path]:
    """Settings files of the commands that led here, in the order in which they ran."""
    if store is not None:
        yield from (store.path / name for name in ("synth.toml", "import.toml"))
    if split is not None:
        yield split.with_suffix(".toml")
    if run is None:
        yield source.parent / "pretrain.toml"
        return
    train = run / "train.toml"
    try:
        start = tomllib.loads(train.read_text())["train"]["pretrained"]
        yield Path(start).parent / "pretrain.toml"
    except (OSError, ValueError, KeyError, TypeError):
        pass
    yield train
