"""Finding onnxruntime: which distribution is there, what it offers, what a session really uses."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedfr_edge.errors import MissingPartError

DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu")
"""The two that install the same ``onnxruntime`` package over one another."""

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"

_SHORT = {"cpu": CPU, "cuda": CUDA}


def installed_distributions() -> dict[str, str]:
    """Installed onnxruntime distributions and their versions."""
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def conflict() -> str | None:
    """A warning if both distributions are installed at once, else None.

    They own the same files and the last one installed wins, while ``pip check`` stays silent.
    """
    found = installed_distributions()
    if len(found) < 2:
        return None
    listed = " and ".join(f"{name} {version}" for name, version in found.items())
    return (
        f"{listed} are both installed and overwrite one another; run "
        "'pip uninstall -y onnxruntime onnxruntime-gpu', then install fedfr-edge[cpu] or fedfr-edge[gpu]"
    )


def import_onnxruntime() -> Any:
    """The ``onnxruntime`` module.

    Raises:
        MissingPartError: it is not installed, or only the remains of one are.
    """
    try:
        module = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise MissingPartError(
            f"onnxruntime cannot be imported ({error}); install it with "
            "'pip install fedfr-edge[cpu]', or 'pip install fedfr-edge[gpu]' for CUDA"
        ) from error
    if not hasattr(module, "InferenceSession"):
        # What is left after one of two overlapping distributions was uninstalled.
        raise MissingPartError(
            "onnxruntime is broken: the package is there without its contents; run 'pip uninstall -y "
            "onnxruntime onnxruntime-gpu', then 'pip install fedfr-edge[cpu]' or 'fedfr-edge[gpu]'"
        )
    return module


def full_name(provider: str) -> str:
    """``"cuda"`` as ``"CUDAExecutionProvider"``; full names stay."""
    return _SHORT.get(provider.lower(), provider)


def open_session(
    model: bytes,
    *,
    providers: Sequence[str] | None = None,
    require_provider: str | None = None,
    threads: int | None = None,
) -> Any:
    """Open an ``InferenceSession`` over ``model``, quiet and without busy waiting.

    Args:
        model: the bytes of an ONNX file.
        providers: execution providers by falling preference, short (``"cuda"``) or full names;
            those this onnxruntime does not have are left out, the CPU always comes last.
        require_provider: refuse to go on if the session does not really use this one. What is
            asked for and what ``get_available_providers()`` says prove nothing: onnxruntime falls
            back to the CPU without an error.
        threads: threads within one operator; None lets onnxruntime choose.

    Raises:
        MissingPartError: no onnxruntime, or ``require_provider`` is not in effect.
        Exception: whatever onnxruntime raises for a model it cannot load.
    """
    ort = import_onnxruntime()
    required = None if require_provider is None else full_name(require_provider)
    wanted = [full_name(provider) for provider in providers or ()]
    if required is not None and required not in wanted:
        wanted.insert(0, required)
    if CPU not in wanted:
        wanted.append(CPU)
    available = ort.get_available_providers()
    if required is not None and required not in available:
        raise _not_in_effect(required, available)
    options = ort.SessionOptions()
    options.log_severity_level = 4  # what is wrong comes as an exception, too
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
    # Only Windows builds send any; off there too.
    ort.disable_telemetry_events()
    session = ort.InferenceSession(
        model, sess_options=options, providers=[name for name in wanted if name in available]
    )
    if required is not None and required not in session.get_providers():
        raise _not_in_effect(required, session.get_providers())
    return session


def open_file(file: Path, kind: str, *, threads: int | None) -> Any:
    """A session over a network's ONNX file that the user brought.

    Args:
        file: the file.
        kind: what it should be, for messages: "SCRFD's ONNX file".
        threads: see :func:`open_session`.

    Raises:
        MissingPartError: no such file, no onnxruntime, or it cannot run the file.
    """
    if not file.is_file():
        raise MissingPartError(f"no file {file}, expected {kind}; check the path")
    try:
        return open_session(file.read_bytes(), threads=threads)
    except MissingPartError:
        raise
    except Exception as error:  # onnxruntime's own classes have no common public base
        reason = " ".join(str(error).split())
        raise MissingPartError(f"onnxruntime cannot run {file}, expected {kind}: {reason}") from error


def _not_in_effect(required: str, found: Sequence[str]) -> MissingPartError:
    cure = "'fedfr doctor' tells what is missing"
    if required == CUDA:
        cure = (
            "install fedfr-edge[gpu] (not beside onnxruntime) with CUDA and cuDNN, see 'fedfr doctor', "
            "or do without the requirement"
        )
    return MissingPartError(
        f"{required} is required but not in effect, onnxruntime uses {', '.join(found)}; {cure}"
    )
