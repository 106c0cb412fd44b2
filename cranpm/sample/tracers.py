"""How the sample world carries its tracers: the transport of PM2.5 with other lifetimes, on three levels for gases."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cranpm.grid import Grid
from cranpm.sample.climates import Climate
from cranpm.sample.geography import Ground
from cranpm.sample.pollution import CARRY
from cranpm.sample.transport import STEP, Air, Inflow, Transport
from cranpm.sample.weather import HOURS, DayWeather
from cranpm.variables import LEVELS

CHANNELS = ("pm2p5", "pm10", *(f"{gas}_{level}" for gas in ("co", "no2") for level in (1000, 850, 500)))
"""What comes out: ug m-3 for particles, kg kg-1 for gases."""

_DENSITY = 1.2  # kg m-3: of the air for which concentrations in ug m-3 become mixing ratios
_FREE = 2500.0  # m: depth of a layer above the mixed layer
_CO = {"emission": 9.0, "background": 130.0, "aloft": 95.0}  # relative to PM2.5's emission; ug m-3
_NO2 = {"emission": 1.6, "background": 1.0, "aloft": 0.05}
_NO2_DAY, _NO2_NIGHT = 1.0, 24.0  # hours: its lifetime under the highest sun and without any

Field = NDArray[np.float32]
State = Mapping[str, Field]
"""Concentrations in ug m-3: pm, coarse, and each gas on each level, as `co_850`."""


class Sources(Protocol):
    """Emission (ug m-2 s-1) and air above (ug m-3) of PM2.5 on a day."""

    @property
    def emission(self) -> Field: ...

    @property
    def above(self) -> Field: ...


@dataclass
class Tracers:
    """The tracers on one grid."""

    grid: Grid
    ground: Ground
    climate: Climate

    def __post_init__(self) -> None:
        grid, heights = self.grid, self.ground.coarse_elevation
        flat = np.zeros_like(heights)
        self.fine = Transport(grid, heights)
        self.coarse = Transport(grid, heights, deposition=0.012, scavenging=0.2, lifetime=2.5)
        self.near = {
            "co": Transport(grid, heights, deposition=0.0003, scavenging=0.0, lifetime=6.0),
            "no2": Transport(grid, heights, deposition=0.002, scavenging=0.01, lifetime=6.0),
        }
        self.aloft = Transport(grid, flat, halvings=0, deposition=0.0, scavenging=0.0, lifetime=12.0)

    def start(self, pm: Field) -> State:
        """The fixed state that runs start from."""
        ones = np.ones_like(pm)
        gases = {"co": _CO, "no2": _NO2}
        levels = {f"{gas}_1000": ones * made["background"] for gas, made in gases.items()}
        levels |= {f"{gas}_{level}": ones * made["aloft"] for gas, made in gases.items() for level in (850, 500)}
        return {"pm": pm, "coarse": 5 * ones, **{k: v.astype(np.float32) for k, v in levels.items()}}

    def day(
        self, day: int, weather: DayWeather, sources: Sources, mixing: Field, edge: Inflow, state: State
    ) -> tuple[State, list[Mapping[str, Field]]]:
        """The state a day later, and the channels at the day's hours."""
        hours = []
        for hour in range(len(HOURS)):
            hours.append(self._channels(state))
            state = self._step(day, hour, weather.fields, sources, mixing[hour], edge, state)
        return state, hours

    def _step(
        self, day: int, hour: int, weather: Mapping[str, Field], sources: Sources, mixing: Field, edge: Inflow,
        state: State,
    ) -> State:  # fmt: skip
        u, v = (np.float32(CARRY) * weather[name][hour] for name in ("u10", "v10"))
        rain = weather["tp"][hour] * np.float32(1000)
        new = {"pm": self.fine.step(state["pm"], Air(u, v, mixing, rain, sources.above), sources.emission, edge)}
        air = Air(u, v, mixing, rain, 0.5)
        new["coarse"] = self.coarse.step(state["coarse"], air, self._raised(np.hypot(u, v), rain), _same(4.0))
        decay = {"co": np.ones_like(rain), "no2": self._left(day, hour)}
        for gas, made in (("co", _CO), ("no2", _NO2)):
            new |= self._gas(gas, made, hour, weather, mixing, rain, sources, state, (u, v), decay[gas])
        return new

    def _gas(
        self, gas: str, made: Mapping[str, float], hour: int, weather: Mapping[str, Field], mixing: Field, rain: Field,
        sources: Sources, state: State, wind: tuple[Field, Field], left: Field,
    ) -> State:  # fmt: skip
        """A gas three hours later: carried on its levels, emitted below, exchanged between them, decayed."""
        names = [f"{gas}_{level}" for level in (1000, 850, 500)]
        low, middle, high = (state[name] for name in names)
        air = Air(*wind, mixing, rain, middle)
        low = self.near[gas].step(low, air, np.float32(made["emission"]) * sources.emission, _same(made["background"]))
        carried = []
        for level, field, above in ((850, middle, high), (500, high, np.full_like(high, made["aloft"]))):
            u, v = (weather[name][hour, LEVELS.index(level)] for name in ("u", "v"))
            deep = Air(u, v, np.full_like(u, _FREE), rain, above)
            carried.append(self.aloft.step(field, deep, np.zeros_like(u), _same(made["aloft"])))
        middle, high = carried
        vented = (0.12 * np.clip(mixing / 1500, 0, 1)).astype(np.float32)
        lifted = (0.15 * np.clip(rain / 4, 0, 1)).astype(np.float32)
        middle = middle + vented * (low - middle) * np.minimum(mixing / _FREE, 1)
        high = high + lifted * (middle - high)
        return {name: (field * left).astype(np.float32) for name, field in zip(names, (low, middle, high), strict=True)}

    def _raised(self, speed: Field, rain: Field) -> Field:
        """Dust and salt that the wind raises, ug m-2 s-1."""
        dry = np.exp(-rain / 0.5) * np.exp(-np.maximum(self.ground.coarse_elevation - 300, 0) / 800)
        land = 0.02 * np.maximum(speed - 3.0, 0) ** 2 * dry
        return np.where(self.ground.coarse_land, land, 0.012 * speed**2).astype(np.float32)

    def _left(self, day: int, hour: int) -> Field:
        """The share of NO2 that three hours of the sun at their middle leave."""
        sun = daylight(self.grid, day, HOURS[hour] + STEP / 7200)
        rate = 1 / _NO2_NIGHT + (1 / _NO2_DAY - 1 / _NO2_NIGHT) * sun
        return np.exp(-rate * STEP / 3600).astype(np.float32)

    def _channels(self, state: State) -> Mapping[str, Field]:
        gases = {name: state[name] * np.float32(1e-9 / _DENSITY) for name in CHANNELS[2:]}
        return {"pm2p5": state["pm"], "pm10": state["pm"] + state["coarse"], **gases}


def daylight(grid: Grid, day: int, hour: float) -> NDArray[np.float64]:
    """Sine of the sun's height, 0 at night, shape (height, width)."""
    declination = np.radians(-23.44) * np.cos(2 * np.pi * (dt.date.fromordinal(day).timetuple().tm_yday + 10) / 365.25)
    lats, turn = np.radians(grid.lats)[:, None], np.radians(15 * (hour - 12) + grid.lons)[None, :]
    return np.maximum(np.sin(lats) * np.sin(declination) + np.cos(lats) * np.cos(declination) * np.cos(turn), 0)


def _same(value: float) -> Inflow:
    """Air of one concentration, wherever it comes in."""

    def enter(points: NDArray[np.intp], rows: Field, columns: Field) -> Field:
        return np.full(rows.shape, value, np.float32)

    return enter
