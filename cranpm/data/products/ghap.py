"""GHAP daily PM2.5 at 1 km: uint16 with its own scale and gap value, a month of days in one zip."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import netCDF4
import numpy as np
from numpy.typing import NDArray

from cranpm.data.products.axes import Axes, regular_grid
from cranpm.data.products.description import SIMULATED, Description
from cranpm.data.products.fields import Cut, plain_unit
from cranpm.data.products.sources import Source, open_netcdf
from cranpm.errors import CranpmError
from cranpm.grid import FINE_STEP, Grid

NAMES = ("PM2.5", "PM25", "PM2_5", "pm25")
WHOLE_EARTH = (18000, 36000)  # rows, columns of 0.01 degrees
GAP = 65535
HIGHEST = 20_000.0  # ug m-3
ZENODO = {2017: 10801181, 2018: 10795801, 2019: 10799037, 2020: 10800555, 2021: 10799203, 2022: 10795662}
"""Zenodo record of each year."""


def identify(path: Path | Source) -> Description | None:
    """A daily GHAP file or zip member described, or None if it holds no 1 km PM2.5.

    The day is read from the file's attributes or, as GHAP writes none, from the eight digits of its name.
    """
    source = path if isinstance(path, Source) else Source(path)
    with open_netcdf(source) as data:
        name = next((name for name in NAMES if name in data.variables and data[name].ndim >= 2), None)
        if name is None:
            return None
        axes, notes = _axes(data, name, source)
        unit = str(getattr(data[name], "units", ""))
        day = _day(data, source)
        simulated = SIMULATED in str(getattr(data, "history", ""))
    notes += ("simulated, not data",) if simulated else ()
    return Description(
        source,
        "ghap",
        "GHAP daily PM2.5, 1 km",
        {"pm2p5": name},
        ("pm2p5 (1 km)",),
        (day,),
        axes,
        {"pm2p5": unit},
        notes,
    )


def daily(files: Sequence[Description], day: date, fine: Grid) -> NDArray[np.float32]:
    """PM2.5 of a UTC day on the fine grid.

    Args:
        files: descriptions; those that are not GHAP are passed over.
        day: the day.
        fine: the pack's fine grid, or a part of it.

    Returns:
        (height, width), float32, ug m-3, NaN where the product has none or does not reach.

    Raises:
        CranpmError: no file of that day, less than half of the grid covered, or impossible values.
    """
    found = [file for file in files if file.product == "ghap" and day in file.days]
    if not found:
        record = ZENODO.get(day.year)
        where = f"https://zenodo.org/records/{record}" if record else "https://zenodo.org (search GHAP PM2.5 D1K)"
        raise CranpmError(f"no GHAP PM2.5 of {day}; get GHAP_PM2.5_D1K_{day:%Y%m}_V1.zip from {where}")
    file = found[0]
    assert file.axes is not None
    rows, columns = _nearest(file, fine)
    values = np.full(fine.shape, np.nan, dtype=np.float32)
    inside = np.ix_(rows >= 0, columns >= 0)
    if 2 * np.count_nonzero(rows >= 0) < fine.height or 2 * np.count_nonzero(columns >= 0) < fine.width:
        grid = file.axes.grid
        raise CranpmError(
            f"{file.source}: covers {grid.south:g}..{grid.north:g}N {grid.west:g}..{grid.east:g}E, less than half of "
            f"{fine.south:g}..{fine.north:g}N {fine.west:g}..{fine.east:g}E; get the whole product"
        )
    values[inside] = _read(file, rows[rows >= 0], columns[columns >= 0], day)
    return values


def _axes(data: netCDF4.Dataset, name: str, source: Source) -> tuple[Axes, tuple[str, ...]]:
    """The file's grid, read from its coordinates or derived from its shape."""
    variable = data[name]
    row_dim, column_dim = variable.dimensions[-2:]
    dims = {row_dim: "latitude", column_dim: "longitude"}
    empty = np.empty(0, "datetime64[s]")
    lat = next((n for n in (row_dim, "lat", "latitude", "Latitude") if n in data.variables), None)
    lon = next((n for n in (column_dim, "lon", "longitude", "Longitude") if n in data.variables), None)
    if lat and lon:
        grid, flipped, periodic = regular_grid(np.asarray(data[lat][:]), np.asarray(data[lon][:]), str(source))
        if abs(grid.step - FINE_STEP) > 1e-4:
            raise CranpmError(f"{source}: '{name}' has {grid.step:g} degree pixels; expected GHAP's {FINE_STEP:g}")
        return Axes(grid, flipped, periodic, empty, None, (), "", dims), ("south first: turned",) if flipped else ()
    shape = variable.shape[-2:]
    if shape != WHOLE_EARTH:
        raise CranpmError(
            f"{source}: '{name}' has no coordinates and {shape[0]} x {shape[1]} pixels; only {WHOLE_EARTH[0]} x "
            f"{WHOLE_EARTH[1]} (the whole Earth) can be placed without them: get the NetCDF with lat and lon"
        )
    grid = Grid(89.995, -179.995, FINE_STEP, *WHOLE_EARTH)
    note = "no coordinates: 18000 x 36000 pixels taken for the whole Earth, from 90N 180W"
    return Axes(grid, False, True, empty, None, (), "", dims), (note,)


def _day(data: netCDF4.Dataset, source: Source) -> date:
    texts = [Path(source.member or source.path.name).name]
    texts += [str(getattr(data, name)) for name in ("date", "time_coverage_start") if name in data.ncattrs()]
    for text in reversed(texts):
        if found := re.search(r"(?<!\d)(20\d{2})-?(\d{2})-?(\d{2})(?!\d)", text):
            try:
                return date(*(int(part) for part in found.groups()))
            except ValueError:
                continue
    raise CranpmError(f"{source}: no day in its name or attributes; expected a name like GHAP_PM2.5_D1K_20220310_V1.nc")


def _nearest(file: Description, fine: Grid) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column (north first) of the product's pixel under each row and column of the grid; -1 outside."""
    assert file.axes is not None
    grid = file.axes.grid
    rows = np.floor(grid.rows(fine.lats) + 0.5 - 1e-3).astype(np.intp)
    start = float(grid.columns((fine.west + fine.east) / 2)) - (fine.width - 1) / 2 * fine.step / grid.step
    columns = np.floor(start + np.arange(fine.width) * fine.step / grid.step + 0.5 - 1e-3).astype(np.intp)
    if file.axes.periodic:
        columns %= grid.width
    rows[(rows < 0) | (rows >= grid.height)] = -1
    columns[(columns < 0) | (columns >= grid.width)] = -1
    return rows, columns


def _read(file: Description, rows: NDArray[np.intp], columns: NDArray[np.intp], day: date) -> NDArray[np.float32]:
    """Pixels at rows and columns (both rising, the columns perhaps across the seam), scaled, gaps as NaN."""
    assert file.axes is not None
    part = Cut(slice(int(rows[0]), int(rows[-1]) + 1), _pieces(columns), file.axes.grid)
    if file.axes.flipped:
        height = file.axes.grid.height
        part = Cut(slice(height - part.rows.stop, height - part.rows.start), part.columns, part.grid)
    with open_netcdf(file.source) as data:
        data.set_auto_maskandscale(False)
        variable = data[file.names["pm2p5"]]
        lead = (0,) * (variable.ndim - 2)
        raw = np.concatenate([variable[(*lead, part.rows, run)] for run in part.columns], axis=1)
        values = _scaled(raw, variable, file.source)
    values = values[::-1] if file.axes.flipped else values
    low, high = float(np.nanmin(values, initial=0.0)), float(np.nanmax(values, initial=0.0))
    if low < 0 or high > HIGHEST:
        raise CranpmError(
            f"{file.source}: PM2.5 on {day} runs from {low:g} to {high:g}; expected 0 to {HIGHEST:g} ug m-3: "
            "check scale_factor and _FillValue in the file"
        )
    return values[rows - rows[0]]


def _scaled(raw: NDArray, variable: netCDF4.Variable, source: Source) -> NDArray[np.float32]:
    attributes = {name: variable.getncattr(name) for name in variable.ncattrs()}
    unit = plain_unit(str(attributes.get("units", "")))
    if unit not in ("", "ug m-3", "1", "unitless"):
        raise CranpmError(f"{source}: PM2.5 is in '{attributes['units']}'; expected ug m-3")
    gaps = [attributes[key] for key in ("_FillValue", "missing_value") if key in attributes]
    scale = attributes.get("scale_factor", attributes.get("Scale_factor"))
    if np.issubdtype(raw.dtype, np.integer):
        gaps.append(GAP)
        if scale is None:
            raise CranpmError(
                f"{source}: PM2.5 is {raw.dtype} without 'scale_factor'; expected GHAP's 0.1: download it again"
            )
    values = raw.astype(np.float32) * np.float32(scale if scale is not None else 1.0)
    values += np.float32(attributes.get("add_offset", 0.0))
    missing = ~np.isfinite(values)
    for gap in gaps:
        missing |= raw == gap
    values[missing] = np.nan
    return values


def _pieces(columns: NDArray[np.intp]) -> tuple[slice, ...]:
    """Column indices as runs; they wrap at most once."""
    jump = np.flatnonzero(np.diff(columns) < 0)
    parts = np.split(columns, jump + 1)
    return tuple(slice(int(part[0]), int(part[-1]) + 1) for part in parts)
