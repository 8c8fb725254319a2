"""``fedfr login --pam``: a login for Linux-PAM's ``pam_exec``, which runs a program and asks its exit status.

Nobody learns from it who is enrolled: a user who is not goes through the same steps and gets the same answer
as one whose face does not fit. It ends within its time limit whatever hangs. The environment may be empty.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fedfr_edge.errors import ConfigError, FedFRError
from fedfr_edge.recognition.capture import Reason
from fedfr_edge.recognition.gallery import Gallery
from fedfr_edge.recognition.nobody import gallery_of_nobody

if TYPE_CHECKING:
    from .commands.login import LoginConfig

ACCEPTED, REFUSED, PAUSED, FAILED = 0, 1, 3, 4
"""Exit statuses; 2 is a wrong command line, as everywhere."""

SECONDS = 10.0
"""Time limit where none is given."""

RESERVE = 1.0
"""Seconds before the limit at which frames end, so that the decision can be sealed and logged."""

_NOBODY = "nobody"


def run(config: LoginConfig) -> int:
    """Log in ``$PAM_USER``, say one word, give the exit status.

    The word is ``accepted``, ``refused`` or ``paused``; what an administrator must mend goes to standard
    error.
    """
    from .commands.login import decide

    limit = SECONDS if config.seconds is None else config.seconds
    end_at_the_latest(limit - running_for())
    try:
        user = user_of(os.environ)
        frames = max(limit - RESERVE - running_for(), 0.1)
        decision = decide(checked(config, frames), lambda gallery: claims_of(user, gallery))
    except FedFRError as error:
        with suppress(OSError):
            print("error: " + " ".join(str(error).split()), file=sys.stderr, flush=True)
        return FAILED
    paused = decision.reason in (Reason.LOCKED, Reason.OTHER_FACTOR)
    with suppress(OSError):  # nobody may be reading
        print("accepted" if decision.accepted else "paused" if paused else "refused", flush=True)
    return ACCEPTED if decision.accepted else PAUSED if paused else REFUSED


def user_of(environment: Mapping[str, str]) -> str:
    """Who is logging in, as ``pam_exec`` says it.

    Raises:
        ConfigError: it does not say so, asks for something else than authentication, or the user sits at
            another machine, not before this camera.
    """
    user = environment.get("PAM_USER", "")
    if not user:
        raise ConfigError("no PAM_USER is set; --pam is for pam_exec.so, see docs/pam.md")
    kind = environment.get("PAM_TYPE", "auth")
    if kind != "auth":
        raise ConfigError(f"called for {kind!r}, expected 'auth'; put the line among those of auth")
    host = environment.get("PAM_RHOST", "")
    if host not in ("", "localhost", "127.0.0.1", "::1"):
        raise ConfigError("the login comes from another machine, and the camera is here; use the password")
    return user


def checked(config: LoginConfig, seconds: float) -> LoginConfig:
    """The settings for :func:`~.commands.login.decide`, if nothing in them can hang, leak or go uncounted.

    Raises:
        ConfigError: one that can.
    """
    if config.name is not None or config.json or not config.lockout:
        raise ConfigError("--name, --json and --no-lockout contradict --pam; leave them away")
    if config.key != "file":
        raise ConfigError(f"--key {config.key} needs somebody to ask or a session; with --pam use a key file")
    if config.photos:
        raise ConfigError("photographs are given, expected --camera INDEX (or, to try it out, --video FILE)")
    return dataclasses.replace(config, seconds=seconds)


def claims_of(user: str, gallery: Gallery) -> tuple[Gallery, str]:
    """Whom to compare with, and the id or name to claim: the one of exactly this name, or nobody at all."""
    for person in gallery.people:
        if person.name == user:
            return gallery, person.id
    return gallery_of_nobody(_NOBODY, gallery), _NOBODY


def end_at_the_latest(seconds: float) -> None:
    """End this process after so many seconds, even if a driver or a disk hangs in the middle of a call."""
    seconds = max(seconds, 0.2)

    def give_up() -> None:
        time.sleep(seconds)
        os._exit(FAILED)

    threading.Thread(target=give_up, name="time limit", daemon=True).start()
    if threading.current_thread() is threading.main_thread():
        # Should even that thread not get its turn, the kernel ends the process.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
        signal.setitimer(signal.ITIMER_REAL, seconds + 0.2)


def running_for() -> float:
    """Seconds since this process was started, Python's own start included."""
    try:
        after_name = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        started = int(after_name[19]) / os.sysconf("SC_CLK_TCK")
        return max(time.clock_gettime(time.CLOCK_BOOTTIME) - started, 0.0)
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.5
