"""``fedfr models get``: download public model files, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fedfr_edge.cli import Command
from fedfr_edge.config import option, save_config
from fedfr_edge.errors import ConfigError

SECTION = "models.get"


@dataclass(frozen=True)
class ModelsGetConfig:
    """Settings of ``fedfr models get``."""

    names: tuple[str, ...] = option((), help="models, as 'fedfr models list' calls them", argument=True)
    folder: Path | None = option(None, help="folder of model files; else $FEDFR_MODELS or the user's own")
    from_: Path | None = option(None, help="a file got by other means, for a machine without a network")
    accept_terms: bool = option(False, help="accept the licence of a model that is not free for all uses")
    registry: Path | None = option(None, help="a list of your own (.toml), such as one of a mirror")


def run(config: ModelsGetConfig) -> None:
    """Get what is asked for, one after another; what is here already stays."""
    from .. import console
    from ..download import copy_in, fetch
    from ..known_models import choose, default_folder, known_models

    models = choose(known_models(config.registry), config.names)
    if not models:
        raise ConfigError("no model is named; give names that 'fedfr models list' shows")
    if config.from_ is not None and len(models) != 1:
        raise ConfigError(f"--from gives one file, {len(models)} models are named; get them one by one")
    for model in models:
        if model.terms and not config.accept_terms:
            raise ConfigError(
                f"{model.name} has terms: {model.licence}; give --accept-terms if they fit your use, nothing "
                "was downloaded"
            )
    folder = config.folder or default_folder()
    for model in models:
        target = folder / model.file
        console.out.print(f"{model.name}: {model.what}; licence: {model.licence}")
        if model.state(folder) == "here":
            console.out.print(f"{target} is here already, sha256 as expected")
        elif config.from_ is not None:
            copy_in(model, config.from_, folder)
            console.out.print(f"{target}: copied, sha256 as expected")
        else:
            with console.progress_bars() as progress:
                fetch(model, folder, progress)
            console.out.print(f"{target}: {model.bytes:,} bytes, sha256 as expected")
        save_config(config, SECTION, target.with_suffix(".toml"))
        console.out.print(f"use it with {model.use.format(path=target)}")


COMMAND = Command(
    section=SECTION,
    config=ModelsGetConfig,
    run=run,
    help="""Download public model files; interrupted, the same command goes on where it was.

    Nothing else in fedfr-edge downloads anything.

    In: names that 'fedfr models list' shows; with --from a file that came by other means.

    Out: the files, in --folder, each only if its sha256 is as listed, with the settings as .toml beside it.
    """,
)
