"""NetCDF files in the providers' dialects, written in memory: old and new Climate Data Store."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import netCDF4
import numpy as np
from numpy.typing import NDArray

from cranpm.data.products.description import SIMULATED
from cranpm.grid import Grid

HISTORY = f"{SIMULATED}: not a product of ECMWF or Copernicus"
BITS = 14  # of the packed range; GRIB keeps 16, which costs half as much disk again
LEGACY_EPOCH = np.datetime64("1900-01-01T00", "h")


@dataclass(frozen=True)
class Quantity:
    """How a provider names one of our variables: short name, unit, long name."""

    name: str
    unit: str
    long_name: str


ERA5 = {
    "u10": Quantity("u10", "m s**-1", "10 metre U wind component"),
    "v10": Quantity("v10", "m s**-1", "10 metre V wind component"),
    "t2m": Quantity("t2m", "K", "2 metre temperature"),
    "sp": Quantity("sp", "Pa", "Surface pressure"),
    "tp": Quantity("tp", "m", "Total precipitation"),
    "u": Quantity("u", "m s**-1", "U component of wind"),
    "v": Quantity("v", "m s**-1", "V component of wind"),
    "t": Quantity("t", "K", "Temperature"),
    "z": Quantity("z", "m**2 s**-2", "Geopotential"),
    "q": Quantity("q", "kg kg**-1", "Specific humidity"),
}
CAMS = {
    "pm2p5": Quantity("pm2p5", "kg m**-3", "Particulate matter d <= 2.5 um"),
    "pm10": Quantity("pm10", "kg m**-3", "Particulate matter d <= 10 um"),
    "no2": Quantity("no2", "kg kg**-1", "Nitrogen dioxide mass mixing ratio"),
    "o3": Quantity("go3", "kg kg**-1", "GEMS Ozone"),
    "co": Quantity("co", "kg kg**-1", "Carbon monoxide mass mixing ratio"),
    "t": Quantity("t", "K", "Temperature"),
}


def new_analysis(
    grid: Grid,
    times: NDArray[np.datetime64],
    fields: Mapping[Quantity, NDArray[np.float32]],
    *,
    levels: Sequence[int] = (),
    expver: str = "0001",
) -> bytes:
    """An analysis file of the new store: `valid_time`, `pressure_level`, float32.

    Args:
        fields: values by quantity, shape (time, [level,] height, width); levels in the order given.
    """
    with new_file() as (data, content):
        dims = _level_dim(data, levels)
        data.createDimension("valid_time", len(times))
        valid = data.createVariable("valid_time", "i8", ("valid_time",))
        valid.setncatts(_CF_TIME | {"long_name": "time", "standard_name": "time"})
        valid[:] = times.astype("datetime64[s]").astype(np.int64)
        version = data.createVariable("expver", str, ("valid_time",))
        version[:] = np.full(len(times), expver, dtype=object)
        _grid_dims(data, grid, "f8")
        _new_fields(data, fields, ("valid_time", *dims, "latitude", "longitude"))
    return content[0]


def new_forecast(
    grid: Grid,
    issued: date,
    periods: Sequence[int],
    fields: Mapping[Quantity, NDArray[np.float32]],
    *,
    levels: Sequence[int] = (),
    history: str = HISTORY,
) -> bytes:
    """A forecast file of the new store: `forecast_period` in hours from one `forecast_reference_time`.

    Args:
        issued: the day of issue; the reference time is its 00 UTC.
        fields: values by quantity, shape (period, [level,] height, width).
        history: what the file says of its making; that of the sample world, where nothing else is said.
    """
    with new_file(history=history) as (data, content):
        dims = _level_dim(data, levels)
        data.createDimension("forecast_period", len(periods))
        data.createDimension("forecast_reference_time", 1)
        period = data.createVariable("forecast_period", "f8", ("forecast_period",))
        period.setncatts(
            {"units": "hours", "long_name": "time since forecast_reference_time", "standard_name": "forecast_period"}
        )
        period[:] = periods
        start = np.datetime64(issued, "s").astype(np.int64)
        reference = data.createVariable("forecast_reference_time", "i8", ("forecast_reference_time",))
        reference.setncatts(
            _CF_TIME | {"long_name": "initial time of forecast", "standard_name": "forecast_reference_time"}
        )
        reference[:] = start
        valid = data.createVariable("valid_time", "i8", ("forecast_reference_time", "forecast_period"))
        valid.setncatts(_CF_TIME | {"long_name": "time", "standard_name": "time"})
        valid[:] = start + np.asarray(periods)[None] * 3600
        _grid_dims(data, grid, "f8")
        order = ("forecast_period", "forecast_reference_time", *dims, "latitude", "longitude")
        _new_fields(data, {quantity: values[:, None] for quantity, values in fields.items()}, order)
    return content[0]


def legacy_analysis(
    grid: Grid,
    times: NDArray[np.datetime64],
    fields: Mapping[Quantity, NDArray[np.float32]],
    *,
    levels: Sequence[int] = (),
) -> bytes:
    """An analysis file of the old store: `time` in hours since 1900, `level`, values packed as int16."""
    with new_file("NETCDF4_CLASSIC") as (data, content):
        data.Conventions = "CF-1.6"
        if levels:
            data.createDimension("level", len(levels))
            data.createVariable("level", "i4", ("level",)).setncatts(
                {"units": "millibars", "long_name": "pressure_level"}
            )
            data["level"][:] = levels
        data.createDimension("time", len(times))
        hours = data.createVariable("time", "i4", ("time",))
        hours.setncatts({"units": "hours since 1900-01-01 00:00:00.0", "long_name": "time", "calendar": "gregorian"})
        hours[:] = (times.astype("datetime64[h]") - LEGACY_EPOCH).astype(int)
        _grid_dims(data, grid, "f4")
        dims = ("time", *(("level",) if levels else ()), "latitude", "longitude")
        for quantity, values in fields.items():
            low, high = float(values.min()), float(values.max())
            scale = (high - low) / 65532 or 1.0
            variable = data.createVariable(quantity.name, "i2", dims, zlib=True, complevel=1, fill_value=-32767)
            variable.setncatts(
                {"units": quantity.unit, "long_name": quantity.long_name, "missing_value": np.int16(-32767)}
            )
            variable.setncatts({"scale_factor": scale, "add_offset": low + 32766 * scale})
            variable[:] = values
    return content[0]


@contextmanager
def new_file(
    layout: Literal["NETCDF4", "NETCDF4_CLASSIC"] = "NETCDF4", history: str = HISTORY
) -> Iterator[tuple[netCDF4.Dataset, list[bytes]]]:
    """A NetCDF file to fill, and a list that holds its bytes afterwards.

    It passes through a temporary file: images that the library builds in memory are padded, differ from run to run
    and cannot be opened for appending.
    """
    content: list[bytes] = []
    with tempfile.TemporaryDirectory(prefix="cranpm-") as folder:
        path = Path(folder) / "file.nc"
        with netCDF4.Dataset(path, "w", format=layout) as data:
            yield data, content
            data.history = history
        content.append(path.read_bytes())


def rounded(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values rounded to a power of two that keeps about 14 bits of their range, as GRIB packing would."""
    spread = float(values.max() - values.min())
    if spread == 0 or not np.isfinite(spread):
        return values.astype(np.float32)
    step = 2.0 ** np.floor(np.log2(spread / 2**BITS))
    return (np.rint(values / np.float32(step)) * np.float32(step)).astype(np.float32)


_CF_TIME = {"units": "seconds since 1970-01-01", "calendar": "proleptic_gregorian"}


def _level_dim(data: netCDF4.Dataset, levels: Sequence[int]) -> tuple[str, ...]:
    data.setncatts({"GRIB_centre": "ecmf", "Conventions": "CF-1.7"})
    if not levels:
        return ()
    data.createDimension("pressure_level", len(levels))
    variable = data.createVariable("pressure_level", "f8", ("pressure_level",))
    variable.setncatts({"units": "hPa", "long_name": "pressure", "standard_name": "air_pressure"})
    variable[:] = levels
    return ("pressure_level",)


def _grid_dims(data: netCDF4.Dataset, grid: Grid, kind: str) -> None:
    for name, values, unit in (("latitude", grid.lats, "degrees_north"), ("longitude", grid.lons, "degrees_east")):
        data.createDimension(name, values.size)
        variable = data.createVariable(name, kind, (name,))
        variable.setncatts({"units": unit, "standard_name": name, "long_name": name})
        variable[:] = values


def _new_fields(data: netCDF4.Dataset, fields: Mapping[Quantity, NDArray[np.float32]], dims: tuple[str, ...]) -> None:
    for quantity, values in fields.items():
        variable = data.createVariable(
            quantity.name, "f4", dims, zlib=True, complevel=1, fill_value=np.float32(np.nan), chunksizes=values.shape
        )
        variable.setncatts({"units": quantity.unit, "long_name": quantity.long_name, "GRIB_shortName": quantity.name})
        variable[:] = rounded(values)
