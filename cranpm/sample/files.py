"""The sample world written as files in the providers' own formats, one complete set per day.

Layout of a folder: era5/, cams/, weather_forecast/, cams_forecast/, ghap/, terrain/, stations/, SIMULATED.json.
The files of a day depend on that day alone, so a folder can grow in any order.
"""

from __future__ import annotations

import io
import json
import os
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from cranpm.data.progress import Progress, silent
from cranpm.errors import CranpmError, require
from cranpm.folders import write_whole
from cranpm.grid import Grid
from cranpm.sample.daily import CAMS_FORECAST_STEP, CAMS_STEP, FORECAST_STEP, HOURS, LEVEL_STEP, SURFACE_STEP, every
from cranpm.sample.netcdf import CAMS, ERA5, HISTORY, Quantity, legacy_analysis, new_analysis, new_file, new_forecast
from cranpm.sample.station_files import write_station_day, write_station_table
from cranpm.variables import FINE_MISSING, FINE_SCALE, LEVELS

if TYPE_CHECKING:
    from cranpm.sample.world import SimulatedDay, World

MARK = "SIMULATED.json"
R_DRY = 287.05  # J kg-1 K-1
_SURFACE = ("u10", "v10", "t2m", "sp")
_UPPER = ("u", "v", "t", "z", "q")
_PARTICLES = ("pm2p5", "pm10")
_GASES = ("no2", "o3", "co")


def write_files(
    world: World,
    days: Sequence[date],
    folder: Path,
    *,
    era5: Literal["new", "legacy"] = "new",
    surface_step: int = SURFACE_STEP,
    level_step: int = LEVEL_STEP,
    progress: Progress | None = None,
) -> None:
    """Write the products of simulated days; days that are complete in the folder are left as they are.

    Args:
        world: the sample world.
        days: any days; duplicates count once.
        folder: created if need be; must hold nothing, or files of the same world.
        era5: which Climate Data Store's NetCDF to write, the new one (zips) or the old one (packed).
        surface_step, level_step: hours between the ERA5 instants of surface and pressure-level variables: 3, 6 or 12.
        progress: told after each day.

    Raises:
        CranpmError: the folder holds another world's files.
    """
    folder, tell = Path(folder), progress or silent
    if not {surface_step, level_step} <= {3, 6, 12}:
        raise CranpmError(f"instants every {surface_step} and {level_step} hours; expected 3, 6 or 12")
    _claim(world, folder)
    _write_terrain(world, folder)
    if not write_station_table(world, folder / "stations"):
        warnings.warn('stations left out: they need pip install "cranpm[stations]"', stacklevel=2)
    todo = [day for day in sorted(set(days)) if not _done(folder, day).exists()]
    for number, simulated in enumerate(world.days(todo) if todo else (), start=1):
        write_day(world, simulated, folder, era5=era5, surface_step=surface_step, level_step=level_step)
        tell("simulating days", number, len(todo))


def write_day(
    world: World,
    simulated: SimulatedDay,
    folder: Path,
    *,
    era5: Literal["new", "legacy"] = "new",
    surface_step: int = SURFACE_STEP,
    level_step: int = LEVEL_STEP,
) -> None:
    """Write one day's files, its mark of completeness last."""
    _write_era5(world.coarse, simulated, folder / "era5", era5, surface_step, level_step)
    _write_cams(world.coarse, simulated, folder / "cams")
    _write_weather_forecast(world.coarse, simulated, folder / "weather_forecast")
    _write_cams_forecast(world.coarse, simulated, folder / "cams_forecast")
    ghap = folder / "ghap" / f"GHAP_PM2.5_D1K_{simulated.day:%Y%m%d}_V1.nc"
    write_whole(ghap, _ghap(world.fine, simulated.ghap))
    write_station_day(world, simulated, folder / "stations")
    write_whole(_done(folder, simulated.day), b"")


def mixing_ratio(
    concentration: NDArray[np.float32], temperature: NDArray[np.float32], pressure: float
) -> NDArray[np.float32]:
    """Mass mixing ratio, kg kg-1, of a concentration in ug m-3 in dry air of a temperature (K) and pressure (Pa)."""
    return (concentration * (np.float32(1e-9 * R_DRY / pressure) * temperature)).astype(np.float32)


def _write_era5(
    grid: Grid, simulated: SimulatedDay, folder: Path, dialect: str, surface_step: int, level_step: int
) -> None:
    day, weather = simulated.day, simulated.weather
    surface = {ERA5[name]: weather[name][every(surface_step)] for name in _SURFACE}
    upper = {ERA5[name]: weather[name][every(level_step)][:, ::-1] for name in _UPPER}  # 1000 hPa first, as delivered
    rain = np.repeat(weather["tp"] / np.float32(3), 3, axis=0)  # hours ending at 01..23 and at 00 of the next day
    hours = np.datetime64(day, "h") + np.arange(1, 25)
    after = day + timedelta(days=1)
    if dialect == "legacy":
        rising = {quantity: values[:, ::-1] for quantity, values in upper.items()}
        write_whole(folder / f"era5_{day:%Y%m%d}_sl.nc", legacy_analysis(grid, _times(day, surface_step), surface))
        write_whole(folder / f"era5_{day:%Y%m%d}_tp.nc", legacy_analysis(grid, hours[:23], {ERA5["tp"]: rain[:23]}))
        levels = legacy_analysis(grid, _times(day, level_step), rising, levels=LEVELS)
        write_whole(folder / f"era5_{day:%Y%m%d}_pl.nc", levels)
        write_whole(folder / f"era5_{after:%Y%m%d}_tp00.nc", legacy_analysis(grid, hours[23:], {ERA5["tp"]: rain[23:]}))
        return
    single = {
        "data_stream-oper_stepType-instant.nc": new_analysis(grid, _times(day, surface_step), surface),
        "data_stream-oper_stepType-accum.nc": new_analysis(grid, hours[:23], {ERA5["tp"]: rain[:23]}),
    }
    write_whole(folder / f"era5_{day:%Y%m%d}_sl.zip", _zip(single))
    levels = new_analysis(grid, _times(day, level_step), upper, levels=LEVELS[::-1])
    write_whole(folder / f"era5_{day:%Y%m%d}_pl.nc", levels)
    write_whole(folder / f"era5_{after:%Y%m%d}_tp00.nc", new_analysis(grid, hours[23:], {ERA5["tp"]: rain[23:]}))


def _write_cams(grid: Grid, simulated: SimulatedDay, folder: Path) -> None:
    chosen = every(CAMS_STEP)
    composition = {name: values[chosen] for name, values in simulated.composition.items()}
    temperature = simulated.weather["t"][chosen, LEVELS.index(1000)]
    times = _times(simulated.day, CAMS_STEP)
    members = {
        "data_sfc.nc": new_analysis(grid, times, _particles(composition)),
        "data_plev.nc": new_analysis(grid, times, _gases(composition, temperature), levels=(1000,)),
    }
    write_whole(folder / f"cams_{simulated.day:%Y%m%d}.zip", _zip(members))


def _write_cams_forecast(grid: Grid, simulated: SimulatedDay, folder: Path) -> None:
    chosen = every(CAMS_FORECAST_STEP)
    composition = {name: _flat(values[:, chosen]) for name, values in simulated.forecast_composition.items()}
    temperature = _flat(simulated.forecast_weather["t"][:, chosen, LEVELS.index(1000)])
    periods = _periods(simulated, CAMS_FORECAST_STEP)
    members = {
        "data_sfc.nc": new_forecast(grid, simulated.day, periods, _particles(composition)),
        "data_plev.nc": new_forecast(grid, simulated.day, periods, _gases(composition, temperature), levels=(1000,)),
    }
    write_whole(folder / f"cams_forecast_{simulated.day:%Y%m%d}00.zip", _zip(members))


def _write_weather_forecast(grid: Grid, simulated: SimulatedDay, folder: Path) -> None:
    weather, chosen = simulated.forecast_weather, every(FORECAST_STEP)
    periods = _periods(simulated, FORECAST_STEP)
    surface = {ERA5[name]: _flat(weather[name][:, chosen]) for name in _SURFACE}
    upper = {ERA5[name]: _flat(weather[name][:, chosen])[:, ::-1] for name in _UPPER}
    first = simulated.weather["tp"].sum(axis=0)[None]  # accumulated from the reference time on, as forecasts are
    rain = np.cumsum(np.concatenate([first, weather["tp"].sum(axis=1)]), axis=0, dtype=np.float32)
    ends = [24 * lead for lead in range(1, len(rain) + 1)]
    members = {
        "data_stream-oper_stepType-instant.nc": new_forecast(grid, simulated.day, periods, surface),
        "data_stream-oper_stepType-accum.nc": new_forecast(grid, simulated.day, ends, {ERA5["tp"]: rain}),
        "data_plev.nc": new_forecast(grid, simulated.day, periods, upper, levels=LEVELS[::-1]),
    }
    write_whole(folder / f"forecast_{simulated.day:%Y%m%d}00.zip", _zip(members))


def _particles(composition: Mapping[str, NDArray[np.float32]]) -> dict[Quantity, NDArray[np.float32]]:
    return {CAMS[name]: composition[name] * np.float32(1e-9) for name in _PARTICLES}


def _gases(composition: Mapping[str, NDArray], temperature: NDArray) -> dict[Quantity, NDArray[np.float32]]:
    """Mixing ratios at 1000 hPa and the temperature that turns them back."""
    temperature = temperature.astype(np.float32)
    gases = {CAMS[name]: mixing_ratio(composition[name], temperature, 1e5)[:, None] for name in _GASES}
    return gases | {CAMS["t"]: temperature[:, None]}


def _ghap(grid: Grid, values: NDArray[np.float32]) -> bytes:
    """The daily 1 km file: uint16 counts of 0.1 ug m-3, 65535 where missing."""
    with new_file() as (data, content):
        for name, axis, unit in (("lat", grid.lats, "degrees_north"), ("lon", grid.lons, "degrees_east")):
            data.createDimension(name, axis.size)
            data.createVariable(name, "f8", (name,)).units = unit
            data[name][:] = axis
        variable = data.createVariable("PM2.5", "u2", ("lat", "lon"), zlib=True, complevel=1, fill_value=FINE_MISSING)
        variable.setncatts({"units": "µg/m3", "long_name": "PM2.5", "scale_factor": FINE_SCALE, "add_offset": 0.0})
        variable.set_auto_maskandscale(False)
        counts = np.rint(np.nan_to_num(values, nan=0.0) / np.float32(FINE_SCALE))
        variable[:] = np.where(np.isnan(values), FINE_MISSING, np.clip(counts, 0, FINE_MISSING - 1)).astype(np.uint16)
    return content[0]


def _write_terrain(world: World, folder: Path) -> None:
    path = folder / "terrain" / "elevation.tif"
    if path.exists():
        return
    rasterio = require("rasterio", extra="terrain")
    grid, metres = world.terrain()
    west, _, _, north = grid.edges
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tif")
    transform = rasterio.Affine(grid.step, 0.0, west, 0.0, -grid.step, north)
    profile = {
        "driver": "GTiff",
        "dtype": "int16",
        "count": 1,
        "crs": "EPSG:4326",
        "transform": transform,
        "nodata": -32768,
    }
    profile |= {"height": grid.height, "width": grid.width, "compress": "deflate", "predictor": 2, "tiled": True}
    with rasterio.open(temporary, "w", **profile) as raster:
        raster.write(np.rint(metres).astype(np.int16), 1)
        raster.update_tags(history=HISTORY)
    temporary.replace(path)


def _claim(world: World, folder: Path) -> None:
    """Mark the folder as this world's, or refuse another's."""
    identity = world.identity()
    path = folder / MARK
    if path.exists():
        found = json.loads(path.read_text())
        if found != json.loads(json.dumps(identity)):
            keys = [key for key in identity if found.get(key) != json.loads(json.dumps(identity[key]))]
            raise CranpmError(
                f"{folder}: holds another simulated world ({', '.join(keys)} differ); choose an empty folder"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise CranpmError(f"{folder}: not empty and not a simulated world ({MARK} missing); choose an empty folder")
    write_whole(path, (json.dumps(identity, indent=1) + "\n").encode())


def _zip(members: Mapping[str, bytes]) -> bytes:
    """A zip as the stores deliver it; its clock is fixed so that equal content gives equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def _done(folder: Path, day: date) -> Path:
    return folder / ".complete" / f"{day}"


def _times(day: date, step: int) -> NDArray[np.datetime64]:
    return np.datetime64(day, "h") + np.arange(0, 24, step)


def _periods(simulated: SimulatedDay, step: int) -> list[int]:
    leads = len(next(iter(simulated.forecast_composition.values())))
    return [24 * lead + hour for lead in range(1, leads + 1) for hour in HOURS[every(step)]]


def _flat(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Leads and hours as one axis of periods."""
    return values.reshape(-1, *values.shape[2:])
