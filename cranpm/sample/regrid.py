"""Bilinear interpolation between two fixed grids as two small matrix products: fast for many fields."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cranpm.grid import Grid

Field = NDArray[np.float32]


class Regrid:
    """From a source grid to a target grid inside it (targets outside take the edge value)."""

    def __init__(self, source: Grid, target: Grid):
        self._rows, self._down = _matrix(source.rows(target.lats), source.height)
        self._columns, right = _matrix(source.columns(target.lons), source.width)
        self._right = np.ascontiguousarray(right.T)

    def __call__(self, fields: NDArray[np.floating]) -> NDArray[np.floating]:
        """Fields of shape (..., source height, source width) on the target grid, float32."""
        part = np.ascontiguousarray(fields[..., self._rows, self._columns], dtype=np.float32)
        return (self._down @ part) @ self._right


def _matrix(position: NDArray[np.float64], length: int) -> tuple[slice, Field]:
    """The source lines that are needed, and their weights, shape (targets, lines)."""
    position = np.clip(position, 0, length - 1)
    first = np.clip(np.floor(position).astype(int), 0, max(length - 2, 0))
    used = slice(int(first.min()), min(int(first.max()) + 2, length))
    weights = np.zeros((position.size, used.stop - used.start), np.float32)
    index = np.arange(position.size)
    later = (position - first).astype(np.float32)
    weights[index, first - used.start] = 1 - later
    if length > 1:
        weights[index, first - used.start + 1] += later
    return used, weights
