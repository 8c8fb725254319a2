"""What both loops of the round benchmark work on: the same weights, images, batches and flips."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from fedfr_edge.train import losses
from fedfr_edge.train.backbones.backbone import Backbone, build_backbone, normalise
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.train.checkpoint import GlobalModel, cpu_state
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.embed import embed
from fedfr_edge.train.local_model import first_private
from fedfr_edge.train.private import PrivateState
from fedfr_edge.train.seeds import RoundSeed
from fedfr_edge.types import AlignedFaces, Labels

_PER_PERSON = 4


@dataclass(frozen=True)
class RoundTask:
    """Settings from which every process makes the same task.

    Attributes:
        spec: the backbone.
        local: N_l.
        public: N_g.
        batch: images in a step.
        epochs: E.
        mined: share of the public images that is to be mined.
        seed: of weights, images and order.
        learning_rate: of SGD.
        warm_up: steps that the weights were trained before the round, as those of a real Θ_g were.
        device: torch device.
        precision: of our loop; the plain one is float32.
        threads: CPU threads.
    """

    spec: BackboneSpec
    local: int
    public: int
    batch: int
    epochs: int
    mined: float
    seed: int
    learning_rate: float = 1e-3
    warm_up: int = 20
    device: str = "cpu"
    precision: str = "float32"
    threads: int = 1

    @property
    def rng(self) -> RoundSeed:
        """Round 2: the client has a Θ_l of the round before."""
        return RoundSeed(self.seed, 2, "bench")

    def config(self, threshold: float) -> TrainConfig:
        """FedFR by the paper, at this size."""
        return TrainConfig(
            batch_size=self.batch,
            epochs=(self.epochs,),
            learning_rate=self.learning_rate,
            mining_threshold=threshold,
            device=self.device,
            precision=self.precision,  # type: ignore[arg-type]
            threads=self.threads,
        ).resolved()


@dataclass
class RoundInput:
    """The task made.

    Attributes:
        model: Θ_g and Φ.
        private: what the client kept, with a Θ_l that is not Θ_g.
        local_jpegs: D_l as files.
        public_jpegs: D_g as files.
        local: D_l decoded, uint8 (n, 112, 112, 3), as a store holds it.
        public: D_g decoded.
        local_labels: int64 (N_l,).
        public_labels: int64 (N_g,).
    """

    model: GlobalModel
    private: PrivateState
    local_jpegs: list[bytes]
    public_jpegs: list[bytes]
    local: AlignedFaces
    public: AlignedFaces
    local_labels: Labels
    public_labels: Labels


def decode(jpeg: bytes) -> AlignedFaces:
    """One JPEG as uint8 (112, 112, 3) RGB."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None  # our own JPEG
    return np.ascontiguousarray(image[:, :, ::-1])


def make(task: RoundTask) -> RoundInput:
    """The weights and images of a task; equal in every process."""
    draw = task.rng.numpy("images")
    local_jpegs, local_labels = _faces(task.local, draw)
    public_jpegs, public_labels = _faces(task.public, draw)
    generator = task.rng.generator("weights")
    local, public = (np.stack([decode(one) for one in jpegs]) for jpegs in (local_jpegs, public_jpegs))
    backbone, phi = _pretrained(task, public, public_labels)
    before = {
        name: value + 0.05 * value.std(correction=0) * torch.randn(value.shape, generator=generator)
        if value.ndim > 1
        else value.clone()
        for name, value in backbone.items()
    }
    model = GlobalModel(task.spec, backbone, phi)
    embeddings = embed(model.build(), local, batch=16, device=torch.device("cpu"))
    people = int(local_labels.max()) + 1
    first = first_private(
        people, embeddings, torch.from_numpy(local_labels), model, task.config(1.0), task.rng
    )
    private = dataclasses.replace(first, backbone=before, round=1)
    return RoundInput(model, private, local_jpegs, public_jpegs, local, public, local_labels, public_labels)


def _pretrained(
    task: RoundTask, public: AlignedFaces, labels: Labels
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Θ and Φ after a few steps of CosFace: at random weights a last bit grows to a digit in a few steps."""
    net = build_backbone(task.spec, seed=task.seed)
    generator = task.rng.generator("pre-training")
    phi = torch.randn((int(labels.max()) + 1, task.spec.dim), generator=generator) / task.spec.dim**0.5
    parameters = [*net.parameters(), phi.requires_grad_()]
    optimizer = torch.optim.SGD(parameters, lr=0.02, momentum=0.9)
    for _ in range(task.warm_up):
        rows = torch.randperm(len(public), generator=generator)[: task.batch]
        cosine = losses.cosines(net(normalise(torch.from_numpy(public)[rows])), phi)
        loss = losses.cosface(cosine, torch.from_numpy(labels)[rows], scale=30.0, margin=0.4)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    _settle(net, public, task.batch)
    return cpu_state(net), phi.detach()


@torch.no_grad()
def _settle(net: Backbone, faces: AlignedFaces, batch: int) -> None:
    """Take the running statistics anew: so few steps leave them behind, and all faces would look alike."""
    norms = [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over what comes
    for start in range(0, len(faces) - 1, batch):
        net(normalise(torch.from_numpy(faces[start : start + batch].copy())))


def threshold_for(task: RoundTask, given: RoundInput) -> float:
    """A t_HN that about ``task.mined`` of the public images exceed, in a gap between two of them.

    In a gap, so that the last bits of a cosine do not decide which images the two loops train on.
    """
    net, device = given.model.build(task.device), torch.device(task.device)
    local = embed(net, given.local, batch=64, device=device)
    best = (embed(net, given.public, batch=64, device=device) @ local.T).amax(dim=1)
    cosines = best.double().sort(descending=True).values.cpu().numpy()
    wanted = round(task.mined * len(cosines))
    low, high = max(1, wanted - len(cosines) // 8), min(len(cosines) - 1, wanted + len(cosines) // 8 + 1)
    place = low + int(np.argmax(cosines[low - 1 : high - 1] - cosines[low:high])) if high > low else low
    return float((cosines[place - 1] + cosines[place]) / 2)


def _faces(count: int, draw: np.random.Generator) -> tuple[list[bytes], npt.NDArray[np.int64]]:
    """JPEGs of blurred patterns, one pattern a person, and their labels."""
    labels = np.minimum(np.arange(count) // _PER_PERSON, max(0, count // _PER_PERSON - 1)).astype(np.int64)
    patterns = draw.uniform(30, 225, (int(labels.max()) + 1, 7, 7, 3))
    jpegs = []
    for label in labels:
        coarse = patterns[label] + draw.normal(0, 25, (7, 7, 3))
        face = cv2.resize(coarse, (112, 112), interpolation=cv2.INTER_CUBIC) + draw.normal(
            0, 8, (112, 112, 3)
        )
        done, jpeg = cv2.imencode(".jpg", face.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 95])
        assert done
        jpegs.append(jpeg.tobytes())
    return jpegs, labels


def unit_rows(count: int, dim: int, generator: torch.Generator) -> torch.Tensor:
    """Random unit rows, float32 (count, dim), made in place."""
    rows = torch.empty((count, dim))
    for part in torch.split(rows, 4096):
        part.normal_(generator=generator)
        F.normalize(part, out=part)
    return rows
