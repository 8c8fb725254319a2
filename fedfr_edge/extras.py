"""Packages that only some commands need, and the extra that installs each."""

from __future__ import annotations

import importlib.util

from fedfr_edge.errors import MissingPartError

EXTRAS = {
    "torch": "train",
    "onnxscript": "train",
    "safetensors": "train",
    "flwr": "federation",
    "insightface": "insightface",
    "matplotlib": "report",
    "fastapi": "web",
    "uvicorn": "web",
    "websockets": "web",
}


def require(*packages: str) -> None:
    """Stop before a long job if it would fail later for want of a package.

    Args:
        packages: names in :data:`EXTRAS`.

    Raises:
        MissingPartError: some are not installed.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingPartError(_not_installed(missing))


def missing_part(error: ModuleNotFoundError) -> MissingPartError | None:
    """The same for an import that failed; None where it is no package of an extra, so a fault of ours."""
    name = (error.name or "").partition(".")[0]
    return MissingPartError(_not_installed([name])) if name in EXTRAS else None


def _not_installed(packages: list[str]) -> str:
    extras = ",".join(dict.fromkeys(EXTRAS[name] for name in packages))
    return (
        f"{', '.join(packages)} not installed, which this command needs; run: "
        f"pip install 'fedfr-edge[{extras}]'"
    )
