"""The sample world's composition on several levels and its driver, as files in the providers' formats."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cranpm.folders import write_whole
from cranpm.grid import Grid
from cranpm.sample.netcdf import CAMS, ERA5, new_analysis, new_forecast
from cranpm.sample.species import DRIVER_LEVELS, INSTANTS, SpeciesDay, SpeciesWorld

Field = NDArray[np.float32]
_GASES, _LEVELS = ("co", "no2"), (1000, 850, 500)
_SURFACE, _UPPER = ("u10", "v10", "t2m", "sp"), ("u", "v", "t", "z", "q")


def write_starts(world: SpeciesWorld, folders: Mapping[dt.date, Path]) -> Iterator[Path]:
    """Write what forecasts from 00 UTC of some days need: in a day's folder `cams/` of two days, and `driver/`.

    Yields:
        The folder of each day, in the order of the calendar, once it is complete.
    """
    days = {day - dt.timedelta(days=back) for day in folders for back in (0, 1)}
    analyses = {one.day: one for one in world.days(sorted(days))}
    for issued in world.forecasts(sorted(folders)):
        folder = folders[issued.day]
        for back in (1, 0):
            _write_cams(world.grid, analyses[issued.day - dt.timedelta(days=back)], folder / "cams")
        _write_driver(world.grid, issued.day, issued.weather, folder / "driver")
        yield folder


def _write_cams(grid: Grid, day: SpeciesDay, folder: Path) -> None:
    times = np.datetime64(day.day, "h") + np.array(INSTANTS)
    particles = {CAMS[name]: day.analysis[name] * np.float32(1e-9) for name in ("pm2p5", "pm10")}
    write_whole(folder / f"cams_{day.day:%Y%m%d}_sfc.nc", new_analysis(grid, times, particles))
    gases = {CAMS[gas]: np.stack([day.analysis[f"{gas}_{level}"] for level in _LEVELS], axis=1) for gas in _GASES}
    write_whole(folder / f"cams_{day.day:%Y%m%d}_plev.nc", new_analysis(grid, times, gases, levels=_LEVELS))


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
