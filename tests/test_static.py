"""Linter, types, and that a wheel holds everything: run as tests, so that one command checks all."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str, cwd: Path = ROOT) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]


@pytest.fixture(scope="module")
def wheel_contents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as a wheel installs it."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    # Built from a copy: setuptools leaves build/ and *.egg-info behind, and would reuse stale ones.
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in names:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    run(
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(out),
        ".",
        cwd=source,
    )
    (wheel,) = out.glob("*.whl")
    unpacked = tmp_path_factory.mktemp("unpacked")
    zipfile.ZipFile(wheel).extractall(unpacked)
    return unpacked


def test_ruff() -> None:
    run("ruff", "check", ".")
    run("ruff", "format", "--check", ".")


def test_a_wheel_holds_every_module_and_no_foreign_top_level(wheel_contents: Path) -> None:
    expected = {path.relative_to(ROOT).as_posix() for path in (ROOT / "fedfr_edge").rglob("*.py")}
    for folder in ("export", "apps", "models"):
        expected |= {
            f"fedfr_edge/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / folder).rglob("*.py")
        }
    assert {path.relative_to(wheel_contents).as_posix() for path in wheel_contents.rglob("*.py")} == expected
    tops = {path.name for path in wheel_contents.iterdir() if not path.name.endswith(".dist-info")}
    assert tops == {"fedfr_edge"}
    assert (wheel_contents / "fedfr_edge" / "py.typed").is_file()
    recipes = {
        path.relative_to(ROOT / "apps").as_posix() for path in (ROOT / "apps/reproduce").rglob("*.toml")
    }
    assert recipes
    assert all((wheel_contents / "fedfr_edge/apps" / name).is_file() for name in recipes)


def test_mypy_strict_on_the_installed_layout(wheel_contents: Path) -> None:
    run("mypy", "--config-file", str(ROOT / "pyproject.toml"), "-p", "fedfr_edge", cwd=wheel_contents)


def test_public_names_have_their_types(wheel_contents: Path) -> None:
    """``from fedfr_edge import ...`` resolves names late; a type checker must see through that."""
    program = "import fedfr_edge; reveal_type(fedfr_edge.tar_at_far); fedfr_edge.no_such_name"
    settings = ["--config-file", str(ROOT / "pyproject.toml")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *settings, "-c", program],
        cwd=wheel_contents,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "far: float) -> fedfr_edge.evaluation.metrics.Rate" in done.stdout.replace('"', ""), done.stdout
    assert 'Module has no attribute "no_such_name"' in done.stdout, done.stdout
