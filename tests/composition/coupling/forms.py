"""One analytic weather in the files of every driver that has a name: linear in place, so that bilinear is exact."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from cranpm.grid import Grid
from cranpm.sample.netcdf import ERA5, new_analysis, new_forecast

DAY = dt.date(2026, 7, 2)
START = np.datetime64(DAY, "h")
WIDE = Grid(53.0, 5.0, 0.25, 25, 33)
LEVELED = ("u", "v", "t", "z", "q", "r")
LEVELS = (1000, 850, 500)
# mean, per degree north, per degree east, per hour
_SHAPES = {
    "u10": (3, 0.1, 0.05, 0.02), "v10": (-2, 0.05, -0.1, 0.01), "t2m": (290, -0.8, 0.1, 0.05),
    "sp": (98_000, 20, -30, 2), "msl": (101_000, 25, -20, 2), "u": (10, 0.2, 0.1, 0.05), "v": (-5, -0.1, 0.2, 0.03),
    "t": (270, -0.7, 0.05, 0.02), "z": (20_000, -50, 10, 3), "q": (5e-3, -1e-4, 5e-5, 1e-5), "r": (60, 1, -1, 0.1),
}  # fmt: skip
_GRIB = {"u10": 165, "v10": 166, "t2m": 167, "sp": 134, "msl": 151, "u": 131, "v": 132, "t": 130, "q": 133, "r": 157}
_GRIB |= {"z": 129, "gh": 156}
G = 9.80665


def field(channel: str, hours: float, grid: Grid) -> np.ndarray:
    """A channel some hours after the start."""
    name, _, level = channel.partition("_")
    mean, north, east, later = _SHAPES[name]
    lat, lon = np.meshgrid(grid.lats - 50, grid.lons - 9, indexing="ij")
    return mean * (1 + 1e-4 * float(level or 0)) + north * lat + east * lon + later * hours


def rain(since: float, until: float, grid: Grid) -> np.ndarray:
    """Metres between two times, hours after the start: it rains harder and harder, and more in the north."""
    lat = np.repeat(grid.lats[:, None] - 40, grid.width, axis=1)
    return 1e-6 * lat * ((until + 50) ** 2 - (since + 50) ** 2)


def expected(channel: str, grid: Grid, *, known_before: bool = False) -> np.ndarray:
    """What a driver is to give: eleven instants; precipitation of the 12 h before each."""
    hours = range(0, 121, 12)
    if channel != "tp":
        return np.stack([field(channel, hour, grid) for hour in hours])
    return np.stack([rain(h - 12, h, grid) if h or known_before else rain(0, 12, grid) for h in hours])


def write_open_data(
    folder: Path, *, ai: bool, names: Sequence[str], levels: Sequence[int] = LEVELS, steps: Sequence[int] = (),
    rain_hours: int | None = None, day: dt.date = DAY, amount: Callable[[float, float, Grid], np.ndarray] = rain,
) -> None:  # fmt: skip
    """IFS (heights, m of rain) or AIFS (geopotential, kg m-2), a file a step; rain since the start or of hours."""
    for step in steps or range(0, 121, 12):
        messages = [_message(n, step, day, level, ai) for n in names for level in (levels if n in LEVELED else (0,))]
        if step:
            since = 0 if rain_hours is None else step - rain_hours
            fallen = amount(since, step, WIDE) * (1000 if ai else 1)
            messages.append(
                _encoded(228228 if ai else 228, fallen, day, 0, f"{since}-{step}", None, "ai" if ai else "od")
            )
        folder.mkdir(exist_ok=True, parents=True)
        (folder / f"{day:%Y%m%d}000000-{step}h-oper-fc.grib2").write_bytes(b"".join(messages))


def write_era5_grib(folder: Path, names: Sequence[str], levels: Sequence[int] = LEVELS) -> None:
    """ERA5: analyses every 12 h; precipitation of each hour from forecasts of 06 and 18 UTC."""
    folder.mkdir(exist_ok=True)
    messages = []
    for hour in range(0, 121, 12):
        at = dt.datetime.combine(DAY, dt.time()) + dt.timedelta(hours=hour)
        for name in names:
            for level in levels if name in LEVELED else (0,):
                channel = f"{name}_{level}" if level else name
                values = field(channel, hour, WIDE)
                messages.append(_encoded(_GRIB[name], values, at.date(), at.hour * 100, 0, level or None, "ea"))
    for hour in range(-11, 121):
        issued = (hour - 1 - 6) // 12 * 12 + 6
        at = dt.datetime.combine(DAY, dt.time()) + dt.timedelta(hours=issued)
        steps = f"{hour - 1 - issued}-{hour - issued}"
        messages.append(_encoded(228, rain(hour - 1, hour, WIDE), at.date(), at.hour * 100, steps, None, "ea"))
    (folder / "era5.grib").write_bytes(b"".join(messages))


def write_netcdf(folder: Path, names: Sequence[str], levels: Sequence[int] = LEVELS, *, forecast: bool) -> None:
    """NetCDF as the Climate Data Store gives it: a forecast, or ERA5 with precipitation of each hour."""
    folder.mkdir(exist_ok=True)
    hours = np.arange(0, 121, 12)
    surface = {ERA5[n]: np.stack([field(n, h, WIDE) for h in hours]) for n in names if n not in LEVELED}
    aloft = {
        ERA5[n]: np.stack([[field(f"{n}_{level}", h, WIDE) for level in levels] for h in hours])
        for n in names
        if n in LEVELED
    }
    if forecast:
        total = {ERA5["tp"]: np.stack([rain(0, h, WIDE) for h in hours[1:]])}
        (folder / "sfc.nc").write_bytes(new_forecast(WIDE, DAY, [int(h) for h in hours], surface))
        (folder / "plev.nc").write_bytes(new_forecast(WIDE, DAY, [int(h) for h in hours], aloft, levels=levels))
        (folder / "tp.nc").write_bytes(new_forecast(WIDE, DAY, [int(h) for h in hours[1:]], total))
        return
    hourly = np.arange(-11, 121)
    fallen = {ERA5["tp"]: np.stack([rain(h - 1, h, WIDE) for h in hourly])}
    (folder / "sfc.nc").write_bytes(new_analysis(WIDE, START + hours, surface))
    (folder / "plev.nc").write_bytes(new_analysis(WIDE, START + hours, aloft, levels=levels))
    (folder / "tp.nc").write_bytes(new_analysis(WIDE, START + hourly, fallen))


def write_fuxi(folder: Path, names: Sequence[str], levels: Sequence[int] = LEVELS, *, recent: bool) -> None:
    """FuXi, south first, 6 h sums in mm; an input of two instants, an output every 6 h, by recent code or the first."""
    (folder / "output").mkdir(exist_ok=True, parents=True)
    channels = [f"{n}{level}" for n in names if n in LEVELED for level in levels]
    channels += [n for n in names if n not in LEVELED] + ["tp"]
    labels = channels if recent else [name.upper() for name in channels]
    places = {"level": labels, "lat": WIDE.lats[::-1].copy(), "lon": WIDE.lons}

    def stacked(hours: int) -> np.ndarray:
        fields = [
            rain(hours - 6, hours, WIDE) * 1000 if name == "tp" else field(_ours(name), hours, WIDE)
            for name in channels
        ]
        return np.stack(fields)[:, ::-1].astype(np.float32)

    times = [START.astype("datetime64[ns]") + np.timedelta64(h, "h") for h in (-6, 0)]
    start = xr.DataArray(
        np.stack([stacked(-6), stacked(0)]), {"time": times, **places}, ("time", "level", "lat", "lon")
    )
    start.to_netcdf(folder / "input.nc")
    for step in range(6, 127, 6):
        if recent:
            dims = ("member", "time", "dtime", "level", "lat", "lon")
            coords = {"member": ["FuXi"], "time": times[1:], "dtime": [step], **places}
        else:
            dims = ("time", "step", "level", "lat", "lon")
            coords = {"time": times[1:], "step": [step], **places}
        values = stacked(step).reshape(*(1 for _ in dims[:-3]), len(channels), *WIDE.shape)
        xr.DataArray(values, coords, dims).to_netcdf(folder / "output" / f"{step:03d}.nc")


def _ours(name: str) -> str:
    return f"{name[0]}_{name[1:]}" if name[0] in LEVELED and name not in ("u10", "v10", "t2m") else name


def _message(name: str, step: int, day: dt.date, level: int, ai: bool) -> bytes:
    values = field(f"{name}_{level}" if level else name, step, WIDE)
    height = name == "z" and not ai
    number = _GRIB["gh" if height else name]
    return _encoded(number, values / G if height else values, day, 0, step, level or None, "ai" if ai else "od")


def _encoded(
    parameter: int, values: np.ndarray, day: dt.date, clock: int, steps: str | int, level: int | None, mars_class: str
) -> bytes:  # fmt: skip
    """A GRIB2 message of a field on the wide grid, packed in 24 bits."""
    import eccodes

    handle = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib2")
    keys = {
        "centre": "ecmf", "setLocalDefinition": 1, "localDefinitionNumber": 1, "marsClass": mars_class,
        "Ni": WIDE.width, "Nj": WIDE.height, "latitudeOfFirstGridPointInDegrees": WIDE.north,
        "latitudeOfLastGridPointInDegrees": WIDE.south, "longitudeOfFirstGridPointInDegrees": WIDE.west,
        "longitudeOfLastGridPointInDegrees": WIDE.east, "iDirectionIncrementInDegrees": WIDE.step,
        "jDirectionIncrementInDegrees": WIDE.step, "dataDate": int(f"{day:%Y%m%d}"), "dataTime": clock,
        "paramId": parameter,
    }  # fmt: skip
    if level is not None:
        keys |= {"typeOfLevel": "isobaricInhPa", "level": level}
    keys |= {"stepRange": str(steps), "bitsPerValue": 24}
    for key, value in keys.items():
        eccodes.codes_set(handle, key, value)
    eccodes.codes_set_values(handle, np.ascontiguousarray(values, dtype=np.float64).ravel())
    message: bytes = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    return message
