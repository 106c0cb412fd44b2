"""Values out of a gridded file: the part a region needs, gaps as NaN, our units, on our grid, checked."""

from __future__ import annotations

import re
from dataclasses import dataclass

import netCDF4
import numpy as np
from numpy.typing import NDArray

from cranpm.data.products.axes import Axes
from cranpm.data.products.sources import Source
from cranpm.errors import CranpmError
from cranpm.grid import Grid, bilinear
from cranpm.variables import Variable

Index = int | slice | NDArray[np.intp]


@dataclass(frozen=True)
class Cut:
    """The part of a file's grid around a region: rows from the north, column runs in file order, its own grid."""

    rows: slice
    columns: tuple[slice, ...]
    grid: Grid


def cut(axes: Axes, grid: Grid, source: Source) -> Cut:
    """The smallest part of a file that surrounds a grid.

    Raises:
        CranpmError: the grid reaches a whole step or more beyond the file's outermost points.
    """
    file = axes.grid
    rows = file.rows([grid.north, grid.south])
    centre = float(file.columns((grid.west + grid.east) / 2))
    half = (grid.east - grid.west) / 2 / file.step
    columns = np.array([centre - half, centre + half])
    outside = rows[0] <= -1 or rows[1] >= file.height
    if outside or (not axes.periodic and (columns[0] <= -1 or columns[1] >= file.width)):
        raise CranpmError(
            f"{source}: covers {file.south:g}..{file.north:g}N {file.west:g}..{file.east:g}E, but the region needs "
            f"{grid.south:g}..{grid.north:g}N {grid.west:g}..{grid.east:g}E; request that area"
        )
    top, bottom = _whole(rows, 0, file.height - 1)
    left, right = _whole(columns, None if axes.periodic else 0, None if axes.periodic else file.width - 1)
    part = Grid(
        round(file.north - top * file.step, 6),
        round(file.west + left * file.step, 6),
        file.step,
        bottom - top,
        right - left,
    )
    return Cut(slice(top, bottom), _runs(left, right, file.width), part)


def read(data: netCDF4.Dataset, name: str, axes: Axes, part: Cut, times: dict[str, Index]) -> NDArray[np.float32]:
    """Values of a variable over a part of the grid, gaps as NaN, north first.

    Args:
        times: which entries of the axes "time", "issued", "period" and "level"; axes not named are taken whole.

    Returns:
        Shape (time, level, rows, columns); 1 where the file has no such axis.

    Raises:
        CranpmError: an unexpected dimension, or an ensemble of several members.
    """
    variable = data[name]
    order = [axes.dims.get(dim, dim) for dim in variable.dimensions]
    rows = part.rows
    if axes.flipped:
        rows = slice(axes.grid.height - part.rows.stop, axes.grid.height - part.rows.start)
    pieces = []
    for run in part.columns:
        chosen = times | {"latitude": rows, "longitude": run}
        index = tuple(chosen.get(axis, slice(None)) for axis in order)
        pieces.append(np.ma.filled(np.ma.asarray(variable[index]).astype(np.float32), np.nan))
    left = [axis for axis in order if not isinstance(times.get(axis), int)]
    values = np.concatenate(pieces, axis=left.index("longitude"))
    for axis in ("version", "member"):
        if axis in left:
            values = _collapse(values, left.index(axis), axis, name)
            left.remove(axis)
    values = _four(values, left, name)
    return values[:, :, ::-1] if axes.flipped else values


def to_grid(values: NDArray[np.float32], source: Grid, grid: Grid) -> NDArray[np.float32]:
    """Values on a file's own points brought to a grid: taken over where points coincide, else bilinear."""
    if not coincide(source, grid):
        return bilinear(values, source, grid.lats, grid.lons)
    row, column = source.locate(grid)
    return values[..., row : row + grid.height, column : column + grid.width]


def coincide(source: Grid, grid: Grid) -> bool:
    """Whether all points of a grid are points of the source."""
    try:
        source.locate(grid)
    except CranpmError:
        return False
    return True


def convert(values: NDArray, unit: str, variable: Variable, where: str) -> NDArray[np.float32]:
    """Values in the unit of our table, from the unit the file declares.

    Raises:
        CranpmError: a declared unit that does not lead to ours.
    """
    found = plain_unit(unit)
    if found == plain_unit(variable.unit) or not found:
        return np.asarray(values, np.float32)
    factor, offset = _CONVERSIONS.get((found, plain_unit(variable.unit)), (None, 0.0))
    if factor is None:
        raise CranpmError(
            f"{where}: '{variable.name}' is in '{unit}'; expected {variable.unit}: request the unprocessed product"
        )
    return (np.asarray(values, np.float64) * factor + offset).astype(np.float32)


def plain_unit(unit: str) -> str:
    """A unit text in one spelling: "kg m**-3", "kg/m3" and "kg m-3" are the same."""
    text = unit.lower().translate(_CHARACTERS).replace("**", "").replace("^", "")
    for long, short in _SPELLINGS:
        text = text.replace(long, short)
    text = re.sub(r"/\s*([a-z]+)(\d?)", lambda found: f" {found[1]}-{found[2] or 1}", text)
    return " ".join(text.split())


def check_daily(values: NDArray, variable: Variable, name: str, where: str, day: object) -> None:
    """Refuse gaps and values that no day on Earth has.

    Raises:
        CranpmError: naming file, variable and day.
    """
    gaps = int(np.count_nonzero(~np.isfinite(values)))
    if gaps:
        raise CranpmError(
            f"{where}: '{name}' has {gaps} missing values of {values.size} on {day}; expected none: download it again"
        )
    low, high = float(values.min()), float(values.max())
    if low < variable.low or high > variable.high:
        raise CranpmError(
            f"{where}: '{name}' on {day} runs from {low:.4g} to {high:.4g}; expected {variable.low:g} to "
            f"{variable.high:g} {variable.unit}{_guess(variable, low, high)}"
        )
    if variable.unit == "ug m-3" and 0 < high < 1e-3:
        raise CranpmError(
            f"{where}: '{name}' on {day} reaches only {high:.2g} ug m-3 anywhere; it probably is in kg: "
            "correct the unit in the file or download it again"
        )


def _guess(variable: Variable, low: float, high: float) -> str:
    if variable.unit == "K" and low > -90 and high < 60:
        return ": these look like degrees Celsius; convert them or request the unprocessed product"
    if variable.name == "sp" and low > 450 and high < 1100:
        return ": these look like hPa; convert them or request the unprocessed product"
    if variable.name == "tp" and high <= 2000:
        return ": these look like millimetres; convert them or request the unprocessed product"
    if variable.name == "z" and high < 8000:
        return ": these look like metres; geopotential is g times height"
    return ": wrong unit or a damaged file; request the unprocessed product"


def _whole(positions: NDArray, low: int | None, high: int | None) -> tuple[int, int]:
    """Index range [first, last) of the points around two fractional positions."""
    first, last = int(np.floor(positions[0] + 1e-4)), int(np.ceil(positions[1] - 1e-4))
    first = first if low is None else min(max(first, low), high or 0)
    last = last if high is None else max(min(last, high), low or 0)
    return first, max(last, first) + 1


def _runs(first: int, last: int, width: int) -> tuple[slice, ...]:
    """Index range [first, last) of a ring of columns as runs in file order."""
    runs = []
    while first < last:
        start = first % width
        count = min(last - first, width - start)
        runs.append(slice(start, start + count))
        first += count
    return tuple(runs)


def _collapse(values: NDArray, at: int, axis: str, name: str) -> NDArray:
    if axis == "member" and values.shape[at] > 1:
        raise CranpmError(f"'{name}' has {values.shape[at]} ensemble members; request the reanalysis, one member")
    first = np.take(values, 0, axis=at)
    for i in range(1, values.shape[at]):  # expver 1 is final, 5 preliminary: final first
        first = np.where(np.isnan(first), np.take(values, i, axis=at), first)
    return first


def _four(values: NDArray, axes: list[str], name: str) -> NDArray[np.float32]:
    """Values as (time, level, rows, columns)."""
    wanted = ("issued", "period", "time", "level", "latitude", "longitude")
    strange = [axis for axis in axes if axis not in wanted]
    if strange or "latitude" not in axes:
        raise CranpmError(f"'{name}' runs along {axes}; expected time, level, latitude, longitude")
    values = values.transpose([axes.index(axis) for axis in wanted if axis in axes])
    size = values.shape[-2:]
    levels = values.shape[-3] if "level" in axes else 1
    return values.reshape((-1, levels, *size))


_CHARACTERS = str.maketrans({"µ": "u", "μ": "u", "²": "2", "³": "3", "¹": "1", "⁻": "-"})
_SPELLINGS = (
    (" of water equivalent", ""),
    ("micrograms", "ug"),
    ("microgram", "ug"),
    ("cubic meter", "m3"),
    ("(lc)", ""),
    (" lc", ""),
)
_CONVERSIONS: dict[tuple[str, str], tuple[float, float]] = {
    ("kg m-3", "ug m-3"): (1e9, 0.0),
    ("mg m-3", "ug m-3"): (1e3, 0.0),
    ("g m-3", "ug m-3"): (1e6, 0.0),
    ("degc", "k"): (1.0, 273.15),
    ("c", "k"): (1.0, 273.15),
    ("celsius", "k"): (1.0, 273.15),
    ("degrees_celsius", "k"): (1.0, 273.15),
    ("deg_c", "k"): (1.0, 273.15),
    ("hpa", "pa"): (100.0, 0.0),
    ("mbar", "pa"): (100.0, 0.0),
    ("mm", "m"): (1e-3, 0.0),
    ("kg m-2", "m"): (1e-3, 0.0),
    ("g kg-1", "kg kg-1"): (1e-3, 0.0),
    ("1", "kg kg-1"): (1.0, 0.0),
    ("m", "m2 s-2"): (9.80665, 0.0),
    ("gpm", "m2 s-2"): (9.80665, 0.0),
}
