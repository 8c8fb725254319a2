"""``fedfr dashboard``: training runs as they go on, in a browser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fedfr_edge.cli import Command
from fedfr_edge.config import option

from .. import console

SECTION = "dashboard"


@dataclass(frozen=True)
class DashboardConfig:
    """Settings of ``fedfr dashboard``."""

    run: tuple[Path, ...] = option(
        (), help="a run's folder, or one that runs lie below; the current one if not given", argument=True
    )
    host: str = option(
        "127.0.0.1", help="address to listen on; the default is reached from this machine alone"
    )
    port: int = option(8621, help="port to listen on; 0: a free one", low=0, high=65535)
    host_name: tuple[str, ...] = option(
        (), help="a host name that it may be called by, beside this machine's own; others are refused"
    )
    static: Path | None = option(
        None, help="write the page with what there is now into this folder instead, to open without a server"
    )


def run(config: DashboardConfig) -> None:
    """Serve the page until Ctrl-C, or write it."""
    from ..dashboard.readings import Readings

    readings = Readings(config.run or (Path("."),))
    if config.static is not None:
        from ..dashboard.pages import write_static

        page = write_static(readings.look(), config.static)
        console.out.print(f"page to look at: {page}")
        return
    from ..serving import address_of, listen, require_web

    require_web()
    from ..dashboard.server import make_app
    from ..web.limits import Limits
    from ..web.server import run as serve

    listening = listen(config.host, config.port)

    def ready() -> None:
        console.out.print(
            f"dashboard of {len(readings.look())} runs: {address_of(listening)}  (Ctrl-C ends it)"
        )

    app = make_app(readings, names=(config.host, *config.host_name))
    serve(app, listening, limits=Limits(), encryption=None, proxy=None, ready=ready)


COMMAND = Command(
    section=SECTION,
    config=DashboardConfig,
    run=run,
    help="""Show training runs in a browser while they go on, and compare them.

    Rounds, clients, losses, scores of the generic and the personal models, bytes, failures. It only reads: no
    run is changed or held up by it, and the page loads nothing from any other host. Who reaches the address
    sees all of it, the clients' names included: other machines only with another --host.

    \b
    In:  folders of training runs, also of one that has just begun.
    Out: a page at http://127.0.0.1:8621/, or with --static a folder with index.html that needs no server.
    """,
)
