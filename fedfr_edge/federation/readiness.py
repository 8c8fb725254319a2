"""May this client train? Asked once of each client before its first training, without Θ and Φ.

What is wrong on a client (its stores, its people, its settings, its private folder) is found before anybody
has trained, so that it costs no half-finished round. The client's log has the reason in full; the server is
told one code of :mod:`.refusal`.
"""

from __future__ import annotations

import logging
import time
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flwr.app import ConfigRecord, Message, RecordDict

from fedfr_edge.config import as_dict
from fedfr_edge.errors import CheckpointError, ConfigError, FederationError, PayloadError, PrivateStateError
from fedfr_edge.federation.refusal import CODES, REFUSED, coded, is_code, reason_of, said
from fedfr_edge.federation.sending import send

if TYPE_CHECKING:
    from flwr.serverapp import Grid

    from fedfr_edge.federation.client_app import ClientSite
    from fedfr_edge.federation.payload import Instruction
    from fedfr_edge.federation.private_state import PrivateStore
    from fedfr_edge.train.backbones.spec import BackboneSpec
    from fedfr_edge.train.config import TrainConfig

log = logging.getLogger(__name__)

CHECK = "query.check"
"""Message type of the question."""

READY = "ready"
"""A client's answer if nothing is wrong."""


class Readiness:
    """The server's side: who has been asked, and who may train.

    A client is asked again when it comes back as another node, and in each round as long as it refuses.

    Args:
        grid: Flower's connection to the clients.
        poll: seconds between two looks for answers.
    """

    def __init__(self, grid: Grid, *, poll: float) -> None:
        self._grid, self._poll = grid, poll
        self._ready: set[tuple[str, int]] = set()

    def failures(self, instruction: Instruction, nodes: Mapping[str, int], limit: float) -> dict[str, str]:
        """Why some of ``nodes`` must not be asked to train, by client id; empty if all may.

        Args:
            instruction: the round's; its model is what clients will be sent.
            nodes: client id -> node id.
            limit: seconds to wait for answers.
        """
        unknown = [name for name in sorted(nodes) if (name, nodes[name]) not in self._ready]
        if not unknown:
            return {}
        content = _question(instruction)
        questions = {name: Message(content, nodes[name], CHECK, ttl=limit) for name in unknown}
        waiting, found = send(self._grid, questions)
        end = time.monotonic() + limit
        while waiting and time.monotonic() < end:
            replies = list(self._grid.pull_messages(list(waiting)))
            for reply in replies:
                name = waiting.pop(reply.metadata.reply_to_message_id, None)
                if name is None:
                    continue
                reason = _read_answer(reply)
                if reason == READY:
                    self._ready.add((name, nodes[name]))
                else:
                    found[name] = reason
                    log.warning("%s may not train: %s", name, CODES.get(reason.removeprefix(REFUSED), reason))
            if not replies:
                time.sleep(self._poll)
        found |= dict.fromkeys(waiting.values(), f"no answer within {limit:g} s to whether it may train")
        return dict(sorted(found.items()))

    def ask_again(self, nodes: Mapping[str, int]) -> None:
        """Clients that refused when they were to train are asked first the next time.

        Args:
            nodes: client id -> node id.
        """
        self._ready -= set(nodes.items())


def answer(content: RecordDict, site: ClientSite) -> RecordDict:
    """The client's side: look at everything that training will need, and say :data:`READY` or a code."""
    try:
        _check(content, site)
    except Exception as error:
        log.warning("%s refuses to train: %s", site.client, error)
        raise
    return RecordDict({"check": ConfigRecord({"code": READY})})


def check_agreed_settings(
    agreed: Mapping[str, Mapping[str, Any]], settings: TrainConfig, spec: BackboneSpec
) -> None:
    """Stop if the server's settings or backbone differ from what this client agreed to.

    Args:
        agreed: ``train`` and ``backbone`` -> the fields that must be as given here.
        settings: the server's.
        spec: of the server's backbone.

    Raises:
        ConfigError: they differ in a field, or a section or field is unknown.
    """
    theirs = {"train": as_dict(settings), "backbone": spec.to_dict()}
    for section, fields in agreed.items():
        for name, value in fields.items():
            if name not in theirs.get(section, {}):
                raise ConfigError(
                    f"this client agreed to [{section}] {name} = {value!r}, which is no setting; known "
                    f"sections are {', '.join(theirs)}"
                )
            found = theirs[section][name]
            if _plain(found) != _plain(value):
                error = ConfigError(
                    f"the server's [{section}] {name} is {found!r}, this client agreed to {value!r}; train "
                    "with that value, or change what this client agrees to"
                )
                raise coded("other-backbone" if section == "backbone" else "other-settings", error)


def check_limit(limit: int, store: PrivateStore, settings: TrainConfig, round: int) -> None:
    """Stop if this client has given as many updates as it is willing to; a second stage asks for none.

    Args:
        limit: how many; 0 for any number.
        store: its private folder, where they are counted.
        settings: the server's.
        round: the round that is asked for.

    Raises:
        FederationError: it has.
    """
    if not limit or settings.stage_of(round) != "federated":
        return
    given = store.updates()
    if given >= limit:
        error = FederationError(
            f"{store.client} has given {given} updates, and max-updates is {limit}; raise it to go on"
        )
        raise coded("limit-reached", error)


def read_agreed(path: Path) -> dict[str, dict[str, Any]]:
    """The sections ``[train]`` and ``[backbone]`` of a TOML file of agreed values.

    Raises:
        ConfigError: the file cannot be read, or holds something else.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read what this client agreed to, {path}: {error}") from error
    odd = [name for name, part in found.items() if not isinstance(part, dict)]
    if odd or not set(found) <= {"train", "backbone"}:
        raise ConfigError(f"{path} holds {sorted(found)}, expected the sections [train] and [backbone]")
    return found


def _check(content: RecordDict, site: ClientSite) -> None:
    import torch

    from fedfr_edge.federation.payload import check_agreed, read_config
    from fedfr_edge.federation.private_state import PrivateStore
    from fedfr_edge.train.checkpoint import GlobalModel

    try:
        config, extent = dict(content["config"]), dict(content["check"])
        layout, spec, settings, metadata = read_config(config, int(extent["classes"]))
    except (PayloadError, KeyError, TypeError) as error:
        raise coded("other-version", PayloadError(str(error))) from error
    try:
        check_agreed(settings, site.share_proxies)
    except PayloadError as error:
        raise coded("no-consent", error) from None
    check_agreed_settings(site.agreed, settings, spec)
    # The faces need to know how many rows Φ has and whose they are, not what is in them.
    phi = torch.zeros(1, spec.dim).expand(layout.proxies[0], spec.dim)
    data = site.faces(GlobalModel(spec, {}, phi, config["server-round"] - 1, metadata))
    if not len(data.images):
        raise coded(
            "no-images",
            ConfigError(f"{site.client} has no image to train on; give it faces of its own people"),
        )
    store = PrivateStore(site.private, federation=config["federation"], client=site.client)
    check_limit(site.max_updates, store, settings, config["server-round"])
    try:
        before = store.look_before(config["server-round"])
    except CheckpointError as error:
        raise coded("private-state", error) from None
    if before is None:
        return
    shapes = {name: tuple(tensor.shape) for name, tensor in before.backbone.items()}
    if shapes != {name: shape for name, _, shape in layout.entries}:
        raise coded(
            "other-backbone",
            PrivateStateError(
                f"the private state in {site.private} is of another backbone than the server's {spec}; give "
                "this client a folder of its own for this federation"
            ),
        )


def _question(instruction: Instruction) -> RecordDict:
    from fedfr_edge.federation.payload import instruction_config
    from fedfr_edge.train.exchange import model_for_clients

    sent = model_for_clients(instruction.model, instruction.settings)
    config = instruction_config(replace(instruction, model=sent))
    extent = {"classes": len(sent.global_proxies)}
    return RecordDict({"config": ConfigRecord(config), "check": ConfigRecord(extent)})


def _read_answer(reply: Message) -> str:
    """``ready``, or why not."""
    if reply.has_error():
        return said(reply)
    record = reply.content.get("check")
    code = record.get("code") if isinstance(record, ConfigRecord) and set(record) == {"code"} else None
    return reason_of(str(code)) if set(reply.content) == {"check"} and is_code(code) else "PayloadError"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value
