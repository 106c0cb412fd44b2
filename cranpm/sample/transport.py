"""Transport of PM2.5 in one mixed layer on any regular grid: advection, emission, deposition, rain, terrain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cranpm.grid import KM_PER_DEGREE, Grid

Field = NDArray[np.float32]
Inflow = Callable[[NDArray[np.intp], Field, Field], Field]
"""Concentration of air that comes from outside: for those points (flat indices), at their fractional departure rows
and columns on the grid."""

STEP = 3 * 3600.0  # seconds


@dataclass(frozen=True)
class Air:
    """What a transport step needs to know of the air, all of shape (height, width).

    Attributes:
        u, v: wind of the mixed layer, m/s eastward and northward.
        mixing: depth of the mixed layer, m.
        rain: mm in the step.
        above: PM2.5 above the mixed layer, ug m-3; a number or a field.
    """

    u: Field
    v: Field
    mixing: Field
    rain: Field
    above: Field | float


@dataclass
class Transport:
    """The operator on one grid.

    Attributes:
        grid: where.
        elevation: m; mountains deflect the wind and block shallow air.
        halvings: into 2**halvings points the path of a step is cut, for emissions and crests on the way.
        deposition: dry deposition velocity, m/s.
        scavenging: share removed by a mm of rain.
        lifetime: days until chemistry or the air above has removed the rest.
        seconds: length of a step.
    """

    grid: Grid
    elevation: Field
    halvings: int = 1
    deposition: float = 0.0018
    scavenging: float = 0.09
    lifetime: float = 5.0
    seconds: float = STEP
    _along: tuple[Field, Field] = field(init=False)

    def __post_init__(self) -> None:
        height, width = self.grid.shape
        self.elevation = np.asarray(self.elevation, np.float32)
        self._rows = np.arange(height, dtype=np.float32)[:, None]
        self._columns = np.arange(width, dtype=np.float32)[None, :]
        per_row = self.grid.step * KM_PER_DEGREE * 1000
        per_column = per_row * np.cos(np.radians(np.clip(self.grid.lats, -85, 85)))[:, None]
        self._down = np.float32(self.seconds / per_row)
        self._right = (self.seconds / per_column).astype(np.float32)
        north, east = _axis_slope(self.elevation, 0) / -per_row, _axis_slope(self.elevation, 1) / per_column
        steep = np.hypot(north, east)
        turn = np.sqrt(np.minimum(steep / 0.06, 1) * 0.85) / np.maximum(steep, 1e-9)
        self._along = ((north * turn).astype(np.float32), (east * turn).astype(np.float32))

    def deflect(self, u: Field, v: Field) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """The wind along steep ground: its part up or down the slope is weakened."""
        north, east = self._along
        climb = u * east + v * north
        return u - climb * east, v - climb * north

    def step(self, concentration: Field, air: Air, emission: Field, inflow: Inflow) -> Field:
        """PM2.5 a step later.

        Args:
            concentration: ug m-3, shape (height, width).
            air: the air during the step.
            emission: ug m-2 s-1.
            inflow: gives air that comes from outside the grid.
        """
        u, v = self.deflect(air.u, air.v)
        back_row, back_column = v * self._down, -u * self._right
        rows, columns = self._rows + back_row, self._columns + back_column
        arriving = self._interpolate(concentration, rows, columns, inflow)
        source, crest = self._path(emission, back_row, back_column)
        climb = crest - self._nearest(self.elevation, rows, columns)
        passing = np.exp(-np.maximum(climb - 0.6 * air.mixing, 0) / (0.8 * air.mixing))
        gain = passing * arriving + (1 - passing) * air.above + self.seconds * source / air.mixing
        exchange = self.seconds / (self.lifetime * 86400)
        loss = self.seconds * self.deposition / air.mixing + self.scavenging * air.rain
        return ((gain + exchange * air.above) / (1 + exchange + loss)).astype(np.float32)

    def _path(self, emission: Field, back_row: Field, back_column: Field) -> tuple[Field, Field]:
        """Mean emission and highest ground along the way that the air has come in this step."""
        crest = self.elevation
        for half in range(1, self.halvings + 1):
            rows, columns = self._rows + back_row / 2**half, self._columns + back_column / 2**half
            place = self._flat(rows, columns)
            emission = 0.5 * (emission + emission.ravel()[place])
            crest = np.maximum(crest, crest.ravel()[place])
        return emission, crest

    def _nearest(self, field: Field, rows: Field, columns: Field) -> Field:
        return field.ravel()[self._flat(rows, columns)]

    def _flat(self, rows: Field, columns: Field) -> NDArray[np.int32]:
        """Flat index of the nearest point of the grid."""
        height, width = self.grid.shape
        row = np.clip(rows + 0.5, 0, height - 0.5).astype(np.int32)
        return row * np.int32(width) + np.clip(columns + 0.5, 0, width - 0.5).astype(np.int32)

    def _interpolate(self, field: Field, rows: Field, columns: Field, inflow: Inflow) -> Field:
        """Bilinear values at fractional positions; positions outside the grid take the inflow."""
        height, width = self.grid.shape
        row, column = np.clip(rows, 0, height - 1.001), np.clip(columns, 0, width - 1.001)
        outside = np.flatnonzero((row < rows - 0.01) | (row > rows) | (column < columns - 0.01) | (column > columns))
        top, left = row.astype(np.int32), column.astype(np.int32)
        down, right = row - top, column - left
        flat, place = field.ravel(), top * np.int32(width) + left
        upper = flat[place] * (1 - right) + flat[place + 1] * right
        lower = flat[place + width] * (1 - right) + flat[place + width + 1] * right
        found = upper + (lower - upper) * down
        if outside.size:
            found.ravel()[outside] = inflow(outside, rows.ravel()[outside], columns.ravel()[outside])
        return found


def _axis_slope(elevation: Field, axis: int) -> Field:
    """Rise per grid step along an axis, zero along an axis of one point."""
    return np.gradient(elevation, axis=axis) if elevation.shape[axis] > 1 else np.zeros_like(elevation)
