"""What web servers here have in common before they answer: their packages, and an address to listen on."""

from __future__ import annotations

import socket

from fedfr_edge.errors import ConfigError, MissingPartError

LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")
"""Names of this machine that are always answered; others only where a server was told of them."""


def require_web() -> None:
    """Refuse early where the extra is missing.

    Raises:
        MissingPartError: fastapi, uvicorn or websockets is not installed.
    """
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
        import websockets  # noqa: F401
    except ImportError as error:
        raise MissingPartError(
            f"{error.name} is not installed; run: pip install 'fedfr-edge[web]'"
        ) from error


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises:
        ConfigError: the address cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
            found.listen()
        except BaseException:
            found.close()
            raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"cannot listen on {host} port {port}: {reason}; choose another --port (0: a free one) or --host"
        ) from error
    return found


def address_of(listening: socket.socket) -> str:
    """What to type into a browser."""
    host, port = listening.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"
