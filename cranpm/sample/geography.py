"""The fixed ground of a sample world: grids, terrain, land, cities and the maps of what they emit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cranpm.grid import FINE_STEP, Grid
from cranpm.sample.climates import Climate
from cranpm.sample.emissions import City, city_map, countryside, find_cities, smooth
from cranpm.sample.terrain import terrain

Field = NDArray[np.float32]

_TRANSPORT = 0.06  # degrees: emissions finer than this stay where they are on a day's map


@dataclass(frozen=True)
class Ground:
    """What does not change from day to day.

    Attributes:
        coarse, nest, fine: the 0.25, 0.02 and 0.01 degree grids.
        terrain_grid, terrain: elevation in m on a 0.01 degree grid over the coarse window.
        elevation, land: on the fine grid; elevation 0 at sea.
        coarse_elevation, coarse_land: on the coarse grid: means over the cell, land where most of it is.
        nest_elevation: on the nest.
        basin: how deep a nest pixel lies below its surroundings, 0 to 1.
        cities: those of the coarse window.
        coarse_emission, nest_emission, detail: relative emissions: coarse, on the nest without detail, and the
            detail itself on the fine grid.
    """

    coarse: Grid
    nest: Grid
    fine: Grid
    terrain_grid: Grid
    terrain: Field
    elevation: Field
    land: NDArray[np.bool_]
    coarse_elevation: Field
    coarse_land: NDArray[np.bool_]
    nest_elevation: Field
    basin: Field
    cities: list[City]
    coarse_emission: Field
    nest_emission: Field
    detail: Field


def make_ground(seed: int, climate: Climate, coarse: Grid, fine: Grid) -> Ground:
    """The ground of a window; the same for overlapping windows wherever they overlap."""
    around = _around(coarse, fine)
    heights, land = terrain(seed, around)
    row, column = around.locate(fine)
    cut = (slice(row, row + fine.height), slice(column, column + fine.width))
    coarse_elevation, share = _cell_mean(heights, around, coarse), _cell_mean(land.astype(np.float32), around, coarse)
    cities = find_cities(seed, climate, around, heights, around)
    nest = Grid(
        round(fine.north - FINE_STEP / 2, 6), round(fine.west + FINE_STEP / 2, 6), 2 * FINE_STEP,
        (fine.height + 1) // 2, (fine.width + 1) // 2,
    )  # fmt: skip
    emission = city_map(fine, cities) + climate.rural * countryside(seed, fine, land[cut], heights[cut])
    emission = np.where(land[cut], emission, 0.01).astype(np.float32)
    coarse_emission = city_map(coarse, cities) + climate.rural * countryside(seed, coarse, share, coarse_elevation)
    even = smooth(emission, fine, _TRANSPORT)
    nest_elevation = halve(heights[cut])
    hollow = smooth(nest_elevation, nest, 0.4) - nest_elevation
    return Ground(
        coarse=coarse, nest=nest, fine=fine, terrain_grid=around, terrain=heights,
        elevation=heights[cut], land=land[cut], coarse_elevation=coarse_elevation, coarse_land=share > 0.5,
        nest_elevation=nest_elevation, basin=np.clip(hollow / 400, 0, 1).astype(np.float32), cities=cities,
        coarse_emission=(coarse_emission + 0.01).astype(np.float32), nest_emission=halve(even), detail=emission - even,
    )  # fmt: skip


def halve(field: Field) -> Field:
    """Means over 2 x 2 pixels; an odd last row or column stands for itself."""
    height, width = field.shape
    field = np.pad(field, ((0, height % 2), (0, width % 2)), mode="edge")
    return field.reshape(field.shape[0] // 2, 2, field.shape[1] // 2, 2).mean(axis=(1, 3), dtype=np.float32)


def _around(coarse: Grid, fine: Grid) -> Grid:
    """The 0.01 degree grid that shares the fine grid's pixels and covers the coarse cells and the fine grid."""
    west, south, east, north = coarse.edges
    up = max(int(np.ceil((min(north, 90.0) - fine.north) / FINE_STEP)), 0)
    left = max(int(np.ceil((fine.west - west) / FINE_STEP)), 0)
    down = max(int(np.ceil((fine.south - max(south, -90.0)) / FINE_STEP)), 0)
    right = max(int(np.ceil((east - fine.east) / FINE_STEP)), 0)
    while fine.north + up * FINE_STEP > 90:
        up -= 1
    return Grid(
        round(fine.north + up * FINE_STEP, 6), round(fine.west - left * FINE_STEP, 6), FINE_STEP,
        fine.height + up + down, fine.width + left + right,
    )  # fmt: skip


def _cell_mean(field: Field, source: Grid, coarse: Grid) -> Field:
    """Mean over the source pixels nearest to each coarse node."""
    rows = np.clip(np.floor(coarse.rows(source.lats) + 0.5).astype(int), 0, coarse.height - 1)
    columns = np.clip(np.floor(coarse.columns(source.lons) + 0.5).astype(int), 0, coarse.width - 1)
    first_row, first_column = (
        np.searchsorted(rows, np.arange(coarse.height)),
        np.searchsorted(columns, np.arange(coarse.width)),
    )
    total = np.add.reduceat(np.add.reduceat(field, first_row, axis=0, dtype=np.float64), first_column, axis=1)
    count = np.outer(np.bincount(rows, minlength=coarse.height), np.bincount(columns, minlength=coarse.width))
    return (total / np.maximum(count, 1)).astype(np.float32)
