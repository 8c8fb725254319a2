"""Many clients: a thousand of them with tiny models, and the paper's Figure 4 grid by options alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from small_federation import SPEC

from fedfr_edge.cli import main
from fedfr_edge.data.split import Split
from fedfr_edge.data.store import StoreWriter
from fedfr_edge.federation.run_folder import RunFolder
from fedfr_edge.train.backbones.backbone import build_backbone
from fedfr_edge.train.checkpoint import GlobalModel, cpu_state, save_global

PUBLIC = 5
LIMIT = 4 * 2**30


def make_noise(path: Path, people: int, images: int) -> None:
    """Aligned "faces" of noise."""
    rng = np.random.default_rng(0)
    faces = rng.integers(0, 256, (64, 112, 112, 3), np.uint8)
    with StoreWriter(path, source="noise", licence="none") as writer:
        for person in range(people):
            name = f"person-{person:05d}"
            for index in range(images):
                writer.add(faces[(person * images + index) % 64], name, f"{name}/{index}")
        writer.finish()


def split_and_start(store: Path, folder: Path, clients: int, per_client: int) -> tuple[Path, Path]:
    """``fedfr data split``, and a model whose Φ has the split's public people."""
    split, start = folder / f"split-{per_client}.json", folder / f"start-{per_client}.safetensors"
    options = ["--public", str(PUBLIC), "--clients", str(clients), "--per-client", str(per_client)]
    images = ["--train-images", "1", "--test-images", "1"]
    assert main(["data", "split", str(store), "--out", str(split), *options, *images]) == 0
    model = GlobalModel(
        SPEC,
        cpu_state(build_backbone(SPEC, seed=4)),
        torch.ones(PUBLIC, SPEC.dim),
        metadata={"public_classes": json.dumps(Split.load(split).public), "training_data_licence": "none"},
    )
    save_global(model, start)
    return split, start


def arguments(store: Path, split: Path, start: Path, out: Path, *more: str) -> list[str]:
    places = ["--store", str(store), "--split", str(split), "--pretrained", str(start), "--out", str(out)]
    return ["train", *places, "--epochs", "1", "--mining-threshold", "0", "--no-plot", "--seed", "7", *more]


def tree_bytes(pid: int) -> int:
    """What a process and all below it hold in memory; shared pages count for each."""
    total = 0
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        total += sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            total += sum(tree_bytes(int(child)) for child in path.read_text().split())
    except (OSError, ValueError):
        return total
    return total


@pytest.mark.long
@pytest.mark.parametrize("participation", ["1.0", "0.1"])
def test_a_thousand_clients_on_two_cores(tmp_path: Path, participation: str) -> None:
    clients = 1000
    make_noise(tmp_path / "store", clients + PUBLIC, 2)
    split, start = split_and_start(tmp_path / "store", tmp_path, clients, 1)
    out = tmp_path / "run"
    more = ["--rounds", "3", "--processes", "2", "--participation", participation]
    started = time.monotonic()
    program = [sys.executable, "-c", "from fedfr_edge.cli import run; run()"]
    process = subprocess.Popen(
        [*program, *arguments(tmp_path / "store", split, start, out, *more)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, tree_bytes(process.pid))
        time.sleep(0.2)
    seconds = time.monotonic() - started
    assert process.returncode == 0
    lines = RunFolder(out).metrics()
    share = round(clients * float(participation))
    assert [len(line["clients"]) for line in lines] == [share] * 3
    assert not any("failed" in line for line in lines)
    each = ", ".join(f"{line['seconds']:.1f}" for line in lines)
    print(f"{share} of {clients} clients a round: {seconds:.0f} s in all, {each} s, {peak / 2**20:.0f} MiB")
    assert peak < LIMIT


@pytest.mark.long
def test_the_papers_grid_is_a_matter_of_options(tmp_path: Path) -> None:
    """Figure 4: 100 clients with 40, 10, 4 or 1 people each; one round, of a tenth where it is long."""
    clients = 100
    make_noise(tmp_path / "store", 40 * clients + PUBLIC, 2)
    for per_client in (40, 10, 4, 1):
        split, start = split_and_start(tmp_path / "store", tmp_path, clients, per_client)
        assert {len(names) for names in Split.load(split).clients.values()} == {per_client}
        out = tmp_path / f"run-{per_client}"
        share = "0.1" if per_client > 4 else "1.0"
        command = arguments(tmp_path / "store", split, start, out, "--rounds", "1", "--participation", share)
        assert main(command) == 0
        (line,) = RunFolder(out).metrics()
        assert len(line["clients"]) == round(clients * float(share))
        assert {metrics["images"] for metrics in line["clients"].values()} == {per_client}


def test_the_grid_in_small(tmp_path: Path) -> None:
    """The same path as the two long ones, with few people."""
    make_noise(tmp_path / "store", 12 + PUBLIC, 2)
    split, start = split_and_start(tmp_path / "store", tmp_path, 3, 4)
    assert main(arguments(tmp_path / "store", split, start, tmp_path / "run", "--rounds", "1")) == 0
    (line,) = RunFolder(tmp_path / "run").metrics()
    assert [metrics["images"] for metrics in line["clients"].values()] == [4, 4, 4]
