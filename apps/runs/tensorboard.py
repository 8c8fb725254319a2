"""A run's numbers for TensorBoard; its event files can be made anew from the JSON lines at any time."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedfr_edge.errors import MissingPartError, WriteError

from .means import LOSSES, round_means


def require_tensorboard() -> None:
    """Make sure that event files can be written.

    Raises:
        MissingPartError: the package is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise MissingPartError(
            "--tensorboard needs the package tensorboard, which is not installed; install it with "
            "pip install 'fedfr-edge[tensorboard]', or leave --tensorboard out"
        )


class EventFiles:
    """Event files in a folder of their own.

    Opening deletes those of an earlier start: what they held is handed in again, so that no round is lost
    or doubled wherever that start was killed.

    Args:
        folder: made if it is not there; other files in it are left alone.

    Raises:
        MissingPartError: tensorboard is not installed.
        WriteError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        require_tensorboard()
        from torch.utils.tensorboard import SummaryWriter

        try:
            for old in folder.glob("events.out.tfevents.*"):
                old.unlink()
            # A TensorBoard that is watching drops what it had read of the old files.
            self._writer = SummaryWriter(str(folder), purge_step=0)
        except OSError as error:
            raise WriteError(f"cannot write {folder}: {error.strerror}; choose another place") from error

    def round(self, record: Mapping[str, Any]) -> None:
        """Add a line of ``metrics.jsonl``: ``round/…`` over the clients, ``<client>/…`` of each."""
        step = int(record["round"])
        for name, value in round_means(record).items():
            self._add(f"round/{name}", value, step)
        for client, metrics in record["clients"].items():
            for name in (*LOSSES, "hard_negatives", "seconds"):
                if name in metrics:
                    self._add(f"{client}/{name}", metrics[name], step)

    def scores(self, line: Mapping[str, Any]) -> None:
        """Add a line of ``scores.jsonl``: ``scores/<model> TAR@FAR …`` and ``… rank 1``."""
        for model in line["models"]:
            for rate in model["verification"]:
                if rate["value"] is not None:
                    tag = f"scores/{model['name']} TAR@FAR {rate['far_target']:g}"
                    self._add(tag, rate["value"], int(line["round"]))
            if model["rank_one"] is not None:
                self._add(f"scores/{model['name']} rank 1", model["rank_one"], int(line["round"]))

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Add an epoch of pre-training."""
        for name in ("loss", "accuracy", "learning_rate", "seconds"):
            self._add(f"pretrain/{name}", record[name], int(record["epoch"]))
        rate = record.get("validation")
        if rate is not None and rate["value"] is not None:
            self._add(f"pretrain/TAR@FAR {rate['far_target']:g}", rate["value"], int(record["epoch"]))

    def flush(self) -> None:
        """Make what was added visible to a TensorBoard that is watching."""
        self._writer.flush()

    def close(self) -> None:
        """Write the rest and close the file."""
        self._writer.close()

    def _add(self, tag: str, value: float, step: int) -> None:
        self._writer.add_scalar(tag, value, step)
