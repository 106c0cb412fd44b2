"""Hourly maps at 0.25 degrees to learn from: GEOS-CF files, or days of the sample world in the same format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cranpm.data.days import parse_days
from cranpm.data.lock import locked
from cranpm.data.products.axes import Times
from cranpm.data.products.geos_cf import HourlyMaps, read_geos_cf
from cranpm.data.progress import Progress, silent
from cranpm.errors import CranpmError
from cranpm.grid import Grid
from cranpm.region import load_region

Maps = NDArray[np.float32]
HOUR = np.timedelta64(3600, "s")


@dataclass(frozen=True)
class Course:
    """Days of one course of the sample world's weather and emissions.

    Attributes:
        realisation: which course.
        days: as `cranpm.data.days.parse_days` reads them, e.g. "2017".
        of_month: first and last day of each month that counts.
    """

    realisation: int
    days: str
    of_month: tuple[int, ...] = (1, 31)

    @property
    def dates(self) -> tuple[date, ...]:
        """The days, in order."""
        first, last = self.of_month
        return tuple(day for day in parse_days(self.days) if first <= day.day <= last)


@dataclass(frozen=True)
class Place:
    """A 0.25 degree grid by its first node; height and width are multiples of 3."""

    region: str
    north: float
    west: float
    height: int
    width: int

    @property
    def grid(self) -> Grid:
        """The grid."""
        return Grid(self.north, self.west, 0.25, self.height, self.width)


def simulated_files(place: Place, course: Course, cache: Path, *, seed: int = 0, tell: Progress = silent) -> list[Path]:
    """Files of simulated days, made where they are not in the cache yet; processes wait for each other."""
    from cranpm.sample.geos_cf import geos_cf_path, write_geos_cf
    from cranpm.sample.hourly import HOURLY_VERSION, HourlyTruth

    key = json.dumps([asdict(place), seed, course.realisation, HOURLY_VERSION], sort_keys=True)
    digest = hashlib.sha256(key.encode()).hexdigest()[:10]
    folder = cache / f"hourly-{place.region}-s{seed}-r{course.realisation}-{digest}"
    paths = [geos_cf_path(folder, day) for day in course.dates]
    if not all(path.exists() for path in paths):
        with locked(folder, wait=True):
            if not all(path.exists() for path in paths):
                tell("simulating hours", 0, len(paths))
                world = HourlyTruth(load_region(place.region), place.grid, seed=seed, realisation=course.realisation)
                write_geos_cf(world, course.dates, folder, tell)
    return paths


@dataclass(frozen=True)
class Series:
    """Maps of consecutive hours.

    Attributes:
        times: UTC, an hour apart, shape (n,).
        maps: shape (n, height, width), ug m-3.
    """

    times: Times
    maps: Maps


def read_series(
    paths: Sequence[Path], reduce: Callable[[Maps], Maps], *, every: int = 1, tell: Progress = silent
) -> list[Series]:
    """Files as series of consecutive hours, each file reduced when it is read so that years fit in memory.

    Args:
        paths: GEOS-CF files, ordered by time.
        reduce: what is kept of a file's maps, e.g. their degradation.
        every: keep each n-th hour; 1 where neighbours in time are needed.
        tell: told after each file.

    Raises:
        CranpmError: a file is not as expected, or files lie on different grids.
    """
    found: list[tuple[Times, Maps]] = []
    for done, file in enumerate(_read(paths), start=1):
        found.append((file.times[::every], reduce(file.values[::every])))
        tell("reading hours", done, len(paths))
    times = np.concatenate([pair[0] for pair in found])
    maps = np.concatenate([pair[1] for pair in found])
    breaks = np.flatnonzero(np.diff(times) != every * HOUR) + 1
    return [Series(t, m) for t, m in zip(np.split(times, breaks), np.split(maps, breaks), strict=True)]


def _read(paths: Sequence[Path]) -> Iterator[HourlyMaps]:
    grid: Grid | None = None
    for path in paths:
        maps = read_geos_cf(path)
        if grid is not None and maps.grid != grid:
            raise CranpmError(f"{path.name}: another grid than the files before ({maps.grid} against {grid})")
        grid = maps.grid
        yield maps
