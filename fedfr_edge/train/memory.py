"""Memory that a process frees and will want again."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Numbers of these settings in glibc's ``malloc.h``."""


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory in this process; for commands, never called by the library.

    A training step frees and allocates the same large tensors again and again. glibc gives each back
    to the kernel at once, which then fills the next one with zeros, page by page: up to half the time
    of embedding a large batch on one core. Afterwards the process holds as much as it ever needed at
    one time, until it ends.

    Returns:
        Whether it is in effect; False where the C library is another one.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, -1))
