"""What training minimises: the squared error over land pixels that have a target (eq. 6, first term)."""

from __future__ import annotations

from torch import Tensor

from cranpm.variables import PM_SCALE


def land_mse(residual: Tensor, today: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean squared error in normalised units over all valid pixels of a batch.

    Args:
        residual: f of eq. 1, normalised units, shape (B, S, S).
        today: PM2.5 of day t without gaps, ug m-3, same shape.
        target: PM2.5 of the valid day, ug m-3, same shape; any finite value where not valid.
        valid: pixels that count, same shape.

    Returns:
        A scalar; 0 if no pixel is valid.
    """
    error = (residual - (target - today) / PM_SCALE) * valid
    return error.square().sum() / valid.sum().clamp_min(1)
