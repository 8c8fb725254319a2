"""Scores of a run's rounds: Θ_g and the personal models on the split's test images, while they are there.

::

    RUN/scores.jsonl    one JSON object for each scored round, in rising order

The protocol, the numbers and the ways to open a model are those of ``fedfr evaluate personalised``. A round
is scored after its checkpoint is on disk; a kill in between leaves a gap, which the next start closes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedfr_edge import atomic
from fedfr_edge.data.split import Split
from fedfr_edge.data.store import FaceStore
from fedfr_edge.errors import ConfigError, FederationError
from fedfr_edge.evaluation.metrics import carried_rates, finite_or_none
from fedfr_edge.evaluation.outcome import PersonalisedResult
from fedfr_edge.evaluation.personalised import ClientRows, count_trials, evaluate_models
from fedfr_edge.types import AlignedFaces, Embeddings, Progress, no_progress

from ..models_for_evaluation import SPACES, Backend, open_generic, open_personals

if TYPE_CHECKING:
    from fedfr_edge.evaluation.embedding import SpacesEncoder

FARS = (1e-2, 1e-3)
"""1:1 false-accept rates of the scores, as far as the trials carry them."""


class Scorer:
    """Scores rounds of one run; nothing of the run is changed but ``scores.jsonl``.

    Args:
        run: the run's folder.
        store: the store that ``split`` was made for.
        split: its clients' training and test images.
        every: score every so many rounds, and the last one.
        personal: whether the run has personal models.
        backend: what computes.

    Raises:
        ConfigError: the split has no trials to score with.
    """

    def __init__(
        self, run: Path, store: FaceStore, split: Split, *, every: int, personal: bool, backend: Backend
    ) -> None:
        self.path = run / "scores.jsonl"
        self._run, self._store, self._every = run, store, every
        self._personal, self._backend = personal, backend
        self._clients = {
            client: ClientRows(
                gallery=split.client_rows(store, client, "train"),
                probes=split.client_rows(store, client, "test"),
            )
            for client in sorted(split.clients)
        }
        trials = count_trials(self._clients, store.labels, "standard").values()
        if len(self._clients) < 2 or not all(count.mated and count.mated_probes for count in trials):
            raise ConfigError(
                "--score-every needs two clients or more, each with two test images or more of a person; "
                "split the store so, or leave --score-every out"
            )
        self._fars = carried_rates(FARS, min(count.non_mated for count in trials))

    def due(self, round: int, last: int) -> bool:
        """Whether ``round`` is one to score, in a run that ends with ``last``."""
        return round % self._every == 0 or round == last

    def catch_up(
        self,
        newest: int,
        last: int,
        progress: Progress = no_progress,
        on_scores: Callable[[dict[str, Any]], None] = lambda line: None,
    ) -> None:
        """Score every round up to ``newest`` that is due and has no scores yet.

        A personal model is kept for a few rounds only: rounds that are older get scores of Θ_g alone. Scores
        of rounds after ``newest``, which will be done again, are dropped.
        """
        lines = [line for line in read_scores(self.path) if line["round"] <= newest]
        self._write(lines)
        known = {line["round"] for line in lines}
        for round in range(newest + 1):
            if self.due(round, last) and round not in known:
                on_scores(self.score(round, progress))

    def score(self, round: int, progress: Progress = no_progress) -> dict[str, Any]:
        """Measure the models of ``round``, and write its line.

        Raises:
            CheckpointError, PrivateStateError: a model cannot be read.
            WriteError: the disk refused.
        """
        started = time.monotonic()
        checkpoint = self._run / "checkpoints" / f"round_{round:04d}.safetensors"
        generic, _ = open_generic(checkpoint, self._backend)
        results = self._evaluate(dict.fromkeys(self._clients, generic), round, progress)
        remarks: list[str] = []
        if self._personal and round > 0:
            personal = self._personal_models(round, generic, remarks)
            if personal:
                results += self._evaluate(personal, round, progress)
        line: dict[str, Any] = {"round": round, "models": [_model(result) for result in results]}
        line |= {"remarks": remarks} if remarks else {}
        line["seconds"] = time.monotonic() - started
        others = [old for old in read_scores(self.path) if old["round"] != round]
        self._write([*others, line])
        return line

    def _evaluate(
        self, models: Mapping[str, SpacesEncoder], round: int, progress: Progress
    ) -> list[PersonalisedResult]:
        return evaluate_models(
            models,
            self._store.images,
            self._store.labels,
            self._clients,
            readings=("standard",),
            fars=self._fars,
            progress=lambda what, done, total: progress(f"{what}, round {round}", done, total),
        )

    def _personal_models(
        self, round: int, generic: SpacesEncoder, remarks: list[str]
    ) -> dict[str, SpacesEncoder] | None:
        """Every client's model as it stood after ``round``; None where one is not kept any more."""
        from fedfr_edge.federation.private_state import snapshots

        folders = {client: self._run / "clients" / client for client in self._clients}
        kept = {client: snapshots(folder) for client, folder in folders.items()}
        gone = [client for client, numbers in kept.items() if numbers and numbers[0] > round]
        if gone:
            remarks.append(f"{gone[0]} keeps no state of round {round} any more; only Θ_g is scored")
            return None
        have = {client: folder for client, folder in folders.items() if kept[client]}
        models, _ = open_personals(have, self._backend, round)
        for client in sorted(folders.keys() - have.keys()):
            remarks.append(f"{client} has taken part in no round yet; it is scored with Θ_g")
            models[client] = _Untrained(generic)
        return models

    def _write(self, lines: list[dict[str, Any]]) -> None:
        lines = sorted(lines, key=lambda line: int(line["round"]))
        text = "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines)
        if text or self.path.exists():
            atomic.write_text(self.path, text)


class _Untrained:
    """What a client uses before its first round: Θ_g, and Π as the identity."""

    names = SPACES

    def __init__(self, generic: SpacesEncoder) -> None:
        self._generic = generic

    def embed_each(self, faces: AlignedFaces) -> tuple[Embeddings, ...]:
        (embeddings,) = self._generic.embed_each(faces)
        return embeddings, embeddings


def read_scores(path: Path) -> list[dict[str, Any]]:
    """The lines of a ``scores.jsonl``; none where there is no file.

    Raises:
        FederationError: the file is damaged.
    """
    if not path.exists():
        return []
    try:
        lines = [dict(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
        for line in lines:
            int(line["round"])
            for model in line["models"]:
                _ = model["name"], model["rank_one"]
                _ = [(rate["far_target"], rate["value"], rate["supported"]) for rate in model["verification"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FederationError(
            f"cannot read {path}: {error!r}; restore it, or delete it and the scores are made again"
        ) from error
    return lines


def _model(result: PersonalisedResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "verification": [rate.to_dict() for rate in result.verification],
        "rank_one": finite_or_none(result.rank_one),
        "clients": {
            client.client: {
                "tar": [finite_or_none(rate.value) for rate in client.verification],
                "rank_one": finite_or_none(client.rank_one),
            }
            for client in result.clients
        },
    }
