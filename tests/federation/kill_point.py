"""``fedfr`` as a program that is killed with SIGKILL at an exact point; client processes know the point too.

``python kill_point.py KIND WHAT WHOM COMMAND …``

- ``half RE``: a file whose path matches is about to be made safe; half of it is on the disk.
- ``renamed RE``: a file has just become one whose path matches.
- ``step N``: before the N-th optimiser step of a process.

WHOM is ``all`` (the server; its client processes have to end by themselves) or ``self`` (the process that
came to the point). Client processes import this file anew, as they do any main program.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from typing import Any

import torch

KIND, WHAT, WHOM = sys.argv[1:4]
IS_CLIENT = __name__ != "__main__"
SERVER = os.getppid() if IS_CLIENT else os.getpid()


def die() -> None:
    if WHOM == "self" or not IS_CLIENT:
        os.kill(os.getpid(), signal.SIGKILL)
    elif os.getppid() == SERVER:  # another client process may have been faster
        os.kill(SERVER, signal.SIGKILL)
    time.sleep(60)  # a client process waits to be ended with its parent
    os._exit(77)


real_fsync, real_replace, real_step = os.fsync, os.replace, torch.optim.SGD.step
steps = 0


def fsync(descriptor: int) -> None:
    path = os.readlink(f"/proc/self/fd/{descriptor}")
    if KIND == "half" and re.search(WHAT, path):
        os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
        real_fsync(descriptor)
        die()
    real_fsync(descriptor)


def replace(source: Any, target: Any) -> None:
    real_replace(source, target)
    if KIND == "renamed" and re.search(WHAT, str(target)):
        die()


def step(self: torch.optim.SGD, *args: Any, **more: Any) -> Any:
    global steps
    steps += 1
    if KIND == "step" and steps == int(WHAT):
        die()
    return real_step(self, *args, **more)


os.fsync, os.replace, torch.optim.SGD.step = fsync, replace, step  # type: ignore[assignment,method-assign]

if __name__ == "__main__":
    from fedfr_edge.cli import main

    sys.exit(main(sys.argv[4:]))
