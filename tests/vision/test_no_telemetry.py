"""onnxruntime keeps no number of this machine and sends nothing: its telemetry is off before it is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

LOADERS = {
    "session": "from fedfr_edge.vision.detect import open_detector; open_detector()",
    "quantizer": "import fedfr_edge.export.precision as p, onnx.helper as h\n"
    "try: p.to_int8(h.make_model(h.make_graph([], 'none', [], [])), ())\n"
    "except Exception: pass",
}
"""Programs that bring onnxruntime in."""


@pytest.mark.parametrize("loader", LOADERS)
def test_nothing_of_onnxruntime_is_left_in_the_home_folder(loader: str, tmp_path: Path) -> None:
    # A CI's variables silence it by themselves: they are taken away.
    kept = {"PATH", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "OMP_NUM_THREADS"}
    environment = {name: value for name, value in os.environ.items() if name in kept} | {
        "HOME": str(tmp_path)
    }
    program = LOADERS[loader] + "\nimport sys; assert 'onnxruntime' in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("*")) == []


def test_the_switch_is_set_before_onnxruntime_is_loaded_and_can_be_overruled() -> None:
    program = (
        "import importlib, os, sys\n"
        "from fedfr_edge.vision import runtime\n"
        "real = importlib.import_module\n"
        "def watched(name):\n"
        "    print(name, os.environ.get('ORT_DISABLE_TELEMETRY')); return real(name)\n"
        "importlib.import_module = watched\n"
        "runtime.import_onnxruntime()\n"
    )
    for asked, seen in ((None, "1"), ("0", "0"), ("1", "1")):
        environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
        if asked is not None:
            environment["ORT_DISABLE_TELEMETRY"] = asked
        if asked == "0":
            environment["CI"] = "1"  # nothing is sent from here all the same
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=100
        )
        assert done.stdout.splitlines()[:1] == [f"onnxruntime {seen}"], done.stderr
