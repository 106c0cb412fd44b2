"""Hourly PM2.5 of NASA's GEOS-CF replay (collection aqc_tavg_1hr), as delivered or cut out by OPeNDAP.

Written to the file specification (Knowland et al., GEOS-CF v1 File Specification): dimensions time, lev, lat, lon,
rows from the south, means over an hour stamped at its half, PM25_RH35_GCC in ug m-3, 1e15 where missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cranpm.data.products.axes import Times, read_axes
from cranpm.data.products.description import SIMULATED
from cranpm.data.products.fields import plain_unit
from cranpm.data.products.sources import Source, open_netcdf
from cranpm.errors import CranpmError
from cranpm.grid import Grid

PM25 = "PM25_RH35_GCC"
LOWEST = 72.0  # the model's lowest layer, as files number it
MISSING = np.float32(1e15)
_HIGHEST = 1e5  # ug m-3: above any smoke
_ENDINGS = (".nc", ".nc4")
_WHERE = "https://portal.nccs.nasa.gov/datashare/gmao/geos-cf (collection aqc_tavg_1hr, 0.25 degrees)"


@dataclass(frozen=True)
class HourlyMaps:
    """PM2.5 at instants on a grid.

    Attributes:
        times: UTC, seconds, ascending, shape (n,).
        values: ug m-3, north first, shape (n, height, width).
        grid: where.
        periodic: whether the columns go round the Earth.
        simulated: whether they come from the sample world.
    """

    times: Times
    values: NDArray[np.float32]
    grid: Grid
    periodic: bool
    simulated: bool


def find_geos_cf(folder: Path) -> list[Path]:
    """The NetCDF files of a folder, by name.

    Raises:
        CranpmError: the folder is not there or holds none.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix in _ENDINGS) if folder.is_dir() else []
    if not found:
        raise CranpmError(f"{folder}: no folder of GEOS-CF files (*.nc4); get them from {_WHERE}")
    return found


def read_geos_cf(path: Path) -> HourlyMaps:
    """All hours of a file.

    Raises:
        CranpmError: not such a file, another unit, several levels without the lowest, gaps or impossible values.
    """
    source = Source(path)
    with open_netcdf(source) as data:
        if PM25 not in data.variables:
            raise CranpmError(
                f"{source}: '{PM25}' missing (found: {', '.join(data.variables) or 'nothing'}); get it from {_WHERE}"
            )
        variable, axes = data[PM25], read_axes(data, source)
        unit = str(getattr(variable, "units", ""))
        if plain_unit(unit) != "ug m-3":
            raise CranpmError(f"{source}: '{PM25}' is in '{unit}'; expected ug m-3: get it from {_WHERE}")
        values = np.ma.filled(np.ma.asarray(variable[:]).astype(np.float32), np.nan)
        levels = np.atleast_1d(np.ma.filled(data["lev"][:], np.nan)) if "lev" in variable.dimensions else None
        simulated = SIMULATED in str(getattr(data, "history", ""))
        order = [axes.dims.get(dim, dim) for dim in variable.dimensions]
    if levels is not None:
        values = np.take(values, _lowest(levels, source), axis=order.index("lev"))
        order.remove("lev")
    if order != ["time", "latitude", "longitude"]:
        raise CranpmError(f"{source}: '{PM25}' runs along {', '.join(order)}; expected time, [lev,] lat, lon")
    if axes.flipped:
        values = values[:, ::-1]
    _check(values, source)
    return HourlyMaps(axes.instants, np.ascontiguousarray(values), axes.grid, axes.periodic, simulated)


def _lowest(levels: NDArray, source: Source) -> int:
    """Place of the layer at the ground: the only one, or number 72."""
    if levels.size == 1:
        return 0
    found = np.flatnonzero(levels == LOWEST)
    if not found.size:
        raise CranpmError(f"{source}: levels {levels.tolist()}; expected the lowest, {LOWEST:g}, alone or among them")
    return int(found[0])


def _check(values: NDArray[np.float32], source: Source) -> None:
    """Refuse gaps, negative and impossible values."""
    wrong = ~(np.isfinite(values) & (values >= -0.1) & (values < _HIGHEST))
    if wrong.any():
        raise CranpmError(
            f"{source}: '{PM25}' has {int(wrong.sum())} missing or impossible values of {values.size}; expected 0 to "
            f"{_HIGHEST:g} ug m-3 everywhere: download it again"
        )
