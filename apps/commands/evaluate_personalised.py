"""``fedfr evaluate personalised``: models on the personalised protocol of a split."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fedfr_edge
from fedfr_edge.cli import Command
from fedfr_edge.config import option, save_config
from fedfr_edge.errors import ConfigError

from .. import console

if TYPE_CHECKING:
    from fedfr_edge.data.store import FaceStore
    from fedfr_edge.evaluation.bootstrap import Resampling
    from fedfr_edge.evaluation.embedding import SpacesEncoder
    from fedfr_edge.evaluation.outcome import ClientResult, PersonalisedResult, Reading
    from fedfr_edge.evaluation.personalised import ClientRows
    from fedfr_edge.evaluation.products import Products

    from ..models_for_evaluation import Backend, Source

SECTION = "evaluate.personalised"


@dataclass(frozen=True)
class EvaluatePersonalisedConfig:
    """Settings of ``fedfr evaluate personalised``."""

    store: Path = option(help="aligned-face store that the split was made for")
    split: Path = option(help="split: clients, their training and test images (.json)")
    out: Path = option(help="folder for the results", short="o")
    run: Path | None = option(None, help="folder of a training run: its generic and all personal models")
    round: int | None = option(None, help="round of --run; the newest if not given", low=1)
    exported: Path | None = option(
        None, help="folder with generic.onnx and personal-<client>.onnx, instead of --run"
    )
    generic: Path | None = option(None, help="a generic model, .onnx or .safetensors, instead of a folder")
    personal: tuple[str, ...] = option(
        (), help="CLIENT=FILE: a client's personal model, .onnx, .safetensors or its private folder"
    )
    reading: Literal["standard", "paper", "reference", "all"] = option(
        "all",
        help="how pairs and searches are counted: by ISO/IEC 19795, by the paper, or by its published code",
    )
    fars: tuple[float, ...] = option(
        (), help="1:1 false-accept rate; default: 1e-2 to 1e-6 as far as the trials carry", low=0, high=1
    )
    fpirs: tuple[float, ...] = option(
        (), help="1:N false-positive identification rate; default: 1e-1 to 1e-3 likewise", low=0, high=1
    )
    intervals: int = option(
        200, help="replicates of the bootstrap behind 95 % intervals; 0 for none", low=0, high=100_000
    )
    intervals_seed: int = option(0, help="seed of the people drawn; compare results of one seed", low=0)
    report: bool = option(False, help="also write report.html with figures (needs the extra 'report')")
    device: str = option("cpu", help="where models run: cpu, cuda, cuda:1, …")
    threads: int = option(1, help="CPU threads of a model", low=1)


def evaluate(config: EvaluatePersonalisedConfig) -> list[PersonalisedResult]:
    """Evaluate, and write the results; what the command does but for printing.

    Returns:
        Standard reading first, in each Θ_g, Θ_l, [Θ_l, Π_l] as far as they are given.

    Raises:
        FedFRError: bad input; nothing is written then.
    """
    from fedfr_edge.data.split import Split
    from fedfr_edge.data.store import FaceStore
    from fedfr_edge.evaluation.bootstrap import Resampling
    from fedfr_edge.evaluation.outcome import READINGS
    from fedfr_edge.evaluation.personalised import ClientRows, evaluate_models

    from ..models_for_evaluation import Backend

    if config.report:
        from fedfr_edge.evaluation.report.canvas import styled

        with styled():  # that matplotlib is missing is better known now than after hours
            pass
    started = time.monotonic()
    store = FaceStore.open(config.store)
    split = Split.load(config.split)
    clients = {
        client: ClientRows(
            gallery=split.client_rows(store, client, "train"), probes=split.client_rows(store, client, "test")
        )
        for client in sorted(split.clients)
    }
    rows, sources = _open_models(config, list(clients), Backend(config.device, config.threads))
    readings: tuple[Reading, ...] = READINGS if config.reading == "all" else (config.reading,)
    resampling = Resampling(config.intervals, config.intervals_seed) if config.intervals else None
    results: list[PersonalisedResult] = []
    with console.progress_bars() as progress:
        for models in rows:
            results += evaluate_models(
                models,
                store.images,
                store.labels,
                clients,
                readings=readings,
                fars=config.fars or None,
                fpirs=config.fpirs or None,
                resampling=resampling,
                products=_products(config.device),
                image_name=lambda row: store.names[row],
                progress=progress,
            )
    results.sort(key=lambda result: readings.index(result.reading))  # stable: models keep their order
    pairing = _pairing(resampling, clients, store) if resampling else None
    _write(config, store, split.seed, sources, results, pairing, time.monotonic() - started)
    return results


def run(config: EvaluatePersonalisedConfig) -> None:
    """Evaluate, write, and print the tables."""
    from fedfr_edge.evaluation.compare import compare_all_pairs, difference_table
    from fedfr_edge.evaluation.tables import comparison_table

    from ..result_tables import print_table

    results = evaluate(config)
    for reading in dict.fromkeys(result.reading for result in results):
        print_table(comparison_table([result for result in results if result.reading == reading]))
    comparisons = compare_all_pairs([result for result in results if result.reading == results[0].reading])
    if comparisons:
        print_table(difference_table(comparisons), turned=False)
    console.out.print(f"written to {config.out}")


def _open_models(
    config: EvaluatePersonalisedConfig, clients: list[str], backend: Backend
) -> tuple[list[Mapping[str, SpacesEncoder]], list[Source]]:
    """Rows of models (each: client -> model), generic first, and where they came from."""
    from ..export_steps import round_file
    from ..models_for_evaluation import open_generic, open_personals

    given = [config.run is not None, config.exported is not None, bool(config.generic or config.personal)]
    if sum(given) != 1:
        raise ConfigError(
            "say what to evaluate with one of --run, --exported, or --generic and --personal; "
            f"{sum(given)} of the three are given"
        )
    if config.round is not None and config.run is None:
        raise ConfigError("--round chooses within --run; leave it out without it")
    generic, personal, latest = config.generic, _personal_paths(config.personal), None
    if config.run is not None:
        generic = round_file(config.run, config.round)
        personal = _personal_folders(config.run, clients)
        latest = int(generic.stem.removeprefix("round_"))
        if latest == 0:
            raise ConfigError(
                f"{config.run} has finished no round, so it has no personal models; "
                f"evaluate its start with --generic {generic}"
            )
    if config.exported is not None:
        generic = config.exported / "generic.onnx"
        personal = {client: config.exported / f"personal-{client}.onnx" for client in clients}
    strangers = sorted(set(personal) - set(clients))
    if strangers:
        raise ConfigError(f"--personal names {strangers[0]}, the split has {', '.join(clients)}")
    missing = sorted(set(clients) - set(personal))
    if personal and missing:
        raise ConfigError(
            f"no personal model is given for {', '.join(missing)}; give every client of the split one"
        )
    rows: list[Mapping[str, SpacesEncoder]] = []
    sources = []
    if generic is not None:
        model, source = open_generic(generic, backend)
        rows.append(dict.fromkeys(clients, model))
        sources.append(source)
    if personal:
        models, found = open_personals(personal, backend, latest)
        rows.append(models)
        sources += found
        late = [source.client for source in found if latest is not None and source.round != latest]
        if late:
            console.log.print(f"remark: {', '.join(map(str, late))} took no part in round {latest}")
    return rows, sources


def _personal_folders(run: Path, clients: list[str]) -> dict[str, Path]:
    """Private folders by client; none, with a remark, where the run has not made all personal models."""
    from fedfr_edge.federation.private_state import snapshots
    from fedfr_edge.federation.run_folder import RunFolder

    settings = RunFolder(run).settings()
    if settings.get("method") == "central":
        console.log.print(f"remark: {run} is a central run and has no personal models; only Θ_g is measured")
        return {}
    folders = {client: run / "clients" / client for client in clients}
    never = [client for client, folder in folders.items() if not snapshots(folder)]
    if never and settings.get("participation", 1) < 1:
        console.log.print(
            f"remark: {', '.join(never)} took part in no round of {run} yet and so has no personal model; "
            "only Θ_g is measured"
        )
        return {}
    return folders


def _personal_paths(texts: Sequence[str]) -> dict[str, Path]:
    """``client=FILE`` texts as a mapping.

    Raises:
        ConfigError: a text of another form, or a client twice.
    """
    paths: dict[str, Path] = {}
    for text in texts:
        client, equals, path = text.partition("=")
        if not (client and equals and path):
            raise ConfigError(f"--personal is {text!r}, expected CLIENT=FILE, such as client-00=model.onnx")
        if client in paths:
            raise ConfigError(f"--personal names {client} twice; give each client one model")
        paths[client] = Path(path)
    return paths


def _products(device: str) -> Products | None:
    """What makes the scores: torch on a GPU, numpy otherwise."""
    if device == "cpu":
        return None
    from ..torch_products import TorchProducts

    return TorchProducts(device)


def _pairing(resampling: Resampling, clients: Mapping[str, ClientRows], store: FaceStore) -> str:
    """What two results must share for their replicates to have the same people drawn, as a digest."""
    import numpy as np

    facts = {
        "seed": resampling.seed,
        "replicates": resampling.replicates,
        "clients": {
            client: [store.identities[label] for label in np.unique(store.labels[rows.gallery])]
            for client, rows in clients.items()
        },
        "images": {client: [store.names[row] for row in rows.probes] for client, rows in clients.items()},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _client_record(client: ClientResult, store: FaceStore) -> dict[str, Any]:
    return client.to_dict() | {"hardest": client.hardest.to_dict(lambda row: store.names[row])}


def _write(
    config: EvaluatePersonalisedConfig,
    store: FaceStore,
    seed: int,
    sources: list[Source],
    results: list[PersonalisedResult],
    pairing: str | None,
    seconds: float,
) -> None:
    import numpy as np

    from fedfr_edge import atomic
    from fedfr_edge.evaluation.bootstrap import LEVEL
    from fedfr_edge.evaluation.compare import compare_all_pairs, difference_table
    from fedfr_edge.evaluation.tables import client_table, comparison_table

    from ..file_digest import sha256_of

    comparisons = compare_all_pairs(results)
    record = {
        "version": fedfr_edge.__version__,
        "store": {"path": str(store.path), "digest": store.digest, "licence": store.manifest.get("licence")},
        "split": {"path": str(config.split), "seed": seed, "sha256": sha256_of(config.split)},
        "models": [source.to_dict() for source in sources],
        "device": config.device,
        "seconds": round(seconds, 1),
        "intervals": {
            "replicates": config.intervals,
            "seed": config.intervals_seed,
            "level": LEVEL,
            "resampled": "the people within every client, jointly; the clients are kept",
            "pairing": pairing,
        },
        "results": [
            result.to_dict() | {"clients": [_client_record(client, store) for client in result.clients]}
            for result in results
        ],
        "comparisons": [comparison.to_dict() for comparison in comparisons],
    }
    tables = [
        comparison_table([result for result in results if result.reading == reading])
        for reading in dict.fromkeys(result.reading for result in results)
    ]
    tables += [
        difference_table(found)
        for reading in dict.fromkeys(comparison.reading for comparison in comparisons)
        if (found := [comparison for comparison in comparisons if comparison.reading == reading])
    ]
    tables += [client_table(result) for result in results]
    arrays: dict[str, Any] = {
        f"{result.reading}/{result.name}/{key}": array
        for result in results
        for key, array in result.to_arrays().items()
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    atomic.write_bytes(config.out / "curves.npz", buffer.getvalue())
    atomic.write_text(config.out / "personalised.md", "\n".join(table.to_markdown() for table in tables))
    atomic.write_text(
        config.out / "personalised.json", json.dumps(record, ensure_ascii=False, allow_nan=False, indent=1)
    )
    save_config(config, SECTION, config.out / "personalised.toml")
    if config.report:
        _write_report(config.out)


def _write_report(folder: Path) -> None:
    """The page of ``fedfr report`` on these results alone."""
    from fedfr_edge.evaluation.report import write_report

    from ..report.gather import gather
    from ..report.read import read_inputs

    write_report(folder, gather(read_inputs((folder,)), "Personalised evaluation"))


COMMAND = Command(
    section=SECTION,
    config=EvaluatePersonalisedConfig,
    run=run,
    help="""Measure models on the personalised protocol: how well each client knows its own people.

    1:1 TAR@FAR and 1:N TPIR@FPIR, for each client and over the clients, with the number of trials behind
    every rate and a 95 % interval (people drawn anew, not pairs; --intervals). Rates that rest on fewer than
    ten false accepts are marked, those that the trials cannot carry are not printed. Any two models are
    compared on the same draws.

    In: a store and its split, and models: a training run (--run), a folder of exported files (--exported),
    or single files (--generic, --personal). A personal model is measured twice, with its backbone alone
    and with its transform.

    Out: the tables, and in --out personalised.json, personalised.md, curves.npz and the resolved settings
    as personalised.toml; with --report also report.html.
    """,
)
