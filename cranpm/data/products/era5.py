"""ERA5 as the Climate Data Store delivers it, old and new, and weather forecasts in the same new style."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cranpm.data.products.description import Description
from cranpm.data.products.fields import check_daily
from cranpm.data.products.gridded import describe
from cranpm.data.products.hours import Hours, Want, daily_mean, gather, span
from cranpm.data.products.results import channel_array, latest_issue, lead_array, names_text, open_gridded, pick
from cranpm.data.products.sources import Source
from cranpm.errors import CranpmError
from cranpm.grid import Grid
from cranpm.variables import COARSE, LEVELS, SURFACE, UPPER

CHANNELS = tuple(name for name in COARSE if name in {v.name for v in SURFACE} or name.split("_")[-1].isdigit())
"""The 30 meteorological store names, in the network's order."""

CDS = "https://cds.climate.copernicus.eu (reanalysis-era5-single-levels, reanalysis-era5-pressure-levels)"
LONG_NAMES = {
    "u10": "10m_u_component_of_wind",
    "v10": "10m_v_component_of_wind",
    "t2m": "2m_temperature",
    "sp": "surface_pressure",
    "tp": "total_precipitation",
    "u": "u_component_of_wind",
    "v": "v_component_of_wind",
    "t": "temperature",
    "z": "geopotential",
    "q": "specific_humidity",
}
"""What the Climate Data Store calls our variables in a request."""

_TP = next(v for v in SURFACE if v.name == "tp")


def identify(path: Path | Source) -> Description | None:
    """A NetCDF file or zip member described, or None if it holds no weather."""
    found = describe(path if isinstance(path, Source) else Source(path))
    return found if found.product in ("era5", "weather_forecast") else None


def open_era5(path: Path | Source) -> xr.Dataset:
    """All instants of a file: our names and units, north first, longitudes -180..180, UTC times.

    Returns:
        Variables (time, latitude, longitude) or (time, level, latitude, longitude).
    """
    return open_gridded(path if isinstance(path, Source) else Source(path))


def daily(files: Sequence[Description], day: date, grid: Grid) -> xr.DataArray:
    """The 30 meteorological channels of a UTC day.

    Instants are averaged (winds as components); precipitation is the sum of the hours ending at 01..23 UTC
    and at 00 UTC of the next day.

    Args:
        files: descriptions; those that are not ERA5 are passed over.
        day: the UTC day.
        grid: the pack's coarse nodes.

    Returns:
        (channel, latitude, longitude), float32, units of `variables.COARSE`.

    Raises:
        CranpmError: a variable or an hour is missing, a value is missing or impossible, a unit is wrong.
    """
    files = pick(files, "era5")
    start, stop = span(day)
    wants = [*_instants(start, stop), Want("tp", _TP, None, *span(day, first_hour=1))]
    hours = gather(files, wants, grid)
    _refuse_missing(files, hours, day)
    channels = {}
    for want in wants:
        one = hours[want.name]
        channels[want.name] = _rain(one, day) if want.name == "tp" else daily_mean(one, want.name, day)
        check_daily(channels[want.name], want.variable, want.name, one.where, day)
    return channel_array(channels, CHANNELS, grid, hours, day)


def forecast(files: Sequence[Description], day: date, grid: Grid, leads: Sequence[int] = (1, 2, 3)) -> xr.DataArray:
    """The 30 channels of the days ahead, from the last weather forecast issued on a day.

    Precipitation is accumulated from the reference time on, as forecasts deliver it; a day is the difference
    of two accumulations.

    Returns:
        (lead, channel, latitude, longitude), float32; NaN where the files hold no such lead or variable, which
        `attrs["absent"]` lists.

    Raises:
        CranpmError: nothing was issued on that day, or what is there is damaged.
    """
    files = pick(files, "weather_forecast")
    issued = latest_issue(files, day, "weather forecast")
    ends = [span(day + timedelta(days=lead)) for lead in leads]
    start, stop = min(ends)[0], max(ends)[1]
    wants = [*_instants(start, stop), Want("tp", _TP, None, start, stop + np.timedelta64(1, "s"))]
    hours = gather(files, wants, grid, issued=issued)
    found: list[dict[str, NDArray]] = []
    for valid in (day + timedelta(days=lead) for lead in leads):
        channels = {}
        for want in wants:
            one = hours.get(want.name)
            values = _ahead(one, want.name, valid) if one is not None else None
            if one is not None and values is not None:
                check_daily(values, want.variable, want.name, one.where, valid)
                channels[want.name] = values
        found.append(channels)
    return lead_array(found, CHANNELS, grid, hours, day, leads, issued)


def _instants(start: np.datetime64, stop: np.datetime64) -> list[Want]:
    """What is averaged: everything but precipitation."""
    surface = [Want(v.name, v, None, start, stop) for v in SURFACE if v is not _TP]
    return surface + [Want(f"{v.name}_{level}", v, float(level), start, stop) for v in UPPER for level in LEVELS]


def _rain(hours: Hours, day: date) -> NDArray[np.float32]:
    """Sum of the 24 hourly amounts that end on 01 UTC .. 00 UTC of the next day."""
    first = np.datetime64(day, "s")
    expected = first + np.arange(1, 25) * np.timedelta64(1, "h")
    absent = np.setdiff1d(expected, hours.times)
    if absent.size:
        shown = ", ".join(str(time)[:13].replace("T", " ") for time in absent[:4]) + (" ..." if absent.size > 4 else "")
        raise CranpmError(
            f"{hours.where}: 'tp' on {day} lacks {absent.size} of 24 hours ({shown} UTC); expected the hours ending at "
            f"01..23 UTC and at 00 UTC of {day + timedelta(days=1)}: request them"
        )
    rain = hours.values[np.isin(hours.times, expected)].sum(axis=0, dtype=np.float64)
    tiny = (rain < 0) & (rain > -1e-4)  # packing leaves up to some 1e-5 m below zero
    return np.where(tiny, 0.0, rain).astype(np.float32)


def _ahead(hours: Hours, name: str, day: date) -> NDArray[np.float32] | None:
    """A forecast day of one channel; None where the forecast does not reach it."""
    if name == "tp":
        return _accumulated(hours, day)
    return daily_mean(hours, name, day) if hours.has(day) else None


def _accumulated(hours: Hours, day: date) -> NDArray[np.float32] | None:
    """Difference of the accumulations at the end and the start of a day; None if either is absent."""
    ends = [np.flatnonzero(hours.times == end) for end in span(day)]
    if not all(end.size for end in ends):
        return None
    rain = hours.values[ends[1][0]] - hours.values[ends[0][0]]
    return np.where((rain < 0) & (rain > -1e-4), np.float32(0), rain)


def _refuse_missing(files: Sequence[Description], hours: dict[str, Hours], day: date) -> None:
    absent, there = ([name for name in CHANNELS if (name in hours) is held] for held in (False, True))
    if absent:
        request = dict.fromkeys(LONG_NAMES[name.partition("_")[0]] for name in absent)
        raise CranpmError(
            f"ERA5 for {day}: {names_text(absent)} missing (found: {names_text(there) or 'nothing'} in "
            f"{len(files)} files); request {', '.join(request)} for that day from {CDS}"
        )
