"""What a run has given away of each client under differential privacy, kept with the run.

::

    RUN/privacy.jsonl    one JSON object for each time that clients were asked for an update

The line is on disk before anybody is asked: an update that a killed server may have received, and one that
came too late to count, are paid for. A round that is done again is asked for again, with fresh noise, and
is another line.

Two readers are told apart. Who reads the updates themselves (the server, or who broke into it) sees each
client's own noise, z; ``epsilon`` is for that reader. Who sees global models alone (another client) sees
the noise of all m clients of the mean at once, its own taken off: a deviation of z·√(m−1) against the same
clipped norm; ``epsilon_models`` is for that reader, and holds as long as the others added their noise. Both
are of the client that has given away most.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fedfr_edge import atomic
from fedfr_edge.errors import FederationError
from fedfr_edge.federation.run_folder import RunFolder
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.privacy_loss import epsilon_of, gdp


class PrivacyAccount:
    """The account of a run with noise; without noise it stays empty and writes nothing.

    Args:
        run: the run's folder, opened.
        settings: resolved hyper-parameters.

    Raises:
        FederationError: the account cannot be read, or lacks rounds that the run's metrics tell of.
    """

    def __init__(self, run: RunFolder, settings: TrainConfig) -> None:
        self.path = run.path / "privacy.jsonl"
        self._settings = settings
        self._asked: list[dict[str, Any]] = []
        if settings.dp_noise is None:
            return
        if self.path.exists():
            try:
                self._asked = [_entry(json.loads(line)) for line in self.path.read_text().splitlines()]
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise FederationError(
                    f"cannot read {self.path}: {error!r}; what this run gave away is not known without it; "
                    "restore it, or choose another folder"
                ) from error
        known = {entry["round"] for entry in self._asked}
        lost = [line["round"] for line in run.metrics() if "epsilon" in line and line["round"] not in known]
        if lost:
            raise FederationError(
                f"{self.path} lacks round {lost[0]}, of which the run's metrics tell; what this run gave "
                "away is not known without it; restore it, or choose another folder"
            )

    def spend(self, round: int, clients: Iterable[str]) -> None:
        """Put down that ``clients`` are asked for an update, before they are; nothing in a second stage.

        Raises:
            WriteError: the disk refused; then nobody may be asked.
        """
        noise = self._settings.dp_noise
        if noise is None or self._settings.stage_of(round) != "federated":
            return
        entry = {"round": round, "noise": noise, "clients": sorted(clients)}
        lines = [json.dumps(line, sort_keys=True) + "\n" for line in [*self._asked, entry]]
        atomic.write_text(self.path, "".join(lines))
        self._asked.append(entry)

    def spent(self, rounds: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """ε for δ after the rounds so far, {} without noise: ``epsilon``, ``epsilon_models``, ``delta``.

        Args:
            rounds: lines of ``metrics.jsonl``: each tells of one global model and of the clients in it.
        """
        noise, delta = self._settings.dp_noise, self._settings.dp_delta
        if noise is None or delta is None:
            return {}
        own, models = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
        for entry in self._asked:
            for client in entry["clients"]:
                own[client].append(entry["noise"])
        for line in rounds:
            if line.get("stage", "federated") == "federated":
                others = max(1, len(line["clients"]) - 1)
                for client in line["clients"]:
                    models[client].append(noise * math.sqrt(others))
        worst = {
            name: max(map(gdp, seen.values()), default=0.0)
            for name, seen in (("epsilon", own), ("epsilon_models", models))
        }
        return {name: epsilon_of(delta, mu) for name, mu in worst.items()} | {"delta": delta}


def _entry(line: Mapping[str, Any]) -> dict[str, Any]:
    noise = float(line["noise"])
    if not noise > 0:
        raise ValueError(f"noise is {noise}")
    clients = [str(name) for name in line["clients"]]
    return {"round": int(line["round"]), "noise": noise, "clients": clients}
