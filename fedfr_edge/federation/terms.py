"""When a round counts."""

from __future__ import annotations

from dataclasses import dataclass

from fedfr_edge.errors import ConfigError
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.seeds import drawn


@dataclass(frozen=True)
class Terms:
    """When a round counts.

    Attributes:
        clients: how many clients to wait for before the first round; a share of the clients is one of these.
        quorum: how many of those asked must answer in a round; 0 means all of them.
        deadline: seconds that a round may take; a message lives no longer.
        patience: seconds to wait for clients to come online.
        poll: seconds between two looks for replies.
        repeats: how often a round below the quorum is tried again.
        pause: seconds before each of these attempts.
    """

    clients: int
    quorum: int = 0
    deadline: float = 12 * 3600.0
    patience: float = 120.0
    poll: float = 0.1
    repeats: int = 0
    pause: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.quorum <= self.clients or self.clients < 1:
            raise ConfigError(
                f"quorum is {self.quorum} of {self.clients} clients, expected 0 (all) to {self.clients}"
            )
        if self.deadline <= 0 or self.patience <= 0 or self.poll <= 0:
            raise ConfigError("deadline, patience and poll are seconds, expected more than 0")
        if self.repeats < 0 or self.pause < 0:
            raise ConfigError(f"repeats is {self.repeats} and pause {self.pause:g} s, expected 0 or more")

    def asked(self, settings: TrainConfig, round: int) -> int:
        """How many clients a round asks when all are online."""
        federated = settings.stage_of(round) == "federated"
        return drawn(self.clients, settings.participation) if federated else self.clients

    def least(self, asked: int) -> int:
        """The quorum as a number of clients, in a round that asks ``asked`` of them."""
        return self.quorum or asked

    def check(self, settings: TrainConfig) -> None:
        """Stop a run before it begins if its rounds can never count.

        Raises:
            ConfigError: the quorum is larger than the number of clients that a round asks, or there is more
                than the one client of method central.
        """
        asked = self.asked(settings, 1)
        if self.quorum > asked:
            raise ConfigError(
                f"quorum is {self.quorum}, but a round asks {asked} of the {self.clients} clients "
                f"(participation {settings.participation:g}); lower the quorum, or raise participation"
            )
        if settings.method == "central" and self.clients != 1:
            raise ConfigError(
                f"method central trains one client that holds everybody's images, found {self.clients} "
                "clients; choose another method, such as shared"
            )
