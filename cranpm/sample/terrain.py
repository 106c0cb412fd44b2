"""Coastlines and mountains of the sample world: real coasts, real ranges in outline, fractal detail.

Everything is anchored on latitude and longitude, so overlapping windows agree on it.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cranpm.grid import FINE_STEP, KM_PER_DEGREE, Grid, bilinear, wrap_longitude
from cranpm.sample.noise import value_noise
from cranpm.sample.places import PLATEAUX, RIDGES

_SHORE = 8  # pixels over which the land rises from the coast
_HIGHEST = 5600.0  # m: no peak of the sample world is higher
_OUTLINE = 0.05  # degrees: the ranges are drawn at this spacing, detail is added at the pixels


def is_land(grid: Grid) -> NDArray[np.bool_]:
    """Which points of a grid are land, from the `global-land-mask` package; shape (height, width)."""
    from global_land_mask import globe  # 4 s and 0.9 GB at import: only when a world is made

    lons = np.clip(wrap_longitude(grid.lons), -180, 179.9999)
    lats = np.clip(grid.lats, -89.9999, 89.9999)
    return np.asarray(globe.is_land(lats[:, None], lons[None, :]), dtype=bool)


def terrain(seed: int, grid: Grid) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Elevation in metres (0 at sea) and the land mask on a 0.01 degree grid, both of shape (height, width)."""
    margin = Grid(
        round(min(grid.north + _SHORE * FINE_STEP, 89.995), 6), round(grid.west - _SHORE * FINE_STEP, 6), FINE_STEP,
        grid.height + 2 * _SHORE, grid.width + 2 * _SHORE,
    )  # fmt: skip
    around = is_land(margin)
    land = around[_SHORE:-_SHORE, _SHORE:-_SHORE]
    inland = _box_mean(around.astype(np.float32), _SHORE)
    outline = bilinear(*_outline(grid), grid.lats, grid.lons)
    rugged = _ridged(seed, grid)
    hills = value_noise(("hills", seed), grid.lats, grid.lons, 0.5) * value_noise(
        ("knolls", seed), grid.lats, grid.lons, 0.1
    )
    height = outline * (0.35 + 1.1 * rugged) + (25 + 260 * hills**2 * (1 + outline / 400)) * inland
    height = height / (1 + (height / _HIGHEST) ** 4) ** 0.25
    return np.where(land, np.maximum(height * np.minimum(inland * 1.6 - 0.4, 1.0), 1.0), 0).astype(np.float32), land


def _ridged(seed: int, grid: Grid) -> NDArray[np.float32]:
    """Crests and valleys between 0 and 1: folded noise from 60 km down to 2 km."""
    total, weight = np.zeros(grid.shape, np.float32), 0.0
    for octave, spacing in enumerate((0.6, 0.3, 0.15, 0.075, 0.036, 0.018)):
        share = 0.62**octave
        noise = value_noise(("crests", seed, octave), grid.lats, grid.lons, spacing)
        total += share * (1 - np.abs(2 * noise - 1))
        weight += share
    return total / weight


def _outline(grid: Grid) -> tuple[NDArray[np.float32], Grid]:
    """The ranges and plateaux as smooth shapes at 0.05 degrees, in metres, and their grid."""
    north = np.ceil(grid.north / _OUTLINE) * _OUTLINE
    west = np.floor(grid.west / _OUTLINE) * _OUTLINE
    height = int(np.ceil((north - grid.south) / _OUTLINE)) + 2
    width = int(np.ceil((grid.east - west) / _OUTLINE)) + 2
    nodes = Grid(round(float(min(north, 90)), 6), round(float(west), 6), _OUTLINE, height, width)
    lats, lons = nodes.lats[:, None], nodes.lons[None, :]
    metres = np.zeros(nodes.shape)
    for crest, half_width, points in RIDGES:
        distance = _distance_km(lats, lons, points)
        metres = np.hypot(metres, crest * np.exp(-((distance / half_width) ** 2)))
    for level, (lat, lon), (high, wide) in PLATEAUX:
        radius = np.hypot((lats - lat) / high, wrap_longitude(lons - lon) / wide)
        metres = np.hypot(metres, level / (1 + np.exp(np.minimum((radius - 1) * 9, 50))))
    return metres.astype(np.float32), nodes


def _distance_km(lats: NDArray, lons: NDArray, points: tuple[tuple[float, float], ...]) -> NDArray:
    """Distance of every node from a line of points, km, on a plane scaled at each segment."""
    best = np.full(np.broadcast_shapes(lats.shape, lons.shape), np.inf)
    for (lat0, lon0), (lat1, lon1) in pairwise(points):
        scale = np.cos(np.radians((lat0 + lat1) / 2))
        north, east = lats - lat0, wrap_longitude(lons - lon0) * scale
        up, right = lat1 - lat0, (lon1 - lon0) * scale
        along = np.clip((north * up + east * right) / (up * up + right * right), 0, 1)
        best = np.minimum(best, np.hypot(north - along * up, east - along * right))
    return best * KM_PER_DEGREE


def _box_mean(field: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """Mean over (2 radius + 1)^2 points where they all exist: the result is smaller by `radius` on each side."""
    size = 2 * radius + 1
    total = np.cumsum(np.pad(field, ((1, 0), (0, 0))), axis=0, dtype=np.float64)
    rows = total[size:] - total[:-size]
    total = np.cumsum(np.pad(rows, ((0, 0), (1, 0))), axis=1)
    return ((total[:, size:] - total[:, :-size]) / size**2).astype(np.float32)
