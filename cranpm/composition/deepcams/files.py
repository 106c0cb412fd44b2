"""`sharpen`: reanalysis files in, one hourly CF NetCDF file out, map by map, whole or not at all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import cranpm
from cranpm.composition.deepcams.geometry import Tiling, area_mean, finer
from cranpm.composition.deepcams.pairs import HOURS
from cranpm.composition.deepcams.reanalysis import COLUMN, Reanalysis
from cranpm.composition.deepcams.sharpen import Engine
from cranpm.config import nearest
from cranpm.data.products.axes import Times
from cranpm.data.products.description import SIMULATED
from cranpm.data.progress import Progress, silent
from cranpm.errors import CranpmError
from cranpm.forecast.files import Field, write_atomically
from cranpm.grid import Grid
from cranpm.variables import COMPOSITION

Map = NDArray[np.float32]
MARK = "DeepCAMS"
_OURS = {v.name: v for v in COMPOSITION}
_STEP = np.timedelta64(3600 * HOURS, "s")
_HOUR = np.timedelta64(3600, "s")
_CHUNK = 360
_EPOCH = np.datetime64("1970-01-01T00", "s")


@dataclass(frozen=True)
class Kept:
    """What sharpening did to a species, over the instants that the reanalysis has.

    Attributes:
        before, after: mean over the area, in the unit of the file.
        blocks: root mean square of block mean minus reanalysis over that of the reanalysis.
        clipped: values raised to 0.
        hours: how many were written.
    """

    before: float
    after: float
    blocks: float
    clipped: int
    hours: int

    @property
    def change(self) -> float:
        """Of the mean, as a share."""
        return self.after / self.before - 1 if self.before else 0.0


def sharpen_file(
    reanalysis: Reanalysis, engine: Engine, out: Path, *, species: Sequence[str] = (), tell: Progress = silent
) -> dict[str, Kept]:
    """Write a reanalysis three times finer in time and in space.

    Args:
        reanalysis: as `open_reanalysis` gives it.
        engine: the networks, or interpolation.
        out: the file, ending in .nc; it appears when all is done.
        species: which; all without.
        tell: told after each map.

    Returns:
        What it did to each species.

    Raises:
        CranpmError: an unknown species, fewer than two instants, a gap in time, or a damaged map.
    """
    if out.suffix != ".nc":
        raise CranpmError(f"{out}: a NetCDF file is written; give a name that ends in .nc")
    names = _chosen(reanalysis, species)
    times = {name: _whole(reanalysis, name) for name in names}
    first = times[names[0]]
    if different := [name for name in names if not np.array_equal(times[name], first)]:
        raise CranpmError(f"{different[0]} and {names[0]} have different times; sharpen them one by one (--species)")
    hours = np.arange(first[0], first[-1] + _HOUR, _HOUR)
    tiling = Tiling(reanalysis.grid, reanalysis.periodic)
    grid, kept = finer(reanalysis.grid, periodic=reanalysis.periodic), {}
    sizes = {"time": len(hours), "latitude": grid.height, "longitude": grid.width}
    fields = [*_coordinates(grid, hours), *(_field(name, reanalysis, grid) for name in names), *_reports(names)]
    with write_atomically(out, sizes, fields, _attributes(reanalysis, engine)) as put:
        for number, name in enumerate(names):
            sums, clipped, written = _Sums(), 0, 0
            relative = _relative(reanalysis, engine, name, first[0])
            for coarse, real in _hours(reanalysis, engine, name, first, relative):
                fine, below = engine.refine(coarse, tiling, relative=relative)
                put(name, (written,), fine)
                clipped, written = clipped + below, written + 1
                if real:
                    sums.add(coarse, fine, reanalysis, grid)
                tell("sharpening hours", number * len(hours) + written, len(names) * len(hours))
            kept[name] = Kept(*sums.means, sums.blocks, clipped, written)
            for what, value in (("before", kept[name].before), ("after", kept[name].after)):
                put(f"{name}_mean_{what}", (), np.float64(value))
    return kept


class _Sums:
    """Running sums over the instants of the reanalysis."""

    def __init__(self) -> None:
        self.pairs: list[tuple[float, float]] = []
        self.error = self.size = 0.0

    def add(self, coarse: Map, fine: Map, reanalysis: Reanalysis, grid: Grid) -> None:
        """Look at one map."""
        periodic, whole = reanalysis.periodic, reanalysis.grid
        blocks, inside = _blocks(fine, periodic=periodic), coarse[1:-1] if periodic else coarse[1:-1, 1:-1]
        if periodic and whole.height * whole.step > 180:
            self.pairs.append((area_mean(coarse, whole), area_mean(fine, grid)))
        else:  # of the same area: the outermost coarse cells reach beyond the fine nodes
            part = whole.window(1, 0 if periodic else 1, *inside.shape)
            self.pairs.append((area_mean(inside, part), area_mean(blocks, part)))
        self.error += float(((blocks - inside).astype(np.float64) ** 2).sum())
        self.size += float((inside.astype(np.float64) ** 2).sum())

    @property
    def means(self) -> tuple[float, float]:
        """Mean over the area before and after."""
        before, after = np.mean(self.pairs, axis=0)
        return float(before), float(after)

    @property
    def blocks(self) -> float:
        """How far block means are from the reanalysis."""
        return float(np.sqrt(self.error / self.size)) if self.size else 0.0


def _blocks(fine: Map, *, periodic: bool) -> Map:
    """Means of the 3 x 3 nodes around each coarse node, without the outermost coarse rows (and columns)."""
    wide = np.concatenate([fine[:, -1:], fine, fine[:, :1]], axis=1)[:, : fine.shape[1]] if periodic else fine[:, 2:-2]
    rows = wide[2:-2]
    return rows.reshape(rows.shape[0] // 3, 3, rows.shape[1] // 3, 3).mean(axis=(1, 3))


def _hours(
    reanalysis: Reanalysis, engine: Engine, name: str, times: Times, relative: float
) -> Iterator[tuple[Map, bool]]:
    """Hourly coarse maps, and whether each is the reanalysis' own."""
    grid, periodic = reanalysis.grid, reanalysis.periodic
    before = reanalysis.map(name, times[0])
    yield before, True
    for time in times[1:]:
        after = reanalysis.map(name, time)
        for between in engine.between(before, after, grid, periodic=periodic, relative=relative):
            yield between, False
        yield after, True
        before = after


def _relative(reanalysis: Reanalysis, engine: Engine, name: str, time: np.datetime64) -> float:
    """Mean of a species over that of the PM2.5 the networks were trained on; 1 for PM2.5 itself."""
    trained = engine.space or engine.time
    if name == "pm2p5" or trained is None:
        return 1.0
    return max(area_mean(reanalysis.map(name, time), reanalysis.grid) / trained.mean, 1e-30)


def _chosen(reanalysis: Reanalysis, species: Sequence[str]) -> list[str]:
    known = list(reanalysis.species)
    if not known:
        raise CranpmError(f"no species in these files; expected one of {', '.join(_OURS)} or a total column (kg m-2)")
    for name in species:
        if name not in known:
            raise CranpmError(f"--species {name}: {nearest(name, known)} (in the files: {', '.join(known)})")
    return list(dict.fromkeys(species)) or known


def _whole(reanalysis: Reanalysis, name: str) -> Times:
    """The times of a species, three hours apart without a gap."""
    times = reanalysis.times(name)
    if len(times) < 2:
        raise CranpmError(f"'{name}' at {len(times)} instant; expected at least two, three hours apart")
    wrong = np.flatnonzero(np.diff(times) != _STEP)
    if wrong.size:
        one, two = times[wrong[0]], times[wrong[0] + 1]
        raise CranpmError(f"'{name}' goes from {one} to {two}; expected steps of {HOURS} hours: add what lies between")
    return times


def _coordinates(grid: Grid, hours: Times) -> list[Field]:
    since = (hours - _EPOCH).astype("timedelta64[h]").astype(np.int32)
    time = {"standard_name": "time", "long_name": "time, UTC", "units": "hours since 1970-01-01 00:00:00",
            "calendar": "standard", "axis": "T"}  # fmt: skip
    lat = {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north", "axis": "Y"}
    lon = {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east", "axis": "X"}
    return [
        Field("time", ("time",), since, time),
        Field("latitude", ("latitude",), grid.lats, lat),
        Field("longitude", ("longitude",), grid.lons, lon),
    ]


def _field(name: str, reanalysis: Reanalysis, grid: Grid) -> Field:
    variable, unit = _OURS.get(name), reanalysis.species[name]
    attributes = {
        "units": unit,
        "long_name": name,
        "cell_methods": "time: point area: mean",
        "valid_min": np.float32(0),
    }
    if variable is not None:
        attributes["standard_name"] = variable.standard_name
    if unit == COLUMN:
        attributes["long_name"] = f"{name}, total column as the reanalysis names it"
    chunk = (1, min(_CHUNK, grid.height), min(_CHUNK, grid.width))
    return Field(name, ("time", "latitude", "longitude"), None, attributes, "f4", chunk, np.float32(np.nan))


def _reports(names: Sequence[str]) -> list[Field]:
    told = {"before": "in the reanalysis", "after": "sharpened"}
    return [
        Field(f"{name}_mean_{what}", (), None, {"long_name": f"{name}: mean over area and instants, {where}"}, "f8")
        for name in names
        for what, where in told.items()
    ]


def _attributes(reanalysis: Reanalysis, engine: Engine) -> dict[str, str]:
    stamp = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    unreal = f"; {SIMULATED}" if reanalysis.simulated else ""
    networks = {
        f"network_{one.task}": f"{one.model}, SHA-256 {one.hash}, trained on "
        f"{'SIMULATED' if one.simulated else 'GEOS-CF'} PM2.5 ({one.degradation} degradation)"
        for one in (engine.time, engine.space) if one is not None
    }  # fmt: skip
    how = MARK if networks else "interpolation"
    title = f"Composition sharpened to 0.25 degrees, hourly, by {how}" if networks else "Composition interpolated"
    return {
        "Conventions": "CF-1.11",
        "title": f"{'SIMULATED ' if reanalysis.simulated else ''}{title}",
        "source": f"cranpm {cranpm.__version__}",
        "history": f"{stamp} written by cranpm {cranpm.__version__}{unreal}",
        "references": "Xiao et al. 2022 (DeepCAMS)",
        "sharpened_by": how,
        "comment": "Generated using Copernicus Atmosphere Monitoring Service information where the input is EAC4. "
        "Fine nodes that lie on coarse ones are every third; values are means over the cell around the node.",
        **networks,
    }
