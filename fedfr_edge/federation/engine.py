"""The engines of one machine: ServerApp and ClientApp without a network between them.

:func:`run_in_process` runs all clients in this process, one after another; :func:`run_in_processes` runs
several at a time, each in a process of its own; :func:`run_here` is either. Both give equal bits. The apps,
messages and records are Flower's; the transport is ours. Importing this module loads neither Flower nor
torch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fedfr_edge.errors import QuorumError
from fedfr_edge.federation.telemetry import switch_off_telemetry

if TYPE_CHECKING:
    from flwr.app import Context

    from fedfr_edge.federation.client_app import ClientSite
    from fedfr_edge.federation.data import Faces
    from fedfr_edge.federation.grid import InProcessGrid
    from fedfr_edge.federation.process_worker import Sites
    from fedfr_edge.federation.server_app import Job
    from fedfr_edge.federation.sites import LocalSites


def run_here(
    job: Job,
    clients: Sequence[str],
    sites: LocalSites,
    *,
    processes: int = 1,
    threads: int = 1,
    faces: Faces | None = None,
) -> None:
    """Run ``job`` on this machine, in this process or with ``processes`` clients at a time.

    Args:
        job: what to run; its ``progress`` is told about the clients' rounds too.
        clients: their ids.
        sites: where they are.
        processes: 1 for this process; more: see :func:`run_in_processes`.
        threads: CPU threads of each further process.
        faces: the sites' stores, if they are open already.

    Raises:
        FedFRError: see :func:`.server_app.run_job`; a :class:`QuorumError` names the first client's error.
    """
    if processes == 1:
        run_in_process(job, clients, sites.open(faces, progress=job.progress))
    else:
        run_in_processes(job, clients, sites, processes=processes, threads=threads)


def run_in_process(
    job: Job,
    clients: Sequence[str],
    find_site: Callable[[str], ClientSite],
    *,
    wire: bool = False,
) -> None:
    """Run ``job`` with all ``clients`` in this process.

    Args:
        job: what to run.
        clients: their ids.
        find_site: client id -> its site.
        wire: pass messages through Flower's own serialisation.

    Raises:
        FedFRError: see :func:`.server_app.run_job`; a :class:`QuorumError` names the first client's error.
    """
    switch_off_telemetry()
    from fedfr_edge.federation.client_app import make_client_app
    from fedfr_edge.federation.grid import InProcessGrid

    app = make_client_app(lambda context: find_site(str(context.node_config["client-id"])))
    _serve(job, InProcessGrid(app, _contexts(clients), wire=wire))


def run_in_processes(
    job: Job, clients: Sequence[str], sites: Sites, *, processes: int, threads: int = 1
) -> None:
    """Run ``job`` with up to ``processes`` of the ``clients`` at a time, each in a process of its own.

    The processes are started by ``spawn``, which imports the main module anew: a program of one's own has
    to keep what it does behind ``if __name__ == "__main__":``.

    Args:
        job: what to run; its ``progress`` is told about the clients' rounds too.
        clients: their ids.
        sites: where the clients are; pickled and sent to each process.
        processes: how many clients train at a time.
        threads: CPU threads of each process.

    Raises:
        FedFRError: see :func:`.server_app.run_job`; a :class:`QuorumError` names the first client's error.
    """
    switch_off_telemetry()
    from pathlib import Path

    from fedfr_edge.federation.client_app import ClientSite, make_client_app
    from fedfr_edge.federation.process_grid import ProcessGrid

    def faces(model: object) -> Any:
        raise AssertionError("clients train in their own processes")

    # This app only answers who a client is.
    app = make_client_app(lambda context: ClientSite(str(context.node_config["client-id"]), Path(), faces))
    grid = ProcessGrid(
        app, _contexts(clients), sites, processes=processes, threads=threads, progress=job.progress
    )
    with contextlib.closing(grid):
        _serve(job, grid)


def _serve(job: Job, grid: InProcessGrid) -> None:
    from fedfr_edge.federation.flower_private import SERVER_NODE, task_identity
    from fedfr_edge.federation.grid import RUN_ID
    from fedfr_edge.federation.server_app import make_server_app

    server_app = make_server_app(lambda context: job)
    with task_identity(RUN_ID):
        try:
            server_app(grid, _context(SERVER_NODE, {}))
        except QuorumError as error:
            if not grid.causes:
                raise
            # Over a network only the error's class leaves a client; here the user may read all of it.
            node, failure = next(iter(grid.causes.items()))
            cause = failure.__cause__ or failure
            raise QuorumError(f"{error} ({grid.client_of(node)}: {cause})") from cause


def _contexts(clients: Sequence[str]) -> dict[int, Context]:
    from fedfr_edge.federation.flower_private import SERVER_NODE

    return {
        SERVER_NODE + 1 + index: _context(SERVER_NODE + 1 + index, {"client-id": client})
        for index, client in enumerate(sorted(clients))
    }


def _context(node: int, node_config: dict[str, Any]) -> Context:
    from flwr.app import Context, RecordDict

    from fedfr_edge.federation.grid import RUN_ID

    return Context(run_id=RUN_ID, node_id=node, node_config=node_config, state=RecordDict(), run_config={})
