"""Linux-PAM from Python, with services from a folder of our own: nothing in /etc is read or written.

Run as a program it authenticates one user and prints a JSON object: ``code`` (0 is PAM_SUCCESS), what the
modules ``said`` to the application, and the ``seconds`` that it took.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from pathlib import Path

MODULES = (
    "/lib/*/security",
    "/usr/lib/*/security",
    "/lib/security",
    "/lib64/security",
    "/usr/lib64/security",
)
PAM_RHOST = 4


class Message(ctypes.Structure):
    _fields_ = (("style", ctypes.c_int), ("text", ctypes.c_char_p))


class Response(ctypes.Structure):
    _fields_ = (("text", ctypes.c_char_p), ("code", ctypes.c_int))


Converse = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.POINTER(Message)),
    ctypes.POINTER(ctypes.POINTER(Response)),
    ctypes.c_void_p,
)


class Conversation(ctypes.Structure):
    _fields_ = (("function", Converse), ("data", ctypes.c_void_p))


def missing() -> str | None:
    """Why Linux-PAM cannot be tried here; None if it can."""
    try:
        library = ctypes.CDLL("libpam.so.0")
    except OSError:
        return "no libpam.so.0 (Linux-PAM) here"
    if not hasattr(library, "pam_start_confdir"):
        return "this Linux-PAM is older than 1.4: it has no pam_start_confdir"
    found = [path for pattern in MODULES for path in Path("/").glob(f"{pattern[1:]}/pam_exec.so")]
    return None if found else "no pam_exec.so among Linux-PAM's modules here"


def authenticate(folder: Path, service: str, user: str, host: str | None) -> dict[str, object]:
    """Ask the stack that ``folder/service`` describes."""
    pam, libc = ctypes.CDLL("libpam.so.0"), ctypes.CDLL(None)
    libc.calloc.restype = ctypes.c_void_p
    said: list[str] = []

    def converse(count: int, messages: object, responses: object, data: object) -> int:
        for index in range(count):
            said.append(messages[index].contents.text.decode())  # type: ignore[index]
        # The library frees it.
        answer = libc.calloc(count, ctypes.sizeof(Response))
        responses[0] = ctypes.cast(answer, ctypes.POINTER(Response))  # type: ignore[index]
        return 0

    conversation = Conversation(Converse(converse), None)
    handle = ctypes.c_void_p()
    began = time.monotonic()
    code = pam.pam_start_confdir(
        service.encode(),
        user.encode(),
        ctypes.byref(conversation),
        str(folder).encode(),
        ctypes.byref(handle),
    )
    if code == 0:
        if host is not None:
            pam.pam_set_item(handle, PAM_RHOST, ctypes.c_char_p(host.encode()))
        code = pam.pam_authenticate(handle, 0)
        pam.pam_end(handle, code)
    return {"code": code, "said": said, "seconds": time.monotonic() - began}


if __name__ == "__main__":
    print(json.dumps(authenticate(Path(sys.argv[1]), sys.argv[2], sys.argv[3], (sys.argv[4:] or [None])[0])))
