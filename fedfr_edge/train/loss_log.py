"""The losses of every step, kept on the device until somebody needs them.

Reading a number off a GPU stops it until all its work is done; so a step writes its losses into a
tensor, and they are looked at once an epoch.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fedfr_edge.errors import NonFiniteError


class LossLog:
    """A table of steps × terms, with the batch size of each step.

    Args:
        terms: names of the losses, in the order in which a message would blame them.
        steps: number of steps to come.
        device: where the losses are.
        who: names the run in an error, for example ``"client-03, round 2"``.
    """

    def __init__(self, terms: tuple[str, ...], steps: int, device: torch.device, who: str) -> None:
        self.terms, self.who = terms, who
        self.values = torch.zeros((steps, len(terms)), device=device)
        self.sizes = torch.zeros(steps)
        self.step = 0

    def add(self, losses: Mapping[str, Tensor], size: int) -> None:
        """Note one step's losses (scalars, means over ``size`` images)."""
        self.values[self.step] = torch.stack([losses[term].detach() for term in self.terms])
        self.sizes[self.step] = size
        self.step += 1

    def check(self) -> None:
        """Look at all steps so far.

        Raises:
            NonFiniteError: names the first step and the first term that is NaN or infinite.
        """
        bad = torch.nonzero(~torch.isfinite(self.values[: self.step])).cpu()
        if len(bad):
            step, term = (int(number) for number in bad[0])
            value = float(self.values[step, term])
            raise NonFiniteError(
                f"{self.who}: {self.terms[term]} is {value} at step {step + 1}, expected a finite number; "
                "nothing of it was kept; lower learning_rate or look for damaged images"
            )

    def means(self) -> dict[str, float]:
        """Each term's mean over all images of all steps."""
        weights = self.sizes.double() / self.sizes.double().sum()
        means = weights @ self.values.double().cpu()
        return {term: float(mean) for term, mean in zip(self.terms, means, strict=True)}
