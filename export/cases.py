"""Days and tiles on which an exported network is held against torch: drawn ones, and those of a store."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cranpm.forecast.engine import EngineSpec
from cranpm.forecast.inputs import DayInputs, DayStore, KnownPast, TileInputs, day_inputs, tile_inputs
from cranpm.forecast.run import ForecastStore, tile_plan
from cranpm.grid import Grid, coarse_grid, fine_grid
from cranpm.model.statistics import Statistics
from cranpm.tiles import Tile
from cranpm.variables import CHANNELS, COARSE

TILES = 2


@dataclass(frozen=True)
class Case:
    """A day, some of its tiles and a lead, and where they come from in words."""

    name: str
    day: DayInputs
    tiles: TileInputs
    lead: int


def drawn_case(
    spec: EngineSpec, statistics: Statistics, shape: tuple[int, int], lead: int, *, count: int = TILES
) -> Case:
    """Noise of the size that the network was made for: a day on a coarse window of a shape, and some tiles."""
    store = _Drawn(coarse_grid(55.0, 0.0, *shape), _fine(spec.tile, shape), statistics)
    day = day_inputs(store, _DAY, spec.channels, lead)
    places = [Tile((0, k), 0, (k % 2) * (store.fine.width - spec.tile), spec.tile) for k in range(count)]
    return Case(f"drawn, {shape[0]} x {shape[1]} nodes", day, _tiles(spec, store, day, places), lead)


def stored_cases(
    spec: EngineSpec, store: ForecastStore, days: Sequence[dt.date], leads: Sequence[int], past: KnownPast | None
) -> Iterator[Case]:
    """Some tiles of a store's days, spread over its land, for each lead."""
    _, tiles = tile_plan(spec, store)
    places = [tiles[k] for k in sorted({round(share * (len(tiles) - 1)) for share in np.linspace(0.2, 0.8, TILES)})]
    for day in days:
        for lead in leads:
            inputs = day_inputs(store, day, spec.channels, lead, past)
            yield Case(f"{store.region}, {day}", inputs, _tiles(spec, store, inputs, places), lead)


_DAY = dt.date(2022, 1, 15)


@dataclass(frozen=True)
class _Drawn:
    """A store of noise."""

    coarse: Grid
    fine: Grid
    statistics: Statistics

    @property
    def coarse_elevation(self) -> NDArray[np.float32]:
        return self._noise(1, self.coarse.shape, "uniform") * np.float32(2500)

    @property
    def elevation(self) -> NDArray[np.float32]:
        return self._noise(2, self.fine.shape, "uniform") * np.float32(2500)

    def coarse_day(self, day: dt.date) -> NDArray[np.float32]:
        return self._fields(3 + day.toordinal(), CHANNELS[: len(COARSE)])

    def forecast(self, day: dt.date, lead: int, channels: Sequence[str] | None = None) -> NDArray[np.float32]:
        return self._fields(5 + lead + day.toordinal(), [f"{name}_t" for name in channels or COARSE])

    def pm(self, day: dt.date, rows: slice = slice(None), columns: slice = slice(None)) -> NDArray[np.float32]:
        return (5 + 50 * self._noise(4 + day.toordinal(), self.fine.shape, "uniform"))[rows, columns]

    def _fields(self, seed: int, channels: Sequence[str]) -> NDArray[np.float32]:
        mean, std = (np.asarray(part, np.float32)[:, None, None] for part in self.statistics.coarse_scales(channels))
        return mean + std * self._noise(seed, (len(channels), *self.coarse.shape), "normal")

    def _noise(self, seed: int, shape: tuple[int, ...], kind: str) -> NDArray[np.float32]:
        draw = np.random.default_rng(seed)
        values = draw.random(shape, np.float32) if kind == "uniform" else draw.standard_normal(shape, np.float32)
        return np.asarray(values, np.float32)


def _fine(tile: int, shape: tuple[int, int]) -> Grid:
    """A little more than a tile, near the middle of the coarse window."""
    return fine_grid(55.0 - 0.25 * shape[0] / 3, 0.25 * shape[1] / 3, tile, tile + tile // 2)


def _tiles(spec: EngineSpec, store: DayStore, day: DayInputs, places: Sequence[Tile]) -> TileInputs:
    return tile_inputs(store, day, places, patch=spec.patch, coarse_patch=spec.coarse_patch, maps=spec.maps)
