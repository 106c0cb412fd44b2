"""The axes of a gridded NetCDF file, whichever of the providers' dialects it speaks.

Read once per file: time (analysis instants, or forecasts by reference time and period), levels, a regular grid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import netCDF4
import numpy as np
from numpy.typing import NDArray

from cranpm.data.products.sources import Source
from cranpm.errors import CranpmError
from cranpm.grid import Grid, wrap_longitude

Times = NDArray[np.datetime64]

LATITUDE = ("latitude", "lat")
LONGITUDE = ("longitude", "lon")
LEVEL = ("pressure_level", "level", "isobaricInhPa", "plev", "hybrid", "model_level", "height")
VALID = ("valid_time", "time")
ISSUED = ("forecast_reference_time",)
PERIOD = ("forecast_period", "step")
VERSION = ("expver",)
MEMBER = ("number", "realization")


@dataclass(frozen=True)
class Axes:
    """Where and when the values of a file lie.

    Attributes:
        grid: the file's points, north first, first longitude in -180..180 and continuous from there.
        flipped: the file runs south first.
        periodic: the columns go round the Earth.
        valid: valid times, seconds UTC, shape (n,), or (issued, period) for forecasts.
        issued: forecast reference times, shape (m,), or None for analyses.
        levels: hPa for pressure levels, else as the file numbers them; empty without a level coordinate.
        vertical: "pressure", "model", "height", or empty.
        dims: our axis ("latitude", "longitude", "time", "issued", "period", "level", "version", "member")
            by the file's dimension.
    """

    grid: Grid
    flipped: bool
    periodic: bool
    valid: Times
    issued: Times | None
    levels: tuple[float, ...]
    vertical: str
    dims: dict[str, str]

    @property
    def instants(self) -> Times:
        """All valid times, flat."""
        return self.valid.reshape(-1)

    @cached_property
    def ends(self) -> tuple[np.datetime64, np.datetime64]:
        """First and last valid time; asked of every file for every day, so kept."""
        return self.valid.min(), self.valid.max()


def read_axes(data: netCDF4.Dataset, source: Source) -> Axes:
    """The axes of an open file.

    Raises:
        CranpmError: no regular latitude-longitude grid, or a time axis that cannot be read.
    """
    dims: dict[str, str] = {}
    latitude, longitude = _find(data, LATITUDE), _find(data, LONGITUDE)
    if latitude is None or longitude is None:
        raise CranpmError(
            f"{source}: no latitude and longitude (found: {', '.join(data.variables) or 'nothing'}); "
            "expected a regular latitude-longitude grid"
        )
    grid, flipped, periodic = regular_grid(_plain(data[latitude]), _plain(data[longitude]), str(source))
    dims |= {latitude: "latitude", longitude: "longitude"}
    level = _find(data, LEVEL)
    levels = tuple(float(v) for v in np.atleast_1d(_plain(data[level]))) if level else ()
    if level and str(getattr(data[level], "units", "")) == "Pa":
        levels = tuple(value / 100 for value in levels)
    if level and level in data.dimensions:
        dims[level] = "level"
    for names, axis in ((VERSION, "version"), (MEMBER, "member")):
        dims |= {name: axis for name in names if name in data.dimensions}
    valid, issued, time_dims = _times(data, source)
    return Axes(grid, flipped, periodic, valid, issued, levels, _vertical(data, level), dims | time_dims)


def regular_grid(lats: NDArray, lons: NDArray, name: str) -> tuple[Grid, bool, bool]:
    """The grid spanned by coordinate vectors in either direction and any longitude convention.

    Args:
        lats: latitudes, degrees, rising or falling, shape (h,).
        lons: longitudes, degrees, eastward, -180..180 or 0..360 or across the seam, shape (w,).
        name: what to call it in an error.

    Returns:
        The grid (north first, west in -180..180), whether the rows were south first, whether it goes round.

    Raises:
        CranpmError: not two regular vectors of one spacing.
    """
    lats, lons = np.atleast_1d(lats).astype(float), np.atleast_1d(lons).astype(float)
    if lats.ndim != 1 or lons.ndim != 1:
        raise CranpmError(f"{name}: latitudes of shape {lats.shape}; expected a regular grid: request one in degrees")
    if not (np.isfinite(lats).all() and np.isfinite(lons).all()):
        raise CranpmError(f"{name}: its coordinates hold missing values; download it again")
    flipped = lats.size > 1 and lats[1] > lats[0]
    lats = lats[::-1] if flipped else lats
    lons = lons[0] + np.concatenate([[0.0], np.cumsum(np.diff(lons) % 360.0)])
    steps = [_step(-lats, "latitudes", name), _step(lons, "longitudes", name)]
    known = [step for step in steps if step]
    if not known or max(known) - min(known) > 1e-3 * max(known):
        raise CranpmError(f"{name}: steps {steps[0]} by {steps[1]} degrees; expected one spacing in both directions")
    step = known[-1]
    west = round(float(wrap_longitude(round(float(lons[0]), 4))), 4)
    grid = Grid(round(float(lats[0]), 4), west, step, lats.size, lons.size)
    return grid, bool(flipped), bool(abs(lons.size * step - 360.0) < step / 2)


def decode_times(values: NDArray, units: str, long_name: str, name: str) -> Times:
    """Times from numbers and a CF unit text, or from a bare unit and a start date in the long name."""
    text = units.strip().lower()
    unit, _, start = text.partition(" since ")
    if not start and (found := re.search(r"from\s+(\d{4})-?(\d{2})-?(\d{2})", long_name)):
        start = "-".join(found.groups())
    seconds = _UNIT_SECONDS.get(unit.split()[0] if unit else "")
    origin = re.match(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[t ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d*)?)?)?", start)
    if seconds is None or origin is None:
        raise CranpmError(f"{name}: time axis in '{units}' cannot be read; expected '<unit> since <date>'")
    year, month, day, hour, minute, second = (int(part or 0) for part in origin.groups())
    base = np.datetime64(f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}", "s")
    offset = np.round(np.asarray(values, dtype=np.float64) * seconds).astype(np.int64)
    return base + offset.astype("timedelta64[s]")


_UNIT_SECONDS = {"seconds": 1, "second": 1, "s": 1, "minutes": 60, "minute": 60, "hours": 3600, "hour": 3600}
_UNIT_SECONDS |= {"h": 3600, "hr": 3600, "days": 86400, "day": 86400}


def _vertical(data: netCDF4.Dataset, level: str | None) -> str:
    if level is None:
        return ""
    unit = str(getattr(data[level], "units", "")).lower()
    if level in ("hybrid", "model_level"):
        return "model"
    return "height" if level == "height" or unit in ("m", "metres", "meters") else "pressure"


def _times(data: netCDF4.Dataset, source: Source) -> tuple[Times, Times | None, dict[str, str]]:
    """Valid times, reference times and the dimensions they run along."""
    period = _find(data, PERIOD)
    reference = _find(data, ISSUED) or (_find(data, ("time",)) if period else None)
    if period and reference:
        issued = np.atleast_1d(_decoded(data, reference, source))
        hours = np.atleast_1d(_plain(data[period])).astype(float)
        unit = _UNIT_SECONDS.get(str(getattr(data[period], "units", "hours")).lower().split()[0], 3600)
        ahead = np.round(hours * unit).astype(np.int64).astype("timedelta64[s]")
        dims = {
            dim: axis for name, axis in ((reference, "issued"), (period, "period")) for dim in data[name].dimensions
        }
        if len(dims) < data[reference].ndim + data[period].ndim:
            raise CranpmError(f"{source}: reference time and period share a dimension; request one reference time")
        return issued[:, None] + ahead[None, :], issued, dims
    valid = next((name for name in VALID if name in data.variables), None)
    if valid is None:
        return np.empty(0, "datetime64[s]"), None, {}
    times = np.atleast_1d(_decoded(data, valid, source))
    dims = {valid: "time"} if valid in data.dimensions else {}
    if not dims and data[valid].ndim == 1:
        dims = {data[valid].dimensions[0]: "time"}
    return times, None, dims


def _decoded(data: netCDF4.Dataset, name: str, source: Source) -> Times:
    variable = data[name]
    units, long_name = str(getattr(variable, "units", "")), str(getattr(variable, "long_name", ""))
    calendar = str(getattr(variable, "calendar", "standard")).lower()
    if calendar not in ("standard", "gregorian", "proleptic_gregorian"):
        raise CranpmError(f"{source}: calendar '{calendar}'; expected the Gregorian one of the reanalyses")
    return decode_times(_plain(variable), units, long_name, str(source))


def _find(data: netCDF4.Dataset, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in data.variables), None)


def _plain(variable: netCDF4.Variable) -> NDArray:
    return np.ma.filled(np.ma.asarray(variable[:]).astype(float), np.nan)


def _step(values: NDArray, what: str, name: str) -> float:
    """Spacing of a rising vector; 0 for a single value."""
    if values.size < 2:
        return 0.0
    step = float(values[-1] - values[0]) / (values.size - 1)
    short = round(step, 4)  # float32 coordinates leave 0.100006 where 0.1 is meant
    step = short if abs(short - step) < 3e-4 * abs(step) else round(step, 8)
    if step <= 0 or np.abs(np.diff(values) - step).max() > 0.05 * step:
        raise CranpmError(f"{name}: {what} are not evenly spaced; expected a regular grid without gaps")
    return step
