"""Where tiles are drawn: the hotspots a fine grid holds, and starts that agree with a store's chunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cranpm.grid import Grid
from cranpm.region import Hotspot


@dataclass(frozen=True)
class Area:
    """A hotspot on a fine grid: its first row and column and its size in pixels."""

    name: str
    row: int
    column: int
    height: int
    width: int


def held_areas(fine: Grid, land: NDArray[np.bool_], hotspots: Sequence[Hotspot]) -> tuple[Area, ...]:
    """The hotspots on a fine grid, cut to it; those without land there are left out."""
    out = []
    for spot in hotspots:
        lats, lons = fine.lats, fine.lons
        rows = np.flatnonzero((spot.south <= lats) & (lats <= spot.north))
        columns = np.flatnonzero((spot.west <= lons) & (lons <= spot.east))
        if rows.size and columns.size and land[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].any():
            out.append(Area(spot.name, int(rows[0]), int(columns[0]), len(rows), len(columns)))
    return tuple(out)


def random_centre(rng: np.random.Generator, areas: Sequence[Area]) -> NDArray[np.int64]:
    """A random pixel (row, column) of some areas: each in proportion to its size."""
    sizes = np.array([area.height * area.width for area in areas])
    area = areas[int(rng.choice(len(areas), p=sizes / sizes.sum()))]
    return np.array([area.row + rng.integers(0, area.height), area.column + rng.integers(0, area.width)])


def snapped(start: int, furthest: int, align: int) -> int:
    """The multiple of `align` nearest to a start brought into 0..furthest; `furthest` counts as a multiple."""
    inside = min(max(start, 0), furthest)
    before = inside - inside % align
    after = min(before + align, furthest)
    return before if inside - before < after - inside else after
