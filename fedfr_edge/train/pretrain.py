"""CosFace pre-training of Θ and Φ on public identities, from the first step to a global model.

Reads top to bottom: hold some identities out, then for each epoch: shuffle, augment, step, measure,
save. A run that was killed goes on from its last whole epoch and ends with the same bits.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fedfr_edge import atomic
from fedfr_edge.config import as_dict, save_config
from fedfr_edge.errors import ConfigError
from fedfr_edge.train import batches, losses
from fedfr_edge.train.augment import Augmentation
from fedfr_edge.train.backbones.backbone import Backbone, build_backbone, normalise
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.train.backbones.weights import load_weights
from fedfr_edge.train.checkpoint import GlobalModel, cpu_state, load_global, save_global
from fedfr_edge.train.config import PretrainConfig
from fedfr_edge.train.embed import as_tensor, embed
from fedfr_edge.train.images import ImageRows
from fedfr_edge.train.loss_log import LossLog
from fedfr_edge.train.pretrain_state import PretrainState, require_same
from fedfr_edge.train.public import HELD_OUT_CLASSES, PublicSet
from fedfr_edge.train.seeds import RoundSeed
from fedfr_edge.types import Embeddings, Labels, Progress, no_progress

SECTION = "pretrain"
_SETTINGS = "pretraining"
"""Key in the model's metadata: the settings that it was made with."""

Validate = Callable[[Embeddings, Labels], Mapping[str, Any]]
"""Measures unit embeddings float32 (n, d) of held-out people, labels int64 (n,). ``["value"]`` is what
"better" means, the rest goes into the records. Handed in, because training knows no evaluator."""


def pretrain(
    public: PublicSet,
    config: PretrainConfig,
    out: Path,
    *,
    validate: Validate | None = None,
    progress: Progress = no_progress,
    on_epoch: Callable[[dict[str, Any]], None] = lambda record: None,
) -> GlobalModel:
    """Train a backbone to tell the public identities apart (CosFace, Eq. 1).

    Writes into ``out``: ``pretrain.toml`` (the settings), ``metrics.jsonl`` (one record an epoch),
    ``model.safetensors``; and, until that is there, ``state.safetensors`` to go on from.

    Held-out identities are no part of the result: Φ has no row for them, and the rounds leave their
    faces out, so that the models' thresholds can be taken from people whom no training saw.

    Args:
        public: D_g.
        config: hyper-parameters.
        out: folder of the result; a finished result with the same settings is read and given back.
        validate: needed when ``config.validation`` is set.
        progress: told after each step.
        on_epoch: given each epoch's record, also those of before a kill.

    Raises:
        ConfigError: settings that do not fit the data, or another run's files in ``out``.
        NonFiniteError: the loss is NaN or infinite; the epochs before are kept.
        CheckpointError: ``config.weights`` do not fit, or files in ``out`` are damaged.
    """
    spec = BackboneSpec(config.backbone, config.dim, config.width, config.input_size)
    held_out = hold_out(public, config.validation, config.seed)
    if len(held_out) and validate is None:
        raise ConfigError("validation is set, but nothing measures it; hand a validate function in")
    settings = _settings(public, config)
    state_file = out / "state.safetensors"
    if (out / "model.safetensors").exists():
        model = load_global(out / "model.safetensors")
        require_same(json.loads(model.metadata.get(_SETTINGS, "{}")), settings, out / "model.safetensors")
        state_file.unlink(missing_ok=True)  # a kill came just before
        return model
    state = PretrainState.load(state_file, settings) if state_file.exists() else PretrainState()
    for left in out.glob(".*.tmp"):  # of a process that was killed while writing
        left.unlink()
    save_config(config, SECTION, out / "pretrain.toml")
    if state.history:  # a kill may have come between the state and these
        _write_metrics(out, state)
    for record in state.history:
        on_epoch(record)

    device = torch.device(config.device)
    names = [public.identities[number] for number in held_out]
    trained = public.without(names)
    classes = torch.from_numpy(trained.labels)
    strangers = ImageRows(public.images, np.flatnonzero(np.isin(public.labels, held_out)))

    net = build_backbone(spec, seed=config.seed)
    if config.weights is not None:
        load_weights(net, config.weights)
    net.to(device)
    generator = RoundSeed(config.seed, 0, SECTION).generator("proxies")
    # About unit length: the gradient of a direction grows as its proxy shrinks.
    directions = torch.randn((len(trained.identities), spec.dim), generator=generator) / math.sqrt(spec.dim)
    proxies = nn.Parameter(directions.to(device))
    optimizer = torch.optim.SGD(
        [*net.parameters(), proxies],
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        fused=device.type in ("cpu", "cuda"),  # one pass over the parameters in place of three
    )
    _restore(state, net, proxies, optimizer)

    augmentation = Augmentation(
        config.shift, config.zoom, config.rotate, config.light, config.colour, config.downscale, config.erase
    )
    steps = len(_cut(len(classes), config, 0))
    total, warmup = steps * config.epochs, round(steps * config.warmup)
    for epoch in range(state.epochs, config.epochs):
        if _patience_is_over(state, config):
            break
        started = time.perf_counter()
        generator = RoundSeed(config.seed, epoch, SECTION).generator("augmentation")
        log = LossLog(("loss",), steps, device, f"pre-training, epoch {epoch + 1}")
        right = torch.zeros((), dtype=torch.int64, device=device)
        net.train()
        for step, batch in enumerate(_cut(len(classes), config, epoch)):
            faces = as_tensor(trained.images, batch.rows.numpy(), device)
            faces = augmentation(batches.mirrored(faces, batch.flipped.to(device)), generator)
            labels = classes[batch.rows].to(device)
            rate = learning_rate(epoch * steps + step, total, warmup, config.learning_rate)
            for group in optimizer.param_groups:
                group["lr"] = rate
            cosine = losses.cosines(net(normalise(faces)), proxies)
            loss = losses.cosface(cosine, labels, scale=config.scale, margin=config.margin)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_([*net.parameters(), proxies], config.clip)
            optimizer.step()
            log.add({"loss": loss}, len(labels))
            right += (cosine.argmax(dim=1) == labels).sum()
            progress("pre-training", epoch * steps + step + 1, total)
        log.check()

        record = {
            "epoch": epoch + 1,
            **log.means(),
            "accuracy": int(right) / int(log.sizes.sum()),
            "learning_rate": rate,
            "images": int(log.sizes.sum()),
        }
        due = (epoch + 1) % config.validation_every == 0 or epoch + 1 == config.epochs
        if validate is not None and len(held_out) and due:
            net.eval()
            embeddings = embed(net, strangers, batch=config.embed_batch, device=device)
            record["validation"] = dict(validate(embeddings.cpu().numpy(), public.labels[strangers.rows]))
        record["seconds"] = time.perf_counter() - started
        _note(state, record, net, proxies, optimizer, config)
        state.save(state_file, settings)
        _write_metrics(out, state)
        on_epoch(record)
    if state.epochs < config.epochs:
        progress("pre-training", total, total)

    net.load_state_dict({name: value for name, value in state.best.items() if name != "proxies"})
    metadata = {
        **trained.metadata(),
        HELD_OUT_CLASSES: json.dumps(names, ensure_ascii=False),
        _SETTINGS: json.dumps(settings),
    }
    model = GlobalModel(spec, cpu_state(net), state.best["proxies"], metadata=metadata)
    save_global(model, out / "model.safetensors")
    state_file.unlink()
    return model


def hold_out(public: PublicSet, count: int, seed: int) -> npt.NDArray[np.int64]:
    """Numbers of ``count`` identities of the first store, drawn by ``seed``, ascending.

    Raises:
        ConfigError: too few to compare with each other, too few are left to train on, or none of the
            drawn ones has two images.
    """
    if count == 0:
        if len(public.identities) < 2:
            raise ConfigError(f"{len(public.identities)} public identities, expected 2 or more to tell apart")
        return np.zeros(0, dtype=np.int64)
    if not 2 <= count <= public.first or len(public.identities) - count < 2:
        raise ConfigError(
            f"validation is {count}, but the first store has {public.first} public identities and there are "
            f"{len(public.identities)} in all; hold out 2 or more and leave 2 or more to train on"
        )
    draw = RoundSeed(seed, 0, SECTION).numpy("validation").choice(public.first, count, replace=False)
    if np.bincount(public.labels, minlength=len(public.identities))[draw].max() < 2:
        raise ConfigError(
            "none of the identities held out has two images to compare; hold out more (--validation), "
            "or others (--seed)"
        )
    return np.sort(draw).astype(np.int64)


def learning_rate(step: int, total: int, warmup: int, highest: float) -> float:
    """The rate of a step (from 0): a straight rise over ``warmup`` steps, then half a cosine down to 0."""
    if step < warmup:
        return highest * (step + 1) / warmup
    return highest * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup))) / 2


def _write_metrics(out: Path, state: PretrainState) -> None:
    atomic.write_text(out / "metrics.jsonl", "".join(json.dumps(one) + "\n" for one in state.history))


def _cut(images: int, config: PretrainConfig, epoch: int) -> list[batches.Batch]:
    generator = RoundSeed(config.seed, epoch, SECTION).generator("batches")
    return batches.epoch(images, config.batch_size, generator, drop_last=True)


def _settings(public: PublicSet, config: PretrainConfig) -> dict[str, Any]:
    """All that the result depends on; where it was computed and with how many threads is left out."""
    names = PretrainConfig.__dataclass_fields__
    settings = {name: value for name, value in as_dict(config).items() if name in names}
    for name in ("device", "threads"):
        del settings[name]
    if config.weights is not None:
        try:
            settings["weights"] = hashlib.sha256(config.weights.read_bytes()).hexdigest()
        except OSError as error:
            raise ConfigError(f"cannot read weights {config.weights}: {error.strerror}") from error
    identities = json.dumps([public.identities, public.stores])
    settings["public set"] = hashlib.sha256(identities.encode()).hexdigest()
    return settings


def _restore(state: PretrainState, net: Backbone, proxies: Tensor, optimizer: torch.optim.SGD) -> None:
    if state.epochs == 0:
        return
    net.load_state_dict({name: state.tensors[name] for name in net.state_dict()})
    with torch.no_grad():
        proxies.copy_(state.tensors["proxies"])
    for name, parameter in _parameters(net, proxies).items():
        key = f"momentum.{name}"
        if key in state.tensors:
            optimizer.state[parameter]["momentum_buffer"] = state.tensors[key].to(parameter.device)


def _note(
    state: PretrainState,
    record: dict[str, Any],
    net: Backbone,
    proxies: Tensor,
    optimizer: torch.optim.SGD,
    config: PretrainConfig,
) -> None:
    """Take a finished epoch into ``state``."""
    best = max(_measured(state), default=-math.inf)
    here = {**cpu_state(net), "proxies": proxies.detach().to("cpu", copy=True)}
    if config.keep == "last" or config.validation == 0:
        better = True
    else:
        better = "validation" in record and record["validation"]["value"] > best
    if better:
        state.best, state.best_epoch = here, record["epoch"]
    state.epochs = record["epoch"]
    state.history.append(record)
    state.tensors = dict(here)
    for name, parameter in _parameters(net, proxies).items():
        momentum = optimizer.state[parameter].get("momentum_buffer")
        if momentum is not None:
            state.tensors[f"momentum.{name}"] = momentum.detach().cpu()


def _parameters(net: Backbone, proxies: Tensor) -> dict[str, Tensor]:
    return {**dict(net.named_parameters()), "proxies": proxies}


def _patience_is_over(state: PretrainState, config: PretrainConfig) -> bool:
    measured = _measured(state)
    if config.patience == 0 or not measured:
        return False
    return len(measured) - 1 - measured.index(max(measured)) >= config.patience


def _measured(state: PretrainState) -> list[float]:
    return [record["validation"]["value"] for record in state.history if "validation" in record]
