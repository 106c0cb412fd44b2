"""What is minimised: the error of the forecast as a share of the error of its base, eqs. 6 to 9."""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST = 1e-12


def row_weights(lats: Tensor) -> Tensor:
    """Eq. 6: cosine of the latitudes (degrees), never below zero, shape (H, 1)."""
    return torch.cos(torch.deg2rad(lats)).clamp_min(0)[:, None]


def share_of_base(forecast: Tensor, base: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """Eq. 9: 0 for the truth, 1 for the base; the mean over the forecasts of a batch.

    Args:
        forecast, base, truth: as the network sees them, shape (B, C, H, W).
        weights: of the rows, shape (H, 1).
    """
    easy = _error(base, truth, weights)  # eq. 7: how much each species changes anyway
    return (_error(forecast, truth, weights) / (easy + _LEAST)).mean()


def _error(field: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """Eqs. 7 and 8: the weighted sum of absolute differences, shape (B, C)."""
    return torch.sum((field - truth).abs() * weights, dim=(-2, -1))
