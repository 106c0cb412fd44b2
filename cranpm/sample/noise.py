"""Randomness that can be asked for anywhere: by a key, by a point of the Earth, never by the order of calls."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ROW, _COLUMN = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def generator(*key: str | float) -> np.random.Generator:
    """A counter-based generator whose stream depends on nothing but the key."""
    return np.random.Generator(np.random.Philox(key=_digest(key) & ((1 << 128) - 1)))


def value_noise(key: tuple[str | int, ...], lats: Array, lons: Array, spacing: float) -> NDArray[np.float32]:
    """Smooth noise in [0, 1], anchored on the Earth: the same point always has the same value.

    Args:
        key: names the field.
        lats, lons: rows and columns of a regular grid, degrees, shapes (h,) and (w,).
        spacing: distance between independent values, degrees; it divides 360.

    Returns:
        Values, shape (h, w).
    """
    down, row = _place(lats, spacing)
    right, column = _place(lons, spacing)
    rows = np.arange(row.min(), row.max() + 2)
    columns = np.arange(column.min(), column.max() + 2)
    values = lattice(key, rows, columns % round(360 / spacing)).astype(np.float32)
    row, column = row - rows[0], column - columns[0]
    lower, later = down.astype(np.float32)[:, None], right.astype(np.float32)
    lines = values[row] * (1 - lower) + values[row + 1] * lower
    return lines[:, column] * (1 - later) + lines[:, column + 1] * later


def lattice(key: tuple[str | int, ...], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Array:
    """Independent uniform numbers in [0, 1) at integer positions, shape (rows, columns)."""
    start = np.uint64(_digest(key) & ((1 << 64) - 1))
    with np.errstate(over="ignore"):
        mixed = (rows.astype(np.uint64) * _ROW)[:, None] + (columns.astype(np.uint64) * _COLUMN)[None, :] + start
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
        mixed = mixed ^ (mixed >> np.uint64(31))
    return (mixed >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def _place(positions: Array, spacing: float) -> tuple[Array, NDArray[np.int64]]:
    """Smooth-step weight of the later neighbour and index of the earlier one."""
    scaled = np.asarray(positions, dtype=float) / spacing
    index = np.floor(scaled).astype(np.int64)
    part = scaled - index
    return part * part * (3 - 2 * part), index


def _digest(key: tuple[str | float, ...]) -> int:
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest(), "little")
