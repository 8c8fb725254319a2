"""What the server keeps in FedFace: every client's W, as it was spread out after each round.

::

    RUN/proxies/                     0700
        round_0007.safetensors       0600, client id -> W (Kl, d) after round 7; the last three are kept

A round's file is written before its checkpoint, so a server that goes on from a checkpoint always finds the
W that belongs to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from fedfr_edge import atomic
from fedfr_edge.errors import FederationError
from fedfr_edge.train.checkpoint import tensors_sha256

KEEP = 3
"""How many rounds are kept."""

_HEADER = "fedfr-edge"
_FORMAT = 1
_NAME = re.compile(r"round_(\d{4,})\.safetensors")


class ProxyStore:
    """The folder of all clients' proxies.

    Args:
        folder: made with mode 0700 when something is written.
        federation: id of the federation that they belong to.
    """

    def __init__(self, folder: Path, federation: str) -> None:
        self.folder, self.federation = folder, federation

    def load(self, round: int) -> dict[str, Tensor]:
        """Client id -> W after ``round``, float32 (Kl, d); nobody's before the first round.

        Raises:
            FederationError: the round's file is missing or damaged.
        """
        if round == 0:
            return {}
        path = self._path(round)
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {})[_HEADER])
                proxies = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            expected = {**self._header(round), "sha256": tensors_sha256(proxies)}
            if header != expected:
                raise ValueError("its arrays are not those of this run and round")
        except (OSError, safetensors.SafetensorError, ValueError, KeyError) as error:
            raise FederationError(
                f"cannot read the clients' proxies {path}: {error}; restore the file, or go back to a round "
                f"whose file is there by deleting the checkpoints after it"
            ) from error
        return proxies

    def save(self, round: int, proxies: Mapping[str, Tensor]) -> None:
        """Write the proxies after ``round``; drop later ones and all but the last three.

        Raises:
            WriteError: the disk refused; earlier rounds are untouched.
        """
        with atomic.write_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.chmod(0o700)
        plain = {name: tensor.contiguous() for name, tensor in proxies.items()}
        text = json.dumps({**self._header(round), "sha256": tensors_sha256(plain)}, sort_keys=True)
        data = safetensors.torch.save(plain, metadata={_HEADER: text})
        atomic.write_bytes(self._path(round), data, mode=0o600)
        found = (_NAME.fullmatch(path.name) for path in self.folder.iterdir())
        numbers = sorted(int(match[1]) for match in found if match)
        below = [number for number in numbers if number < round]
        for number in set(numbers) - {*below[1 - KEEP :], round}:
            self._path(number).unlink()

    def _path(self, round: int) -> Path:
        return self.folder / f"round_{round:04d}.safetensors"

    def _header(self, round: int) -> dict[str, object]:
        return {"format": _FORMAT, "kind": "proxies", "federation": self.federation, "round": round}
