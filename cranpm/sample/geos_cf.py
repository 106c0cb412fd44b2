"""Hourly PM2.5 of the sample world in files as NASA delivers GEOS-CF, one file a day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cranpm.data.products.geos_cf import LOWEST, MISSING, PM25
from cranpm.data.progress import Progress, silent
from cranpm.folders import write_whole
from cranpm.grid import Grid
from cranpm.sample.hourly import HourlyTruth
from cranpm.sample.netcdf import new_file, rounded


def write_geos_cf(
    world: HourlyTruth, days: Sequence[date], folder: Path, progress: Progress | None = None
) -> list[Path]:
    """Write days of hourly PM2.5; days whose file is there are left as they are.

    Args:
        world: the hourly truth.
        days: any days; duplicates count once.
        folder: where to, made if need be.
        progress: told after each day.

    Returns:
        The files of all days, in order.
    """
    tell, wanted = progress or silent, sorted(set(days))
    missing = [day for day in wanted if not geos_cf_path(folder, day).exists()]
    for done, (day, hours) in enumerate(world.days(missing), start=1):
        write_whole(geos_cf_path(folder, day), _content(world.grid, day, hours))
        tell("simulating hours", done, len(missing))
    return [geos_cf_path(folder, day) for day in wanted]


def geos_cf_path(folder: Path, day: date) -> Path:
    """Where a day's file lies."""
    return folder / f"GEOS-CF.v01.rpl.aqc_tavg_1hr.{day:%Y%m%d}.nc4"


def _content(grid: Grid, day: date, hours: NDArray[np.float32]) -> bytes:
    """Rows from the south, a level axis of one, times in minutes, a large number where missing: as NASA does."""
    with new_file() as (data, content):
        for name, axis, unit in (
            ("time", np.arange(len(hours)) * 60, f"minutes since {day} 00:00:00"),
            ("lev", np.array([LOWEST]), "layer"),
            ("lat", grid.lats[::-1], "degrees_north"),
            ("lon", grid.lons, "degrees_east"),
        ):
            data.createDimension(name, axis.size)
            data.createVariable(name, "i4" if name == "time" else "f8", (name,)).units = unit
            data[name][:] = axis
        shape = (1, 1, *grid.shape)
        variable = data.createVariable(
            PM25, "f4", ("time", "lev", "lat", "lon"), zlib=True, complevel=1, fill_value=MISSING, chunksizes=shape
        )
        variable.setncatts({"units": "ug m-3", "long_name": "Particulate matter with diameter below 2.5 um RH 35"})
        variable[:] = rounded(hours[:, None, ::-1])
    return content[0]
