"""The sample world: simulated weather, air quality and observations for any pack and any day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from cranpm.grid import Grid
from cranpm.region import Region, Window
from cranpm.sample.climates import climate_of
from cranpm.sample.composition import species
from cranpm.sample.emissions import Fire
from cranpm.sample.geography import make_ground
from cranpm.sample.pollution import BLOCK, DayPollution, Pollution
from cranpm.sample.regrid import Regrid
from cranpm.sample.retrieval import Retrieval, Station, place_stations
from cranpm.sample.weather import FORECAST_LEADS, HOURS, Weather

__all__ = ["FORECAST_LEADS", "HOURS", "WORLD_VERSION", "SimulatedDay", "Station", "World"]

WORLD_VERSION = 1
"""Changes whenever a day of the sample world changes."""

Field = NDArray[np.float32]


@dataclass(frozen=True)
class SimulatedDay:
    """One simulated day. Coarse fields are (8, H, W) or (8, 5, H, W) at HOURS, forecasts one axis (3 leads) more.

    Attributes:
        day: the day, UTC.
        weather: u10, v10, t2m, sp, tp (m in the 3 h after each instant) and u, v, t, z, q on `variables.LEVELS`.
        composition: the CAMS-like analysis: pm2p5, pm10, no2, o3, co, ug m-3.
        forecast_weather, forecast_composition: issued at `day`, for 1 to 3 days later.
        truth: the real daily mean PM2.5 at 1 km, ug m-3, sea included; no model may see it. Shape (h, w).
        ghap: the retrieval of it, NaN at sea and in gaps. Shape (h, w).
        stations: daily means at `World.stations`, NaN where missing.
    """

    day: dt.date
    weather: dict[str, Field]
    composition: dict[str, Field]
    forecast_weather: dict[str, Field]
    forecast_composition: dict[str, Field]
    truth: Field
    ghap: Field
    stations: Field


class World:
    """A simulated world over a pack's sample window, its whole domain, or any other window.

    Args:
        region: the pack.
        seed: of the geography (made-up towns, terrain detail) and of all that varies.
        realisation: of the weather, emissions and noise, on the same geography.
        full: the whole domain instead of the sample window.
        window: another window instead.

    Attributes:
        coarse, fine: the grids.
        land, elevation: on the fine grid; m, 0 at sea.
        coarse_land, coarse_elevation: on the coarse grid.
        stations: where daily means are measured.
    """

    def __init__(
        self, region: Region, *, seed: int = 0, realisation: int = 0, full: bool = False, window: Window | None = None
    ):
        window = window or region.window(full)
        latitude = (region.coarse.north + region.coarse.south) / 2
        if not full:
            latitude = (region.sample.coarse.north + region.sample.coarse.south) / 2
        climate = climate_of(region.sample.climate, latitude)
        ground = make_ground(seed, climate, window.coarse, window.fine)
        key = (region.name, seed, realisation)
        self.region, self.seed, self.realisation, self.window = region, seed, realisation, window
        self.coarse: Grid = window.coarse
        self.fine: Grid = window.fine
        self.land, self.elevation = ground.land, ground.elevation
        self.coarse_land, self.coarse_elevation = ground.coarse_land, ground.coarse_elevation
        self.stations: tuple[Station, ...] = place_stations(
            seed, window.fine, ground.land, ground.elevation, ground.cities
        )
        self._ground = ground
        weather = Weather(climate, window.coarse, ground.coarse_elevation, ground.coarse_land, latitude, key)
        self._pollution = Pollution(climate, ground, weather, seed, realisation)
        self._to_fine = Regrid(window.coarse, window.fine)
        self._retrieval = Retrieval(window.fine, ground.land, self._to_fine, key)

    def days(self, days: Sequence[dt.date]) -> Iterator[SimulatedDay]:
        """The days asked for, in the order of the calendar; each is the same whichever others are asked for."""
        wanted = sorted({day.toordinal() for day in days})
        for number in sorted({day // BLOCK for day in wanted}):
            block = {day for day in wanted if day // BLOCK == number}
            for day, result in self._pollution.block(number, block):
                yield self._simulated(day, result)

    def identity(self) -> dict[str, object]:
        """What tells this world from another, as JSON: region, seed, realisation, version and window."""
        return {
            "region": self.region.name,
            "seed": self.seed,
            "realisation": self.realisation,
            "world_version": WORLD_VERSION,
            "window": asdict(self.window),
        }

    def terrain(self) -> tuple[Grid, Field]:
        """Elevation in m on a 0.01 degree grid that covers the coarse window, and that grid."""
        return self._ground.terrain_grid, self._ground.terrain

    def fires(self, day: dt.date) -> list[Fire]:
        """The fires that burn in the coarse window on a day."""
        return self._pollution.fires(day.toordinal())

    def _simulated(self, day: int, result: DayPollution) -> SimulatedDay:
        ground, summer = self._ground, self._pollution.weather.summer(day)
        rain = result.weather.fields["tp"].sum(axis=0) * 1000
        cloud = self._to_fine(np.clip(rain / 4, 0, 1))
        ahead = [weather.fields for weather in result.forecast_weather]
        composition = [species(pm, fields, ground, summer) for pm, fields in zip(result.forecast, ahead, strict=True)]
        return SimulatedDay(
            day=dt.date.fromordinal(day),
            weather=result.weather.fields,
            composition=species(result.cams, result.weather.fields, ground, summer),
            forecast_weather={name: np.stack([fields[name] for fields in ahead]) for name in ahead[0]},
            forecast_composition={name: np.stack([fields[name] for fields in composition]) for name in composition[0]},
            truth=result.truth,
            ghap=self._retrieval.ghap(day, result.truth, cloud),
            stations=self._retrieval.stations(day, result.truth, self.stations),
        )
