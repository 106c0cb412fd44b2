"""The sample world's composition on several levels and its driver, as files in the providers' formats."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cranpm.folders import write_whole
from cranpm.grid import Grid
from cranpm.sample.netcdf import CAMS, ERA5, Quantity, new_analysis, new_forecast
from cranpm.sample.species import DRIVER_LEVELS, INSTANTS, SpeciesWorld

Field = NDArray[np.float32]
_GASES, _LEVELS = ("co", "no2"), (1000, 850, 500)
_SURFACE, _UPPER = ("u10", "v10", "t2m", "sp"), ("u", "v", "t", "z", "q")


def write_start(world: SpeciesWorld, day: dt.date, folder: Path) -> None:
    """Write what a forecast from 00 UTC of a day needs: `cams/` of two days, `driver/` issued on the day."""
    grid = world.grid
    for one in world.days([day - dt.timedelta(days=1), day]):
        times = np.datetime64(one.day, "h") + np.array(INSTANTS)
        fields = {CAMS[name]: one.analysis[name] * np.float32(1e-9) for name in ("pm2p5", "pm10")}
        write_whole(folder / "cams" / f"cams_{one.day:%Y%m%d}_sfc.nc", new_analysis(grid, times, fields))
        content = new_analysis(grid, times, _gases(one.analysis), levels=_LEVELS)
        write_whole(folder / "cams" / f"cams_{one.day:%Y%m%d}_plev.nc", content)
    issued = next(iter(world.forecasts([day])))
    _write_driver(grid, day, issued.weather, folder / "driver")


def _gases(fields: Mapping[str, Field]) -> dict[Quantity, Field]:
    return {CAMS[gas]: np.stack([fields[f"{gas}_{level}"] for level in _LEVELS], axis=1) for gas in _GASES}


def _write_driver(grid: Grid, day: dt.date, weather: Mapping[str, Field], folder: Path) -> None:
    periods: Sequence[int] = range(0, 12 * len(weather["u10"]), 12)
    surface = {ERA5[name]: weather[name] for name in _SURFACE}
    levels = sorted(DRIVER_LEVELS, reverse=True)
    upper = {ERA5[name]: np.stack([weather[f"{name}_{level}"] for level in levels], axis=1) for name in _UPPER}
    rain = {ERA5["tp"]: np.cumsum(weather["tp"][1:], axis=0, dtype=np.float32)}
    stem = f"forecast_{day:%Y%m%d}00"
    write_whole(folder / f"{stem}_sfc.nc", new_forecast(grid, day, periods, surface))
    write_whole(folder / f"{stem}_tp.nc", new_forecast(grid, day, periods[1:], rain))
    write_whole(folder / f"{stem}_plev.nc", new_forecast(grid, day, periods, upper, levels=levels))
