"""Composition and weather every 12 h on one grid, as files of a month each: what a coupling network is trained on."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cranpm.data.days import parse_days
from cranpm.data.lock import locked
from cranpm.data.progress import Progress, silent
from cranpm.errors import CranpmError
from cranpm.folders import write_whole
from cranpm.grid import Grid
from cranpm.region import load_region

if TYPE_CHECKING:
    from cranpm.sample.species import SpeciesWorld

Field = NDArray[np.float32]
STEP = np.timedelta64(12, "h")


@dataclass(frozen=True)
class Area:
    """A grid by its first node, and the pack whose sample world fills it."""

    region: str
    north: float
    west: float
    step: float
    height: int
    width: int

    @property
    def grid(self) -> Grid:
        """The grid."""
        return Grid(self.north, self.west, self.step, self.height, self.width)


@dataclass(frozen=True)
class Course:
    """Days of one course of the sample world's weather and emissions.

    Attributes:
        realisation: which course.
        days: as `cranpm.data.days.parse_days` reads them, e.g. "2017".
    """

    realisation: int
    days: str

    @property
    def dates(self) -> tuple[date, ...]:
        """The days, in order."""
        return parse_days(self.days)


@dataclass(frozen=True)
class Series:
    """Consecutive instants, 12 h apart.

    Attributes:
        times: UTC, shape (n,).
        composition: physical units, shape (n, C, H, W).
        weather: physical units, shape (n, D, H, W).
    """

    times: NDArray[np.datetime64]
    composition: Field
    weather: Field


def places(names: Sequence[str], grid: Grid, elevation: Field, land: NDArray) -> Field:
    """What is known of the places of a grid, shape (S, H, W): metres, share of land, sines and cosines."""
    lats, lons = np.meshgrid(np.radians(grid.lats), np.radians(grid.lons), indexing="ij")
    known = {"elevation": elevation, "land": land, "sin_lat": np.sin(lats), "cos_lat": np.cos(lats)}
    known |= {"sin_lon": np.sin(lons), "cos_lon": np.cos(lons)}
    if unknown := [name for name in names if name not in known]:
        raise CranpmError(f"places: {', '.join(unknown)} unknown; known: {', '.join(known)}")
    return np.stack([known[name] for name in names]).astype(np.float32)


def simulated_series(
    area: Area, course: Course, view: str, species: Sequence[str], weather: Sequence[str], cache: Path, *,
    seed: int = 0, tell: Progress = silent,
) -> list[Series]:  # fmt: skip
    """Simulated days as series without gaps, made where they are not in the cache yet.

    Args:
        area, course, seed: which world, which days.
        view: "analysis" or "reanalysis".
        species, weather: the channels, in the order wanted.
        cache: where simulated days lie.
        tell: told after each month.

    Raises:
        CranpmError: the sample world has no such channel.
    """
    from cranpm.sample.species import INSTANTS

    months = simulated_months(area, course, cache, seed=seed, tell=tell)
    days = [np.datetime64(day) for month in months for day in month["days"]]
    times = np.concatenate([day + np.array([np.timedelta64(h, "h") for h in INSTANTS]) for day in days])
    composition = np.concatenate([_stack(month, view, species) for month in months])
    driver = np.concatenate([_stack(month, "weather", weather) for month in months])
    breaks = np.flatnonzero(np.diff(times) != STEP) + 1
    return [
        Series(t, c, w) for t, c, w in zip(*(np.split(a, breaks) for a in (times, composition, driver)), strict=True)
    ]


def simulated_ground(area: Area, names: Sequence[str], cache: Path, *, seed: int = 0) -> Field:
    """What is known of the places of a simulated area, shape (S, H, W)."""
    path = world_folder(area, None, cache, seed) / "ground.npz"
    if not path.exists():
        from cranpm.sample.species import SpeciesWorld

        world = SpeciesWorld(load_region(area.region), area.grid, seed=seed)
        _write(path, {"elevation": world.elevation, "land": world.land.astype(np.float32)})
    found = _read(path)
    return places(names, area.grid, found["elevation"], found["land"])


def simulated_months(
    area: Area, course: Course, cache: Path, *, seed: int = 0, tell: Progress = silent, forecasts: bool = False
) -> list[Mapping[str, NDArray]]:
    """The files of a course's days by month: days and, by `view/channel`, fields (n, 2, H, W).

    With `forecasts`, what was forecast at 00 UTC of the days instead: `weather/..` of shape (n, 11, H, W) and
    `composition/..` of shape (n, 10, H, W).
    """
    from cranpm.sample.species import SPECIES_VERSION, SpeciesWorld

    folder = world_folder(area, course.realisation, cache, seed, SPECIES_VERSION)
    months = _by_month(course.dates)
    kind = "forecasts" if forecasts else "days"
    paths = [folder / f"{kind}-{_digest([str(day) for day in days])}-{days[0]:%Y-%m}.npz" for days in months]
    missing = {path: days for path, days in zip(paths, months, strict=True) if not path.exists()}
    if missing:
        with locked(folder, wait=True):
            world = SpeciesWorld(load_region(area.region), area.grid, seed=seed, realisation=course.realisation)
            made = _forecast_fields(world, missing) if forecasts else _day_fields(world, missing)
            for done, (path, fields) in enumerate(made, start=1):
                _write(path, fields)
                tell("simulating months", done, len(missing))
    return [_read(path) for path in paths]


def _day_fields(world: SpeciesWorld, months: Mapping[Path, list[date]]) -> Iterator[tuple[Path, dict[str, NDArray]]]:
    """The file of each month, from one run through all of them."""
    run = world.days([day for days in months.values() for day in days])
    for path, days in months.items():
        found = [next(run) for _ in days]
        fields = {"days": np.array([str(one.day) for one in found])}
        for view in ("weather", "analysis", "reanalysis"):
            names = getattr(found[0], view)
            fields |= {f"{view}/{name}": np.stack([getattr(one, view)[name] for one in found]) for name in names}
        yield path, fields


def _forecast_fields(
    world: SpeciesWorld, months: Mapping[Path, list[date]]
) -> Iterator[tuple[Path, dict[str, NDArray]]]:
    run = world.forecasts([day for days in months.values() for day in days])
    for path, days in months.items():
        found = [next(run) for _ in days]
        fields = {"days": np.array([str(one.day) for one in found])}
        for view in ("weather", "composition"):
            names = getattr(found[0], view)
            fields |= {f"{view}/{name}": np.stack([getattr(one, view)[name] for one in found]) for name in names}
        yield path, fields


def stacked(month: Mapping[str, NDArray], view: str, names: Sequence[str]) -> Field:
    """Channels of a month's file, shape (days, instants, channels, H, W)."""
    known = [key.partition("/")[2] for key in month if key.startswith(f"{view}/")]
    if unknown := [name for name in names if name not in known]:
        raise CranpmError(f"the sample world has no {', '.join(unknown)}; it has {', '.join(known)}")
    return np.stack([month[f"{view}/{name}"] for name in names], axis=2)


def _stack(month: Mapping[str, NDArray], view: str, names: Sequence[str]) -> Field:
    values = stacked(month, view, names)
    return values.reshape(-1, *values.shape[2:])


def _by_month(days: Sequence[date]) -> list[list[date]]:
    months: dict[tuple[int, int], list[date]] = {}
    for day in sorted(set(days)):
        months.setdefault((day.year, day.month), []).append(day)
    return list(months.values())


def world_folder(area: Area, realisation: int | None, cache: Path, seed: int, version: int = 0) -> Path:
    """Where the simulated days of an area lie in the cache; without a realisation, what all share."""
    digest = _digest([asdict(area), seed, version])
    return cache / f"species-{area.region}-s{seed}-{'ground' if realisation is None else f'r{realisation}'}-{digest}"


def _digest(key: object) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:10]


def _write(path: Path, fields: Mapping[str, NDArray]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **fields)  # type: ignore[arg-type]
    write_whole(path, buffer.getvalue())


def _read(path: Path) -> dict[str, NDArray]:
    with np.load(path, allow_pickle=False) as found:
        return {key: found[key] for key in found.files}


def pairs(series: Sequence[Series], steps: int) -> Iterator[tuple[int, int]]:
    """Series and index of every instant from which so many steps can be forecast and 12 h looked back."""
    for number, one in enumerate(series):
        yield from ((number, index) for index in range(1, one.times.size - steps))
