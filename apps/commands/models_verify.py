"""``fedfr models verify``: are the model files here intact, and the models that came with the package?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fedfr_edge.cli import Command
from fedfr_edge.config import option
from fedfr_edge.errors import FedFRError

SECTION = "models.verify"


@dataclass(frozen=True)
class ModelsVerifyConfig:
    """Settings of ``fedfr models verify``."""

    names: tuple[str, ...] = option((), help="models that must be here; else all that are", argument=True)
    folder: Path | None = option(None, help="folder of model files; else $FEDFR_MODELS or the user's own")
    registry: Path | None = option(None, help="a list of your own (.toml), instead of the built-in one")


def run(config: ModelsVerifyConfig) -> int:
    """Hash the files; status 1 if one is damaged, or was named and is absent."""
    from .. import console
    from ..known_models import choose, default_folder, known_models

    known = known_models(config.registry)
    folder = config.folder or default_folder()
    named = {model.name for model in choose(known, config.names)}
    lines: list[tuple[str, str, bool]] = []
    for model in known.values():
        if named and model.name not in named:
            continue
        state = model.state(folder)
        if state != "absent" or named:
            cure = "" if state == "here" else f"; get it with 'fedfr models get {model.name}'"
            lines.append((model.name, f"{state}: {folder / model.file}{cure}", state == "here"))
    if not named:
        lines += _shipped()
    for name, text, _ in lines:
        console.out.print(f"{name:<16} {text}")
    return 0 if all(fine for _, _, fine in lines) else 1


def _shipped() -> list[tuple[str, str, bool]]:
    """The models that came with the package: each must open, with the weights that its manifest names."""
    from fedfr_edge.recognition.encoder import OnnxEncoder

    from ..known_models import shipped_models

    lines = []
    for path in shipped_models():
        try:
            OnnxEncoder(path)
            lines.append((path.stem, f"here: {path}", True))
        except FedFRError as error:
            lines.append((path.stem, f"damaged: {error}", False))
    return lines


COMMAND = Command(
    section=SECTION,
    config=ModelsVerifyConfig,
    run=run,
    help="""Check the model files that are here: those of 'fedfr models get', and those of the package.

    In: names, which must then be here; without names all files that are.

    Out: one line for each. Exit status 0: all are intact; 1: one is damaged, or named and absent.
    """,
)
