"""Finding onnxruntime: which distribution is there, what it offers, what a session really uses."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from fedfr_edge.errors import MissingPartError

DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu")
"""The two that install the same ``onnxruntime`` package over one another."""

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"

Provider = Literal["auto", "cpu", "cuda", "cuda!"]
"""What computes a network.

- ``"auto"``: CUDA where it really works, else the CPU.
- ``"cpu"``: the CPU.
- ``"cuda"``: the same as auto, but going on with the CPU is said in the log (on standard error, where
  logging is not set up).
- ``"cuda!"``: CUDA or an error, never the CPU.
"""

PROVIDER_HELP = "auto, cpu, cuda (warns if not in effect) or cuda! (refuses then)"
"""For the commands' ``--provider``."""

SPIN_MICROSECONDS = "200"
"""For how long a session's thread waits awake for more work. It bridges the gaps between two operators,
where sleeping costs a second thread most of its use; onnxruntime by itself keeps a core busy long after."""


TELEMETRY_SWITCH = "ORT_DISABLE_TELEMETRY"
"""Environment variable that onnxruntime reads as it is imported. Without it, builds since 1.29 keep a number
for this machine in the home folder and send what models are opened and run to their maker."""


def installed_distributions() -> dict[str, str]:
    """Installed onnxruntime distributions and their versions."""
    import importlib.metadata  # slow to import, and rarely asked

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
    """The ``onnxruntime`` module, its telemetry off unless :data:`TELEMETRY_SWITCH` was set otherwise.

    Also to be called before anything else imports it. A program that imports onnxruntime before this package
    sets the variable itself.

    Raises:
        MissingPartError: it is not installed, or only the remains of one are.
    """
    os.environ.setdefault(TELEMETRY_SWITCH, "1")
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


def open_session(model: bytes, *, provider: Provider = "auto", threads: int | None = None) -> Any:
    """Open an ``InferenceSession`` over ``model``, quiet and asleep between runs.

    What onnxruntime is asked for and what ``get_available_providers()`` says prove nothing: it goes on
    with the CPU without an error. The session's own ``get_providers()[0]`` is the one in effect.

    Args:
        model: the bytes of an ONNX file.
        provider: see :data:`Provider`.
        threads: CPU threads within one operator; None lets onnxruntime choose.

    Raises:
        MissingPartError: no onnxruntime, or ``provider`` is "cuda!" and CUDA is not in effect.
        Exception: whatever onnxruntime raises for a model it cannot load.
    """
    ort = import_onnxruntime()
    # What the variable does not reach: Windows builds, and a program that imported onnxruntime before us.
    ort.disable_telemetry_events()

    def on(*providers: str | tuple[str, dict[str, str]]) -> Any:
        # With onnxruntime's own fallback a later run, too, could move to the CPU, with a line on stdout.
        session = ort.InferenceSession(
            model, sess_options=_options(ort, threads), providers=list(providers), enable_fallback=0
        )
        # onnxruntime keeps the file's bytes for a fallback, beside the weights that it made of them.
        session._model_bytes = None
        return session

    if provider == "cpu":
        return on(CPU)
    available = ort.get_available_providers()
    if CUDA not in available:
        if provider == "cuda!":
            raise MissingPartError(_without_cuda(f"this onnxruntime offers {', '.join(available)}"))
        session, reason = on(CPU), "this onnxruntime is built without it"
    else:
        try:
            # Photographs come in many sizes; an exhaustive search for each would cost seconds.
            session = on((CUDA, {"cudnn_conv_algo_search": "HEURISTIC"}), CPU)
            reason = "the session fell back to the CPU"
        except Exception as error:  # no driver, no memory; if it is the model, the CPU fails, too
            session, reason = on(CPU), " ".join(str(error).split())[:200]
    if provider != "auto" and CUDA not in session.get_providers():
        if provider == "cuda!":
            raise MissingPartError(_without_cuda(reason))
        import logging  # slow to import, and rarely needed

        logging.getLogger(__name__).warning("warning: %s", _without_cuda(reason))
    return session


def _options(ort: Any, threads: int | None) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 4  # what is wrong comes as an exception, too
    # A pattern is kept for every size of input, each with memory of its own.
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN_MICROSECONDS)
    if threads is not None:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
    return options


def open_file(
    file: Path,
    kind: str,
    *,
    edit: Callable[[bytes], bytes] = bytes,
    provider: Provider = "auto",
    threads: int | None = None,
) -> Any:
    """A session over a network's ONNX file that the user brought.

    Args:
        file: the file.
        kind: what it should be, for messages: "SCRFD's ONNX file".
        edit: changes the file's bytes before they are opened.
        provider: see :data:`Provider`.
        threads: see :func:`open_session`.

    Raises:
        MissingPartError: no such file, no onnxruntime, it cannot run the file, or "cuda!" is not in effect.
    """
    if not file.is_file():
        raise MissingPartError(f"no file {file}, expected {kind}; check the path")
    try:
        return open_session(edit(file.read_bytes()), provider=provider, threads=threads)
    except MissingPartError:
        raise
    except Exception as error:  # onnxruntime's own classes have no common public base
        reason = " ".join(str(error).split())
        raise MissingPartError(
            f"onnxruntime cannot run {file} ({reason}), expected {kind}; give another file, or copy it again"
        ) from error


def _without_cuda(reason: str) -> str:
    return (
        f"{CUDA} is not in effect, the CPU would do the work ({reason}); install fedfr-edge[gpu] (not beside "
        "onnxruntime) with CUDA and cuDNN, see 'fedfr doctor', or choose the provider 'cpu'"
    )
