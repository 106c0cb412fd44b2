"""The fine detail of a map, and giving it back to a forecast.

The forecast of least squared error is smoother than any day. A network whose output scales may therefore exchange a
share of what its forecast has below `SIDE` pixels for what today's map has there, grown with the level. The share of
each lead stands in the checkpoint (`cranpm.train.detail` finds it). Only known pixels count and change: what today's
gaps and the sea are filled with comes from another map, and its edge is no detail.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Map = NDArray[Any]
SIDE = 17  # pixels: waves of less than about 16 km
MOST_GROWTH = 3.0
LEAST_TODAY = 1.0  # ug m-3; below, a ratio of levels means nothing


def give_back(forecast: Map, today: Map, known: NDArray[np.bool_], share: float) -> Map:
    """A forecast with its detail exchanged in part.

    Args:
        forecast, today: PM2.5 without gaps, ug m-3, shape (..., h, w).
        known: where today's map is measured, same shape.
        share: how much of the detail is exchanged, 0 to 1.
    """
    return forecast + share * (todays_detail(forecast, today, known) - fine_part(forecast, known))


def todays_detail(forecast: Map, today: Map, known: NDArray[np.bool_]) -> Map:
    """The detail of today's map, grown as the level grows from today to the forecast; ug m-3, 0 where unknown."""
    level, before = around(forecast, known), around(today, known)
    growth = np.clip(level, 0.0, None) / np.clip(before, LEAST_TODAY, None)
    return np.where(known, today - before, 0.0) * np.clip(growth, 0.0, MOST_GROWTH)


def fine_part(field: Map, known: NDArray[np.bool_]) -> Map:
    """What a field has beyond the mean of the known pixels around each; 0 where unknown."""
    return np.where(known, field - around(field, known), 0.0)


def around(field: Map, known: NDArray[np.bool_]) -> Map:
    """Mean of the known pixels in the square of `SIDE` pixels around each pixel; 0 where none is."""
    return _box_sum(np.where(known, field, 0.0)) / np.maximum(_box_sum(known.astype(np.float64)), 1e-9)


def coverage(known: NDArray[np.bool_]) -> Map:
    """Share of the square around each pixel that is known; what lies outside the field is not."""
    return _box_sum(known.astype(np.float64)) / SIDE**2


def _box_sum(values: Map) -> Map:
    """Sums over the square around each pixel, shape (..., h, w)."""
    half = SIDE // 2
    edges = [(0, 0)] * (values.ndim - 2) + [(half + 1, half)] * 2
    total = np.pad(values.astype(np.float64), edges).cumsum(axis=-2).cumsum(axis=-1)
    rows = total[..., SIDE:, :] - total[..., :-SIDE, :]
    return rows[..., SIDE:] - rows[..., :-SIDE]
