"""Telling an older copy of a gallery that was put back from the newest one.

Every change of a gallery, logins included, raises its generation by one, and the key provider keeps that
number away from the gallery: beside the key file, in the keyring, or in the user's state folder. An older
copy has a lower number inside, sealed.

What this stops: a gallery's folder restored from a backup, on purpose or not, to bring back somebody who was
deleted, to undo failed attempts, or to hide logins. What it does not stop: somebody who puts back the counter
too. With a key file that is somebody who may write beside it, with a passphrase somebody who may write this
user's state folder. After a deletion or a new key an older copy stays closed even so, unless the old key
file (or keyring) was copied too; with a passphrase it opens. To stop that as well takes hardware that counts.
"""

from __future__ import annotations

from pathlib import Path

from fedfr_edge.errors import IntegrityError

WAY_OUT = "run 'fedfr gallery rekey --accept-restored'"
"""How the owner of a gallery says that a copy which does not fit was put there on purpose."""


def require_newest(folder: Path, generation: int, counted: int | None) -> None:
    """Compare a gallery's generation with its counter.

    A generation one ahead is a crash between the two writes, and the newest copy.

    Raises:
        IntegrityError: an older copy, or a counter that is missing or was set back.
    """
    if counted is None:
        what = "has no counter beside its key, so that nobody can tell whether it is the newest copy"
    elif generation < counted:
        what = f"was rolled back to an older copy (generation {generation}, expected {counted})"
    elif generation > counted + 1:
        what = f"is of generation {generation}, but its counter was set back to {counted}"
    else:
        return
    raise IntegrityError(
        f"gallery {folder} {what}; put the newest copy back, or, if you put this one there yourself, "
        f"{WAY_OUT}"
    )
