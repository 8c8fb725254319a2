"""Running the application with uvicorn: one process, no access log, an orderly end."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedfr_edge.errors import ConfigError

from .limits import Limits

_SHUTDOWN_SECONDS = 5
_LONGEST_HEAD = 32 * 1024


@dataclass(frozen=True)
class Encryption:
    """Where a server's certificate and key are.

    Raises:
        ConfigError: they cannot be used; when the server starts.
    """

    certificate: Path
    key: Path

    def check(self) -> None:
        """See that they fit.

        Raises:
            ConfigError: they cannot be read or do not belong together.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"certificate {self.certificate} and key {self.key} cannot be used "
                f"({error.strerror or error}); give PEM files that belong together"
            ) from error


def run(
    app: Any,
    listening: socket.socket,
    *,
    limits: Limits,
    encryption: Encryption | None,
    proxy: str | None,
    ready: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        app: an ASGI application.
        listening: where.
        limits: of connections and messages.
        encryption: None: plain HTTP.
        proxy: address of a proxy whose X-Forwarded-For and -Proto are believed; None: nobody's are.
        ready: called when requests are answered.
    """
    import uvicorn

    from .connections import Connection

    # Errors only, and none of them with what a request said.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=Connection.of(limits, proxy),
        ws="websockets-sansio",
        ws_max_size=4 * limits.frame_bytes,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=proxy is not None,
        forwarded_allow_ips=proxy,
        server_header=False,
        h11_max_incomplete_event_size=_LONGEST_HEAD,
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        ssl_certfile=None if encryption is None else encryption.certificate,
        ssl_keyfile=None if encryption is None else encryption.key,
    )

    class Server(uvicorn.Server):
        """Ends with status 0 when it is told to end."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            import signal

            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self.handle_exit, number, None)
            yield

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

    with listening:
        Server(config).run(sockets=[listening])
