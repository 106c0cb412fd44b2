"""What a gridded NetCDF file is: weather or composition, analysis or forecast, which of our variables, which days."""

from __future__ import annotations

import netCDF4
import numpy as np

from cranpm.data.products.axes import Axes, read_axes
from cranpm.data.products.description import SHARPENED, SIMULATED, STANDS_IN, Description, utc_days
from cranpm.data.products.sources import Source, open_netcdf
from cranpm.grid import COARSE_STEP
from cranpm.variables import COMPOSITION, LEVELS, SURFACE, UPPER

WEATHER_NAMES = {v.name: v.name for v in (*SURFACE, *UPPER)} | {
    "10m_u_component_of_wind": "u10",
    "10m_v_component_of_wind": "v10",
    "2m_temperature": "t2m",
    "surface_pressure": "sp",
    "total_precipitation": "tp",
    "u_component_of_wind": "u",
    "v_component_of_wind": "v",
    "temperature": "t",
    "geopotential": "z",
    "specific_humidity": "q",
}
COMPOSITION_NAMES = {v.name: v.name for v in COMPOSITION} | {
    "go3": "o3",
    "pm2p5_conc": "pm2p5",
    "pm10_conc": "pm10",
    "no2_conc": "no2",
    "o3_conc": "o3",
    "co_conc": "co",
}
# Total columns and other quantities that only CAMS has: they tell a CAMS file from ERA5, and are not used.
CAMS_ONLY = ("gtco3", "tcno2", "tc_no", "tcso2", "tcco", "aod550", "duaod550", "so2_conc", "no_conc", "pm1")


def describe(source: Source) -> Description:
    """A weather or composition file in our terms.

    Raises:
        CranpmError: it cannot be opened, or lies on no regular grid.
    """
    with open_netcdf(source) as data:
        axes = read_axes(data, source)
        gridded = {name: v for name, v in data.variables.items() if {"latitude", "longitude"} <= _axes_of(v, axes)}
        composition = {ours: name for name, ours in COMPOSITION_NAMES.items() if name in gridded}
        weather = {ours: name for name, ours in WEATHER_NAMES.items() if name in gridded}
        cams = bool(composition) or any(name in CAMS_ONLY for name in gridded)
        names = composition | weather if cams else weather
        units = {ours: str(getattr(data[name], "units", "")) for ours, name in names.items()}
        notes = _notes(data, axes, [name for name in gridded if name not in names.values()])
        dialect = _dialect(data, axes)
    if not names and not cams:
        return Description(source, "other", "NetCDF without any of our variables", axes=axes, notes=notes)
    product = {(False, False): "era5", (False, True): "weather_forecast", (True, False): "cams"}.get(
        (cams, axes.issued is not None), "cams_forecast"
    )
    title = f"{_TITLES[product]}, {dialect}"
    days = utc_days(axes.instants if axes.issued is None else axes.issued)
    return Description(source, product, title, names, _store_names(names, axes), days, axes, units, notes)


_TITLES = {
    "era5": "ERA5",
    "weather_forecast": "weather forecast",
    "cams": "CAMS analysis or reanalysis",
    "cams_forecast": "CAMS forecast",
}


def _axes_of(variable: netCDF4.Variable, axes: Axes) -> set[str]:
    return {axes.dims.get(dim, dim) for dim in variable.dimensions}


def _store_names(names: dict[str, str], axes: Axes) -> tuple[str, ...]:
    """Our store names that a file gives: u10, u_850, pm2p5."""
    upper = {v.name for v in UPPER}
    found = [name for name in names if name not in upper]
    return tuple(
        found + [f"{name}_{level}" for name in names if name in upper for level in LEVELS if level in axes.levels]
    )


def _dialect(data: netCDF4.Dataset, axes: Axes) -> str:
    if any(name.endswith("_conc") for name in data.variables):
        return "European ensemble NetCDF"
    if "valid_time" in data.variables or "forecast_period" in data.variables:
        return "new CDS/ADS NetCDF"
    return "legacy CDS/ADS NetCDF"


def _notes(data: netCDF4.Dataset, axes: Axes, unused: list[str]) -> tuple[str, ...]:
    grid, notes = axes.grid, []
    corner = np.array([grid.north, grid.west]) / COARSE_STEP
    if abs(grid.step - COARSE_STEP) > 1e-6 or np.abs(corner - np.round(corner)).max() > 1e-3:
        notes.append(f"its points are not the multiples of {COARSE_STEP} degrees: will be interpolated")
    if axes.flipped:
        notes.append("south first: turned")
    if "expver" in data.variables and data["expver"].dtype is str and "0005" in set(data["expver"][...].ravel()):
        notes.append("preliminary ERA5T (expver 5)")
    elif "version" in axes.dims.values():
        notes.append("final and preliminary ERA5 (expver 1 and 5) merged")
    if by := str(getattr(data, "sharpened_by", "")):
        notes.append(f"{SHARPENED} to {grid.step:g} degrees and every hour by {by}")
    if STANDS_IN in str(getattr(data, "history", "")):
        notes.append(STANDS_IN)
    if SIMULATED in str(getattr(data, "history", "")):
        notes.append("simulated, not data")
    if unused:
        notes.append(f"not used: {', '.join(unused)}")
    return tuple(notes)
