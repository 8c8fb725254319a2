"""A run's folder as ``fedfr train`` leaves it, written in a moment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from fedfr_edge.config import as_dict
from fedfr_edge.train.backbones.backbone import build_backbone
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.train.checkpoint import GlobalModel, cpu_state, save_global
from fedfr_edge.train.config import TrainConfig

SPEC = BackboneSpec("sphereface10", dim=16, width=4, input_size=28)
FREE = ("rounds", "device", "threads", "embed_batch")


def rate(far: float, value: float, false_accepts: int) -> dict[str, Any]:
    return {
        "far_target": far,
        "value": value,
        "supported": false_accepts >= 10,
        "least_false_accepts": false_accepts,
    }


def make_run(
    path: Path, config: TrainConfig, *, done: int, seed: int = 0, split: str = "5" * 64, scored: bool = True
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A run's folder as ``fedfr train`` leaves it, with numbers that tell rounds and clients apart."""
    config = config.resolved()
    digests = {"store": "a" * 64, "split": split, "pretrained": "b" * 64}
    fixed = {name: value for name, value in as_dict(config).items() if name not in FREE}
    path.mkdir(parents=True)
    record = {"format": 1, "federation": "f", "settings": {"seed": seed, **fixed, **digests}}
    (path / "federation.json").write_text(json.dumps(record))
    (path / "train.toml").write_text(
        f'[train]\nstore = "faces"\nsplit = "split.json"\npretrained = "start.safetensors"\n'
        f'rounds = {config.rounds}\ndevice = "cpu"\nout = "{path.name}"\n'
    )
    model = GlobalModel(SPEC, cpu_state(build_backbone(SPEC, seed=0)), torch.zeros((2, SPEC.dim)))
    rounds, scores = [], []
    for number in range(done + 1):
        model.round = number
        save_global(model, path / "checkpoints" / f"round_{number:04d}.safetensors")
        # Lowest loss in round 2, best Θ_g in round 1, best personal model in the last round.
        loss = 5.0 + abs(number - 2) + 0.1 * seed
        clients = {
            name: {
                "images": images,
                "hard_negatives": 10 * images,
                "loss": loss + extra,
                "loss_cos": loss / 2,
                "bytes_up": 40_000 * images,
                "bytes_down": 90_000,
            }
            for name, images, extra in (("anna", 10, 0.0), ("bo", 30, 1.0))
        }
        if number:
            rounds.append({"round": number, "clients": clients, "seconds": 1.5 * number})
        generic = 0.5 - 0.05 * abs(number - 1)
        models = [
            {"name": "Θ_g", "rank_one": 0.9, "verification": [rate(1e-2, generic, 30), rate(1e-3, 0.1, 3)]}
        ]
        if number:
            values = [rate(1e-2, 0.4 + 0.1 * number, 30), rate(1e-3, 0.2, 3)]
            models.append({"name": "[Θ_l, Π_l]", "rank_one": 0.95, "verification": values})
        scores.append({"round": number, "models": models, "seconds": 1.0})
    if done >= 2:
        rounds[1]["failed"] = {"cleo": "TrainingError"}
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in rounds))
    if scored:
        (path / "scores.jsonl").write_text("".join(json.dumps(line) + "\n" for line in scores))
    return rounds, scores
