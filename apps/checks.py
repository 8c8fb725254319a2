"""The checks of ``fedfr doctor``: each looks at one thing and says what to do if it is at fault."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import fedfr_edge
from fedfr_edge.cores import usable_cores
from fedfr_edge.errors import FedFRError, MissingPartError
from fedfr_edge.extras import EXTRAS
from fedfr_edge.vision.runtime import Provider

Status = Literal["ok", "absent", "warning", "fault"]

LEAST_FREE_BYTES = 200 * 1024 * 1024
"""Free space below which a write may well fail: a large model is about this size."""


@dataclass(frozen=True)
class Check:
    """The outcome of one check.

    Attributes:
        name: what was looked at.
        status: ``fault``: the device part does not work; ``warning``: it works, but; ``absent``:
            something optional is not installed.
        found: what was found.
        mend: what to do about it; empty if nothing needs doing.
    """

    name: str
    status: Status
    found: str
    mend: str = ""


def run_checks(*, detector: str, provider: Provider, model: Path | None, folder: Path) -> list[Check]:
    """Run every check; none of them lets an exception out.

    Args:
        detector: the detector to try, as ``open_detector`` takes it.
        provider: what is to compute; "cuda" that is not in effect is a warning, "cuda!" a fault.
        model: an exported model to open as well.
        folder: where results would be written.
    """
    looks: list[tuple[str, Callable[[], Iterator[Check]]]] = [
        ("python", _python),
        ("cpu threads", _threads),
        ("numpy", lambda: _import("numpy", "numpy")),
        ("opencv", _opencv),
        ("onnx", lambda: _import("onnx", "onnx")),
        ("onnxruntime", _onnxruntime),
        ("providers", lambda: _providers(provider)),
        ("detector", lambda: _detector(detector, provider)),
        ("cryptography", _cryptography),
        ("keyring", _keyring),
        ("disk", lambda: _disk(folder)),
        ("extras", _extras),
    ]
    if model is not None:
        looks.append(("model", lambda: _model(model, provider)))
    checks: list[Check] = []
    for name, look in looks:
        try:
            checks += look()
        except FedFRError as error:
            checks.append(_from_error(name, error))
        except Exception as error:  # a broken installation may raise anything at all
            text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            checks.append(Check(name, "fault", text, "install it again: pip install --force-reinstall"))
    return checks


def _from_error(name: str, error: FedFRError) -> Check:
    # Messages read "found, expected; what to do".
    found, _, mend = " ".join(str(error).split()).partition("; ")
    return Check(name, "fault", found, mend)


def _python() -> Iterator[Check]:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    good = sys.version_info >= (3, 11)
    yield Check("python", "ok" if good else "fault", found, "" if good else "use Python 3.11 or later")
    yield Check("fedfr-edge", "ok", fedfr_edge.__version__)


def _threads() -> Iterator[Check]:
    usable = usable_cores()
    limit = os.environ.get("OMP_NUM_THREADS")
    found = f"{usable} usable of {os.cpu_count()}" + (f", OMP_NUM_THREADS={limit}" if limit else "")
    yield Check("cpu threads", "ok", found)


def _import(module: str, distribution: str) -> Iterator[Check]:
    version = importlib.metadata.version(distribution)
    importlib.import_module(module)
    yield _ranged(distribution, version)


def _opencv() -> Iterator[Check]:
    try:
        import cv2
        import numpy as np
    except ImportError as error:
        yield Check(
            "opencv",
            "fault",
            f"cannot be imported: {' '.join(str(error).split())}",
            "pip install opencv-python; where a library such as libGL.so.1 is missing (slim images): "
            "apt-get install libgl1 libglib2.0-0",
        )
        return
    ok, data = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))
    good = ok and cv2.imdecode(data, cv2.IMREAD_COLOR) is not None
    mend = "" if good else "pip install --force-reinstall opencv-python"
    yield Check("opencv", "ok" if good else "fault", str(cv2.__version__), mend)


def _onnxruntime() -> Iterator[Check]:
    from fedfr_edge.vision import runtime

    module = runtime.import_onnxruntime()
    found = runtime.installed_distributions()
    listed = ", ".join(f"{name} {version}" for name, version in found.items()) or "no distribution"
    warning = runtime.conflict()
    if warning is not None:
        reason, _, mend = warning.partition("; ")
        yield Check("onnxruntime", "warning", f"{reason}; imported: {module.__version__}", mend)
    else:
        yield Check("onnxruntime", "ok", f"{listed} (imported: {module.__version__})")


def _providers(provider: Provider) -> Iterator[Check]:
    """Which providers a session really uses: what the wheel lists proves nothing."""
    from fedfr_edge.vision import runtime

    model = _smallest_model()
    wanted: tuple[Provider, ...] = ("cuda!", "cpu")
    in_effect = []
    for name in wanted:
        try:
            session = runtime.open_session(model, provider=name, threads=1)
            session.run(None, {"x": _one()})
            in_effect.append(session.get_providers()[0])
        except Exception:  # each provider fails in its own way; failing is the finding
            continue
    found = f"in effect: {', '.join(in_effect) or 'none'}"
    listed = runtime.CUDA in runtime.import_onnxruntime().get_available_providers()
    if listed and runtime.CUDA not in in_effect:
        found += f"; listed by onnxruntime, but not working here: {runtime.CUDA}"
    if runtime.CPU not in in_effect:
        yield Check("providers", "fault", found, "pip install --force-reinstall 'fedfr-edge[cpu]'")
    elif provider.startswith("cuda") and runtime.CUDA not in in_effect:
        yield Check(
            "providers",
            "fault" if provider == "cuda!" else "warning",
            f"{runtime.CUDA} is asked for; {found}",
            "pip uninstall -y onnxruntime onnxruntime-gpu, pip install 'fedfr-edge[gpu]' "
            "'onnxruntime-gpu[cuda,cudnn]', and a driver of that CUDA version; or use --provider cpu",
        )
    else:
        yield Check("providers", "ok", found)


def _smallest_model() -> bytes:
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "smallest",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    # An old IR and opset: this asks about providers, not about the newest format.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def _one() -> Any:
    import numpy as np

    return np.ones(1, np.float32)


def _detector(spec: str, provider: Provider) -> Iterator[Check]:
    import numpy as np

    from fedfr_edge.vision.detect import open_detector

    # Opening checks the file's hash; running it shows that the runtime accepts it.
    faces = open_detector(spec, provider=provider, threads=1).detect(np.zeros((64, 64, 3), np.uint8))
    if faces:
        mend = "use another file: --detector centerface"
        yield Check("detector", "fault", f"{spec} sees {len(faces)} faces in a black picture", mend)
    else:
        yield Check("detector", "ok", f"{spec}: opened and run")


def _cryptography() -> Iterator[Check]:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    key = AESGCM.generate_key(256)
    round_trip = AESGCM(key).decrypt(bytes(12), AESGCM(key).encrypt(bytes(12), b"x", b"a"), b"a")
    Argon2id(salt=bytes(16), length=32, iterations=1, lanes=1, memory_cost=64).derive(round_trip)
    yield Check("cryptography", "ok", importlib.metadata.version("cryptography") + " (AES-256-GCM, Argon2id)")


def _keyring() -> Iterator[Check]:
    from fedfr_edge.recognition.os_keyring import safe_keyring

    try:
        ring = safe_keyring()
    except MissingPartError as error:
        found, _, mend = str(error).partition("; ")
        yield Check("keyring", "absent", found, mend)
        return
    yield Check("keyring", "ok", type(ring).__module__)


def _disk(folder: Path) -> Iterator[Check]:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
        free = shutil.disk_usage(folder).free
    except OSError as error:
        mend = "choose a folder that you may write to"
        yield Check("disk", "fault", f"{folder}: {error.strerror}", mend)
        return
    good = free >= LEAST_FREE_BYTES
    yield Check(
        "disk",
        "ok" if good else "warning",
        f"{folder} can be written, {free / 2**30:.1f} GiB free",
        "" if good else "free some space: models and galleries are written whole before the old one goes",
    )


def _extras() -> Iterator[Check]:
    """Optional packages: presence and version only; importing torch would take seconds."""
    for name, extra in EXTRAS.items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Check(name, "absent", "not installed", f"pip install 'fedfr-edge[{extra}]'")
            continue
        yield _ranged(name, version)


def _ranged(name: str, version: str) -> Check:
    """``version`` against the range that fedfr-edge itself was installed with."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return Check(name, "ok", f"{version} (range not checked: no package 'packaging')")
    for text in importlib.metadata.requires("fedfr-edge") or ():
        requirement = Requirement(text)
        outside = not requirement.specifier.contains(version, prereleases=True)
        if requirement.name == name and outside:
            wanted = f"{name}{requirement.specifier}"
            return Check(name, "warning", f"{version}, expected {wanted}", f"pip install '{wanted}'")
    return Check(name, "ok", version)


def _model(path: Path, provider: Provider) -> Iterator[Check]:
    from fedfr_edge.recognition.encoder import OnnxEncoder

    encoder = OnnxEncoder(path, provider=provider)
    rates = ", ".join(f"{record.far:g}" for record in encoder.manifest.thresholds)
    what = f"{encoder.manifest.kind}, d={encoder.dim}, digest {encoder.digest[:12]}"
    found = f"{encoder.name} ({what}), on {encoder.provider}"
    if rates:
        yield Check("model", "ok", f"{found}, thresholds at FAR {rates}")
    else:
        mend = "export it with public faces to calibrate on, or give login --threshold"
        yield Check("model", "warning", f"{found}, without thresholds", mend)
