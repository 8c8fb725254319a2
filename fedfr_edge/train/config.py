"""Settings of federated training; without torch, so that a command line can show them quickly.

Defaults follow the paper (FedFR, arXiv 2112.12496). Where the authors' public code departs from
it, the departure is a setting, and ``profile`` chooses all of them at once.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fedfr_edge.config import option
from fedfr_edge.errors import ConfigError

PROFILES: dict[str, dict[str, Any]] = {
    "paper": {
        "rounds": 30,
        "epochs": (4,),
        "momentum": 0.0,
        "lr_schedule": "constant",
        "client_weight": "local",
        "average_global_proxies": True,
        "first_previous": "global",
        "drop_last": False,
    },
    "reference": {
        "rounds": 20,
        "epochs": (10, 8, 6, 4),
        "momentum": 0.9,
        "lr_schedule": "step",
        "client_weight": "pool",
        "average_global_proxies": False,
        "first_previous": "random",
        "drop_last": True,
    },
}
"""What each profile puts in place of a setting that nobody set. The paper names SGD, its rate and
its weight decay, and no momentum: plain SGD is the literal reading of it."""

Method = Literal[
    "fedavg",
    "shared",
    "hard-negatives",
    "contrastive",
    "fedfr",
    "branch-cosface",
    "fine-tune",
    "kd",
    "fedface",
    "central",
]
"""The systems that the paper measures; :data:`METHODS` says how they differ."""

_PLAIN: dict[str, Any] = {"public": "none", "branch": "none", "alpha_con": 0.0, "second_stage": "none"}
_MINED = _PLAIN | {"public": "mined"}

METHODS: dict[str, dict[str, Any]] = {
    # Table 1, row by row
    "fedavg": _PLAIN,
    "shared": _PLAIN | {"public": "all"},
    "hard-negatives": _MINED,
    "contrastive": _MINED | {"alpha_con": 5.0},
    "fedfr": _MINED | {"alpha_con": 5.0, "branch": "binary"},
    "central": _PLAIN | {"public": "all"},
    # Table 2: other ways to a personal model, from the same generic one
    "branch-cosface": _MINED | {"alpha_con": 5.0, "branch": "cosface"},
    "fine-tune": _MINED | {"alpha_con": 5.0, "second_stage": "fine-tune"},
    "kd": _MINED | {"alpha_con": 5.0, "second_stage": "kd"},
    # Figure 4
    "fedface": _PLAIN,
}
"""What each method puts in place of a setting that nobody set. ``central`` is the same training as
``shared``, of one client that holds everybody's images; ``fedface`` also lets W travel."""


@dataclass(frozen=True)
class TrainConfig:
    """Hyper-parameters of ClientTraining (Algorithm 1) and of the average after it.

    Settings that are ``None`` (``epochs``: empty) are filled in by ``method`` and ``profile``;
    :meth:`resolved` does that. A weight α of 0 switches a loss off, with its work.
    """

    method: Method = option(
        "fedfr",
        help="what is trained: the paper's FedFR, a part of it, or a method that it is compared with",
    )
    profile: Literal["paper", "reference"] = option(
        "paper", help="follow the paper, or the authors' code where it departs from the paper"
    )
    rounds: int | None = option(None, help="rounds in all (T); paper 30, reference 20", low=1)
    epochs: tuple[int, ...] = option(
        (), help="local epochs (E) of round 1, 2, …; the last one goes on; paper 4, reference 10 8 6 4", low=1
    )
    batch_size: int = option(256, help="images in a step", low=2)
    drop_last: bool | None = option(
        None,
        help="leave out an epoch's last small batch (never a client's only one); paper off, reference on",
    )
    learning_rate: float = option(1e-3, help="SGD learning rate", low=0)
    lr_schedule: Literal["constant", "step"] | None = option(
        None, help="step: a tenth from 3/4 of the local epochs on; paper constant, reference step"
    )
    momentum: float | None = option(None, help="SGD momentum; paper 0, reference 0.9", low=0, high=1)
    weight_decay: float = option(5e-4, help="SGD weight decay", low=0)
    flip: bool = option(True, help="flip training images left to right at random")

    alpha_cos: float = option(1.0, help="weight α1 of CosFace (Eq. 3) in Eq. 7", low=0)
    alpha_con: float | None = option(
        None, help="weight α2 of the contrastive loss (Eq. 5); 5 in methods that have it, otherwise 0", low=0
    )
    alpha_bce: float | None = option(
        None, help="weight α3 of the branch's loss (Eq. 6); 10 for binary, 1 for cosface", low=0
    )
    public: Literal["none", "all", "mined"] | None = option(
        None, help="public images to train on: none, all, or the hard negatives; the method's if not given"
    )
    branch: Literal["none", "binary", "cosface"] | None = option(
        None, help="loss behind Π: none, binary (Eq. 6) or CosFace (Table 2); the method's if not given"
    )
    scale: float = option(30.0, help="CosFace scale s", low=0)
    margin: float = option(0.4, help="CosFace margin m", low=0, high=2)
    temperature: float = option(0.5, help="temperature τ of Eq. 5", low=1e-6)
    bce_scale: float = option(30.0, help="scale s' of Eq. 6", low=1e-6)
    bce_margin: float = option(0.4, help="margin m' of Eq. 6", low=0, high=2)
    bce_positive: float = option(0.7, help="weight λ of positives in Eq. 6", low=0, high=1)
    bce_power: float = option(3.0, help="exponent t' of g in Eq. 6", low=1e-6)
    mining_threshold: float = option(
        0.4, help="t_HN: public images whose cosine with a local one exceeds it are hard negatives"
    )

    second_stage: Literal["none", "fine-tune", "kd"] | None = option(
        None, help="what each client does with the last Θ_g, on its own images; the method's if not given"
    )
    second_epochs: int = option(4, help="local epochs of the second stage", low=1)
    kd_weight: float = option(1.0, help="weight of kd's divergence from the global model's logits", low=0)
    kd_temperature: float = option(2.0, help="temperature of kd's logits", low=1e-6)
    positive_margin: float = option(
        0.9, help="cosine from which FedFace's positive-cosine loss is 0; used where only one class is known"
    )
    spread_margin: float = option(0.7, help="FedFace: cosine that proxies of two people should not exceed")
    spread_rate: float = option(0.1, help="FedFace: the server's step against closer ones", low=0)
    spread_steps: int = option(5, help="FedFace: how many such steps a round", low=1)

    participation: float = option(
        1.0, help="share of the clients that is drawn for each round", low=1e-9, high=1
    )

    local_proxies: Literal["means", "normal"] = option(
        "means", help="start of W: class means of embeddings, or N(0, 0.01)"
    )
    first_previous: Literal["global", "random"] | None = option(
        None, help="Θ_l before the first round: the global model or random; paper global, reference random"
    )
    client_weight: Literal["local", "pool"] | None = option(
        None,
        help="a client's weight: its N_l images, or with its hard negatives; paper local, reference pool",
    )
    average_global_proxies: bool | None = option(
        None, help="average Φ over clients (Eq. 4); paper on, reference off: Φ stays as pre-trained"
    )

    update_dtype: Literal["float32", "float16"] = option(
        "float32", help="float16: clients send the change of Θ and Φ in half precision, for half the bytes"
    )

    # Left out is None, not 0: a run that was begun before these settings were there can be gone on with.
    dp_clip: float | None = option(
        None,
        help="differential privacy: shorten a client's change of Θ and Φ to this L2 norm; all weigh the same",
        low=1e-9,
    )
    dp_noise: float | None = option(
        None,
        help="differential privacy: standard deviation of each client's noise, in units of dp_clip; needs it",
        low=1e-6,
    )
    dp_delta: float | None = option(
        None,
        help="δ that ε is told for, well below 1 / clients; 1e-5 if not given",
        low=1e-300,
        high=0.5,
    )

    device: str = option("cpu", help="torch device: cpu, cuda, cuda:1, …")
    precision: Literal["float32", "bf16", "fp16"] = option(
        "float32", help="of the backbone on a GPU (autocast); losses are always float32"
    )
    compile: bool = option(
        False, help="train a backbone compiled by torch.compile; for long rounds on a GPU, needs a compiler"
    )
    threads: int = option(1, help="torch threads on the CPU", low=1)
    embed_batch: int = option(256, help="images embedded at a time", low=1)
    image_budget: float = option(
        4.0, help="GiB of a round's images held on the device; more are read step by step", low=0
    )

    def resolved(self) -> TrainConfig:
        """These settings with the method's and the profile's values where none was given.

        Resolving twice is harmless.

        Raises:
            ConfigError: all three losses are switched off, or settings contradict each other.
        """
        missing = {
            name: value
            for name, value in (PROFILES[self.profile] | METHODS[self.method]).items()
            if getattr(self, name) is None or getattr(self, name) == ()
        }
        settings = dataclasses.replace(self, **missing)
        if settings.alpha_bce is None:
            weight = {"none": 0.0, "binary": 10.0, "cosface": 1.0}[settings.branch or "none"]
            settings = dataclasses.replace(settings, alpha_bce=weight)
        if settings.branch == "none" and settings.alpha_bce:
            raise ConfigError(
                f"alpha_bce is {settings.alpha_bce:g}, but method {self.method} has no branch; "
                "set branch to binary or cosface, or leave alpha_bce out"
            )
        if settings.alpha_cos == settings.alpha_con == settings.alpha_bce == 0:
            raise ConfigError(
                "alpha_cos, alpha_con and alpha_bce are all 0: nothing would be learned; set one"
            )
        if settings.dp_noise is not None and settings.dp_clip is None:
            raise ConfigError(
                f"dp_noise is {settings.dp_noise:g}, but without dp_clip an update has no largest norm, and "
                "no noise hides it; set dp_clip too"
            )
        if settings.dp_clip is not None and settings.shares_proxies:
            raise ConfigError(
                f"method {settings.method} sends W, a vector for each person, and dp_clip and dp_noise cover "
                "Θ and Φ alone: privacy would be an empty promise; leave them out, or choose another method"
            )
        if settings.dp_delta is not None and settings.dp_noise is None:
            raise ConfigError(
                f"dp_delta is {settings.dp_delta:g}, but there is no ε without noise; set dp_noise too, or "
                "leave dp_delta out"
            )
        if settings.dp_noise is not None and settings.dp_delta is None:
            settings = dataclasses.replace(settings, dp_delta=1e-5)
        return settings

    @property
    def uses_public(self) -> bool:
        """Whether D_g and Φ take part; otherwise only Θ travels."""
        return self.resolved().public != "none"

    @property
    def shares_proxies(self) -> bool:
        """Whether W leaves the client (FedFace)."""
        return self.method == "fedface"

    @property
    def last_round(self) -> int:
        """Number of the last round; a second stage is one round more, in which Θ_g does not change."""
        settings = self.resolved()
        return (settings.rounds or 0) + (settings.second_stage != "none")

    def stage_of(self, round: int) -> Literal["federated", "fine-tune", "kd"]:
        """What clients do in a round (from 1)."""
        settings = self.resolved()
        if settings.second_stage in ("fine-tune", "kd") and round == settings.last_round:
            return settings.second_stage
        return "federated"

    def terms_of(self, round: int) -> dict[str, float]:
        """The terms of the loss in a round (from 1) and their weights; those of weight 0 are left out."""
        settings = self.resolved()
        stage = settings.stage_of(round)
        branch = "loss_branch" if settings.branch == "cosface" else "loss_bce"
        weights = {"loss_cos": settings.alpha_cos}
        if stage == "federated":
            weights |= {"loss_con": settings.alpha_con or 0.0, branch: settings.alpha_bce or 0.0}
        elif stage == "kd":
            weights["loss_kd"] = settings.kd_weight
        return {name: weight for name, weight in weights.items() if weight > 0}

    def epochs_of(self, round: int) -> int:
        """Local epochs of a round (from 1)."""
        settings = self.resolved()
        if settings.stage_of(round) != "federated":
            return settings.second_epochs
        return settings.epochs[min(round, len(settings.epochs)) - 1]

    def weight_of(self, metrics: dict[str, float]) -> float:
        """A client's weight in the average (Eq. 2 and 4), from the metrics of its update.

        The same for all with ``dp_clip``: by weights, a client with many images would move the mean by more
        than the clipped norm's share, and would tell how many it has.
        """
        if self.dp_clip is not None:
            return 1.0
        pool = self.resolved().client_weight == "pool"
        return float(metrics["images"] + (metrics["hard_negatives"] if pool else 0))


@dataclass(frozen=True)
class PretrainConfig:
    """Hyper-parameters of CosFace pre-training on public identities."""

    backbone: str = option("sphereface20", help="sphereface10|20|64, iresnet18|34|50|100 or mobilefacenet")
    dim: int = option(512, help="length d of an embedding", low=2)
    width: int = option(64, help="channels of the first stage; 64 is the published network", low=1)
    input_size: int = option(112, help="side at which the network looks at a face: 112, 56 or 28")
    weights: Path | None = option(None, help="start from these weights (.safetensors or a plain state dict)")

    epochs: int = option(20, help="passes over the public faces", low=1)
    batch_size: int = option(64, help="images in a step", low=2)
    learning_rate: float = option(0.1, help="highest SGD learning rate; falls to 0 along a cosine", low=0)
    warmup: float = option(1.0, help="epochs in which the rate rises to its highest", low=0)
    momentum: float = option(0.9, help="SGD momentum", low=0, high=1)
    weight_decay: float = option(5e-4, help="SGD weight decay", low=0)
    clip: float = option(
        1.0, help="shorten gradients to this norm; without batch normalisation training needs it", low=1e-9
    )
    scale: float = option(30.0, help="CosFace scale s", low=0)
    margin: float = option(0.4, help="CosFace margin m", low=0, high=2)

    shift: float = option(0.0, help="shift images by up to this share of their side", low=0, high=0.5)
    zoom: float = option(0.0, help="change their size by up to this share", low=0, high=0.5)
    rotate: float = option(0.0, help="turn them by up to this many degrees", low=0, high=180)
    light: float = option(0.0, help="change brightness and contrast by up to this share", low=0, high=1)
    colour: float = option(0.0, help="change saturation by up to this share, channels by half", low=0, high=1)
    downscale: float = option(0.0, help="share of images that lose detail", low=0, high=1)
    erase: float = option(0.0, help="share of images with a grey rectangle over them", low=0, high=1)

    validation: int = option(0, help="identities to hold out and to measure TAR@FAR on", low=0)
    validation_far: float = option(1e-3, help="false-accept rate of that measurement", low=1e-9, high=1)
    validation_every: int = option(1, help="measure every so many epochs, and after the last", low=1)
    keep: Literal["best", "last"] = option(
        "best", help="which epoch's model to keep; the last without --validation"
    )
    patience: int = option(0, help="stop after so many measurements without a better one; 0: never", low=0)

    seed: int = option(0, help="seed of everything random", low=0, high=2**63 - 1)
    device: str = option("cpu", help="torch device: cpu, cuda, cuda:1, …")
    threads: int = option(1, help="torch threads on the CPU", low=1)
    embed_batch: int = option(256, help="images embedded at a time", low=1)
