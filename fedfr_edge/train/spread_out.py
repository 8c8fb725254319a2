"""FedFace's spread-out regulariser: the server moves proxies of different people apart.

A client with one person has no one to tell that person from, so all proxies could fall together. FedAwS
(Yu et al. 2020, "Federated Learning with Only Positive Labels", its geometric regulariser) lets the server,
which knows every proxy, take steps against

    R(W) = Σ_{i≠j} max(0, cos(w_i, w_j) − ν)²

over the rows of all clients; FedFace (Aggarwal et al. 2021) does the same for faces. FedAwS words it with
distances that should not fall below a margin; for unit vectors that is a cosine that should not exceed ν.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fedfr_edge.errors import TrainingError

_TINY = 1e-12  # a row of zeros has no direction: its cosines count as 0


def spread_out(proxies: Mapping[str, Tensor], *, margin: float, rate: float, steps: int) -> dict[str, Tensor]:
    """All clients' proxies after ``steps`` gradient steps of R(W); no argument is changed.

    Computed in float64 over the clients in sorted order, so equal proxies give equal bits.

    Args:
        proxies: client -> W, float32 (Kl, d), each person of each client a row.
        margin: ν, the cosine that two rows should not exceed.
        rate: length of a step: W ← W − rate · ∂R/∂W.
        steps: how many.

    Returns:
        client -> W of the same shape, float32.

    Raises:
        TrainingError: clients whose proxies are not matrices of one width.
    """
    names = sorted(proxies)
    if not names:
        return {}
    shapes = {name: tuple(proxies[name].shape) for name in names}
    if any(len(shape) != 2 or shape[1] != shapes[names[0]][-1] for shape in shapes.values()):
        raise TrainingError(
            f"proxies have the shapes {shapes}, expected (people, d) with one d; use one backbone everywhere"
        )
    rows = torch.cat([proxies[name].detach().double() for name in names])
    for _ in range(steps):
        rows = rows - rate * spread_gradient(rows, margin)
    result, start = {}, 0
    for name in names:
        end = start + shapes[name][0]
        result[name] = rows[start:end].float()
        start = end
    return result


def spread_loss(rows: Tensor, margin: float) -> Tensor:
    """R(W), a scalar, of ``rows`` float64 (n, d)."""
    excess, _, _ = _excess(rows, margin)
    return excess.square().sum()


def spread_gradient(rows: Tensor, margin: float) -> Tensor:
    """∂R/∂W, float64 (n, d).

    With u = w/‖w‖ and P_ij = max(0, u_i·u_j − ν) off the diagonal, ∂R/∂u_i = 4 Σ_j P_ij u_j (each pair counts
    twice), and of it only what is at right angles to w_i turns w_i.
    """
    excess, units, norms = _excess(rows, margin)
    pull = 4 * excess @ units
    return (pull - (pull * units).sum(1, keepdim=True) * units) / norms


def _excess(rows: Tensor, margin: float) -> tuple[Tensor, Tensor, Tensor]:
    norms = rows.norm(dim=1, keepdim=True).clamp_min(_TINY)
    units = rows / norms
    return (units @ units.T - margin).clamp_min(0).fill_diagonal_(0), units, norms
