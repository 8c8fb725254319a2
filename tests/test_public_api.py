"""The names that ``fedfr_edge`` offers: which, where they come from, and that offering them costs nothing."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import fedfr_edge

NAMES = """
    Decision Detector EnrolLook EnrolPolicy EnrolSession Enrolment Face FaceStore FedFRError Gallery KeyFile
    KeyringKey LoginPolicy LoginSession Look Manifest MiniFas OnnxEncoder Passphrase Person Quality
    QualityLimits Rate Reason Split StoreWriter Strangers Template Vault __version__ align calibrate_device
    calibrate_embeddings enrol evaluate_pairs evaluate_personalised largest_central login make_split
    measure_quality open_detector read_image synthesize_store tar_at_far
"""
PUBLIC = NAMES.split()
"""Users write these names: taking one away breaks their programs."""

NEEDED_ELSEWHERE = ("torch", "flwr", "matplotlib", "insightface", "keyring", "fastapi", "safetensors")


def fresh(program: str) -> str:
    """What a new interpreter prints that runs ``program``."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_names_are_these() -> None:
    assert fedfr_edge.__all__ == PUBLIC
    assert dir(fedfr_edge) == sorted(PUBLIC)


@pytest.mark.parametrize("name", sorted(set(PUBLIC) - {"__version__"}))
def test_each_is_there_and_says_what_it_is(name: str) -> None:
    thing = getattr(fedfr_edge, name)
    assert thing.__name__ == name
    assert thing.__module__.startswith("fedfr_edge.")
    # Not inspect.getdoc, which falls back on a base class; and not what a dataclass writes by itself.
    text = inspect.cleandoc(thing.__doc__ or "")
    assert len(text) > 20
    assert not text.startswith(f"{name}(")


def test_type_checkers_are_told_the_same_as_python() -> None:
    tree = ast.parse(Path(fedfr_edge.__file__).read_text())
    told = {
        (str(node.module), alias.name)
        for branch in tree.body
        if isinstance(branch, ast.If)
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    homes = {(f"fedfr_edge.{home}", name) for home, names in fedfr_edge._HOMES.items() for name in names}
    assert told == homes
    assert sorted([name for _, name in homes] + ["__version__"]) == sorted(PUBLIC)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'fedfr_edge' has no attribute 'logon'"):
        fedfr_edge.logon  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError, match="logon"):
        from fedfr_edge import logon  # type: ignore[attr-defined]  # noqa: F401


def test_importing_the_package_imports_nothing_else_that_is_heavy() -> None:
    loaded = fresh(
        "import sys; before = set(sys.modules); import fedfr_edge; dir(fedfr_edge);"
        "print(*sorted(set(sys.modules) - before))"
    ).split()
    assert "fedfr_edge" in loaded
    strangers = [
        name
        for name in loaded
        if name != "fedfr_edge" and name.partition(".")[0] not in sys.stdlib_module_names
    ]
    assert strangers == []


def test_a_name_brings_only_what_it_needs() -> None:
    loaded = set(fresh("import sys; from fedfr_edge import tar_at_far; print(*sys.modules)").split())
    assert "fedfr_edge.evaluation.metrics" in loaded
    assert not loaded & {"cv2", "onnxruntime", "torch", "fedfr_edge.vision", "fedfr_edge.recognition"}


def test_every_name_works_on_a_device_without_the_extras() -> None:
    program = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {NEEDED_ELSEWHERE!r}:
            raise ImportError(f"blocked: {{name}}")
sys.meta_path.insert(0, Block())
from fedfr_edge import *
import fedfr_edge
print(*(name for name in fedfr_edge.__all__ if name in globals()))
"""
    assert fresh(program).split() == PUBLIC
