"""The sample world's PM2.5 hour by hour on a coarse grid of any size: the truth that sharpening is taught with.

A run of its own with the weather, emissions and transport of the sample world, in steps of an hour. Like them it
proceeds in blocks of days from a fixed state before, so an hour is the same whichever days are asked for.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from cranpm.grid import FINE_STEP, Grid
from cranpm.region import Region
from cranpm.sample.climates import climate_of
from cranpm.sample.geography import make_ground
from cranpm.sample.pollution import CARRY, Pollution
from cranpm.sample.transport import Air, Transport
from cranpm.sample.weather import DayWeather, Weather

HOURLY_VERSION = 1
"""Changes whenever an hour of these outputs changes."""

BLOCK = 12  # days
_SPIN_UP = 5  # days before a block in which the run forgets its start
_HOURS = tuple(range(24))
_SHALLOW = 300.0  # m: depth of the mixed layer over which PM2.5 at the ground equals its mean over the layer
_GATHER = 0.35  # how much more of it lies at the ground when the layer is shallower
_BUSY = ((8.0, 1.3, 0.9), (18.5, 2.2, 0.8))  # local hours at which people drive and heat: when, how long, how much more
_QUIET = 0.55  # of the daily mean: what is emitted at night
_FINE = 64  # pixels of a fine window, which the ground asks for and nothing here looks at

Field = NDArray[np.float32]


class HourlyTruth:
    """PM2.5 of a region's sample world on a coarse grid, an instant at every full hour.

    Args:
        region: the pack; its sample window's latitude decides the weather, so it is that of the sample world.
        grid: the grid, of any size and step.
        seed, realisation: which sample world.
    """

    def __init__(self, region: Region, grid: Grid, *, seed: int = 0, realisation: int = 0):
        latitude = (region.sample.coarse.north + region.sample.coarse.south) / 2
        climate = climate_of(region.sample.climate, latitude)
        ground = make_ground(seed, climate, grid, _somewhere(grid))
        key = (region.name, seed, realisation)
        self.grid = grid
        self._weather = Weather(climate, grid, ground.coarse_elevation, ground.coarse_land, latitude, key, _HOURS)
        self._runs = Pollution(climate, ground, self._weather, seed, realisation)
        self._transport = Transport(grid, ground.coarse_elevation, halvings=1, seconds=3600.0)

    def days(self, days: Sequence[dt.date]) -> Iterator[tuple[dt.date, Field]]:
        """Days in the order of the calendar, each with its hours 00 to 23 UTC, ug m-3, shape (24, height, width)."""
        wanted = sorted({day.toordinal() for day in days})
        for number in sorted({day // BLOCK for day in wanted}):
            block = {day for day in wanted if day // BLOCK == number}
            first = number * BLOCK - _SPIN_UP
            state = self._runs.coarse_start(first)
            for day in range(first, max(block) + 1):
                state, hours = self._day(day, self._weather.at_the_ground(day), state)
                if day in block:
                    yield dt.date.fromordinal(day), hours

    def _day(self, day: int, weather: DayWeather, state: Field) -> tuple[Field, Field]:
        """The state a day later, and PM2.5 at the ground at the day's hours."""
        sources = self._runs.truth_sources(day, weather)
        mixing = self._runs.true_mixing(day, weather, _HOURS)
        rain = weather.fields["tp"] * np.float32(1000 / 3)  # mm in an hour, of those in three
        busy = self._busy()
        edge, hours = self._runs.edge(sources.inflow), []
        for hour in _HOURS:
            hours.append(state)
            u, v = (CARRY * weather.fields[name][hour] for name in ("u10", "v10"))
            air = Air(u, v, mixing[hour], rain[hour], sources.above)
            state = self._transport.step(state, air, sources.emission * busy[hour], edge)
        return state, (np.stack(hours) * (_SHALLOW / mixing) ** _GATHER).astype(np.float32)

    def _busy(self) -> Field:
        """What is emitted at each hour as a multiple of the daily mean, shape (24, 1, width)."""
        local = (np.array(_HOURS, float)[:, None] + self.grid.lons / 15) % 24
        shape = np.full(local.shape, _QUIET)
        for when, width, more in _BUSY:
            away = (local - when + 12) % 24 - 12
            shape += more * np.exp(-0.5 * (away / width) ** 2)
        return (shape / shape.mean(axis=0))[:, None].astype(np.float32)


def _somewhere(grid: Grid) -> Grid:
    """A small fine window in the middle of a grid."""
    north = grid.north - grid.step * (grid.height // 2)
    west = grid.west + grid.step * (grid.width // 2)
    return Grid(round(north - FINE_STEP / 2, 6), round(west + FINE_STEP / 2, 6), FINE_STEP, _FINE, _FINE)
