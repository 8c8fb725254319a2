"""``fedfr federation status``: how a federation is, from the run's folder and the SuperLink."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from fedfr_edge.cli import Command
from fedfr_edge.config import option
from fedfr_edge.errors import FederationError

from .. import console
from ..deploy.superlink import node_names
from ..runs.record import RECORD, read_run
from ..runs.summary import client_history
from .federation_server import SECTION, ServerConfig, attempt_text, super_link


@dataclass(frozen=True)
class StatusConfig(ServerConfig):
    """Settings of ``fedfr federation status``: those of the server, whose file it reads."""

    json: bool = option(False, help="print JSON instead of lines")


def run(config: StatusConfig) -> int:
    """Print the status; 1 if the run is neither finished nor under way."""
    found = status(config)
    console.out.print(json.dumps(found, ensure_ascii=False, indent=1) if config.json else _text(found))
    return 0 if found["well"] else 1


def status(config: ServerConfig) -> dict[str, Any]:
    """What is known of a federation, as JSON-able values.

    Raises:
        ConfigError, FederationError: the settings or the run's folder are damaged.
    """
    found: dict[str, Any] = {"out": str(config.out), **_rounds(config)}
    link = super_link(config)
    found["link"] = {"address": f"{config.host}:{config.port}"}
    try:
        link.check_listens()
        link.connect()
        names = node_names(link.state)
        runs = link.runs()
        found["nodes"] = [
            {
                "name": names.get(str(node["node-id"]), ""),
                "node": str(node["node-id"]),
                "status": node["status"],
                "online_since": node.get("online-at") or None,
                "offline_since": node.get("offline-at") or None,
            }
            for node in link.nodes()
        ]
        found["link"] |= {"answers": True, "run": runs[0]["status"] if runs else None}
    except FederationError as error:
        found["link"] |= {"answers": False, "why": str(error)}
        found["nodes"] = []
    under_way = found["link"].get("run") in {"pending", "starting", "running"}
    found["well"] = under_way or found["state"] == "finished"
    return found


def _rounds(config: ServerConfig) -> dict[str, Any]:
    last = config.resolved().last_round
    if not (config.out / RECORD).is_file():
        return {"state": "not begun", "done": 0, "last": last, "clients": {}}
    record = read_run(config.out)
    return {
        "state": "finished" if record.done >= last else "unfinished",
        "done": record.done,
        "attempts": record.attempts,
        "last": last,
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.changed)),
        "clients": client_history(record.rounds),
    }


def _text(found: dict[str, Any]) -> str:
    link = found["link"]
    lines = [f"{found['out']}: {found['state']}, {found['done']} of {found['last']} rounds"]
    if "written" in found:
        lines[0] += f", the last one written {found['written']}"
    for number, attempt in enumerate(found.get("attempts", ()), 1):
        lines.append(attempt_text(found["done"] + 1, number, attempt))
    for client, seen in found["clients"].items():
        text = f"  {client}: answered in {seen['answered']} rounds, last in {seen['last_round'] or '-'}, "
        text += f"{seen['bytes_up'] / 1e6:.1f} MB up, {seen['bytes_down'] / 1e6:.1f} MB down"
        lines.append(text + (f"; failed in {seen['failed']}, last {seen['why']}" if seen["failed"] else ""))
    if not link["answers"]:
        return "\n".join([*lines, f"SuperLink {link['address']}: no answer"])
    lines.append(f"SuperLink {link['address']}: run {link['run'] or '-'}")
    for node in found["nodes"]:
        when = {"online": node["online_since"], "offline": node["offline_since"]}.get(node["status"])
        lines.append(
            f"  {node['name'] or node['node']}: {node['status']}" + (f" since {when}" if when else "")
        )
    return "\n".join(lines)


COMMAND = Command(
    section=SECTION,
    config=StatusConfig,
    run=run,
    help="""Show a federation's rounds, clients, failures and nodes.

    Reads the server's configuration file (section [federation.server]), on the server's machine. The exit
    status is 0 while the run is under way or finished, and 1 otherwise.

    \b
    In:  the run's folder, and the SuperLink if it is up.
    Out: lines, or with --json the same as JSON.
    """,
)
