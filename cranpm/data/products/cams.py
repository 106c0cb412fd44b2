"""CAMS composition as the Atmosphere Data Store delivers it: EAC4, global forecasts, the European ensemble.

Particles come as kg m-3 at the surface (or as ug m-3 from the European ensemble). Gases come as mass mixing
ratios, which become concentrations with the density of dry air, rho = p / (R_d T), at the level they lie on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cranpm.data.products.axes import Times
from cranpm.data.products.description import Description
from cranpm.data.products.fields import check_daily, plain_unit
from cranpm.data.products.gridded import describe
from cranpm.data.products.hours import Hours, Want, daily_mean, gather, span
from cranpm.data.products.results import channel_array, latest_issue, lead_array, open_gridded, pick
from cranpm.data.products.sources import Source
from cranpm.errors import CranpmError
from cranpm.grid import Grid
from cranpm.variables import COMPOSITION, SURFACE, UPPER

CHANNELS = tuple(v.name for v in COMPOSITION)
"""The five composition names, in the network's order."""

R_DRY = 287.05  # J kg-1 K-1, gas constant of dry air
ADS = (
    "https://ads.atmosphere.copernicus.eu (cams-global-reanalysis-eac4, cams-global-atmospheric-composition-forecasts)"
)
_T2M, _SP = (next(v for v in SURFACE if v.name == name) for name in ("t2m", "sp"))
_T = next(v for v in UPPER if v.name == "t")


def identify(path: Path | Source) -> Description | None:
    """A NetCDF file or zip member described, or None if it holds no composition."""
    found = describe(path if isinstance(path, Source) else Source(path))
    return found if found.product in ("cams", "cams_forecast") else None


def open_cams(path: Path | Source) -> xr.Dataset:
    """All instants of an analysis file: our names, north first, longitudes -180..180, UTC times.

    Concentrations are in ug m-3; mixing ratios stay in kg kg-1, which their `units` say.
    """
    return open_gridded(path if isinstance(path, Source) else Source(path))


def daily(files: Sequence[Description], day: date, grid: Grid) -> xr.DataArray:
    """The five composition channels of a UTC day, averaged over its instants.

    Args:
        files: descriptions; those that are not CAMS analyses are passed over.
        day: the UTC day.
        grid: the pack's coarse nodes; other grids are interpolated to it.

    Returns:
        (channel, latitude, longitude), float32, ug m-3.

    Raises:
        CranpmError: a species or an hour is missing, a value is missing or impossible, a unit is wrong.
    """
    files = pick(files, "cams")
    hours = _concentrations(files, span(day), grid, None)
    absent = [name for name in CHANNELS if name not in hours]
    if absent:
        raise CranpmError(
            f"CAMS for {day}: {', '.join(absent)} missing (found: {', '.join(hours) or 'nothing'} in {len(files)} "
            f"files); request them for that day from {ADS}"
        )
    channels = {name: _mean(hours[name], name, day) for name in CHANNELS}
    return channel_array(channels, CHANNELS, grid, hours, day)


def forecast(files: Sequence[Description], day: date, grid: Grid, leads: Sequence[int] = (1, 2, 3)) -> xr.DataArray:
    """The five channels of the days ahead, from the last CAMS forecast issued on a day.

    Returns:
        (lead, channel, latitude, longitude), float32, ug m-3; NaN where the files hold no such lead or species,
        which `attrs["absent"]` lists.

    Raises:
        CranpmError: nothing was issued on that day, or what is there is damaged.
    """
    files = pick(files, "cams_forecast")
    issued = latest_issue(files, day, "CAMS forecast")
    ends = [span(day + timedelta(days=lead)) for lead in leads]
    hours = _concentrations(files, (min(ends)[0], max(ends)[1]), grid, issued)
    found: list[dict[str, NDArray]] = []
    for lead in leads:
        valid = day + timedelta(days=lead)
        found.append({name: _mean(one, name, valid) for name, one in hours.items() if one.has(valid)})
    return lead_array(found, CHANNELS, grid, hours, day, leads, issued)


def _mean(hours: Hours, name: str, day: date) -> NDArray[np.float32]:
    mean = daily_mean(hours, name, day)
    check_daily(mean, next(v for v in COMPOSITION if v.name == name), name, hours.where, day)
    return mean


def _concentrations(
    files: Sequence[Description], when: tuple[np.datetime64, np.datetime64], grid: Grid, issued: np.datetime64 | None
) -> dict[str, Hours]:
    """All instants of the species that the files hold, ug m-3, in the order of `CHANNELS`."""
    plain = [_only(file, [name for name in CHANNELS if not _is_ratio(file, name)]) for file in files]
    ratios = [_only(file, [name for name in CHANNELS if _is_ratio(file, name)]) for file in files]
    found = gather(plain, [Want(v.name, v, None, *when) for v in COMPOSITION], grid, issued=issued)
    if any(file.names for file in ratios):
        gases = _from_ratios(files, [file for file in ratios if file.names], when, grid, issued)
        found = gases | found
    return {name: found[name] for name in CHANNELS if name in found}


def _is_ratio(file: Description, name: str) -> bool:
    return name in file.names and plain_unit(file.units.get(name, "")) in ("kg kg-1", "1")


def _only(file: Description, names: Sequence[str]) -> Description:
    """The same file with some of its variables."""
    return replace(file, names={name: file.names[name] for name in names if name in file.names})


def _from_ratios(
    files: Sequence[Description],
    ratios: Sequence[Description],
    when: tuple[np.datetime64, np.datetime64],
    grid: Grid,
    issued: np.datetime64 | None,
) -> dict[str, Hours]:
    """Concentrations from mixing ratios with the air's density at the lowest level of the files, or at the surface."""
    level = _lowest_level(ratios)
    wants = [Want(v.name, replace(v, unit="kg kg-1"), level, *when) for v in COMPOSITION]
    found = gather(ratios, wants, grid, issued=issued)
    air = [Want("t", _T, level, *when)] if level else [Want("t2m", _T2M, None, *when), Want("sp", _SP, None, *when)]
    around = gather(files, air, grid, issued=issued)
    return {name: _with_density(name, one, around, level) for name, one in found.items()}


def _lowest_level(ratios: Sequence[Description]) -> float | None:
    """The highest pressure among the files' levels, hPa; None where gases lie at the surface."""
    for file in ratios:
        if file.axes is not None and file.axes.vertical == "model":
            raise CranpmError(
                f"{file.source}: {', '.join(file.names)} on model levels; expected pressure levels: request 1000 hPa "
                f"from {ADS}"
            )
    levels = [level for file in ratios if file.axes is not None for level in file.axes.levels]
    return max(levels) if levels else None


def _with_density(name: str, ratio: Hours, around: dict[str, Hours], level: float | None) -> Hours:
    """A mixing ratio times the density of dry air, ug m-3."""
    wanted = ("t",) if level else ("t2m", "sp")
    if absent := [other for other in wanted if other not in around or not _same(around[other].times, ratio.times)]:
        at = f"temperature at {level:g} hPa" if level else "2m_temperature and surface_pressure"
        raise CranpmError(
            f"{ratio.where}: '{name}' is a mixing ratio (kg kg-1) and needs {at} at the same instants to become "
            f"ug m-3; missing: {', '.join(absent)}: request it with the same times from {ADS}"
        )
    temperature = _at(around[wanted[0]], ratio.times)
    pressure = np.float32(level * 100) if level else _at(around["sp"], ratio.times)
    density = pressure / (np.float32(R_DRY) * temperature)
    return replace(ratio, values=ratio.values * density * np.float32(1e9))


def _same(have: Times, need: Times) -> bool:
    return bool(np.isin(need, have).all())


def _at(hours: Hours, times: Times) -> NDArray[np.float32]:
    return hours.values[np.searchsorted(hours.times, times)]
