"""The ClientApp: one client's round behind Flower's message API.

``app`` is what ``flwr run`` starts on a SuperNode; it reads where the client's faces and its private folder
are from the node's configuration::

    flower-supernode … --node-config 'client-id="client-00" store="/data/faces" split="/data/split.json"
        public-stores="/data/public" private="/var/lib/fedfr/client-00" device="cpu" threads=1'

``store`` without ``split`` is a device's own faces; several ``public-stores`` are joined by ``:``, and are
needed only by methods that use public faces. ``share-proxies=true`` agrees to FedFace's sending W.
``agreed`` is a TOML file of settings that the server's must equal, or this client does not train;
``max-updates`` is how often it gives an update at most, repeated rounds included.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedfr_edge.errors import ConfigError, FederationError
from fedfr_edge.federation.refusal import code_of
from fedfr_edge.federation.roster import hello_reply
from fedfr_edge.types import Progress, no_progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedfr_edge.train.checkpoint import GlobalModel
    from fedfr_edge.train.client import ClientData
    from fedfr_edge.train.config import TrainConfig

# torch is imported inside the round: a client that is only asked who it is answers without it.


class ClientFailure(FederationError):
    """What the server is told of a client's error: a code or the name of its class, and nothing of its text.

    A message such as "no image 'anna/0012' in …" would carry names and paths away from the client.
    """


@dataclasses.dataclass(frozen=True)
class ClientSite:
    """Who a client is and where its things are.

    Attributes:
        client: its own id.
        private: its private folder.
        faces: gives its data, for the public identities of a global model (none if its Φ has no rows).
        settings: hyper-parameters that this machine decides for itself (``device``, ``threads``).
        prepare: called before training, once for each round.
        progress: told about the round's mining and training.
        agreed: what the server's settings must be for this client to train: section ``train`` or ``backbone``
            -> field -> value; see :func:`.readiness.check_agreed_settings`.
        max_updates: how many updates it gives, repeated rounds included, before it refuses; 0: any number.
        share_proxies: agrees that W, a stand-in for its people's faces, leaves where the method (FedFace)
            asks for it.
    """

    client: str
    private: Path
    faces: Callable[[GlobalModel], ClientData]
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    prepare: Callable[[TrainConfig], None] = lambda settings: None
    progress: Progress = no_progress
    share_proxies: bool = False
    max_updates: int = 0
    agreed: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)


def make_client_app(find_site: Callable[[Context], ClientSite]) -> ClientApp:
    """A ClientApp whose clients are described by ``find_site``."""
    app = ClientApp()

    def hello(message: Message, context: Context) -> Message:
        with _nothing_but_the_name():
            return Message(hello_reply(find_site(context).client), reply_to=message)

    def check(message: Message, context: Context) -> Message:
        from fedfr_edge.federation.readiness import answer

        with _nothing_but_the_name(checking=True):
            return Message(answer(message.content, find_site(context)), reply_to=message)

    def train(message: Message, context: Context) -> Message:
        with _nothing_but_the_name():
            return Message(_round(message.content, find_site(context)), reply_to=message)

    app.query("hello")(hello)
    app.query("check")(check)
    app.train()(train)
    return app


def site_from_node_config(context: Context) -> ClientSite:
    """The site that a SuperNode's ``--node-config`` describes; see the top of this module.

    Raises:
        ConfigError: a key is missing, unknown or of the wrong type.
    """
    values = dict(context.node_config)
    required = {"client-id": str, "store": str, "private": str}
    optional = {
        "split": str,
        "public-stores": str,
        "device": str,
        "threads": int,
        "share-proxies": bool,
        "agreed": str,
        "max-updates": int,
    }
    for name, kind in (required | optional).items():
        if name in required and name not in values:
            raise ConfigError(f"node config lacks {name!r}, expected {', '.join(required)}; add it")
        if name in values and type(values[name]) is not kind:
            raise ConfigError(f"node config has {name} = {values[name]!r}, expected {kind.__name__}")
    # Flower's simulation adds these two by itself.
    unknown = values.keys() - {*required, *optional, "partition-id", "num-partitions"}
    if unknown:
        raise ConfigError(f"node config has unknown {sorted(unknown)}, known are {[*required, *optional]}")
    client = str(values["client-id"])
    from fedfr_edge.federation.readiness import read_agreed

    def faces(model: GlobalModel) -> ClientData:
        from fedfr_edge.federation.data import Faces

        split = Path(values["split"]) if "split" in values else None
        further = [Path(part) for part in str(values.get("public-stores", "")).split(os.pathsep) if part]
        return Faces.open(Path(values["store"]), split, further).of_client(client, model)

    def prepare(settings: TrainConfig) -> None:
        from fedfr_edge.train.threads import set_threads

        set_threads(settings.threads)  # this process is the client's own

    return ClientSite(
        client=client,
        private=Path(values["private"]),
        faces=faces,
        settings={"device": str(values.get("device", "cpu")), "threads": int(values.get("threads", 1))},
        prepare=prepare,
        share_proxies=bool(values.get("share-proxies", False)),
        max_updates=int(values.get("max-updates", 0)),
        agreed=read_agreed(Path(values["agreed"])) if "agreed" in values else {},
    )


def _round(content: Any, site: ClientSite) -> Any:
    """One round: the server's message content in, the reply's content out; the private state stays."""
    from fedfr_edge.federation.layout import Layout
    from fedfr_edge.federation.payload import check_agreed, make_reply, read_instruction
    from fedfr_edge.federation.private_state import PrivateStore
    from fedfr_edge.federation.readiness import check_agreed_settings, check_limit
    from fedfr_edge.train.client import client_round
    from fedfr_edge.train.device_turn import device_turn
    from fedfr_edge.train.exchange import what_leaves
    from fedfr_edge.train.seeds import RoundSeed

    asked = read_instruction(content)
    check_agreed(asked.settings, site.share_proxies)
    check_agreed_settings(site.agreed, asked.settings, asked.model.spec)
    settings = dataclasses.replace(asked.settings, **site.settings)
    site.prepare(settings)
    data = site.faces(asked.model)
    with PrivateStore(site.private, federation=asked.federation, client=site.client) as store:
        check_limit(site.max_updates, store, settings, asked.round)
        before = store.load_before(asked.round)
        if before is not None and asked.proxies is not None:
            before = dataclasses.replace(before, local_proxies=asked.proxies)
        seed = RoundSeed(asked.seed, asked.round, site.client)
        with device_turn(settings.device):
            after, update, metrics = client_round(before, asked.model, data, settings, seed, site.progress)
        update, metrics = what_leaves(update, metrics, asked.model, settings)
        layout = None  # of what may leave: in a second stage nothing but metrics
        if settings.stage_of(asked.round) == "federated":
            people = len(after.local_proxies) if settings.shares_proxies else None
            classes = len(asked.model.global_proxies)
            layout = Layout.of(asked.model.spec, classes, people, settings.update_dtype)
        reply = make_reply(layout, update, metrics, asked.model)
        # Kept only once the guard has let the update pass: a round that is refused leaves no trace.
        if layout is not None:
            store.count_update()
        store.save(after, asked.model.spec, asked.model.metadata)
    return reply


@contextmanager
def _nothing_but_the_name(*, checking: bool = False) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Flower's runtime logs the whole chain on the client's own machine.
        raise ClientFailure(code_of(error, checking=checking)) from error


app = make_client_app(site_from_node_config)
