"""A client's private state on its own disk: W, Π, Ω, b and Θ_l, one snapshot for each round.

It is ours and not Flower's (``Context.state`` ends with the run and passes through the network)::

    <folder>/                    0700
        owner.json               which federation, which client
        round_0007.safetensors   0600, the state as it stood after round 7; the last three are kept
        updates.json             how many updates have left this client
        .lock                    held by the process that is training

Snapshots have numbers so that a server that goes back to an earlier round takes its clients with it: a
round starts from the newest snapshot *below* its own number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.numpy
import torch

from fedfr_edge import atomic
from fedfr_edge.errors import CheckpointError, ConfigError, PrivateStateError
from fedfr_edge.file_lock import FileLock
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.train.checkpoint import PersonalModel, tensors_sha256
from fedfr_edge.train.private import PrivateState

KEEP = 3
"""How many snapshots a folder keeps."""

_FORMAT = 1
_HEADER = "fedfr-edge"
_UPDATES = "updates.json"
_NAME = re.compile(r"round_(\d{4,})\.safetensors")


class PrivateStore:
    """One client's private folder, locked while open; use it as a context manager.

    Args:
        folder: made with mode 0700 if it is not there.
        federation: id of the federation that the state belongs to.
        client: the client's own id.
        patience: how many seconds to wait for a process that has the folder: after a kill the one before
            may be dying still.

    Raises:
        PrivateStateError: (on entering) the folder belongs to another client or federation, is in use by
            another process, or holds files that are not ours.
        WriteError: (on entering) the folder cannot be made.
    """

    def __init__(self, folder: Path, *, federation: str, client: str, patience: float = 5.0) -> None:
        self.folder, self.federation, self.client = folder, federation, client
        self._lock, self._patience = FileLock(folder / ".lock"), patience

    def __enter__(self) -> PrivateStore:
        with atomic.write_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.chmod(0o700)
        if not self._lock.take(self._patience):
            raise PrivateStateError(
                f"{self.folder} is in use by another process; one client trains in one process at a time, "
                "wait for the other one to end"
            )
        try:
            self._check_owner()
            for left in self.folder.glob(".*.tmp"):  # of a process that was killed while writing
                left.unlink()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def look_before(self, round: int) -> PrivateState | None:
        """As :meth:`load_before`, from outside: without entering, so also while another process trains.

        Raises:
            PrivateStateError, CheckpointError: see there; or the folder is not this client's.
        """
        if not self.folder.is_dir():
            return None
        if (self.folder / "owner.json").exists():
            self._check_owner()
        return self.load_before(round)

    def load_before(self, round: int) -> PrivateState | None:
        """The state that ``round`` starts from: of the newest snapshot below it; None before the first.

        Raises:
            PrivateStateError: every snapshot below ``round`` has been dropped already.
            CheckpointError: the snapshot is damaged.
        """
        kept = snapshots(self.folder)
        below = [number for number in kept if number < round]
        if below:
            state, header = _read(self.folder / _file_name(below[-1]))
            _check_belongs(self.folder, header, {"client": self.client, "federation": self.federation})
            return state
        if kept:
            # Going back to before this client's first round is fine; going back past dropped snapshots
            # would silently start its private matrices anew.
            _, header = _read(self.folder / _file_name(kept[0]))
            if header["based_on"] is not None:
                raise PrivateStateError(
                    f"the server asks {self.client} for round {round}, but {self.folder} keeps only the "
                    f"states after rounds {', '.join(map(str, kept))}; go on from a later checkpoint, or "
                    "give this client an empty private folder to start it anew"
                )
        return None

    def save(self, state: PrivateState, spec: BackboneSpec, metadata: Mapping[str, str]) -> None:
        """Write ``state`` as the snapshot of its round; drop later ones and all but the last three.

        Args:
            state: as it stands after ``state.round``.
            spec: of its backbone.
            metadata: of the global model it was trained from; becomes the personal model's.

        Raises:
            WriteError: the disk refused; earlier snapshots are untouched.
        """
        below = [number for number in snapshots(self.folder) if number < state.round]
        arrays = state.to_arrays()
        header = {
            "format": _FORMAT,
            "federation": self.federation,
            "client": self.client,
            "round": state.round,
            "based_on": below[-1] if below else None,
            "spec": spec.to_dict(),
            "metadata": dict(metadata),
            "sha256": _sha256(arrays),
        }
        text = json.dumps(header, sort_keys=True)
        data = safetensors.numpy.save(arrays, metadata={_HEADER: text})
        atomic.write_bytes(self.folder / _file_name(state.round), data, mode=0o600)
        kept = {*below[1 - KEEP :], state.round}
        for number in snapshots(self.folder):
            if number not in kept:
                (self.folder / _file_name(number)).unlink()

    def updates(self) -> int:
        """How many updates :meth:`count_update` has counted.

        Raises:
            PrivateStateError: the count is damaged.
        """
        path = self.folder / _UPDATES
        if not path.exists():
            return 0
        try:
            return int(json.loads(path.read_text())["updates"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PrivateStateError(
                f"cannot read {path}: {error!r}; without it nobody knows how many updates this client has "
                "given; restore it, or write it anew"
            ) from error

    def count_update(self) -> None:
        """Put down that an update leaves, before it does: also one that is repeated, or that gets lost.

        Raises:
            PrivateStateError: the count is damaged.
            WriteError: the disk refused; then it may not leave.
        """
        text = json.dumps({"updates": self.updates() + 1}) + "\n"
        atomic.write_text(self.folder / _UPDATES, text, mode=0o600)

    def _check_owner(self) -> None:
        owner = {"client": self.client, "federation": self.federation, "format": _FORMAT}
        if (self.folder / "owner.json").exists():
            found = _read_owner(self.folder)
            if found != owner:
                raise PrivateStateError(
                    f"{self.folder} belongs to client {found.get('client')!r} of federation "
                    f"{found.get('federation')!r}, expected client {self.client!r} of federation "
                    f"{self.federation!r}; give each client and each federation a folder of its own"
                )
            return
        strangers = sorted(path.name for path in self.folder.iterdir() if not path.name.startswith("."))
        if strangers:
            raise PrivateStateError(
                f"{self.folder} holds {strangers[0]} but no owner.json, expected an empty folder or "
                "a private one of this client; give another folder"
            )
        atomic.write_text(self.folder / "owner.json", json.dumps(owner, sort_keys=True) + "\n", mode=0o600)


def snapshots(folder: Path) -> list[int]:
    """The rounds that a private folder keeps, in rising order; empty where there is no folder."""
    if not folder.is_dir():
        return []
    found = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(match[1]) for match in found if match)


def load_personal_from(folder: Path, round: int | None = None) -> PersonalModel:
    """The personal model [Θ_l, Π_l] of a private folder, as ``round`` (default: the newest) left it.

    Raises:
        PrivateStateError: the folder is none of ours, or does not keep that round.
        CheckpointError: the snapshot is damaged.
    """
    kept = snapshots(folder)
    if not kept:
        raise PrivateStateError(
            f"{folder} holds no private state of a client, expected round_NNNN.safetensors in it; give "
            "RUN/clients/<client> of a training run, or the private folder of a device"
        )
    number = kept[-1] if round is None else round
    if number not in kept:
        raise PrivateStateError(
            f"{folder} does not keep round {number}, it keeps {', '.join(map(str, kept))} (the last {KEEP}); "
            "choose one of those"
        )
    owner = _read_owner(folder)
    state, header = _read(folder / _file_name(number))
    _check_belongs(folder, header, owner)
    spec = BackboneSpec.from_dict(header["spec"])
    return state.personal_model(spec, header["client"], header["metadata"])


def _file_name(round: int) -> str:
    return f"round_{round:04d}.safetensors"


def _read_owner(folder: Path) -> dict[str, Any]:
    try:
        owner = json.loads((folder / "owner.json").read_text())
    except (OSError, ValueError) as error:
        raise PrivateStateError(
            f"cannot read owner.json of {folder}: {error}; restore the file, or give another folder"
        ) from error
    if not isinstance(owner, dict):
        raise PrivateStateError(f"owner.json of {folder} is damaged; restore it, or give another folder")
    return owner


def _read(path: Path) -> tuple[PrivateState, dict[str, Any]]:
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        sound = header["format"] == _FORMAT and header["sha256"] == _sha256(arrays)
        BackboneSpec.from_dict(header["spec"])
        state = PrivateState.from_arrays(arrays)
        sound = sound and state.round == header["round"] and path.name == _file_name(state.round)
        sound = sound and {"client", "federation", "based_on", "metadata"} <= header.keys()
    except (OSError, safetensors.SafetensorError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise _damaged(path, str(error)) from error
    if not sound:
        raise _damaged(path, "its arrays are not those that its header describes")
    return state, header


def _check_belongs(folder: Path, header: Mapping[str, Any], owner: Mapping[str, Any]) -> None:
    if any(header[name] != owner.get(name) for name in ("client", "federation")):
        raise PrivateStateError(
            f"{_file_name(header['round'])} in {folder} is of client {header['client']!r} of federation "
            f"{header['federation']!r}, expected the folder's owner, client {owner.get('client')!r} of "
            f"federation {owner.get('federation')!r}; put it back where it came from"
        )


def _damaged(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"private state {path} is damaged ({why}); delete it to go on from the round before, or restore it"
    )


def _sha256(arrays: Mapping[str, Any]) -> str:
    return tensors_sha256({name: torch.from_numpy(array) for name, array in arrays.items()})
