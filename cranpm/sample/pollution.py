"""PM2.5 of the sample world: the truth (coarse run, 2 km nest, 1 km detail) and a CAMS-like model that differs from it.

A run proceeds in blocks of days that begin at fixed dates from a fixed state long before, so a day is the same
whichever days are asked for.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cranpm.sample.climates import Climate, between
from cranpm.sample.emissions import Fire, fire_map, fires_of
from cranpm.sample.geography import Ground
from cranpm.sample.noise import value_noise
from cranpm.sample.regrid import Regrid
from cranpm.sample.transport import Air, Inflow, Transport
from cranpm.sample.waves import Spectrum, Waves
from cranpm.sample.weather import FORECAST_LEADS, HOURS, DayWeather, Weather

Field = NDArray[np.float32]

BLOCK = 24  # days
_SPIN_UP = 9  # days before a block in which the coarse runs forget their start
_NEST_SPIN_UP = 3  # the same for the nest
CARRY = 1.2  # wind of the mixed layer over the 10 m wind
_STEPS = 8
_REACH = 11_000.0  # m over which a source that the nest does not resolve is felt


@dataclass(frozen=True)
class DayPollution:
    """What the runs leave of one day.

    Attributes:
        weather: the day's weather.
        truth: daily mean PM2.5 on the fine grid, ug m-3.
        cams: PM2.5 of the CAMS-like analysis at HOURS, shape (8, H, W).
        forecast_weather: issued at the day, for leads 1 to 3.
        forecast: PM2.5 of the CAMS-like forecast issued at the day, shape (3, 8, H, W).
    """

    weather: DayWeather
    truth: Field
    cams: Field
    forecast_weather: list[DayWeather]
    forecast: Field


@dataclass(frozen=True)
class _Sources:
    """Emission (ug m-2 s-1), air above and inflow (ug m-3) of one day on the coarse grid, and what varies the truth."""

    emission: Field
    factor: Field
    above: Field
    inflow: Field
    fires: list[Fire]


class Pollution:
    """The PM2.5 runs of one realisation."""

    def __init__(self, climate: Climate, ground: Ground, weather: Weather, seed: int, realisation: int):
        self.climate, self.ground, self.weather = climate, ground, weather
        self.seed, self.realisation, self.key = seed, realisation, weather.key
        coarse, latitude = ground.coarse, weather.latitude
        self.coarse = Transport(coarse, ground.coarse_elevation, halvings=1)
        self.nest = Transport(ground.nest, ground.nest_elevation, halvings=3)
        self.to_nest, self.to_fine = Regrid(coarse, ground.nest), Regrid(ground.nest, ground.fine)
        self.hidden = Waves(Spectrum("hidden", 48, 900, 0.4, 1.5), coarse, latitude)
        self.activity = Waves(Spectrum("activity", 64, 400, 0.4, 1.3), coarse, latitude)
        self.haze = Waves(Spectrum("haze", 32, 3000, 0.3, 2.5, 3.0), coarse, latitude)
        self.errors = Waves(Spectrum("cams errors", 48, 900, 0.5, 1.2), coarse, latitude)
        self.depths = Waves(Spectrum("cams depths", 48, 900, 0.5, 0.9), coarse, latitude)
        pattern = value_noise(("cams pattern", seed), coarse.lats, coarse.lons, 1.0)
        self.cams_pattern = climate.cams_bias * np.exp(1.1 * (pattern - 0.5)).astype(np.float32)

    def block(self, number: int, wanted: set[int]) -> Iterator[tuple[int, DayPollution]]:
        """The wanted days of a block (proleptic ordinals), in order."""
        first, last = number * BLOCK, max(wanted)
        state = cams = self.coarse_start(first - _SPIN_UP)
        nest: Field | None = None
        for day in range(first - _SPIN_UP, last + 1):
            weather = self.weather.analysis(day)
            forecast = self._forecast(day, cams) if day in wanted else None
            if nest is None and day >= first - _NEST_SPIN_UP:
                nest = self.to_nest(state)
            state, nest, truth = self._truth_day(day, weather, state, nest, day in wanted)
            cams, hours = self._cams_day(day, weather, self._sources(day, weather, cams=True), cams)
            if forecast is not None:
                yield day, DayPollution(weather, truth, hours, forecast[0], forecast[1])

    def coarse_start(self, day: int) -> Field:
        """The fixed state from which the coarse runs start."""
        return self._clean(day, 0.0)[1]

    def _truth_day(
        self, day: int, weather: DayWeather, state: Field, nest: Field | None, wanted: bool
    ) -> tuple[Field, Field | None, Field]:
        """The truth one day later on the coarse grid and the nest, and (where wanted) its daily mean at 1 km."""
        sources = self.truth_sources(day, weather)
        mixing = self.true_mixing(day, weather)
        u, v = CARRY * weather.fields["u10"], CARRY * weather.fields["v10"]
        rain = weather.fields["tp"] * np.float32(1000)
        local = None if nest is None else self._nest_day(sources, u, v, mixing, rain)
        total, venting = np.zeros(self.ground.nest.shape, np.float32), np.zeros(self.ground.nest.shape, np.float32)
        for hour in range(_STEPS):
            before = state
            air = Air(u[hour], v[hour], mixing[hour], rain[hour], sources.above)
            state = self.coarse.step(state, air, sources.emission, self.edge(sources.inflow))
            if nest is not None and local is not None:
                airs, emission = local
                nest = self.nest.step(nest, airs[hour], emission, self._coarse_inflow(before))
                total += nest
                venting += 1 / ((np.hypot(airs[hour].u, airs[hour].v) + 0.7) * airs[hour].mixing)
        truth = self._detail(total / _STEPS, venting / _STEPS, sources) if wanted else total
        return state, nest, truth

    def true_mixing(self, day: int, weather: DayWeather, hours: Sequence[int] = HOURS) -> Field:
        """Depth of the mixed layer as it is, which no model knows, m, shape (hours, H, W)."""
        times = day + np.array(hours) / 24
        hidden = np.exp(self.climate.hidden * self.hidden.field(self.hidden.amplitudes(times, *self.key)))
        return np.clip(weather.mixing * hidden, 80, 3000)

    def truth_sources(self, day: int, weather: DayWeather) -> _Sources:
        """Emissions of a day as they are, and the air around."""
        return self._sources(day, weather, cams=False)

    def model_sources(self, day: int, weather: DayWeather, fires: list[Fire] | None = None) -> _Sources:
        """The same as a CAMS-like model believes them to be; fires of another day where it cannot know those."""
        return self._sources(day, weather, cams=True, fires=fires)

    def _nest_day(self, sources: _Sources, u: Field, v: Field, mixing: Field, rain: Field) -> tuple[list[Air], Field]:
        """Air at the eight instants on the nest, and the day's emission there."""
        fields = self.to_nest(np.concatenate([u, v, mixing, rain, sources.above[None], sources.factor[None]]))
        fields[: _STEPS * 2] *= 1 - 0.55 * self.ground.basin
        fields[_STEPS * 2 : _STEPS * 3] *= 1 - 0.35 * self.ground.basin
        hourly = zip(*np.split(fields[: 4 * _STEPS], 4), strict=True)
        airs = [Air(u, v, mixing, rain, fields[-2]) for u, v, mixing, rain in hourly]
        emission = self.climate.emission * self.ground.nest_emission * fields[-1]
        return airs, emission + fire_map(self.ground.nest, sources.fires)

    def _detail(self, mean: NDArray[np.floating], venting: NDArray[np.floating], sources: _Sources) -> Field:
        """Daily mean at 1 km: the nest's, and close to their sources the emissions it does not resolve."""
        venting = self.to_fine(venting * self.to_nest(sources.factor))
        mean = self.to_fine(mean)
        return np.maximum(mean + _REACH * self.climate.emission * self.ground.detail * venting, 0.25 * mean)

    def _cams_day(self, day: int, weather: DayWeather, sources: _Sources, state: Field) -> tuple[Field, Field]:
        """The CAMS-like model one day later, and its state at the eight instants."""
        noise = self.depths.field(self.depths.amplitudes(_instants(day), *self.key))
        mixing = np.clip(weather.mixing * np.exp(0.5 * self.climate.cams_noise * noise), 100, 3000)
        hours = []
        for hour in range(_STEPS):
            hours.append(state)
            u, v = (CARRY * weather.fields[name][hour] for name in ("u10", "v10"))
            air = Air(u, v, mixing[hour], weather.fields["tp"][hour] * 1000, sources.above)
            state = self.coarse.step(state, air, sources.emission, self.edge(sources.inflow))
        profile = (mixing.mean(axis=0) / mixing) ** 0.4
        return state, np.stack(hours) * profile / profile.mean(axis=0)

    def _forecast(self, issued: int, state: Field) -> tuple[list[DayWeather], Field]:
        """Weather and CAMS-like PM2.5 issued at a day, which see the weather only as the forecast has it."""
        days = self.weather.forecast(issued)
        fires = self.fires(issued)
        pm = []
        for lead, weather in enumerate(days):
            sources = self._sources(issued + lead, weather, cams=True, fires=fires)
            state, hours = self._cams_day(issued + lead, weather, sources, state)
            pm.append(hours)
        return days[1:], np.stack(pm[1 : len(FORECAST_LEADS) + 1])

    def _sources(self, day: int, weather: DayWeather, *, cams: bool, fires: list[Fire] | None = None) -> _Sources:
        """Emissions of a day as they are, or as the CAMS-like model believes them to be."""
        climate, noon = self.climate, np.array([day + 0.5])
        warmth = sum(climate.temperature) / 2 + 3
        cold = np.clip((warmth - weather.fields["t2m"].mean(axis=0)) / 14, 0, 1.7)
        factor = (1 + climate.heating[0] * cold) * (0.9 if dt.date.fromordinal(day).weekday() >= 5 else 1.04)
        fires = self.fires(day) if fires is None else fires
        if cams:
            errors = self.errors.field(self.errors.amplitudes(noon, *self.key))[0]
            factor = factor * self.cams_pattern * np.exp(climate.cams_noise * errors)
            haze = 0.0
        else:
            activity = self.activity.field(self.activity.amplitudes(noon, *self.key))[0]
            factor = factor * np.exp(climate.day_noise * activity)
            haze = self.haze.field(self.haze.amplitudes(noon, *self.key))[0]
        above, inflow = self._clean(day, haze)
        emission = climate.emission * self.ground.coarse_emission * factor + fire_map(self.ground.coarse, fires)
        return _Sources(emission.astype(np.float32), factor.astype(np.float32), above, inflow, fires)

    def _clean(self, day: int, haze: Field | float) -> tuple[Field, Field]:
        """PM2.5 above the mixed layer and of air that enters the domain."""
        summer = self.weather.summer(day)
        shape = np.ones(self.ground.coarse.shape, np.float32)
        above = between(self.climate.background, summer) * np.exp(0.25 * haze) * shape
        land = np.where(self.ground.coarse_land, 1.0, 0.5)
        inflow = between(self.climate.inflow, summer) * np.exp(0.45 * haze) * land
        return above.astype(np.float32), inflow.astype(np.float32)

    def fires(self, day: int) -> list[Fire]:
        """The fires that burn in the coarse window on a day."""
        day_of_year = dt.date.fromordinal(day).timetuple().tm_yday
        return fires_of(self.seed, self.realisation, self.climate, self.ground.terrain_grid, day, day_of_year)

    def edge(self, inflow: Field) -> Inflow:
        """Air that enters the coarse domain: as it is at the nearest point inside."""
        height, width = inflow.shape

        def enter(points: NDArray[np.intp], rows: Field, columns: Field) -> Field:
            row = np.clip(rows + 0.5, 0, height - 1).astype(int)
            return inflow[row, np.clip(columns + 0.5, 0, width - 1).astype(int)]

        return enter

    def _coarse_inflow(self, state: Field) -> Inflow:
        """Air that enters the nest: the coarse run's where it comes from."""
        coarse, nest = self.ground.coarse, self.ground.nest
        height, width = coarse.shape
        row0, column0 = float(coarse.rows(nest.north)), float(coarse.columns(nest.west))
        scale = np.float32(nest.step / coarse.step)

        def enter(points: NDArray[np.intp], rows: Field, columns: Field) -> Field:
            row = np.clip(row0 + rows * scale, 0, height - 1.001)
            column = np.clip(column0 + columns * scale, 0, width - 1.001)
            top, left = row.astype(int), column.astype(int)
            down, right = (row - top).astype(np.float32), (column - left).astype(np.float32)
            upper = state[top, left] * (1 - right) + state[top, left + 1] * right
            lower = state[top + 1, left] * (1 - right) + state[top + 1, left + 1] * right
            return upper + (lower - upper) * down

        return enter


def _instants(day: int) -> NDArray[np.float64]:
    return day + np.arange(_STEPS) / _STEPS
