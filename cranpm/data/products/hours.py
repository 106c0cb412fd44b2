"""The hours of a day, gathered from whichever files hold them, and the day made of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import netCDF4
import numpy as np
from numpy.typing import NDArray

from cranpm.data.products.axes import Times
from cranpm.data.products.description import Description
from cranpm.data.products.fields import Cut, Index, coincide, convert, cut, read, to_grid
from cranpm.data.products.sources import Source, open_netcdf
from cranpm.errors import CranpmError
from cranpm.grid import Grid
from cranpm.variables import Variable

FEWEST = 2  # instants that may stand for a day, if evenly spread


@dataclass(frozen=True)
class Want:
    """A store name to gather (`u10`, `u_850`): its variable, its level in hPa, and valid times [start, stop)."""

    name: str
    variable: Variable
    level: float | None
    start: np.datetime64
    stop: np.datetime64


@dataclass(frozen=True)
class Hours:
    """Instants of one store name on the wanted grid, in order.

    Attributes:
        times: valid times, shape (n,).
        values: our unit, shape (n, height, width).
        sources: the files they came from.
        moved: whether they were interpolated to the grid.
    """

    times: Times
    values: NDArray[np.float32]
    sources: tuple[Source, ...]
    moved: bool

    @property
    def where(self) -> str:
        """The files, for an error."""
        names = [str(source) for source in self.sources]
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

    def has(self, day: date) -> bool:
        """Whether any instant falls on a UTC day; 00 UTC alone is where the day before ends."""
        start, stop = span(day)
        return bool(((self.times > start) & (self.times < stop)).any())


def gather(
    files: Iterable[Description], wants: Sequence[Want], grid: Grid, *, issued: np.datetime64 | None = None
) -> dict[str, Hours]:
    """All wanted instants, each file opened once; where two files give one instant the first file counts.

    Args:
        files: descriptions of gridded files.
        wants: what to gather; each name once.
        grid: where the values are wanted.
        issued: the forecast reference time, or None for analyses.

    Returns:
        By store name; names without any instant are absent.

    Raises:
        CranpmError: a file cannot be read, or no file of a wanted name reaches over the grid.
    """
    pieces: dict[str, list[Hours]] = {}
    elsewhere: dict[str, CranpmError] = {}
    start, stop = min(want.start for want in wants), max(want.stop for want in wants)
    for file in files:
        if not _touches(file, start, stop):
            continue
        todo = [(want, found) for want in wants if (found := _index(file, want, issued)) is not None]
        if not todo or file.axes is None:
            continue
        try:
            part = cut(file.axes, grid, file.source)
        except CranpmError as error:
            elsewhere |= {want.name: error for want, _ in todo}
            continue
        with open_netcdf(file.source) as data:
            for want, (index, times) in todo:
                values = _values(data, file, want, index, part)
                hours = Hours(times, to_grid(values, part.grid, grid), (file.source,), not coincide(part.grid, grid))
                pieces.setdefault(want.name, []).append(hours)
    if lost := [name for name in elsewhere if name not in pieces]:
        raise elsewhere[lost[0]]
    return {name: _merge(found) for name, found in pieces.items()}


def daily_mean(hours: Hours, name: str, day: date) -> NDArray[np.float32]:
    """Mean over a UTC day of instants that are evenly spread over it, shape (height, width).

    Raises:
        CranpmError: fewer than two instants, or one of them is missing.
    """
    inside = hours.times.astype("datetime64[D]") == np.datetime64(day)
    clock = (hours.times[inside] - np.datetime64(day, "s")).astype(int) / 3600
    step = float(np.diff(clock).min()) if clock.size > 1 else 24.0
    expected = np.arange(clock[0] % step, 24, step) if clock.size else np.empty(0)
    if clock.size < FEWEST or expected.size != clock.size or not np.allclose(expected, clock):
        absent = sorted(set(np.round(expected, 2)) - set(np.round(clock, 2)))
        raise CranpmError(
            f"{hours.where}: '{name}' on {day} has {_clock(clock)} UTC"
            + (f", {_clock(absent)} missing" if absent else "")
            + f"; expected at least {FEWEST} instants evenly spread over the day: request the whole day"
        )
    return hours.values[inside].mean(axis=0, dtype=np.float64).astype(np.float32)


def span(day: date, *, first_hour: int = 0) -> tuple[np.datetime64, np.datetime64]:
    """The 24 hours of a UTC day from its first hour, as [start, stop)."""
    start = np.datetime64(day, "s") + np.timedelta64(first_hour, "h")
    return start, start + np.timedelta64(24, "h")


def _clock(hours: Sequence[float] | NDArray) -> str:
    return ", ".join(f"{int(h):02d}:{round(h % 1 * 60):02d}" for h in hours) or "no instant"


def _touches(file: Description, start: np.datetime64, stop: np.datetime64) -> bool:
    """Whether a file's times overlap [start, stop)."""
    if file.axes is None or not file.axes.valid.size:
        return False
    first, last = file.axes.ends
    return bool(first < stop and last >= start)


def _index(file: Description, want: Want, issued: np.datetime64 | None) -> tuple[dict[str, Index], Times] | None:
    """Where a file keeps the wanted instants of a variable, and their valid times; None if it has none."""
    axes = file.axes
    if axes is None or want.variable.name not in file.names:
        return None
    if want.level is not None and want.level not in axes.levels:
        return None
    if issued is None:
        chosen = np.flatnonzero((axes.valid.reshape(-1) >= want.start) & (axes.valid.reshape(-1) < want.stop))
        times, axis, index = axes.valid.reshape(-1)[chosen], "time", {}
    else:
        if axes.issued is None or issued not in axes.issued:
            return None
        row = int(np.flatnonzero(axes.issued == issued)[0])
        chosen = np.flatnonzero((axes.valid[row] >= want.start) & (axes.valid[row] < want.stop))
        times, axis, index = axes.valid[row][chosen], "period", {"issued": row}
    if not chosen.size:
        return None
    if want.level is not None and "level" in axes.dims.values():
        index["level"] = axes.levels.index(want.level)
    return index | {axis: _run(chosen)}, times


def _values(
    data: netCDF4.Dataset, file: Description, want: Want, index: dict[str, Index], part: Cut
) -> NDArray[np.float32]:
    """The wanted instants of one file in our unit, shape (n, height, width)."""
    assert file.axes is not None
    name = want.variable.name
    values = read(data, file.names[name], file.axes, part, index)
    if values.shape[1] != 1:
        raise CranpmError(f"{file.source}: '{name}' lies on {values.shape[1]} levels; expected one at the surface")
    return convert(values[:, 0], file.units.get(name, ""), want.variable, str(file.source))


def _merge(pieces: list[Hours]) -> Hours:
    """Pieces in the order of time, each instant once, from the first piece that has it."""
    if len(pieces) == 1 and np.all(np.diff(pieces[0].times.astype(int)) > 0):
        return pieces[0]
    times = np.concatenate([piece.times for piece in pieces])
    values = np.concatenate([piece.values for piece in pieces])
    unique, first = np.unique(times, return_index=True)
    sources = tuple(dict.fromkeys(source for piece in pieces for source in piece.sources))
    return Hours(unique, values[first], sources, any(piece.moved for piece in pieces))


def _run(chosen: NDArray) -> Index:
    """A slice where the indices are evenly spaced (far faster to read), else the indices."""
    if chosen.size == 1:
        return slice(int(chosen[0]), int(chosen[0]) + 1)
    steps = np.unique(np.diff(chosen))
    if steps.size == 1 and steps[0] > 0:
        return slice(int(chosen[0]), int(chosen[-1]) + 1, int(steps[0]))
    return chosen
