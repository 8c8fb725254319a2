"""The in-process engine: ServerApp, ClientApp and all clients in this process, one after another.

The apps, messages and records are Flower's; the transport (:class:`.grid.InProcessGrid`) is ours. Importing
this module loads neither Flower nor torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fedfr_edge.errors import QuorumError
from fedfr_edge.federation.telemetry import switch_off_telemetry

if TYPE_CHECKING:
    from fedfr_edge.federation.client_app import ClientSite
    from fedfr_edge.federation.server_app import Job


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
    from flwr.app import Context, RecordDict

    from fedfr_edge.federation.client_app import make_client_app
    from fedfr_edge.federation.flower_private import SERVER_NODE, task_identity
    from fedfr_edge.federation.grid import RUN_ID, InProcessGrid
    from fedfr_edge.federation.server_app import make_server_app

    def context(node: int, node_config: dict[str, Any]) -> Context:
        return Context(
            run_id=RUN_ID, node_id=node, node_config=node_config, state=RecordDict(), run_config={}
        )

    client_app = make_client_app(lambda context: find_site(str(context.node_config["client-id"])))
    server_app = make_server_app(lambda context: job)
    names = {SERVER_NODE + 1 + index: client for index, client in enumerate(sorted(clients))}
    contexts = {node: context(node, {"client-id": client}) for node, client in names.items()}
    grid = InProcessGrid(client_app, contexts, wire=wire)
    with task_identity(RUN_ID):
        try:
            server_app(grid, context(SERVER_NODE, {}))
        except QuorumError as error:
            if not grid.causes:
                raise
            # Over a network only the error's class leaves a client; here the user may read all of it.
            node, failure = next(iter(grid.causes.items()))
            cause = failure.__cause__ or failure
            raise QuorumError(f"{error} ({names[node]}: {cause})") from cause
