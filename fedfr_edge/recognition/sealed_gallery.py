"""The files of a gallery under its lock: read and checked, and changed as a whole or not at all.

What belongs to a change but follows it (see ``vault.py``) is done by ``_finish``, at once or at the next
opening.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fedfr_edge import atomic
from fedfr_edge.atomic import write_errors
from fedfr_edge.errors import GalleryError, IntegrityError, WriteError
from fedfr_edge.file_lock import FileLock
from fedfr_edge.recognition import audit
from fedfr_edge.recognition.audit import Head
from fedfr_edge.recognition.calibration import Calibration
from fedfr_edge.recognition.gallery import Gallery, Person
from fedfr_edge.recognition.keys import KeyProvider, WrappingKey
from fedfr_edge.recognition.lockout import Attempts, Clock
from fedfr_edge.recognition.people_file import (
    Listing,
    Record,
    list_of,
    open_record,
    pack_people,
    read_people,
    rewrap,
)
from fedfr_edge.recognition.rollback import require_newest
from fedfr_edge.recognition.sealing import BrokenSealError, subkey
from fedfr_edge.recognition.state_file import State, pack_state, read_state
from fedfr_edge.recognition.template import Template, require_model
from fedfr_edge.recognition.vault_files import (
    HEADER,
    LOG,
    STATE,
    Header,
    check_private,
    read_header,
    sweep,
    unused,
)


class SealedGallery:
    """What :class:`~fedfr_edge.recognition.vault.Vault` stands on; use that.

    Attributes:
        path: the folder.
        header: id, model, time of making.
        gallery: who is enrolled, in memory.
    """

    path: Path
    header: Header
    gallery: Gallery

    def __init__(self, path: Path, keys: KeyProvider, lock: FileLock, clock: Clock) -> None:
        self.path = path
        self._keys = keys
        self._lock = lock
        self._clock = clock
        self._header = b""
        self._key: WrappingKey
        self._state: State
        self._records: dict[str, Record] = {}
        self._unfinished = True
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock back; the gallery in memory can still be looked at."""
        self._closed = True
        self._lock.release()

    @property
    def head(self) -> Head:
        """Where the log stands."""
        return self._state.log

    def log_bytes(self) -> bytes:
        """The log's file.

        Raises:
            GalleryError: it cannot be read.
        """
        try:
            return (self.path / LOG).read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise GalleryError(
                f"cannot read {self.path / LOG}: {error.strerror}; make it readable"
            ) from error

    @property
    def start_of_log(self) -> Head:
        """Where the log began."""
        return audit.beginning(self._header)

    # --- reading -------------------------------------------------------------------------------

    def _load(self, model_digest: str | None, accept_restored: bool = False, inspect: bool = False) -> None:
        self.header, self._header = read_header(self.path)
        check_private(self.path)
        if model_digest is not None:
            require_model(self.header.model, model_digest)
        self._state, self._key = read_state(self.path, self.header.gallery, self._header, self._keys)
        restored = self._require_newest(accept_restored, inspect)
        wrap_key = subkey(self._key.key, "wrap")

        def opened(record: Record) -> tuple[Person, Template]:
            return open_record(record, wrap_key, self._header, self.header.model)

        records = read_people(self.path, self._state.people, self.header.gallery, opened)
        self._records = {record.id: record for record in records}
        self._fill()
        if restored:
            self._commit("accept_restored", None, {})
        if not inspect:
            self._finish()

    def _require_newest(self, accept: bool, inspect: bool) -> bool:
        """Compare with the counter, and end the log as it should; True if a misfit was accepted."""
        counted = None
        try:
            counted = self._keys.counter(self.header.gallery)
            require_newest(self.path, self._state.generation, counted)
            with suppress(IntegrityError) if inspect else nullcontext():
                audit.bring_up_to(self.path / LOG, self._state.log)
            if accept and audit.verify(self.log_bytes(), self.start_of_log, self._state.log):
                raise IntegrityError  # an edit further up, which opening does not look for
            return False
        except IntegrityError:
            if not accept:
                raise
        generation = max(self._state.generation, counted or 0)
        self._keys.count(self.header.gallery, generation)
        log = self.path / LOG
        with write_errors(log):
            if log.exists():
                log.replace(self.path / f"audit-until-{generation:08d}.jsonl")
        # Failed attempts may have been undone with the rest: another factor is needed.
        attempts = dataclasses.replace(self._state.attempts, factor="")
        log_start = audit.beginning(self._header)
        self._state = dataclasses.replace(
            self._state, generation=generation, log=log_start, attempts=attempts
        )
        return True

    def _fill(self) -> None:
        wrap_key = subkey(self._key.key, "wrap")
        self.gallery = Gallery(self.header.model, self.header.dim)
        try:
            if self._state.calibration is not None:
                self.gallery.calibration = Calibration.from_dict(self._state.calibration)
            for record in self._records.values():
                person, template = open_record(record, wrap_key, self._header, self.header.model)
                self.gallery.add(person.name, template, subject_id=person.id, enrolled=person.enrolled)
        except (BrokenSealError, KeyError, TypeError, ValueError) as error:
            # The file's hash is sealed, so only a faulty writer could get here.
            raise GalleryError(
                f"gallery {self.path} holds something unexpected ({error!r}); it was written by another "
                "version of fedfr-edge, enrol again into a new gallery"
            ) from error

    # --- writing -------------------------------------------------------------------------------

    def _make(self, model_digest: str, dim: int) -> bool:
        """Write an empty gallery; False if there is one whose state is gone."""
        gallery_id = secrets.token_hex(8)
        if (self.path / HEADER).exists():  # a kill came before the state
            gallery_id = read_header(self.path)[0].gallery
            if not unused(self.path) or self._keys.counter(gallery_id):
                return False
        created = datetime.now(UTC).isoformat(timespec="seconds")
        self.header = Header(gallery_id, model_digest, dim, created)
        self._header = self.header.to_bytes()
        atomic.write_bytes(self.path / HEADER, self._header, mode=0o600)
        self._key = self._keys.make(gallery_id)
        self._keys.count(gallery_id, 0)
        self.gallery = Gallery(model_digest, dim)
        start = Attempts().after_other_factor(self._clock)
        self._state = State(0, Listing(0, 0, ""), audit.beginning(self._header), start)
        self._unfinished = False
        about = {"model": model_digest[: audit.DIGEST_PREFIX], "key": self._keys.kind}
        self._commit("make", None, about, records={})
        return True

    def _commit(
        self,
        event: str,
        subject: str | None,
        values: Mapping[str, Any],
        *,
        records: dict[str, Record] | None = None,
        attempts: Attempts | None = None,
        keys: KeyProvider | None = None,
        key: WrappingKey | None = None,
        end_old_keys: bool = False,
        calibration: dict[str, Any] | None = None,
    ) -> None:
        """Write the next state; with it the change has happened."""
        self._require_open()
        if self._unfinished:
            self._finish()
        else:
            audit.bring_up_to(self.path / LOG, self._state.log)  # also: can it be written to?
        keys, generation, people = keys or self._keys, self._state.generation + 1, self._state.people
        if records is not None and end_old_keys and keys.destroys:
            key = keys.make(self.header.gallery)
            records = self._rewrapped(key, records)
        key = key or self._key
        if records is not None:
            data = pack_people(self.header.gallery, generation, records.values())
            people = list_of(generation, data)
            atomic.write_bytes(self.path / people.name, data, mode=0o600)
        log = audit.next_head(self._state.log, event, subject, values)
        state = State(
            generation, people, log, attempts or self._state.attempts, calibration or self._state.calibration
        )
        sealed = pack_state(state, self.header.gallery, self._header, keys.kind, key)
        atomic.write_bytes(self.path / STATE, sealed, mode=0o600)
        self._state, self._keys, self._key = state, keys, key
        if records is not None:
            self._records = records
        self._unfinished = True
        with suppress(GalleryError, WriteError):  # it has happened; what is left is done at the next change
            self._finish()

    def _require_open(self) -> None:
        if self._closed:
            raise GalleryError(f"gallery {self.path} is closed, so nothing was changed; open it again")

    def _rewrapped(self, key: WrappingKey, records: Mapping[str, Record] | None = None) -> dict[str, Record]:
        old, new = subkey(self._key.key, "wrap"), subkey(key.key, "wrap")
        chosen = self._records if records is None else records
        return {name: rewrap(record, old, new, self._header) for name, record in chosen.items()}

    def _finish(self) -> None:
        """What follows a change, done now or again after a crash."""
        sweep(self.path, self._state.people.name)
        audit.bring_up_to(self.path / LOG, self._state.log)
        if self._keys.counter(self.header.gallery) != self._state.generation:
            self._keys.count(self.header.gallery, self._state.generation)
        self._keys.keep_only(self.header.gallery, self._key.id)
        self._unfinished = False
