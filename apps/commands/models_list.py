"""``fedfr models list``: public model files, their terms, and which of them are here."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from fedfr_edge.cli import Command
from fedfr_edge.config import option

SECTION = "models.list"


@dataclass(frozen=True)
class ModelsListConfig:
    """Settings of ``fedfr models list``."""

    folder: Path | None = option(None, help="folder of model files; else $FEDFR_MODELS or the user's own")
    registry: Path | None = option(None, help="a list of your own (.toml), instead of the built-in one")
    json: bool = option(False, help="for programs: print JSON")


def run(config: ModelsListConfig) -> None:
    """Print the list."""
    from .. import console
    from ..known_models import default_folder, known_models, shipped_models

    folder = config.folder or default_folder()
    models = [(model, model.state(folder)) for model in known_models(config.registry).values()]
    if config.json:
        rows = [dataclasses.asdict(model) | {"state": state} for model, state in models]
        shipped = [str(path) for path in shipped_models()]
        console.out.print(json.dumps({"folder": str(folder), "models": rows, "shipped": shipped}, indent=1))
        return
    for path in shipped_models():
        console.out.print(f"{path.stem:<16} shipped  {path.stat().st_size / 1e6:5.1f} MB  --model {path}")
        console.out.print(f"{'':<16} card: {path.with_suffix('.md')}")
    console.out.print(f"{'centerface':<16} comes with the installation; 'fedfr doctor' checks it")
    for model, state in models:
        console.out.print(f"{model.name:<16} {state:<8} {model.bytes / 1e6:5.1f} MB  {model.what}")
        console.out.print(f"{'':<16} licence: {model.licence}")
        if state == "here":
            console.out.print(f"{'':<16} {model.use.format(path=folder / model.file)}")
    console.out.print(f"folder: {folder}")


COMMAND = Command(
    section=SECTION,
    config=ModelsListConfig,
    run=run,
    help="""Models that came with the package, and public ones that it can use and does not ship.

    In: nothing; the list comes with the package, and nothing is asked of the network.

    Out: each model's name, whether it is here, size, what it is, its licence or card, and how to use it.
    """,
)
