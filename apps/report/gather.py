"""From what was read to what a page shows, with the checks that keep apart what cannot be compared."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedfr_edge.errors import ConfigError, DataError
from fedfr_edge.evaluation.outcome import PersonalisedResult, headline
from fedfr_edge.evaluation.pairs import PairsResult
from fedfr_edge.evaluation.report import Faces, GroupedTable, ReportData
from fedfr_edge.evaluation.report.content import MOST
from fedfr_edge.evaluation.tables import rate_text

from ..models_for_evaluation import SPACES
from ..study.scores import Scores
from .differences import differences_of
from .faces import hardest_faces
from .ijbc import ijbc_tables
from .names import distinct, labels_of, labels_of_runs, named, short_names
from .paper import paper_tables
from .read import Inputs, Pairs, Personalised

if TYPE_CHECKING:
    from fedfr_edge.data.store import FaceStore


def gather(inputs: Inputs, title: str | None, store: FaceStore | None = None) -> ReportData:
    """What the page shows of single results; of a study see :mod:`.study_pages`.

    Args:
        inputs: what was read.
        title: heading of the page.
        store: where the hardest pairs of faces come from; None to show none.

    Raises:
        ConfigError: results that cannot stand side by side.
        DataError: a file lacks what it should hold.
    """
    left_out: list[str] = []
    results = _results(inputs.personalised, left_out)
    shown = [result for result in results if result.reading == "standard"] or results
    shown = [result for result in shown if result.reading == shown[0].reading]
    return ReportData(
        title=title or _title(inputs),
        facts=_facts(inputs),
        results=results,
        curves=_curves(inputs.personalised, shown, left_out),
        headline_pair=_headline_pair(inputs.personalised),
        differences=differences_of(inputs.personalised, shown, left_out),
        paper=_paper(inputs.personalised),
        pairs=pairs_results(inputs.pairs, left_out),
        tables=ijbc_tables(inputs.ijbc, labels_of([one.folder for one in inputs.ijbc]), left_out),
        faces=None if store is None else _faces(store, inputs.personalised, shown, left_out),
        rounds=_rounds(inputs.personalised, left_out),
        files=[("results", str(folder)) for folder, _ in inputs.results],
        left_out=[*left_out, *unsupported(shown)],
    )


def _results(evaluations: Sequence[Personalised], left_out: list[str]) -> list[PersonalisedResult]:
    for other in evaluations[1:]:
        if not evaluations[0].same_people(other):
            raise ConfigError(
                f"{evaluations[0].folder} and {other.folder} were measured on other people or images (store, "
                "split or trials differ), so their figures cannot stand side by side; report them apart"
            )
    results: list[PersonalisedResult] = []
    for one, label in zip(evaluations, labels_of_runs(evaluations), strict=True):
        kept = distinct(one)
        if len(kept) < len(one.results):
            left_out.append(f"{label or one.folder}: {SPACES[1]}, which without a branch is {SPACES[0]}.")
        results += [dataclasses.replace(result, name=named(label, result.name)) for result in kept]
    return common_rates(results, left_out)


def common_rates(results: Sequence[PersonalisedResult], left_out: list[str]) -> list[PersonalisedResult]:
    """The results with only those rates that all of them have.

    Raises:
        ConfigError: they have none in common.
    """
    if not results:
        return []
    kept: dict[str, list[float | None]] = {}
    for kind, word in (("verification", "FAR"), ("identification", "FPIR")):
        targets = [[rate.far_target for rate in getattr(result.clients[0], kind)] for result in results]
        kept[kind] = [target for target in targets[0] if all(target in own for own in targets)]
        if not kept[kind]:
            raise ConfigError(
                f"the results have no {word} in common; evaluate the models with the same --fars and --fpirs"
            )
        dropped = sorted({target for own in targets for target in own} - set(kept[kind]), reverse=True)
        if dropped:
            shown = ", ".join(map(rate_text, dropped))
            left_out.append(f"{len(dropped)} {word} ({shown}), which not all models were measured at.")
    return [_trimmed(result, kept["verification"], kept["identification"]) for result in results]


def _trimmed(
    result: PersonalisedResult, fars: Sequence[float | None], fpirs: Sequence[float | None]
) -> PersonalisedResult:
    first = result.clients[0]
    tar = [[rate.far_target for rate in first.verification].index(target) for target in fars]
    tpir = [[rate.far_target for rate in first.identification].index(target) for target in fpirs]
    clients = tuple(
        dataclasses.replace(
            client,
            verification=tuple(client.verification[place] for place in tar),
            identification=tuple(client.identification[place] for place in tpir),
            replicates=None
            if client.replicates is None
            else dataclasses.replace(
                client.replicates, tar=client.replicates.tar[:, tar], tpir=client.replicates.tpir[:, tpir]
            ),
        )
        for client in result.clients
    )
    return dataclasses.replace(result, clients=clients)


def pairs_results(found: Sequence[Pairs], left_out: list[str]) -> list[PairsResult]:
    """The results on lists of pairs, of one list.

    Raises:
        ConfigError: of several lists, or of images of several stores.
    """
    for other in found[1:]:
        if any(
            found[0].record[key].get(part) != other.record[key].get(part)
            for key, part in (("store", "digest"), ("pairs", "count"), ("pairs", "sha256"))
        ):
            raise ConfigError(
                f"{found[0].folder} and {other.folder} were measured on different lists of pairs or stores, "
                "so their figures cannot stand side by side; report them apart"
            )
    results = []
    for one, label in zip(found, labels_of([one.folder for one in found]), strict=True):
        results += [dataclasses.replace(result, name=named(label, result.name)) for result in one.results]
        lost = max((result.left_out for result in one.results), default=0)
        if lost:
            missing = max(len(result.missing) for result in one.results)
            left_out.append(
                f"{lost:,} of {one.record['pairs']['count']:,} pairs of {one.folder.name}: {missing:,} of "
                "their images are not in the store."
            )
    return results


def unsupported(shown: Sequence[PersonalisedResult]) -> list[str]:
    """What the trials do not carry, in words."""
    lines = []
    for kind, rates in (
        ("TAR@FAR", [result.verification for result in shown]),
        ("TPIR@FPIR", [result.identification for result in shown]),
    ):
        weak = sum(not rate.supported for row in rates for rate in row)
        if weak:
            lines.append(
                f"{weak} of {sum(map(len, rates))} {kind} rest on fewer than ten false accepts: they stand "
                "grey and marked in the tables and in no figure."
            )
    if shown and all(np.isnan(result.tpir_curve).all() for result in shown):
        lines.append("TPIR over FPIR: these results hold no such curves; evaluate the models again.")
    bare = sorted(
        {client.client for result in shown for client in result.clients if not client.verification[0].trials}
    )
    if bare:
        lines.append(f"{len(bare)} clients without mated pairs ({', '.join(bare)}): no TAR, so in no mean.")
    return lines


def too_many(models: int, chosen: Sequence[str]) -> str:
    """The line about models that the figures have no room for."""
    return (
        f"{models - len(chosen)} of {models} models in ROC, DET, TPIR and scores; "
        f"shown are {', '.join(chosen)}."
    )


def _curves(
    evaluations: Sequence[Personalised], shown: Sequence[PersonalisedResult], left_out: list[str]
) -> list[str]:
    """Models for figures of a line each: where there are too many, the last of each evaluation."""
    if len(shown) <= MOST:
        return []
    last = _last_names(evaluations)
    chosen = (last if len(evaluations) > 1 else [result.name for result in shown])[:MOST]
    left_out.append(too_many(len(shown), chosen))
    return chosen


def _last_names(evaluations: Sequence[Personalised]) -> list[str]:
    """The last model of each evaluation, which is its most personal one, as the page calls it."""
    labels = labels_of_runs(evaluations)
    return [named(label, distinct(one)[-1].name) for one, label in zip(evaluations, labels, strict=True)]


def _headline_pair(evaluations: Sequence[Personalised]) -> tuple[str, str] | None:
    """Of several evaluations the first one's against the last one's; of one, its own first and last."""
    names = _last_names(evaluations)
    return (names[0], names[-1]) if len(names) > 1 else None


def _paper(evaluations: Sequence[Personalised]) -> list[GroupedTable]:
    """The paper's tables, where the runs are of its methods and each method is there once."""
    methods = [str(one.training.get("method", "")) for one in evaluations]
    if not evaluations or not all(methods) or len(set(methods)) < len(methods):
        return []
    records = {}
    for method, one in zip(methods, evaluations, strict=True):
        personalised = [result.to_dict() for result in one.results if result.reading == "standard"]
        record: dict[str, Any] = {"strangers": None, "pairs": None, "personalised": personalised}
        records[method, 0] = {**record, "inputs": {"train": dict(one.training)}}
    return paper_tables(Scores.of(methods, (0,), records))


def _faces(
    store: FaceStore,
    evaluations: Sequence[Personalised],
    shown: Sequence[PersonalisedResult],
    left_out: list[str],
) -> Faces:
    """The hardest pairs of the last model."""
    if not evaluations:
        raise ConfigError("--faces needs results of fedfr evaluate personalised; leave it out")
    far = shown[0].verification[headline(shown)].far_target
    last = shown[-1]
    evaluation, original = next(
        (one, result)
        for one, label in zip(evaluations, labels_of_runs(evaluations), strict=True)
        for result in distinct(one)
        if (named(label, result.name), result.reading) == (last.name, last.reading)
    )
    return hardest_faces(store, evaluation, original, last.name, far, left_out)


def _rounds(evaluations: Sequence[Personalised], left_out: list[str]) -> list[dict[str, Any]]:
    """The rounds up to the one that was measured, of a single run."""
    runs = [one.run for one in evaluations if one.run is not None]
    if len(evaluations) > 1 and runs:
        left_out.append(
            f"The training losses of {len(runs)} runs; fedfr runs compare sets them side by side."
        )
    file = runs[0] / "metrics.jsonl" if len(evaluations) == 1 and runs else None
    if file is None or not file.is_file():
        return []
    measured = [model["round"] for model in evaluations[0].record.get("models", ())]
    try:
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        return [line for line in lines if not measured or line["round"] <= max(measured)]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"cannot read {file} ({error!r}); restore it or move it away") from error


def _title(inputs: Inputs) -> str:
    if inputs.personalised:
        names = short_names([one.folder for one in inputs.personalised])
        return "Evaluation of " + (" and ".join(names) if len(names) < 4 else f"{len(names)} runs")
    return "Evaluation on pairs" if inputs.pairs else "Evaluation on IJB-C"


def _facts(inputs: Inputs) -> list[tuple[str, str]]:
    facts: dict[str, str] = {}
    for one in inputs.personalised[:1]:
        store = one.record["store"]
        facts["store"] = f"{Path(store['path']).name} ({store['digest'][:12]})"
        facts["licence of its images"] = str(store.get("licence") or "not stated")
        facts["split"] = f"{Path(one.record['split']['path']).name}, seed {one.record['split']['seed']}"
        facts["clients"] = str(len(one.results[0].clients))
        rounds = sorted(
            {model["round"] for each in inputs.personalised for model in each.record.get("models", ())}
        )
        if rounds:
            facts["round measured"] = ", ".join(map(str, rounds))
    for pairs in inputs.pairs[:1]:
        facts["pairs"] = f"{Path(pairs.record['pairs']['path']).name}, {pairs.record['pairs']['count']:,}"
        facts["store of the pairs"] = Path(pairs.record["store"]["path"]).name
    versions = {record.get("version", "?") for _, record in inputs.results}
    facts["measured with"] = "fedfr-edge " + ", ".join(sorted(map(str, versions)))
    return list(facts.items())
