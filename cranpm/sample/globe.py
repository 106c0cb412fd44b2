"""An analytic globe of PM2.5: plumes that drift eastwards around the Earth, known at every place and time.

Nothing in it knows where its longitudes begin, so whatever has a seam in a result was put there by who made the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cranpm.folders import write_whole
from cranpm.grid import Grid
from cranpm.sample.netcdf import CAMS, new_analysis
from cranpm.sample.noise import generator

GLOBE = Grid(90.0, 0.0, 0.75, 241, 480)
"""The grid of the reanalysis EAC4."""

FINE = Grid(90.0, 0.0, 0.25, 721, 1440)
"""Its third: every node of `GLOBE` is one of its nodes."""

_PLUMES = 400
_BACKGROUND = 4.0  # ug m-3
_DRIFT = 0.5  # degrees of longitude in an hour


def globe_map(grid: Grid, hour: float, *, seed: int = 0, plumes: int = _PLUMES) -> NDArray[np.float32]:
    """PM2.5 at an hour, ug m-3, shape of the grid.

    Args:
        grid: any regular grid.
        hour: hours since the start.
        seed: of the plumes' places, sizes and strengths.
        plumes: how many.
    """
    rng = generator("globe", seed)
    lat = np.degrees(np.arcsin(rng.uniform(-0.98, 0.98, plumes)))
    lon, size = rng.uniform(0, 360, plumes), rng.uniform(0.8, 4.0, plumes)
    strength = 30 * np.exp(0.8 * rng.standard_normal(plumes))
    lats, lons = np.radians(grid.lats), np.radians(grid.lons)
    total = np.full(grid.shape, _BACKGROUND)
    for place, start, width, most in zip(np.radians(lat), lon, np.radians(size), strength, strict=True):
        near = np.abs(lats - place) < 5 * width
        away = lons - np.radians(start + _DRIFT * hour)
        cosine = np.outer(np.sin(lats[near]), np.full(lons.size, np.sin(place)))
        cosine += np.outer(np.cos(lats[near]) * np.cos(place), np.cos(away))
        total[near] += most * np.exp((cosine - 1) / width**2)
    return total.astype(np.float32)


def globe_cells(hour: float, *, seed: int = 0, plumes: int = _PLUMES) -> NDArray[np.float32]:
    """PM2.5 as the reanalysis holds it, shape of `GLOBE`: means of the nine fine nodes in and around each coarse one.

    Args:
        hour, seed, plumes: as in `globe_map`.
    """
    fine = globe_map(FINE, hour, seed=seed, plumes=plumes)
    beyond = [np.roll(fine[row], FINE.width // 2)[None] for row in (1, -2)]  # over the poles
    rows = np.concatenate([beyond[0], fine, beyond[1]]).reshape(GLOBE.height, 3, FINE.width).mean(axis=1)
    return np.roll(rows, 1, axis=1).reshape(GLOBE.height, GLOBE.width, 3).mean(axis=2)


def write_globe(path: Path, hours: Sequence[int], *, seed: int = 0) -> Path:
    """Write hours since 2022-01-01 of the globe on EAC4's grid as the Atmosphere Data Store would."""
    maps = np.stack([globe_cells(hour, seed=seed) for hour in hours])
    times = np.datetime64("2022-01-01T00", "h") + np.array(hours)
    write_whole(path, new_analysis(GLOBE, times, {CAMS["pm2p5"]: maps * np.float32(1e-9)}))
    return path
