"""The steps that are other commands: each is shown as one would type it, then run."""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedfr_edge.errors import ConfigError

from .. import console
from ..typed import words

if TYPE_CHECKING:
    from fedfr_edge.data.split import Split
    from fedfr_edge.data.store import FaceStore
    from fedfr_edge.evaluation.outcome import PersonalisedResult

    from ..commands.quickstart import QuickstartConfig
    from .device import Visit

CLIENT = "client-00"
"""Whose device is played."""

STEPS = 8
HELD_OUT_SHARE = 0.15
"""Share of the public people kept out of training, for thresholds; see ``pretrain --validation``."""


@dataclass(frozen=True)
class Places:
    """Where everything lies.

    Attributes:
        out: the quickstart's folder.
        data: the user's own store, if there is one.
    """

    out: Path
    data: Path | None

    @property
    def store(self) -> Path:
        """The aligned-face store."""
        return self.data or self.out / "store"

    @property
    def split(self) -> Path:
        """The split of that store."""
        return self.out / "split.json"

    @property
    def pretrained(self) -> Path:
        """The model that the rounds start from."""
        return self.out / "pretrained" / "model.safetensors"

    @property
    def run(self) -> Path:
        """Folder of the rounds."""
        return self.out / "run"

    @property
    def exported(self) -> Path:
        """Folder of the ONNX files."""
        return self.out / "exported"


def prepare(config: QuickstartConfig, places: Places) -> None:
    """Make the store if there is none, and the split."""
    if places.data is None and not (places.store / "manifest.json").exists():
        heading(1, "Faces: render people who do not exist")
        command(
            "data synth",
            out=places.store,
            identities=config.identities,
            images=config.images,
            seed=config.seed,
        )
    else:
        heading(1, f"Faces: the store {places.store}")
        command("data show", path=places.store)
    heading(2, "Split: public people, and people of each client")
    if not places.split.exists():
        command("data split", **_division(config, places))
    else:
        command("data show", path=places.split)


def train(config: QuickstartConfig, places: Places) -> None:
    """Pre-train on the public people, then run the rounds."""
    from fedfr_edge.data.split import Split

    public = len(Split.load(places.split).public)
    heading(3, "Pre-training on the public people")
    command(
        "pretrain",
        store=(places.store,),
        split=places.split,
        out=places.pretrained.parent,
        backbone=config.backbone,
        width=config.width,
        input_size=config.input_size,
        epochs=config.pretrain_epochs,
        batch_size=64,
        validation=max(3, round(HELD_OUT_SHARE * public)),
        validation_far=1e-2,
        validation_every=max(1, config.pretrain_epochs // 3),
        learning_rate=0.05,
        clip=5.0,
        keep="last",
        seed=config.seed,
        threads=config.threads,
    )
    heading(4, "FedFR rounds, through Flower: faces, W, Π and Ω stay with their client")
    command(
        "train",
        pretrained=places.pretrained,
        store=places.store,
        split=places.split,
        out=places.run,
        rounds=config.rounds,
        epochs=(config.epochs,),
        batch_size=64,
        learning_rate=config.learning_rate,
        momentum=0.9,
        mining_threshold=config.mining_threshold,
        seed=config.seed,
    )


def evaluate(places: Places) -> list[PersonalisedResult]:
    """The torch models on the personalised protocol."""
    heading(5, "Evaluation: the generic model against the personal ones")
    return _evaluate(places, "evaluation", run=places.run)


def export(config: QuickstartConfig, places: Places) -> None:
    """The generic model and every client's personal one, as ONNX."""
    from fedfr_edge.data.split import Split

    heading(6, "Export to ONNX, checked against torch")
    common: dict[str, Any] = {"run": places.run, "store": places.store, "split": places.split}
    common["evaluation"] = (places.out / "evaluation",)
    command("export generic", out=places.exported / "generic.onnx", **common)
    for client in sorted(Split.load(places.split).clients):
        command("export personal", out=places.exported / f"personal-{client}.onnx", client=client, **common)


def evaluate_exported(places: Places) -> list[PersonalisedResult]:
    """The same evaluation of the files that a device gets."""
    heading(7, "Evaluation of the exported files, by the same code")
    return _evaluate(places, "evaluation-exported", exported=places.exported)


def _evaluate(places: Places, folder: str, **models: Path) -> list[PersonalisedResult]:
    return command(  # type: ignore[no-any-return]
        "evaluate personalised",
        function="evaluate",
        store=places.store,
        split=places.split,
        out=places.out / folder,
        **models,
    )


def _division(config: QuickstartConfig, places: Places) -> dict[str, Any]:
    """Two thirds public, the rest over the clients; 60 % of a person's images to train, as in the paper."""
    from fedfr_edge.data.store import FaceStore

    store = FaceStore.open(places.store)
    people = len(store.identities)
    per_client = config.per_client or max(2, people // 3 // config.clients)
    public = people - config.clients * per_client
    if public < 8:
        raise ConfigError(
            f"{people} identities for {config.clients} clients of {per_client} leave {public} public ones, "
            "expected 8 or more; give fewer --clients, a smaller --per-client, or more people"
        )
    images = int(np.median(np.bincount(store.labels)))
    if images < 4:
        raise ConfigError(f"half of the people have {images} images or fewer, expected 4 or more of each")
    training = round(0.6 * images)
    return {
        "store": places.store,
        "out": places.split,
        "public": public,
        "clients": config.clients,
        "per_client": per_client,
        "train_images": training,
        "test_images": images - training,
        "allow_fewer": True,
        "seed": config.seed,
    }


def heading(number: int, text: str) -> None:
    """Announce a step."""
    console.out.print(f"\n[{number}/{STEPS}] {text}", style="bold")


def command(name: str, /, *, function: str = "run", **settings: Any) -> Any:
    """Show the command as one would type it, and do its ``function`` with these settings."""
    module = importlib.import_module("fedfr_edge.apps.commands." + name.replace(" ", "_"))
    settings = {key: value for key, value in settings.items() if value is not None}
    console.out.print(f"$ fedfr {name} " + shlex.join(words(settings)), style="dim")
    return getattr(module, function)(module.COMMAND.config(**settings))


def open_data(places: Places) -> tuple[FaceStore, Split]:
    """The store and its split."""
    from fedfr_edge.data.split import Split
    from fedfr_edge.data.store import FaceStore

    return FaceStore.open(places.store), Split.load(places.split)


def show(
    places: Places,
    results: Sequence[PersonalisedResult],
    exported: Sequence[PersonalisedResult],
    visit: Visit,
    page: Path,
    *,
    seconds: float,
) -> None:
    """The table, what the device did, and the paths."""
    from fedfr_edge.evaluation.tables import comparison_table

    from ..result_tables import print_table
    from .page import paths

    console.out.print()
    for reading in dict.fromkeys(result.reading for result in results):
        print_table(comparison_table([result for result in results if result.reading == reading]))
    torch_rates, onnx_rates = (
        np.array([[rate.value for rate in (*one.verification, *one.identification)] for one in evaluated])
        for evaluated in (results, exported)
    )
    difference = float(np.nanmax(np.abs(torch_rates - onnx_rates)))
    console.out.print(f"Exported files against torch: rates differ by at most {100 * difference:.2f} points.")
    genuine, strangers = visit.count(True), visit.count(False)
    console.out.print(
        f"Device of {CLIENT}: {genuine[0]} of {genuine[1]} genuine attempts let in, {strangers[0]} of "
        f"{strangers[1]} strangers kept out.\n"
    )
    for what, path in paths(places, visit):
        console.out.print(f"{what:30}{path}")
    console.out.print(f"{'page to look at':30}{page}", style="bold")
    console.out.print(f"Done in {seconds / 60:.1f} minutes.")
