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

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedfr_edge.recognition import audit
from fedfr_edge.recognition.calibration import Calibration
from fedfr_edge.recognition.decision import Decision
from fedfr_edge.recognition.gallery import Person, clean_name
from fedfr_edge.recognition.keys import KEY_BYTES, KeyProvider
from fedfr_edge.recognition.lockout import Attempts, Block, Clock, MachineClock, Policy, blocked
from fedfr_edge.recognition.manifest import far_key
from fedfr_edge.recognition.people_file import make_record
from fedfr_edge.recognition.sealed_gallery import SealedGallery
from fedfr_edge.recognition.sealing import subkey
from fedfr_edge.recognition.template import Template, require_model
from fedfr_edge.recognition.vault_files import STATE, make_folder, read_header, take_lock


class Vault(SealedGallery):
    """An open gallery; use it in a ``with`` statement, which gives the lock back.

    Attributes:
        path: the folder.
        header: id, model, time of making.
        gallery: who is enrolled. Changing it changes nothing on disk: use :meth:`enrol` and :meth:`delete`.
    """

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

    @property
    def key_is_destroyed(self) -> bool:
        """Whether a key that is no longer needed is gone for good, so that older copies stay closed."""
        return self._keys.destroys

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


@contextmanager
def _closed_on_error(vault: Vault) -> Iterator[Vault]:
    """Gives the lock back where opening fails."""
    try:
        yield vault
    except BaseException:
        vault.close()
        raise
