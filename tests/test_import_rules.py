"""Who may import whom; the picture is in docs/architecture.md."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("fedfr_edge", "export", "apps", "models")
CORE = {"errors", "extras", "types", "config", "atomic", "cores", "file_lock", "__init__"}
ALLOWED = {
    "vision": {"vision"},
    "recognition": {"recognition", "vision"},
    "evaluation": {"evaluation"},
    "data": {"data", "vision"},
    "train": {"train", "data"},
    "federation": {"federation", "train", "data"},
    "export": {"export", "train", "federation", "recognition", "vision", "data", "evaluation"},
    "apps": {"apps", "export", "train", "federation", "recognition", "vision", "data", "evaluation", "cli"},
}
"""Folder -> parts of fedfr_edge that it may import beside the core."""

PUBLIC = {"vision", "recognition", "evaluation", "data"}
"""Parts whose names the package's own ``__init__`` offers (tests/test_public_api.py: it imports none of them
before a name is used)."""

FORBIDDEN = {
    "vision": {"torch", "flwr"},
    "recognition": {"torch", "flwr"},
    "evaluation": {"torch", "flwr", "cv2", "onnxruntime"},
    "data": {"torch", "flwr"},
    "train": {"flwr"},
    "export": {"flwr"},
}


def sources() -> list[Path]:
    return sorted(
        path
        for folder in ("fedfr_edge", "export", "apps", "models")
        for path in (ROOT / folder).rglob("*.py")
    )


def part_of(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return parts[0] if parts[0] != "fedfr_edge" else parts[1].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Absolute names of the modules that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # relative: only inside export/ and apps/, so it stays in its own part
                continue
            found |= {f"{base}.{alias.name}" if base == "fedfr_edge" else base for alias in node.names}
    return found


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_layers(path: Path) -> None:
    part = part_of(path)
    for module in imports(path):
        top, *rest = module.split(".")
        assert top not in {"apps", "export", "models"}, f"{module}: import fedfr_edge.{module} instead"
        assert top not in FORBIDDEN.get(part, set()), f"{part} must not import {top}"
        if top != "fedfr_edge" or not rest:
            continue
        parts = PUBLIC if part == "__init__" else ALLOWED.get(part, set())
        allowed = parts | CORE | {"__version__"}
        assert rest[0] in allowed, f"{part} must not import fedfr_edge.{rest[0]}"


def test_every_folder_has_a_rule() -> None:
    folders = {part_of(path) for path in sources()} - CORE - {"cli", "models", "py"}
    assert folders == set(ALLOWED)


def test_nothing_outside_this_package_is_imported_relatively_upwards() -> None:
    """``from ..x import y`` in export/ or apps/ must not climb out of the folder."""
    for path in sources():
        depth = len(path.relative_to(ROOT).parts) - 1
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level <= depth, f"{path}: level {node.level} leaves its folder"
