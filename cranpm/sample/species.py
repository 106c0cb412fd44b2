"""The sample world's composition on a coarse grid: particles and gases of several lifetimes, and what drives them.

Four tracers, eight channels. PM2.5 lives for days; the coarse particles that PM10 has besides are raised by wind and
fall out within a day or two; CO lives for weeks; NO2 lives for hours by day and longer by night, so its map turns with
the sun. Gases lie on three levels: the mixed layer (1000 hPa), and 850 and 500 hPa, which venting and rain reach.

Three views: the analysis is what happens; the reanalysis is a CAMS-like model with other emissions and another mixed
layer; the forecast is that model from an analysis on, with forecast weather. Runs proceed in blocks of days from a
fixed state before, so an instant is the same whichever days are asked for.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cranpm.grid import FINE_STEP, Grid
from cranpm.region import Region
from cranpm.sample.climates import Climate, climate_of
from cranpm.sample.emissions import Fire
from cranpm.sample.geography import Ground, make_ground
from cranpm.sample.pollution import Pollution
from cranpm.sample.tracers import CHANNELS, State, Tracers
from cranpm.sample.weather import HOURS, DayWeather, Weather
from cranpm.variables import LEVELS

SPECIES_VERSION = 1
"""Changes whenever an instant of these outputs changes."""

INSTANTS = (0, 12)
"""UTC hours of the outputs."""

FORECAST_DAYS = 5
DRIVER_LEVELS = (500, 850, 1000)
_EVERY = len(HOURS) // len(INSTANTS)
_BLOCK = 24  # days
_SPIN_UP = 9  # days before a block in which the runs forget their start
_FINE = 64  # pixels of a fine window, which the ground asks for and nothing here looks at

Field = NDArray[np.float32]
Fields = Mapping[str, Field]


@dataclass(frozen=True)
class SpeciesDay:
    """A day's two instants: particles in ug m-3, gases as mass mixing ratios in kg kg-1.

    Attributes:
        day: UTC.
        weather: the driver, by channel: u10, v10, t2m, sp, tp (m in the 12 h before), u_850, ..; shape (2, H, W).
        analysis, reanalysis: by channel of `tracers.CHANNELS`, shape (2, H, W).
    """

    day: dt.date
    weather: Fields
    analysis: Fields
    reanalysis: Fields


@dataclass(frozen=True)
class SpeciesForecast:
    """What was forecast at 00 UTC of a day, every 12 h from then on.

    Attributes:
        day: of issue.
        weather: as in `SpeciesDay`, the instant of issue first, shape (11, H, W).
        composition: that of the CAMS-like model, for 12 to 120 h, shape (10, H, W).
    """

    day: dt.date
    weather: Fields
    composition: Fields


class SpeciesWorld:
    """The composition of a region's sample world on a coarse grid.

    Args:
        region: the pack; its sample window's latitude decides the weather, so it is that of the sample world.
        grid: the grid, of any size and step.
        seed, realisation: which sample world.

    Attributes:
        elevation, land: of the grid's points; m, and whether most of a cell is land.
    """

    def __init__(self, region: Region, grid: Grid, *, seed: int = 0, realisation: int = 0):
        latitude = (region.sample.coarse.north + region.sample.coarse.south) / 2
        climate = climate_of(region.sample.climate, latitude)
        ground = _ground(seed, climate, grid)
        key = (region.name, seed, realisation)
        self.grid, self.elevation, self.land = grid, ground.coarse_elevation, ground.coarse_land
        self._weather = Weather(climate, grid, ground.coarse_elevation, ground.coarse_land, latitude, key)
        self._runs = Pollution(climate, ground, self._weather, seed, realisation)
        self._tracers = Tracers(grid, ground, climate)

    def days(self, days: Sequence[dt.date]) -> Iterator[SpeciesDay]:
        """The days asked for, in the order of the calendar."""
        for day, weather, before, views in self._run(days):
            driver = _driver([before, weather])
            found = [_instants(hours) for hours, _ in views]
            yield SpeciesDay(dt.date.fromordinal(day), {n: v[2:4] for n, v in driver.items()}, *found)

    def forecasts(self, days: Sequence[dt.date]) -> Iterator[SpeciesForecast]:
        """What was forecast at 00 UTC of each of the days, in order."""
        for day, weather, before, views in self._run(days):
            ahead = self._weather.forecast(day, range(FORECAST_DAYS + 1))
            state, fires, made = views[0][1], self._runs.fires(day), []
            for lead, expected in enumerate(ahead):
                state, hours = self._model_day(day + lead, expected, state, fires)
                made.append(hours)
            known = {n: np.concatenate([v[2:3], w[3:13]]) for (n, v), w in zip(
                _driver([before, weather]).items(), _driver([before, *ahead]).values(), strict=True
            )}  # fmt: skip
            composition = {n: np.concatenate([_instants(h)[n] for h in made])[1:11] for n in CHANNELS}
            yield SpeciesForecast(dt.date.fromordinal(day), known, composition)

    def _run(
        self, days: Sequence[dt.date]
    ) -> Iterator[tuple[int, DayWeather, DayWeather, tuple[tuple[list[Fields], State], ...]]]:
        """Day, its weather and that of the day before; hours and state at 00 UTC of the analysis and reanalysis."""
        wanted = sorted({day.toordinal() for day in days})
        for number in sorted({day // _BLOCK for day in wanted}):
            block = {day for day in wanted if day // _BLOCK == number}
            first = number * _BLOCK - _SPIN_UP
            truth = model = self._tracers.start(self._runs.coarse_start(first))
            before = self._weather.analysis(first - 1)
            for day in range(first, max(block) + 1):
                weather = self._weather.analysis(day)
                starts = truth, model
                truth, true_hours = self._true_day(day, weather, truth)
                model, model_hours = self._model_day(day, weather, model)
                if day in block:
                    yield day, weather, before, ((true_hours, starts[0]), (model_hours, starts[1]))
                before = weather

    def _true_day(self, day: int, weather: DayWeather, state: State) -> tuple[State, list[Fields]]:
        sources = self._runs.truth_sources(day, weather)
        mixing = self._runs.true_mixing(day, weather)
        return self._tracers.day(day, weather, sources, mixing, self._runs.edge(sources.inflow), state)

    def _model_day(
        self, day: int, weather: DayWeather, state: State, fires: list[Fire] | None = None
    ) -> tuple[State, list[Fields]]:
        sources = self._runs.model_sources(day, weather, fires)
        edge = self._runs.edge(sources.inflow)
        return self._tracers.day(day, weather, sources, weather.mixing, edge, state)


@lru_cache(maxsize=1)
def _ground(seed: int, climate: Climate, grid: Grid) -> Ground:
    """The ground, which all realisations share and which takes longest to make."""
    return make_ground(seed, climate, grid, _somewhere(grid))


def _instants(hours: list[Fields]) -> Fields:
    """The instants of the outputs out of a day's hours, shape (2, H, W)."""
    return {name: np.stack([fields[name] for fields in hours[::_EVERY]]) for name in CHANNELS}


def _driver(days: Sequence[DayWeather]) -> Fields:
    """The weather at the instants of consecutive days; rain is that of the 12 h before (none before the first)."""
    found = {name: np.concatenate([day.fields[name][::_EVERY] for day in days]) for name in ("u10", "v10", "t2m", "sp")}
    rain = np.concatenate([day.fields["tp"] for day in days])
    sums = rain.reshape(-1, _EVERY, *rain.shape[1:]).sum(axis=1)
    found["tp"] = np.concatenate([np.zeros_like(sums[:1]), sums[:-1]])
    for name in ("u", "v", "t", "z", "q"):
        for level in DRIVER_LEVELS:
            found[f"{name}_{level}"] = np.concatenate([day.fields[name][::_EVERY, LEVELS.index(level)] for day in days])
    return {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in found.items()}


def _somewhere(grid: Grid) -> Grid:
    """A small fine window in the middle of a grid."""
    north = grid.north - grid.step * (grid.height // 2)
    west = grid.west + grid.step * (grid.width // 2)
    return Grid(round(north - FINE_STEP / 2, 6), round(west + FINE_STEP / 2, 6), FINE_STEP, _FINE, _FINE)
