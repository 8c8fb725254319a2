"""What training and measuring cost, counted in images that go forward through a backbone once.

A training step costs three such passes for each of its images (one forward, two backward), a frozen model
one. Losses, reading images and the wire are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .network import Network

if TYPE_CHECKING:
    from fedfr_edge.train.config import PretrainConfig, TrainConfig

TRAINING_STEP = 3.0
"""Forward passes that a step costs for each of its images."""

IMAGE_BYTES = 112 * 112 * 3
KEPT_SNAPSHOTS = 3


@dataclass(frozen=True)
class Sizes:
    """How much data there is.

    Attributes:
        public_people, public_images: D_g.
        clients, people, training, test: clients, people of each, images of each person.
        unseen_images: of people nobody trains on.
        pair_images, ijbc_images: of the other generic sets.
    """

    public_people: int
    public_images: int
    clients: int
    people: int
    training: int
    test: int
    unseen_images: int
    pair_images: int
    ijbc_images: int

    @property
    def local(self) -> int:
        """N_l: training images of a client."""
        return self.people * self.training

    @property
    def probes(self) -> int:
        """Test images of all clients."""
        return self.clients * self.people * self.test


@dataclass(frozen=True)
class Cost:
    """One row with one seed.

    Attributes:
        training: forward passes of training steps (three for each image).
        frozen: forward passes of frozen models: mining, anchors.
        evaluation: forward passes of the evaluation.
        products: multiply-adds of similarity matrices.
        bytes_up, bytes_down: of all clients in all rounds.
        disk: bytes of checkpoints and private folders.
    """

    training: float = 0.0
    frozen: float = 0.0
    evaluation: float = 0.0
    products: float = 0.0
    bytes_up: float = 0.0
    bytes_down: float = 0.0
    disk: float = 0.0

    @property
    def passes(self) -> float:
        """All forward passes."""
        return self.training + self.frozen + self.evaluation


def row_cost(train: TrainConfig, sizes: Sizes, network: Network, hard_share: float) -> Cost:
    """What one method costs with one seed, evaluation and all.

    Args:
        train: its settings.
        sizes: of the data.
        network: of the backbone.
        hard_share: share of D_g that a client mines in a round; of no consequence where nothing is mined.
    """
    train = train.resolved()
    central = train.method == "central"
    clients = 1 if central else sizes.clients
    local = sizes.local * (sizes.clients if central else 1)
    people = sizes.people * (sizes.clients if central else 1)
    drawn = max(1, round(train.participation * clients))
    training = frozen = products = 0.0
    for number in range(1, train.last_round + 1):
        federated = train.stage_of(number) == "federated"
        taking_part = drawn if federated else clients
        public = train.public if federated else "none"
        hard = {"none": 0.0, "all": 1.0, "mined": hard_share}[public or "none"] * sizes.public_images
        pool = local + hard
        epochs = train.epochs_of(number)
        training += TRAINING_STEP * epochs * pool * taking_part
        frozen += local * taking_part
        if public == "mined":
            frozen += sizes.public_images  # once a round for all clients of one process
            products += float(local) * sizes.public_images * network.dim * taking_part
        seen = 1 - 0.5**epochs if train.flip else 0.0  # share of an image's mirrored view that a batch shows
        terms = train.terms_of(number)
        if "loss_con" in terms or "loss_kd" in terms:
            frozen += seen * pool * taking_part
        if "loss_con" in terms and number > 1:
            frozen += 2 * seen * pool * taking_part
    proxies = sizes.public_people * network.dim if train.uses_public else 0
    shared = people * network.dim if train.shares_proxies else 0
    sent = 4.0 * (network.parameters + proxies + shared) * drawn * (train.rounds or 0)
    private = network.parameters + 2 * people * network.dim + network.dim * (network.dim + 1)
    checkpoints = (train.last_round + 1) * (network.parameters + sizes.public_people * network.dim)
    return Cost(
        training=training,
        frozen=frozen,
        evaluation=generic_passes(sizes) + (0.0 if central else personal_passes(sizes)),
        products=products + evaluation_products(sizes, network.dim, spaces=1 if central else 3),
        bytes_up=sent * (0.5 if train.update_dtype == "float16" else 1.0),
        bytes_down=sent,
        disk=4.0 * (checkpoints + clients * KEPT_SNAPSHOTS * private),
    )


def generic_passes(sizes: Sizes) -> float:
    """Θ_g on the clients' people and on the generic sets, IJB-C as it is and mirrored."""
    own = sizes.clients * sizes.people * (sizes.training + sizes.test)
    return own + sizes.unseen_images + sizes.pair_images + 2.0 * sizes.ijbc_images


def personal_passes(sizes: Sizes) -> float:
    """Each client's model on its own gallery and on everybody's probes; both spaces from one pass."""
    return sizes.clients * (sizes.local + sizes.probes)


def evaluation_products(sizes: Sizes, dim: int, *, spaces: int) -> float:
    """Multiply-adds of all 1:1 comparisons; 1:N is a hundredth of them."""
    of_client = float(sizes.people * sizes.test)
    return dim * (spaces * sizes.clients * of_client * sizes.probes + sizes.unseen_images**2 / 2)


def pretraining_cost(config: PretrainConfig, sizes: Sizes, network: Network) -> Cost:
    """Pre-training, and the start's evaluation as a generic model."""
    return Cost(
        training=TRAINING_STEP * config.epochs * sizes.public_images,
        evaluation=generic_passes(sizes),
        products=evaluation_products(sizes, network.dim, spaces=1),
        disk=4.0 * (3 * network.parameters + sizes.public_people * network.dim),
    )
