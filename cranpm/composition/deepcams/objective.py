"""What the networks are trained for: absolute errors on all levels and smooth flow (eqs. 4 to 6), or eq. 8."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cranpm.composition.deepcams.degrade import enlarge
from cranpm.composition.deepcams.pairs import Batch
from cranpm.composition.deepcams.spatial import SpatialNetwork
from cranpm.composition.deepcams.temporal import Level, TemporalNetwork, halve, pad

_LEAST = 0.1  # of the scale: added before the power, so that no error counts without bound
Network = TemporalNetwork | SpatialNetwork


@dataclass(frozen=True)
class Objective:
    """Weights of the temporal objective; the spatial one has none.

    Attributes:
        smoothness: lambda_s of eq. 6.
        edge: e of eq. 5, for maps normalised with the recipe's scale.
        even: errors are divided by the interpolated map to this power; published 0. Above it, the few places with
            most PM2.5 do not drown the rest.
    """

    smoothness: float = 0.5
    edge: float = 150.0
    even: float = 0.0


def predict(network: Network, batch: Batch) -> Tensor:
    """What a network makes of a batch, normalised, shape of the target."""
    if isinstance(network, SpatialNetwork):
        return network(batch.given)
    return network(batch.given[:, :1], batch.given[:, 1:], batch.t)


def interpolated(batch: Batch) -> Tensor:
    """The yardstick: linear in time, with the right weights (eq. 9 prints them swapped), or bicubic in space."""
    if not batch.t.numel():
        return enlarge(batch.given)
    t = batch.t.reshape(-1, 1, 1, 1)
    return (1 - t) * batch.given[:, :1] + t * batch.given[:, 1:]


def loss(network: Network, batch: Batch, objective: Objective) -> Tensor:
    """Eq. 6 for the temporal network, eq. 8 for the spatial one."""
    if isinstance(network, SpatialNetwork):
        return (network(batch.given) - batch.target).abs().mean()
    levels = network.levels(batch.given[:, :1], batch.given[:, 1:], batch.t)
    total, target = torch.zeros(()).to(batch.target), batch.target
    weight = (interpolated(batch).clamp_min(0) + _LEAST) ** -objective.even
    for level in levels:  # eq. 4, the mean over the pixels of each level
        total = total + (weight * (level.map - target).abs()).mean()
        target, weight = halve(pad(target, 2)), F.avg_pool2d(pad(weight, 2), 2)
    smooth = smoothness(levels[0], batch.target, network.config.stride, objective.edge)
    return total + objective.smoothness * smooth


def smoothness(level: Level, target: Tensor, stride: int, edge: float) -> Tensor:
    """Eq. 5: changes of the flows between neighbours, where the map itself has no edge.

    The gradient of the map is squared, as in the public code; as printed it is not.
    """
    for _ in range(stride.bit_length() - 1):
        target = halve(pad(target, 2))
    flow = torch.cat([level.to_0, level.to_1], dim=1)[..., : target.shape[-2], : target.shape[-1]]
    total = torch.zeros(()).to(target)
    for axis in (-1, -2):
        even = torch.exp(-((edge * target.diff(dim=axis)) ** 2))
        total = total + 0.5 * (even * flow.diff(dim=axis).abs()).mean()
    return total
