"""Synoptic weather of the sample world: travelling waves, and what follows from them.

Two streamfunctions, one near the ground and one aloft that leans westward against it, give winds on all levels;
temperature follows from the thermal wind, geopotential from geostrophy, vertical motion (and with it rain and
humidity) from vorticity and warm advection, the mixed layer from high pressure, wind and the time of day.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cranpm.grid import KM_PER_DEGREE, Grid
from cranpm.sample.climates import Climate, between
from cranpm.sample.waves import Spectrum, Waves
from cranpm.variables import LEVELS

HOURS = (0, 3, 6, 9, 12, 15, 18, 21)
FORECAST_LEADS = (1, 2, 3)

Field = NDArray[np.float32]

_GAS, _GRAVITY, _LAPSE = 287.0, 9.80665, 0.0062
_LOW = np.array([0.55, 0.75, 0.90, 0.96, 1.0])  # share of the low streamfunction on each of LEVELS
_HIGH = np.array([2.20, 1.25, 0.62, 0.30, 0.0])  # share of the high one
_TILT = 0.9  # radians by which the high wave lies west of the low one
_PREDICTABLE = 15.0  # days over which a forecast of the waves loses its skill
_SHOWERS_PREDICTABLE = 4.0  # the same for showers


@dataclass(frozen=True)
class DayWeather:
    """One day of weather on the coarse grid, at HOURS (or at the hours the weather was made with).

    Attributes:
        fields: u10, v10, t2m, sp, tp of shape (8, H, W); u, v, t, z, q of shape (8, 5, H, W); provider units.
        mixing: depth of the mixed layer as the weather suggests it, m, shape (8, H, W).
    """

    fields: dict[str, Field]
    mixing: Field


class Weather:
    """The weather of one realisation over one coarse grid, at HOURS or at other hours of each day."""

    def __init__(
        self,
        climate: Climate,
        grid: Grid,
        elevation: Field,
        land: NDArray[np.bool_],
        latitude: float,
        key: tuple,
        hours: tuple[int, ...] = HOURS,
    ):
        self.hours = hours
        self.climate, self.grid, self.latitude, self.key = climate, grid, latitude, key
        self.elevation, self.land = elevation, land
        storms = Spectrum("storms", 96, 2600, 0.4, climate.lifetime, climate.steering, rossby=True)
        self.storms = Waves(storms, grid, latitude, velocity=True)
        self.showers = Waves(Spectrum("showers", 64, 500, 0.4, 0.6, climate.steering), grid, latitude)
        self.coriolis = float(2 * 7.292e-5 * np.sin(np.radians(max(abs(latitude), 15))) * np.sign(latitude or 1))
        self.slope = _gradient(elevation, grid)
        self.calm = float(np.sqrt((self.storms.size**2).sum() / 2))  # rms of the streamfunction, km m/s

    def analysis(self, day: int) -> DayWeather:
        """The weather of a day (proleptic ordinal)."""
        return self._diagnose(day, *self._amplitudes(day))

    def at_the_ground(self, day: int) -> DayWeather:
        """As `analysis`, without surface pressure and the levels above: u10, v10, tp, t2m and the mixed layer."""
        return self._diagnose(day, *self._amplitudes(day), levels=False)

    def forecast(self, issued: int, leads: Sequence[int] = (0, *FORECAST_LEADS)) -> list[DayWeather]:
        """The weather forecast issued at a day: for that day itself and each of the three that follow, or other leads.

        It is the real future, blended into another possible one as the lead grows.
        """
        return [self._forecast_day(issued, lead) for lead in leads]

    def summer(self, day: int) -> float:
        """0 in mid-winter, 1 in mid-summer."""
        phase = np.cos(2 * np.pi * (dt.date.fromordinal(day).timetuple().tm_yday - 18) / 365.25)
        return float(0.5 - 0.5 * phase * np.sign(self.latitude or 1))

    def _amplitudes(self, day: int) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        times = self._instants(day)
        return self.storms.amplitudes(times, *self.key), self.showers.amplitudes(times, *self.key)

    def _forecast_day(self, issued: int, lead: int) -> DayWeather:
        times = self._instants(issued + lead)
        lost = {}
        for waves, predictable in ((self.storms, _PREDICTABLE), (self.showers, _SHOWERS_PREDICTABLE)):
            share = 1 - np.exp(-(((times - issued + 0.25) / predictable) ** 1.5))[:, None]
            real = waves.amplitudes(times, *self.key)
            other = waves.amplitudes(times, *self.key, "issued", issued)
            lost[waves.spectrum.name] = np.sqrt(1 - share) * real + np.sqrt(share) * other
        return self._diagnose(issued + lead, lost["storms"], lost["showers"])

    def _diagnose(
        self, day: int, storms: NDArray[np.complex128], showers: NDArray[np.complex128], *, levels: bool = True
    ) -> DayWeather:
        """All fields of a day from the amplitudes of its waves, each of shape (hours, waves)."""
        summer, climate, waves = self.summer(day), self.climate, self.storms
        high = storms * np.exp(1j * _TILT)
        kinds = [storms, -1j * waves.ky * storms, 1j * waves.kx * storms, -(waves.kx**2 + waves.ky**2) * storms]
        kinds += [high, -1j * waves.ky * high, 1j * waves.kx * high]
        maps = waves.field(np.concatenate(kinds)).reshape(7, len(self.hours), *self.grid.shape)
        psi, u, v, vorticity, psi_high, u_high, v_high = maps
        size = between(climate.storms, summer)
        anti = psi / self.calm
        warm = v_high * -u + v * u_high + 0.5 * v
        u10, v10 = self._surface_wind(size * u, size * v, summer)
        lift = 0.5 * warm + 110 * vorticity - 0.3 * anti + 0.6 * self.showers.field(showers) + self._upslope(u10, v10)
        rain = climate.rain * np.maximum(lift - between(climate.dryness, summer), 0) ** 1.2
        fields = {"u10": u10, "v10": v10, "tp": (rain / 1000).astype(np.float32)}
        warmth = self._warmth(size, psi, psi_high)
        if levels:
            fields |= self._upper(summer, size, (psi, u, v, psi_high, u_high, v_high), warmth, lift)
        fields["t2m"] = self._temperature(summer, warmth[:, 3], lift)
        if levels:
            fields["sp"] = self._pressure(fields["z"][:, 4], fields["t2m"])
        return DayWeather(fields, self._mixing(summer, anti, np.hypot(u10, v10), warmth[:, 2] - warmth[:, 4]))

    def _surface_wind(self, u: Field, v: Field, summer: float) -> tuple[Field, Field]:
        """10 m wind: weaker than the low-level flow and turned towards low pressure, more so over land."""
        angle = np.radians(np.where(self.land, 25.0, 12.0)) * np.sign(self.coriolis)
        rough = np.where(self.land, 0.65, 0.9)
        along, across = (rough * np.cos(angle)).astype(np.float32), (rough * np.sin(angle)).astype(np.float32)
        east, north = (between(pair, summer) for pair in zip(*self.climate.wind, strict=True))
        return u * along - v * across + np.float32(east), u * across + v * along + np.float32(north)

    def _upslope(self, u: Field, v: Field) -> NDArray[np.floating]:
        """What mountains add to the lifting: positive where the wind blows up the slope."""
        rise = u * self.slope[1] + v * self.slope[0]
        return 0.5 * np.clip(rise / 0.05, -0.6, 1.4)

    def _warmth(self, size: float, psi: Field, psi_high: Field) -> Field:
        """Departure of the temperature on LEVELS from its mean, K: where the flow strengthens aloft, thermal wind."""
        logp = np.log(np.array(LEVELS) / 1000.0)
        low, high = (np.gradient(share, logp).astype(np.float32)[:, None, None] for share in (_LOW, _HIGH))
        return np.float32(-self.coriolis / _GAS * size * 1000) * (low * psi[:, None] + high * psi_high[:, None])

    def _upper(
        self, summer: float, size: float, maps: tuple[Field, ...], warmth: Field, lift: Field
    ) -> dict[str, Field]:
        """u, v, t, z, q on LEVELS: geostrophic and in thermal wind balance with one another."""
        psi, u, v, psi_high, u_high, v_high = (field[:, None] for field in maps)
        low, high = (share.astype(np.float32)[:, None, None] * size for share in (_LOW, _HIGH))
        logp = np.log(np.array(LEVELS) / 1000.0)
        jet = between(self.climate.jet, summer)
        mean = (0.8 + (jet - 0.8) * logp / np.log(0.5)).astype(np.float32)[:, None, None]
        metres = ((self.grid.lats - self.latitude) * KM_PER_DEGREE * 1000).astype(np.float32)[:, None]
        surface = between(self.climate.temperature, summer)
        height = (surface / _LAPSE * (1 - np.exp(logp * _GAS * _LAPSE / _GRAVITY)) + 110).astype(np.float32)
        ratio, f = np.float32(self.coriolis / _GAS), np.float32(self.coriolis)
        t = (surface - _LAPSE * (height - 110))[:, None, None] - ratio * (jet - 0.8) / np.log(2) * metres + warmth
        z = (height * _GRAVITY)[:, None, None] - f * mean * metres + f * 1000 * (low * psi + high * psi_high)
        pressure = np.array(LEVELS, np.float32)[:, None, None]
        humid = between(self.climate.relative_humidity, summer) * (0.45 + 0.55 * pressure / 1000)
        humid = np.clip(humid + 0.12 * np.tanh(lift)[:, None], 0.05, 1.0)
        wind = {"u": mean + low * u + high * u_high, "v": low * v + high * v_high}
        fields = wind | {"t": t, "z": z, "q": humid * _saturation(t, pressure)}
        return {name: field.astype(np.float32) for name, field in fields.items()}

    def _temperature(self, summer: float, warmth: Field, lift: Field) -> Field:
        """2 m temperature: season, latitude, air mass, height and the time of day."""
        climate = self.climate
        mean = between(climate.temperature, summer) - between(climate.lapse_north, summer) * (
            self.grid.lats - self.latitude
        )
        clear = climate.diurnal * (1 - 0.4 * np.clip(lift, 0, 1.5)) * np.where(self.land, 1.0, 0.1)
        cycle = np.cos(2 * np.pi * (self._solar_hour() - 14.5) / 24)
        t2m = mean[:, None] + warmth * np.where(self.land, 1.1, 0.6) - _LAPSE * self.elevation + clear * cycle
        return t2m.astype(np.float32)

    def _pressure(self, geopotential: Field, t2m: Field) -> Field:
        """Surface pressure: hydrostatic from the 1000 hPa surface down or up to the ground."""
        metres = self.elevation - geopotential / np.float32(_GRAVITY)
        mean = t2m + np.float32(_LAPSE / 2) * metres
        return (100_000 * np.exp(-_GRAVITY * metres / (_GAS * mean))).astype(np.float32)

    def _mixing(self, summer: float, anti: Field, speed: Field, stability: Field) -> Field:
        """Depth of the mixed layer over land and sea, m."""
        climate = self.climate
        cycle = np.cos(2 * np.pi * (self._solar_hour() - 14.0) / 24)
        land = between(climate.mixing, summer) * (1 + (0.35 + 0.2 * summer) * cycle)
        depth = np.where(self.land, land, 600.0)
        shape = np.exp(-climate.stagnation * anti - 0.05 * np.clip(stability, -5, 5)) * (0.55 + speed / 7.0)
        return np.clip(depth * shape, 90, 2800).astype(np.float32)

    def _instants(self, day: int) -> NDArray[np.float64]:
        return day + np.array(self.hours) / 24.0

    def _solar_hour(self) -> NDArray[np.float64]:
        """Local solar time of the instants, hours, shape (hours, 1, W)."""
        return np.array(self.hours, float)[:, None, None] + self.grid.lons / 15.0


def _saturation(t: Field, pressure: Field) -> NDArray[np.floating]:
    """Specific humidity of saturated air, kg/kg."""
    vapour = 6.112 * np.exp(17.67 * (t - 273.15) / (t - 29.65))
    return 0.622 * vapour / np.maximum(pressure - 0.378 * vapour, 1)


def _gradient(elevation: Field, grid: Grid) -> tuple[Field, Field]:
    """Slope of the ground towards north and east, metres per metre."""
    per_row = grid.step * KM_PER_DEGREE * 1000
    across = per_row * np.cos(np.radians(grid.lats))[:, None]
    north, east = -np.gradient(elevation, axis=0) / per_row, np.gradient(elevation, axis=1) / across
    return north.astype(np.float32), east.astype(np.float32)
