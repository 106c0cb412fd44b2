"""The CAMS-like analysis of the sample world as the reanalysis EAC4 would hold it: 0.75 degrees, every 3 hours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cranpm.folders import write_whole
from cranpm.grid import Grid
from cranpm.sample.daily import HOURS
from cranpm.sample.files import mixing_ratio
from cranpm.sample.netcdf import CAMS, new_analysis
from cranpm.sample.world import SimulatedDay
from cranpm.variables import LEVELS

FACTOR = 3
_PARTICLES, _GASES = ("pm2p5", "pm10"), ("no2", "o3", "co")
Field = NDArray[np.float32]


def eac4_grid(coarse: Grid) -> Grid:
    """The 0.75 degree grid around a 0.25 degree one: a cell more on each side, which the edge of the maps fills."""
    height, width = (-(-(length + 2 * FACTOR) // FACTOR) for length in coarse.shape)
    north, west = coarse.north + 2 * coarse.step, coarse.west - 2 * coarse.step
    return Grid(round(north, 6), round(west, 6), FACTOR * coarse.step, height, width)


def write_eac4(coarse: Grid, simulated: SimulatedDay, after: SimulatedDay | None, folder: Path) -> list[Path]:
    """Write a day's composition as two files, particles at the surface and gases at 1000 hPa.

    Args:
        coarse: the world's coarse grid.
        simulated: the day.
        after: the next day, whose first instant is written, too, so that the hours after 21 UTC can be filled.
        folder: where to.
    """
    days = [simulated, *([after] if after else [])]
    grid = eac4_grid(coarse)

    def gathered(name: str) -> Field:
        maps = [d.weather["t"][:, LEVELS.index(1000)] if name == "t" else d.composition[name] for d in days]
        return _block_means(np.concatenate([maps[0], *(one[:1] for one in maps[1:])]), grid)

    times = np.datetime64(simulated.day, "h") + np.array([*HOURS, *([24] if after else [])])
    warm = gathered("t")
    particles = {CAMS[name]: gathered(name) * np.float32(1e-9) for name in _PARTICLES}
    gases = {CAMS[name]: mixing_ratio(gathered(name), warm, 1e5)[:, None] for name in _GASES}
    written = []
    for kind, content in (
        ("sfc", new_analysis(grid, times, particles)),
        ("plev", new_analysis(grid, times, gases | {CAMS["t"]: warm[:, None]}, levels=(1000,))),
    ):
        written.append(folder / f"eac4_{simulated.day:%Y%m%d}_{kind}.nc")
        write_whole(written[-1], content)
    return written


def _block_means(maps: Field, grid: Grid) -> Field:
    """Means of 3 x 3 nodes around each node of the coarser grid; beyond the edge of the maps the edge goes on."""
    height, width = maps.shape[1:]
    padded = np.pad(
        maps,
        (
            (0, 0),
            (FACTOR, FACTOR * grid.height - height - FACTOR),
            (FACTOR, FACTOR * grid.width - width - FACTOR),
        ),
        mode="edge",
    )
    blocks = padded.reshape(len(maps), grid.height, FACTOR, grid.width, FACTOR)
    return blocks.mean(axis=(2, 4), dtype=np.float64).astype(np.float32)
