"""Between 0.25 and 0.75 degrees: two antialiased degradations, and bicubic enlargement by three.

The middle of each 3 x 3 block is the coarse node: fine index 3 i + 1 lies on coarse index i, along both axes.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

FACTOR = 3
Degradation = Literal["area", "imresize"]
IMRESIZE = (27.0, 21.0, 9.0, 0.0, -2.0, -1.0)
"""MATLAB's antialiased bicubic by a third at distances of 0 to 5 fine pixels, times 81; it is zero beyond."""


def degrade(fine: Tensor, how: Degradation = "area") -> Tensor:
    """A field three times coarser.

    Args:
        fine: shape (n, c, 3 h, 3 w).
        how: "area", the mean of each block; "imresize", MATLAB's bicubic with antialiasing, the edge mirrored.

    Returns:
        Shape (n, c, h, w).
    """
    if how == "area":
        return F.avg_pool2d(fine, FACTOR)
    weights = [*IMRESIZE[:0:-1], *IMRESIZE]
    line = torch.tensor(weights, dtype=fine.dtype, device=fine.device) / 81
    reach = len(IMRESIZE) - 1
    count, channels, height, width = fine.shape
    mirrored = _mirror(_mirror(fine, reach - 1, -1), reach - 1, -2).reshape(count * channels, 1, *_grown(fine, reach))
    small = F.conv2d(mirrored, line.reshape(1, 1, 1, -1), stride=(1, FACTOR))
    small = F.conv2d(small, line.reshape(1, 1, -1, 1), stride=(FACTOR, 1))
    return small.reshape(count, channels, height // FACTOR, width // FACTOR)


def enlarge(coarse: Tensor) -> Tensor:
    """Bicubic interpolation (A = -0.75) to a grid three times finer, edge values beyond the edge.

    Args:
        coarse: shape (n, c, h, w).

    Returns:
        Shape (n, c, 3 h, 3 w); fine index 3 i + 1 has the value of coarse index i.
    """
    return F.interpolate(coarse, scale_factor=FACTOR, mode="bicubic", align_corners=False)


def decimate(fine: Tensor) -> Tensor:
    """The values at the coarse nodes, which is what bicubic reduction by three *without* antialiasing is."""
    return fine[..., 1::FACTOR, 1::FACTOR]


def _grown(fine: Tensor, reach: int) -> tuple[int, int]:
    return fine.shape[-2] + 2 * (reach - 1), fine.shape[-1] + 2 * (reach - 1)


def _mirror(field: Tensor, count: int, axis: int) -> Tensor:
    """Continue a field on both sides by its mirror image, the edge repeated, as imresize does."""
    length = field.shape[axis]
    before = field.narrow(axis, 0, count).flip(axis)
    after = field.narrow(axis, length - count, count).flip(axis)
    return torch.cat([before, field, after], dim=axis)
