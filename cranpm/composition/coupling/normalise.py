"""How concentrations become what the network sees, and back: eqs. 10, 11 and 12 of the coupling paper.

x = X / scale, scale being half the largest value on the map in the mean over time; then
y = x + ln(25 000 x) / ln 25, which spreads out small values. The inverse solves w + ln w = s for w = L x, L = ln 25:
Wright's omega function, by Newton's method on ln w, so that nothing overflows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

FLOOR = 1e-4
"""Smallest x that eq. 12 is applied to: there is no logarithm of nothing. Smaller values come back as this."""

_L = math.log(25.0)
_SHIFT = math.log(25_000.0 / _L)
_NEWTON = 5  # steps: relative error 7e-15 over 1e-12 .. 1e2


class Normalise(nn.Module):
    """Physical units to those of the network and back, for channels with an own scale each.

    Args:
        scales: of the channels, eq. 11, in their units.
        logarithmic: whether eq. 12 follows, by channel.
    """

    scale: Tensor
    logarithmic: Tensor

    def __init__(self, scales: Sequence[float], logarithmic: Sequence[bool]) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(scales).reshape(-1, 1, 1), persistent=False)
        self.register_buffer("logarithmic", torch.tensor(logarithmic).reshape(-1, 1, 1), persistent=False)

    def forward(self, fields: Tensor) -> Tensor:
        """Fields (..., C, H, W) in physical units, as the network sees them: eqs. 10 and 12."""
        x = fields / self.scale
        return torch.where(self.logarithmic, spread(x), x.clamp_min(0))

    def inverse(self, fields: Tensor) -> Tensor:
        """What `forward` gave, in physical units again; never negative."""
        return torch.where(self.logarithmic, gather(fields), fields.clamp_min(0)) * self.scale

    def lowest(self) -> Tensor:
        """The smallest value of each channel that `forward` gives, shape (C, 1, 1)."""
        floor = spread(torch.full_like(self.scale, FLOOR))
        return torch.where(self.logarithmic, floor, torch.zeros_like(floor))


def spread(x: Tensor) -> Tensor:
    """Eq. 12: x + ln(25 000 x) / ln 25, for x of at least `FLOOR`."""
    x = x.clamp_min(FLOOR)
    return x + torch.log(25_000 * x) / _L


def gather(y: Tensor) -> Tensor:
    """The inverse of eq. 12, exact to rounding."""
    s = _L * y - _SHIFT
    logarithm = torch.where(s < 1, s, torch.log(s.clamp_min(1) - torch.log(s.clamp_min(1))))
    for _ in range(_NEWTON):
        w = logarithm.exp()
        logarithm = logarithm - (w + logarithm - s) / (1 + w)
    return logarithm.exp() / _L


def half_mean_maximum(fields: NDArray[np.floating]) -> NDArray[np.float64]:
    """Eq. 11: the scale of each channel, half the largest value of a map in the mean over the maps.

    Args:
        fields: physical units, shape (times, C, H, W).
    """
    return 0.5 * fields.max(axis=(-2, -1)).mean(axis=0, dtype=np.float64)
