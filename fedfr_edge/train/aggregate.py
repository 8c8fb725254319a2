"""The server's average of Θ and Φ over clients, Eq. 2 and 4."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fedfr_edge.errors import NonFiniteError, TrainingError
from fedfr_edge.train.checkpoint import GlobalModel
from fedfr_edge.train.client import ClientUpdate

_PHI = "global_proxies"
_PIECE = 1 << 18
"""Numbers widened to float64 at a time: torch widens a whole tensor first, and one may be half a model."""


class WeightedMean:
    """A running weighted mean: Θ ← Σ (N_l/N)·Θ_l and Φ ← Σ (N_l/N)·Φ_l, one update at a time.

    Accumulates in float64, so memory is two models however many clients there are, and a third in
    :meth:`result`. Floating-point sums depend on their order: the caller adds updates in sorted client
    order to get equal bits.

    Integer arrays (batch normalisation's counters of steps) have no meaningful mean; the largest
    is taken.

    Args:
        average_global_proxies: False leaves Φ as it was (Eq. 4 switched off, as in the authors' code).
    """

    def __init__(self, *, average_global_proxies: bool = True) -> None:
        self.average_global_proxies = average_global_proxies
        self.weight = 0.0
        self._sums: dict[str, Tensor] = {}
        self._dtypes: dict[str, torch.dtype] = {}

    def add(self, update: ClientUpdate, weight: float) -> None:
        """Add one client's update; ``weight`` is its N_l.

        Raises:
            TrainingError: a weight that is not positive, or arrays other than the first update's.
            NonFiniteError: a NaN or an infinity. Either way the mean is as it was before.
        """
        if not (math.isfinite(weight) and weight > 0):
            raise TrainingError(f"weight of an update is {weight}, expected a positive number of images")
        arrays = _named(update.backbone, update.global_proxies)
        _check_finite(arrays)
        if self._sums:
            _check_same(arrays, self._sums, self._dtypes)
        else:
            self._dtypes = {name: tensor.dtype for name, tensor in arrays.items()}
            self._sums = {
                name: torch.zeros(tensor.shape, dtype=torch.float64)
                if tensor.is_floating_point()
                else tensor.clone()
                for name, tensor in arrays.items()
            }
        for name, tensor in arrays.items():
            if tensor.is_floating_point():
                _accumulate(self._sums[name], tensor, weight)
            else:
                self._sums[name] = torch.maximum(self._sums[name], tensor)
        self.weight += weight

    def result(self, global_model: GlobalModel) -> GlobalModel:
        """The next global model: the mean, with spec and metadata of ``global_model`` and its round + 1.

        The sums turn into the mean one array at a time, so a mean can be taken once.

        Raises:
            TrainingError: no update was added, or they do not fit ``global_model``.
        """
        if not self._sums:
            raise TrainingError("there is no update to average; at least one client must answer")
        before = _named(global_model.backbone, global_model.global_proxies)
        _check_same(before, self._sums, self._dtypes)
        mean = {name: self._take(name) for name in before}
        _check_finite(mean)
        proxies = mean.pop(_PHI)
        return GlobalModel(
            spec=global_model.spec,
            backbone={name.removeprefix("backbone/"): tensor for name, tensor in mean.items()},
            global_proxies=proxies if self.average_global_proxies else global_model.global_proxies.clone(),
            round=global_model.round + 1,
            metadata=dict(global_model.metadata),
        )

    def _take(self, name: str) -> Tensor:
        total = self._sums.pop(name)
        return total.div_(self.weight).to(self._dtypes[name]) if total.is_floating_point() else total


def _accumulate(total: Tensor, tensor: Tensor, weight: float) -> None:
    """``total += weight · tensor`` in float64, of which no more than a piece stands beside it."""
    parts = zip(torch.split(total.view(-1), _PIECE), torch.split(tensor.reshape(-1), _PIECE), strict=True)
    for part, addend in parts:
        part.add_(addend.double(), alpha=weight)


def _named(backbone: dict[str, Tensor], proxies: Tensor) -> dict[str, Tensor]:
    return {
        **{f"backbone/{name}": tensor.detach() for name, tensor in backbone.items()},
        _PHI: proxies.detach(),
    }


def _check_finite(arrays: dict[str, Tensor]) -> None:
    for name, tensor in arrays.items():
        if not tensor.is_floating_point() or tensor.numel() == 0:
            continue
        # NaN and infinities show in the extremes, which need no tensor of their own.
        if not bool(torch.isfinite(torch.stack(tensor.aminmax())).all()):
            raise NonFiniteError(f"{name} of an update is not finite; leave this client out of the round")


def _check_same(arrays: dict[str, Tensor], sums: dict[str, Tensor], dtypes: dict[str, torch.dtype]) -> None:
    if arrays.keys() != sums.keys():
        odd = sorted(arrays.keys() ^ sums.keys())
        raise TrainingError(
            f"updates differ in their arrays ({', '.join(odd[:3])}); use one backbone everywhere"
        )
    for name, tensor in arrays.items():
        if tensor.shape != sums[name].shape or tensor.dtype != dtypes[name]:
            raise TrainingError(
                f"{name} is {tensor.dtype} {tuple(tensor.shape)} in one model and {dtypes[name]} "
                f"{tuple(sums[name].shape)} in another; use one backbone and one public set everywhere"
            )
