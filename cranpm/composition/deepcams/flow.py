"""Motion between two maps: splatting flows to a time between them, and warping maps along flows.

A flow is (n, 2, h, w): channel 0 along columns, channel 1 along rows, in pixels of its own grid.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FLOOR = 1e-5
"""Added to the importance of a pixel, so that no importance is zero."""


def warp(field: Tensor, flow: Tensor) -> Tensor:
    """Backward warping, eqs. 1 and 2: each pixel takes the value at its own place plus its flow, bilinearly.

    Places outside take the value at the edge; a globe's columns are continued round before (`globe.py`).

    Args:
        field: shape (n, c, h, w).
        flow: shape (n, 2, h, w).

    Returns:
        Shape (n, c, h, w).
    """
    height, width = field.shape[-2:]
    x = torch.arange(width, device=flow.device, dtype=flow.dtype) + flow[:, 0]
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None] + flow[:, 1]
    place = torch.stack([2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], dim=-1)
    return F.grid_sample(field, place.to(field.dtype), mode="bilinear", padding_mode="border", align_corners=True)


def splat(values: Tensor, flow: Tensor, importance: Tensor) -> Tensor:
    """S(values; flow, importance)(x) = sum over y of importance(y) exp(-|y + flow(y) - x|^2) values(y).

    The sum runs over the four pixels around each landing point; what lands outside is dropped.

    Args:
        values: shape (n, c, h, w).
        flow: shape (n, 2, h, w).
        importance: shape (n, 1, h, w).

    Returns:
        Shape (n, c, h, w).
    """
    count, channels, height, width = values.shape
    x = torch.arange(width, device=flow.device, dtype=flow.dtype) + flow[:, 0]
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None] + flow[:, 1]
    left, top = x.detach().floor(), y.detach().floor()
    weighted = values * importance
    total = values.new_zeros(count, channels, height * width)
    for column, row in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
        near = torch.exp(-((x - column) ** 2) - (y - row) ** 2)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        index = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).long().reshape(count, 1, -1)
        part = (weighted * (near * inside)[:, None]).reshape(count, channels, -1)
        total = total.scatter_add(2, index.expand(-1, channels, -1), part)
    return total.reshape(count, channels, height, width)


def reverse(forward: Tensor, backward: Tensor, z0: Tensor, z1: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Complementary flow reversal: flows from time t to both ends, out of the flows between the ends.

    Args:
        forward, backward: flows from map 0 to map 1 and from map 1 to map 0, shape (n, 2, h, w).
        z0, z1: importance of the pixels of map 0 and of map 1, shape (n, 1, h, w).
        t: time in (0, 1), shape (n, 1, 1, 1).

    Returns:
        Flows from t to map 0 and from t to map 1; zero where nothing lands.
    """
    ones = torch.ones_like(z0)
    from_0 = splat(torch.cat([forward, ones], dim=1), t * forward, z0)
    from_1 = splat(torch.cat([backward, ones], dim=1), (1 - t) * backward, z1)
    (a, n_a), (b, n_b) = from_0.split([2, 1], dim=1), from_1.split([2, 1], dim=1)
    weight = (1 - t) * n_a + t * n_b
    landed = weight > 0
    scale = torch.where(landed, 1 / torch.where(landed, weight, 1.0), 0.0)
    to_0 = (-(1 - t) * t * a + t**2 * b) * scale
    to_1 = ((1 - t) ** 2 * a - t * (1 - t) * b) * scale
    return to_0, to_1


def blend(early: Tensor, late: Tensor, mask: Tensor, t: Tensor) -> Tensor:
    """Eq. 3 without its residual: both warped maps, weighted by time and by what each shows.

    Args:
        early, late: map 0 and map 1 warped to t, shape (n, 1, h, w).
        mask: trust in map 0, in (0, 1), same shape.
        t: time in (0, 1), shape (n, 1, 1, 1).
    """
    before, after = (1 - t) * mask, t * (1 - mask)
    return (before * early + after * late) / (before + after)


def enlarge(flow: Tensor, factor: int) -> Tensor:
    """A flow on a grid finer by a factor, in that grid's pixels."""
    if factor == 1:
        return flow
    return F.interpolate(flow, scale_factor=factor, mode="bilinear", align_corners=False) * factor
