"""What a round was like, as it stands in ``metrics.jsonl``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class Report:
    """What a round was like.

    Attributes:
        round: its number.
        stage: ``federated``, or the second stage that it was: ``fine-tune`` or ``kd``.
        clients: metrics of the clients that count, by client id, and with them the bytes of the
            instruction and of the reply, see :mod:`.traffic`.
        failed: why the others do not, by client id.
        lost_traffic: the same bytes of those others, by client id. Whether a client that never answered has
            fetched its instruction, nobody tells the server: it is counted as if it had.
        seconds: how long it took.
        attempts: records of the attempts before, which did not count; see :class:`.attempts.ShortRound`.
        privacy: ε for δ after this round, see :meth:`.privacy_account.PrivacyAccount.spent`; empty without
            differential privacy.
        proxies: the W that clients gave, by client id (FedFace; otherwise empty). Not part of the record.
    """

    round: int
    stage: str = "federated"
    clients: dict[str, dict[str, float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    lost_traffic: dict[str, dict[str, int]] = field(default_factory=dict)
    seconds: float = 0.0
    attempts: list[dict[str, Any]] = field(default_factory=list)
    privacy: dict[str, float] = field(default_factory=dict)
    proxies: dict[str, Tensor] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As a line of ``metrics.jsonl``; ``stage`` only if it is a second one, ``failed``, ``lost_traffic``
        and ``attempts`` only if there are any."""
        line: dict[str, Any] = {"round": self.round, "clients": self.clients, "seconds": self.seconds}
        line |= {"stage": self.stage} if self.stage != "federated" else {}
        line |= {"attempts": self.attempts} if self.attempts else {}
        line |= {"lost_traffic": self.lost_traffic} if self.lost_traffic else {}
        line |= self.privacy
        return line | ({"failed": self.failed} if self.failed else {})
