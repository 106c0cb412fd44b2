"""Daily results as labelled arrays, and what the gridded products share around them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cranpm.data.products.description import STANDS_IN, Description
from cranpm.data.products.fields import Cut, convert, read
from cranpm.data.products.gridded import describe
from cranpm.data.products.hours import Hours
from cranpm.data.products.sources import Source, open_netcdf
from cranpm.errors import CranpmError
from cranpm.grid import Grid, wrap_longitude
from cranpm.variables import COMPOSITION, LEVELS, SURFACE, UPPER

_VARIABLES = {v.name: v for v in (*SURFACE, *UPPER, *COMPOSITION)}


def pick(files: Sequence[Description], product: str) -> tuple[Description, ...]:
    """The descriptions of one product: final before preliminary, a CAMS forecast before what stands in for one."""
    chosen = [file for file in files if file.product == product]
    return tuple(sorted(chosen, key=lambda f: any("preliminary" in note or note == STANDS_IN for note in f.notes)))


def latest_issue(files: Sequence[Description], day: date, what: str) -> np.datetime64:
    """The last reference time on a day.

    Raises:
        CranpmError: nothing was issued on that day.
    """
    times = [
        time for file in files if file.axes is not None and file.axes.issued is not None for time in file.axes.issued
    ]
    found = [time for time in times if time.astype("datetime64[D]") == np.datetime64(day)]
    if not found:
        days = sorted({str(time)[:10] for time in times})
        shown = f"{days[0]} to {days[-1]}" if days else "none"
        raise CranpmError(f"no {what} issued on {day} (issue days found: {shown}); request reference time {day} 00 UTC")
    return max(found)


def names_text(names: Sequence[str]) -> str:
    """Store names for a person: u10, tp, and the levels of one variable together (u_500..1000)."""
    by_variable: dict[str, list[int]] = {}
    for name in names:
        variable, _, level = name.partition("_")
        by_variable.setdefault(variable, []).extend([int(level)] if level else [])
    shown = []
    for variable, levels in by_variable.items():
        at = "" if not levels else " (all levels)" if sorted(levels) == sorted(LEVELS) else f" ({_join(levels)} hPa)"
        shown.append(variable + at)
    return ", ".join(shown)


def channel_array(
    channels: dict[str, NDArray], names: Sequence[str], grid: Grid, hours: dict[str, Hours], day: date
) -> xr.DataArray:
    """Channels stacked in order, with where they came from in the attributes."""
    coords = {"channel": list(names), "latitude": grid.lats, "longitude": grid.lons}
    data = np.stack([channels[name] for name in names]).astype(np.float32)
    return xr.DataArray(
        data, coords, ("channel", "latitude", "longitude"), attrs=_attributes(hours) | {"day": str(day)}
    )


def lead_array(
    found: list[dict[str, NDArray]],
    names: Sequence[str],
    grid: Grid,
    hours: dict[str, Hours],
    day: date,
    leads: Sequence[int],
    issued: np.datetime64,
) -> xr.DataArray:
    """Forecast channels stacked by lead; what no file holds is NaN and listed in the attributes."""
    data = np.full((len(found), len(names), *grid.shape), np.nan, dtype=np.float32)
    absent = []
    for row, (lead, channels) in enumerate(zip(leads, found, strict=True)):
        for column, name in enumerate(names):
            if name in channels:
                data[row, column] = channels[name]
            else:
                absent.append(f"{name}+{lead}")
    coords = {"lead": list(leads), "channel": list(names), "latitude": grid.lats, "longitude": grid.lons}
    attrs = _attributes(hours) | {"day": str(day), "forecast_reference_time": str(issued), "absent": " ".join(absent)}
    return xr.DataArray(data, coords, ("lead", "channel", "latitude", "longitude"), attrs=attrs)


def open_gridded(source: Source) -> xr.Dataset:
    """All analysis instants of a gridded file in our terms; composition and level fields keep the file's quantity.

    Raises:
        CranpmError: a forecast, no usable variable, or a unit that does not lead to ours.
    """
    file = describe(source)
    if file.axes is None or not file.names or file.axes.issued is not None:
        raise CranpmError(f"{source}: {file.title}; expected an analysis with one of our variables")
    axes, variables = file.axes, {}
    whole = Cut(slice(0, axes.grid.height), (slice(0, axes.grid.width),), axes.grid)
    lons = wrap_longitude(axes.grid.lons)
    order = np.argsort(lons)
    with open_netcdf(source) as data:
        for ours, theirs in file.names.items():
            values = read(data, theirs, axes, whole, {})
            ratio = "kg-1" in file.units.get(ours, "").replace("**", "") and ours != "q"
            values = values if ratio else convert(values, file.units.get(ours, ""), _VARIABLES[ours], str(source))
            values = values[..., order]
            upper = values.shape[1] > 1 or (ours in {v.name for v in UPPER})
            dims = ("time", "level", "latitude", "longitude") if upper else ("time", "latitude", "longitude")
            unit = file.units[ours] if ratio else _VARIABLES[ours].unit
            variables[ours] = (dims, values if upper else values[:, 0], {"units": unit})
    coords: dict[str, object] = {"latitude": axes.grid.lats, "longitude": np.round(lons[order], 6)}
    coords["time"] = axes.instants.astype("datetime64[ns]")
    if axes.levels:
        coords["level"] = list(axes.levels)
    used = {dim for dims, _, _ in variables.values() for dim in dims}
    return xr.Dataset(
        variables, {k: v for k, v in coords.items() if k in used}, {"source": str(source), "title": file.title}
    )


def _join(levels: Sequence[int]) -> str:
    return ", ".join(str(level) for level in levels)


def _attributes(hours: dict[str, Hours]) -> dict[str, str]:
    files = sorted({str(source) for one in hours.values() for source in one.sources})
    counts = sorted({f"{name}: {one.times.size}" for name, one in hours.items()})
    moved = any(one.moved for one in hours.values())
    regridded = "bilinear to the region's nodes" if moved else "the region's own nodes"
    return {"files": ", ".join(files), "instants": ", ".join(counts), "regridded": regridded}
