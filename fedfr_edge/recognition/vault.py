"""A gallery on disk: sealed, each person under a key of their own, with its log and its failed attempts.

``vault_files.py`` says which files there are. Every change is made under the gallery's lock and happens when
``state`` is replaced, or not at all; what belongs after that (the line in the log, the counter that the key
provider keeps, the end of keys that are no longer needed) is done again at the next opening if a crash
prevented it. So a change that was reported is on disk, and a kill at any moment leaves a whole gallery.

What is noticed, and named: any changed bit, a file that ends early, a file of another gallery or person, an
older people file, an older state, an older copy of the whole folder (as far as ``rollback.py`` says).
Opening takes the lock: one program at a time has a gallery open, others wait.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from fedfr_edge import atomic
from fedfr_edge.atomic import write_errors
from fedfr_edge.errors import GalleryError, IntegrityError, WriteError
from fedfr_edge.file_lock import FileLock
from fedfr_edge.recognition import audit
from fedfr_edge.recognition.audit import Head
from fedfr_edge.recognition.calibration import Calibration
from fedfr_edge.recognition.decision import Decision
from fedfr_edge.recognition.gallery import Gallery, Person, clean_name
from fedfr_edge.recognition.keys import KEY_BYTES, KeyProvider, WrappingKey
from fedfr_edge.recognition.lockout import Attempts, Block, Clock, MachineClock, Policy, blocked
from fedfr_edge.recognition.manifest import far_key
from fedfr_edge.recognition.people_file import (
    Listing,
    Record,
    list_of,
    make_record,
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
    make_folder,
    read_header,
    sweep,
    take_lock,
    unused,
)


class Vault:
    """An open gallery; use it in a ``with`` statement, which gives the lock back.

    Attributes:
        path: the folder.
        header: id, model, time of making.
        gallery: who is enrolled. Changing it changes nothing on disk: use :meth:`enrol` and :meth:`delete`.
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

    @classmethod
    def open(
        cls,
        path: Path,
        keys: KeyProvider,
        *,
        model_digest: str | None = None,
        accept_restored: bool = False,
        inspect: bool = False,
        clock: Clock | None = None,
    ) -> Vault:
        """Lock, read, check and decrypt a gallery.

        Args:
            path: the folder.
            keys: where its key is.
            model_digest: the model about to be used; checked before the key is asked for.
            accept_restored: take a copy whose counter or log does not fit for the newest one, because you
                put it there; a log that does not fit is put aside.
            inspect: open it also if the log does not fit, so that it can be looked at.
            clock: for pauses after failures.

        Raises:
            GalleryError: no gallery there, the wrong key, or in use by another program for a minute.
            IntegrityError: a file was altered, cut short, swapped or rolled back.
            ModelMismatchError: its templates were made by another model.
            WriteError: what a crash left undone cannot be done.
        """
        read_header(path)  # says what is wrong with a path before anything is made there
        with _closed_on_error(cls(path, keys, take_lock(path), clock or MachineClock())) as vault:
            vault._load(model_digest, accept_restored, inspect)
        return vault

    @classmethod
    def open_or_make(
        cls, path: Path, keys: KeyProvider, *, model_digest: str, dim: int, clock: Clock | None = None
    ) -> Vault:
        """:meth:`open`, or make an empty gallery with a new key where there is none.

        Making one counts as use of another factor: who may make a gallery may let people in.

        Raises:
            GalleryError, IntegrityError, ModelMismatchError, WriteError: as :meth:`open`; or there is
                something else at ``path``.
        """
        make_folder(path)
        with _closed_on_error(cls(path, keys, take_lock(path), clock or MachineClock())) as vault:
            if (path / STATE).exists() or not vault._make(model_digest, dim):
                vault._load(model_digest)
        return vault

    def __enter__(self) -> Vault:
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

    @property
    def key_is_destroyed(self) -> bool:
        """Whether a key that is no longer needed is gone for good, so that older copies stay closed."""
        return self._keys.destroys

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

    @property
    def attempts(self) -> Attempts:
        """Failures in a row and the last use of another factor."""
        return self._state.attempts

    # --- changes -------------------------------------------------------------------------------

    def enrol(
        self,
        people: Sequence[tuple[str, Template]],
        *,
        replace: bool = False,
        event: str = "enrol",
        **values: Any,
    ) -> list[Person]:
        """Add people, all or none, each under a new id and a new key; one line in the log.

        Args:
            people: (name, template).
            replace: take the place of people of these names, whose keys are destroyed.
            event: for the log.
            values: more for the log's line.

        Raises:
            GalleryError: a name is taken or unusable.
            ModelMismatchError: another model made a template.
            WriteError: the disk refused; nothing was changed.
        """
        records = dict(self._records)
        wrap_key = subkey(self._key.key, "wrap")
        old, new = [], []
        try:
            for name, template in people:
                known = self.gallery.find(clean_name(name)) if replace else None
                if known is not None and known.name == clean_name(name):  # not somebody's id
                    old.append(known.id)
                    del records[known.id]
                    self.gallery.remove(known.id)
                person = self.gallery.add(name, template, enrolled=int(time.time()))
                data_key = secrets.token_bytes(KEY_BYTES)
                records[person.id] = make_record(person, template, data_key, wrap_key, self._header)
                new.append(person)
            about: dict[str, Any] = {"images": new[0].images} if len(new) == 1 else {"people": len(new)}
            if old:
                about["replaced"] = old[0] if len(old) == 1 else len(old)
            subject = new[0].id if len(new) == 1 else None
            self._commit(event, subject, {**about, **values}, records=records, end_old_keys=bool(old))
        except BaseException:
            self._fill()
            raise
        return new

    def delete(self, who: str) -> Person:
        """Forget somebody, by name or id: template and key.

        The people left get their keys wrapped anew under a new gallery key; where the provider can, the old
        one is destroyed, so that older copies of the gallery no longer open. The old file is overwritten
        before it goes.

        Raises:
            GalleryError: nobody of that name or id is enrolled.
            WriteError: the disk refused: nothing was changed, or they are deleted but what lay in the
                old file or under the old key could not be destroyed; opening the gallery does it.
        """
        person = self.gallery.remove(who)
        try:
            records = {key: record for key, record in self._records.items() if key != person.id}
            self._commit("delete", person.id, {}, records=records, end_old_keys=True)
        except BaseException:
            self._fill()
            raise
        if self._unfinished:  # deleted, but not gone: say so
            self._finish()
        return person

    def blocked(self, policy: Policy) -> Block | None:
        """Why nobody may log in now; None if they may."""
        return blocked(self._state.attempts, policy, self._clock)

    def record(self, decision: Decision, *, count: bool = True) -> None:
        """Log a login, and count it among the attempts. Tell nobody of it before.

        Raises:
            WriteError: the disk refused; then the decision must not be acted on.
        """
        attempts = self._state.attempts.after(decision.reason, self._clock) if count else None
        subject = None if decision.person is None else decision.person.id
        self._commit("login", subject, audit.of_decision(decision), attempts=attempts)

    def other_factor(self) -> None:
        """Another factor was used: failures start afresh, and face login is on again.

        Raises:
            WriteError: the disk refused.
        """
        attempts = self._state.attempts.after_other_factor(self._clock)
        self._commit("other_factor", None, {"failures": self._state.attempts.failures}, attempts=attempts)

    def rekey(self, keys: KeyProvider) -> None:
        """Wrap everything under a new key of ``keys``, which may be the old provider, and end the old key.

        Raises:
            GalleryError, WriteError: the new key cannot be made; nothing was changed.
        """
        self._require_open()
        gallery_id, before = self.header.gallery, self._keys
        moved = keys.place != before.place
        if moved:
            keys.count(gallery_id, self._state.generation)
        new = keys.make(gallery_id)
        self._commit("rekey", None, {"key": keys.kind}, keys=keys, key=new, records=self._rewrapped(new))
        if moved:
            before.keep_only(gallery_id, None)

    def calibrate(self, calibration: Calibration) -> None:
        """Keep a calibration, in the place of the one before.

        Raises:
            ModelMismatchError: it is of another model than the gallery.
            WriteError: the disk refused.
        """
        require_model(calibration.model, self.header.model)
        about = {
            "strangers": calibration.source_digest[: audit.DIGEST_PREFIX],
            "templates": calibration.templates,
            "thresholds": {
                f"{far_key(record.far)} {record.gates}": round(record.threshold, 4)
                for record in calibration.records
            },
        }
        self._commit("calibrate", None, about, calibration=calibration.to_dict())
        self.gallery.calibration = calibration

    def log(self, event: str, **values: Any) -> None:
        """Log something else that was done with the gallery.

        Raises:
            WriteError: the disk refused.
        """
        self._commit(event, None, values)

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


@contextmanager
def _closed_on_error(vault: Vault) -> Iterator[Vault]:
    """Gives the lock back where opening fails."""
    try:
        yield vault
    except BaseException:
        vault.close()
        raise
