"""The gallery as the server sees it: opened for a moment to change or to decide, remembered in between.

A vault is locked while it is open, and other programs (``fedfr enrol``, ``fedfr login``) want it too. So
the people and the failed attempts are kept in memory, and read again when the gallery's state on disk is no
longer the one that they came from: what another program changed counts at once.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fedfr_edge.errors import FedFRError, GalleryError, IntegrityError
from fedfr_edge.recognition.capture import Reason
from fedfr_edge.recognition.gallery import Gallery, Person
from fedfr_edge.recognition.keys import KeyProvider
from fedfr_edge.recognition.lockout import Attempts, Block, Clock, MachineClock, Policy, blocked
from fedfr_edge.recognition.login import Decision
from fedfr_edge.recognition.template import Template
from fedfr_edge.recognition.vault import Vault
from fedfr_edge.recognition.vault_files import LOG, STATE

_LOG_END = 256 * 1024
"""Bytes of the log that are looked at for its newest entries."""


@dataclass(frozen=True)
class _Seen:
    """What was read last, and of which state."""

    gallery: Gallery
    attempts: Attempts
    mark: tuple[int, int, int]


class Books:
    """A gallery that is shared with other programs.

    All methods may wait for these: call them off the event loop, from one thread.

    Args:
        path: the gallery's folder.
        keys: where its key is.
        model_digest: of the model in use.
        dim: length of its embeddings.
        lockout: when face login pauses; None: it never does.
        clock: for pauses.
    """

    def __init__(
        self,
        path: Path,
        keys: KeyProvider,
        *,
        model_digest: str,
        dim: int,
        lockout: Policy | None,
        clock: Clock | None = None,
    ) -> None:
        self.path = path
        self._keys = keys
        self._digest = model_digest
        self._dim = dim
        self._lockout = lockout
        self._clock = clock or MachineClock()
        self._seen: _Seen | None = None

    def prepare(self) -> int:
        """Make the gallery if there is none, and read it; the number of people.

        Raises:
            GalleryError, ModelMismatchError, WriteError: it cannot be made or opened.
        """
        with Vault.open_or_make(
            self.path, self._keys, model_digest=self._digest, dim=self._dim, clock=self._clock
        ) as vault:
            return len(self._remember(vault).gallery)

    def gallery(self) -> Gallery:
        """Who is enrolled now; not to be changed.

        Raises:
            FedFRError: it cannot be opened.
        """
        return self._newest().gallery

    def block(self) -> Block | None:
        """Why nobody may log in now, whichever program counted the failures; None if they may."""
        if self._lockout is None:
            return None
        return blocked(self._newest().attempts, self._lockout, self._clock)

    def decide(self, decision: Decision) -> Decision:
        """Count and log a login. What comes back is the answer; nobody may be told another one.

        Since the face was compared, others may have failed so often that face login pauses, or the person may
        have been deleted: then it is refused after all.

        Raises:
            FedFRError: it could not be logged, so there is no answer.
        """
        with self._open() as vault:
            block = vault.blocked(self._lockout) if self._lockout is not None else None
            if block is not None:
                decision = _refused(decision, block.reason, block.detail)
            elif decision.person is not None and decision.person not in vault.gallery.people:
                decision = _refused(decision, Reason.NOT_ENROLLED, "was deleted meanwhile")
            vault.record(decision, count=self._lockout is not None)
        return decision

    def enrol(self, name: str, template: Template, *, replace: bool = False) -> Person:
        """Add somebody.

        Raises:
            GalleryError: the name is taken or unusable.
            WriteError: nothing was changed.
        """
        with self._open() as vault:
            (person,) = vault.enrol([(name, template)], replace=replace)
        return person

    def delete(self, person_id: str) -> Person:
        """Forget somebody.

        Raises:
            GalleryError: there is nobody with this id.
            WriteError: see :meth:`Vault.delete`.
        """
        with self._open() as vault:
            person = vault.gallery.find(person_id)
            if person is None or person.id != person_id:  # a name is no id
                raise GalleryError("nobody with this id is enrolled; look at the list again")
            return vault.delete(person_id)

    def other_factor(self) -> None:
        """Another factor was used: face login is on again.

        Raises:
            FedFRError: it could not be noted.
        """
        with self._open() as vault:
            vault.other_factor()

    def newest_entries(self, most: int) -> list[dict[str, Any]]:
        """The newest entries of the log, newest first: time, event, person, name, reason, score.

        Names are those of people still enrolled; the log itself has none.
        """
        names = {person.id: person.name for person in self.gallery().people}
        entries = []
        for line in reversed(_last_lines(self.path / LOG)):
            try:
                entry = json.loads(line)
                if entry["event"] == "login" and not isinstance(entry["reason"], str):
                    raise ValueError
                who = entry["subject"]
                entries.append(
                    {
                        "time": datetime.fromisoformat(entry["time"]).timestamp(),
                        "event": entry["event"],
                        "person": who,
                        "name": names.get(who),
                        "reason": entry.get("reason"),
                        "score": entry.get("score"),
                    }
                )
            except (ValueError, KeyError, TypeError):
                continue  # a line that was just being written, or one that 'fedfr audit verify' would name
            if len(entries) == most:
                break
        return entries

    @contextmanager
    def _open(self) -> Iterator[Vault]:
        try:
            vault = Vault.open(self.path, self._keys, model_digest=self._digest, clock=self._clock)
        except IntegrityError:
            raise
        except GalleryError as error:
            # No longer about what somebody asked for, but about the machine: see ``answers.from_error``.
            raise FedFRError(str(error)) from error
        with vault:
            try:
                yield vault
            finally:
                self._remember(vault)

    def _newest(self) -> _Seen:
        if self._seen is None or self._seen.mark != _mark(self.path):
            with self._open():
                pass
        assert self._seen is not None
        return self._seen

    def _remember(self, vault: Vault) -> _Seen:
        # Under the lock, so that the mark is that of the state which was read or written.
        self._seen = _Seen(vault.gallery, vault.attempts, _mark(self.path))
        return self._seen


def _refused(decision: Decision, reason: Reason, detail: str) -> Decision:
    return dataclasses.replace(decision, accepted=False, reason=reason, person=None, detail=detail)


def _mark(path: Path) -> tuple[int, int, int]:
    """Tells one state of a gallery from the next, which replaces its file."""
    try:
        found = (path / STATE).stat()
    except OSError:
        return (0, 0, 0)  # opening it says what is wrong
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def _last_lines(path: Path) -> list[bytes]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LOG_END))
            lines = file.read().splitlines()
    except OSError:
        return []
    return lines[1:] if size > _LOG_END else lines
