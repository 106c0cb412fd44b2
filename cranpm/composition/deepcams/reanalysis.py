"""EAC4 files as the Atmosphere Data Store delivers them, map by map and in our units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cranpm.data.products.axes import Axes, Times
from cranpm.data.products.cams import ADS, R_DRY
from cranpm.data.products.description import Description
from cranpm.data.products.fields import Cut, convert, plain_unit, read
from cranpm.data.products.gridded import describe
from cranpm.data.products.sources import Source, kind, open_netcdf, sources
from cranpm.errors import CranpmError
from cranpm.grid import Grid
from cranpm.variables import COMPOSITION, SURFACE

Map = NDArray[np.float32]
STEP = 0.75
COLUMN = "kg m-2"
_OURS = {v.name: v for v in COMPOSITION}
_T2M, _SP = (next(v for v in SURFACE if v.name == name) for name in ("t2m", "sp"))


@dataclass(frozen=True)
class _Map:
    """Where a map lies: its file, its index in time, the level's index."""

    file: Description
    time: int
    level: int


@dataclass(frozen=True)
class Reanalysis:
    """Files of one grid.

    Attributes:
        grid, periodic: where the maps lie.
        species: names that can be read, with the unit they are given in.
        simulated: whether they come from the sample world.
    """

    grid: Grid
    periodic: bool
    species: dict[str, str]
    simulated: bool
    _index: dict[str, dict[np.datetime64, _Map]]

    def times(self, name: str) -> Times:
        """Instants of a species, ascending."""
        return np.array(sorted(self._index[name]), "datetime64[s]")

    def map(self, name: str, time: np.datetime64) -> Map:
        """A species at an instant: ug m-3 (columns kg m-2), north first, shape (height, width).

        Raises:
            CranpmError: a value is missing or impossible, or a mixing ratio lacks its temperature.
        """
        place = self._index[name][time]
        found = _read(place, name)
        where, variable = str(place.file.source), _OURS.get(name)
        if variable is not None and _is_ratio(place.file, name):
            found = found * self._density(place, time, name) * np.float32(1e9)
        elif variable is not None:
            found = convert(found, place.file.units[name], variable, where)
        if not np.isfinite(found).all():
            raise CranpmError(
                f"{where}: '{name}' has {int((~np.isfinite(found)).sum())} missing values at {time}; expected none: "
                "download it again"
            )
        low, high = float(found.min()), float(found.max())
        if variable is not None and not (variable.low <= low and high <= variable.high):
            raise CranpmError(
                f"{where}: '{name}' at {time} runs from {low:.4g} to {high:.4g} {variable.unit}; expected "
                f"{variable.low:g} to {variable.high:g}: wrong unit or a damaged file, download it again"
            )
        return np.maximum(found, 0)

    def _density(self, place: _Map, time: np.datetime64, name: str) -> Map | np.float32:
        """Density of dry air at the level of a map, kg m-3."""
        axes = place.file.axes
        assert axes is not None
        level = axes.levels[place.level] if axes.levels else None
        if level is None and {"t2m", "sp"} <= self._index.keys():
            warm, pressure = (self._index[other].get(time) for other in ("t2m", "sp"))
            if warm is not None and pressure is not None:
                return _read(pressure, "sp") / (np.float32(R_DRY) * _read(warm, "t2m"))
        warm = self._index.get("t", {}).get(time)
        if level is not None and warm is not None and warm.file.axes and warm.file.axes.levels[warm.level] == level:
            return np.float32(100 * level / R_DRY) / _read(warm, "t")
        needed = f"temperature at {level:g} hPa" if level is not None else "2m_temperature and surface_pressure"
        raise CranpmError(
            f"{place.file.source}: '{name}' is a mixing ratio and needs {needed} at {time} to become ug m-3; request "
            f"it with the same times from {ADS}"
        )


def open_reanalysis(paths: Sequence[Path]) -> Reanalysis:
    """Files, zips or folders of them as one reanalysis.

    Raises:
        CranpmError: nothing usable, files of several grids, or another grid than 0.75 degrees.
    """
    files = [found for path in _files(paths) for source in sources(path) if (found := _described(source))]
    if not files:
        names = ", ".join(path.name for path in paths)
        raise CranpmError(f"{names}: no CAMS reanalysis in NetCDF found; get cams-global-reanalysis-eac4 from {ADS}")
    axes = [file.axes for file in files if file.axes is not None]
    for file, other in zip(files, axes, strict=True):
        if abs(other.grid.step - STEP) > 1e-3:
            raise CranpmError(
                f"{file.source}: points every {other.grid.step:g} degrees; expected {STEP:g}: sharpening is for the "
                "reanalysis EAC4 on its own grid"
            )
        if other.grid != axes[0].grid:
            raise CranpmError(f"{file.source}: another grid than {files[0].source}; give files of one area at a time")
    index: dict[str, dict[np.datetime64, _Map]] = {}
    for file in files:
        assert file.axes is not None
        level = int(np.argmax(file.axes.levels)) if file.axes.levels else 0
        for name in file.names:
            at = index.setdefault(name, {})
            at.update({time: _Map(file, i, level) for i, time in enumerate(file.axes.instants)})
    species = {name: "ug m-3" for name in _OURS if name in index}
    columns = {name: COLUMN for file in files for name, unit in file.units.items() if plain_unit(unit) == COLUMN}
    simulated = any("simulated" in note for file in files for note in file.notes)
    return Reanalysis(axes[0].grid, axes[0].periodic, species | columns, simulated, index)


def _files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise CranpmError(f"{path}: not there; give EAC4 files, zips or a folder of them")
        found += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return found


def _described(source: Source) -> Description | None:
    """An analysis of composition, total columns under the names of the file; None for other files."""
    if kind(source) != "netcdf":
        return None
    file = describe(source)
    if file.product != "cams" or file.axes is None or not file.axes.instants.size:
        return None
    if file.axes.vertical == "model":
        raise CranpmError(f"{source}: on model levels; expected pressure levels: request 1000 hPa from {ADS}")
    with open_netcdf(source) as data:
        for name, variable in data.variables.items():
            gridded = {"latitude", "longitude"} <= {file.axes.dims.get(dim, dim) for dim in variable.dimensions}
            if gridded and plain_unit(str(getattr(variable, "units", ""))) == COLUMN:
                file.names[name], file.units[name] = name, variable.units
    return file


def _read(place: _Map, name: str) -> Map:
    axes: Axes | None = place.file.axes
    assert axes is not None
    whole = Cut(slice(0, axes.grid.height), (slice(0, axes.grid.width),), axes.grid)
    times: dict[str, int | slice | NDArray[np.intp]] = {"time": slice(place.time, place.time + 1)}
    with open_netcdf(place.file.source) as data:
        values = read(data, place.file.names[name], axes, whole, times)
    return values[0, place.level if values.shape[1] > 1 else 0]


def _is_ratio(file: Description, name: str) -> bool:
    return plain_unit(file.units.get(name, "")) in ("kg kg-1", "1")
