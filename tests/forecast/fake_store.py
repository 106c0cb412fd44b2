"""A small store in memory and two engines of known behaviour, for tests of what surrounds a network."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from cranpm.errors import CranpmError
from cranpm.forecast.engine import EngineSpec
from cranpm.forecast.inputs import DayInputs, TileInputs
from cranpm.grid import Grid, coarse_grid, fine_grid
from cranpm.variables import CHANNELS, COARSE, CORRECTED_MAP, FORECAST_MAP, PM_SCALE, USUAL_MAP
from cranpm.verify.baselines import MEMBERS, Fitted, block_grid

FIRST = dt.date(2022, 3, 1)


@dataclass
class FakeStore:
    """Smooth random fields; `pm_maps` may be changed by a test."""

    coarse: Grid
    fine: Grid
    overlap: int
    days: tuple[dt.date, ...]
    land: np.ndarray
    pm_maps: dict[dt.date, np.ndarray]
    region: str = "testland"
    simulated: bool = True
    reads: list[dt.date] = field(default_factory=list)
    attrs: dict = field(default_factory=dict)
    without_cams: set[dt.date] = field(default_factory=set)

    @cached_property
    def coarse_elevation(self) -> np.ndarray:
        return np.full(self.coarse.shape, 100.0, np.float32)

    @cached_property
    def elevation(self) -> np.ndarray:
        return np.full(self.fine.shape, 120.0, np.float32)

    def coarse_day(self, day: dt.date) -> np.ndarray:
        self.reads.append(day)
        if day not in self.days:
            raise CranpmError(f"{day}: not in the store")
        rng = np.random.default_rng(day.toordinal())
        fields = rng.normal(size=(len(COARSE), *self.coarse.shape)).astype(np.float32)
        fields[list(COARSE).index("pm2p5")] = 12 + rng.normal()
        return fields

    def forecast(self, day: dt.date, lead: int, channels: tuple[str, ...] | None = None) -> np.ndarray:
        if day in self.without_cams:
            raise CranpmError(f"{day}: no forecast issued")
        rng = np.random.default_rng(day.toordinal() * 10 + lead)
        fields = np.zeros((len(COARSE), *self.coarse.shape), np.float32)
        fields[list(COARSE).index("pm2p5")] = np.nanmean(self.pm_maps.get(day, 10.0)) + rng.normal()
        return fields if channels is None else fields[[list(COARSE).index(name) for name in channels]]

    def pm(self, day: dt.date, rows: slice = slice(None), columns: slice = slice(None)) -> np.ndarray:
        self.reads.append(day)
        if day not in self.pm_maps:
            raise CranpmError(f"{day}: not in the store")
        return self.pm_maps[day][rows, columns]


def make_store(height: int = 96, width: int = 112, days: int = 8, west: float = 20.0) -> FakeStore:
    """A store of `days` days from FIRST on, a third of it sea, with a few gaps."""
    fine = fine_grid(45.0, west, height, width)
    coarse = coarse_grid(46.0, west - 1.0, 16 if height < 200 else 40, 20)
    rng = np.random.default_rng(5)
    land = np.ones(fine.shape, bool)
    land[:, : width // 3] = False
    pattern = 15 + 6 * np.sin(np.arange(width) / 9.0) + 4 * np.cos(np.arange(height) / 7.0)[:, None]
    maps = {}
    for k in range(days):
        field_ = pattern * (1 + 0.3 * np.sin(k)) + rng.normal(scale=1.0, size=fine.shape)
        field_ = np.maximum(field_, 0).astype(np.float32)
        field_[~land] = np.nan
        field_[rng.random(fine.shape) < 0.02] = np.nan
        maps[FIRST + dt.timedelta(days=k)] = field_
    return FakeStore(coarse, fine, 8, tuple(maps), land, maps)


def made_up_past(fine: Grid, coarse: Grid, seed: int = 3) -> Fitted:
    """Baselines as if fitted on a past: everything differs from place to place, the climatology with the season too."""
    rng = np.random.default_rng(seed)
    leads, blocks = (1, 2, 3), block_grid(fine).shape
    mean = 20 + 5 * np.sin(np.arange(fine.width) / 11) + 3 * np.cos(np.arange(fine.height) / 8)[:, None]
    return Fitted(
        fine, coarse, leads, mean.astype(np.float32),
        harmonics=rng.normal(0, 0.15, (5, *blocks)).astype(np.float32),
        damping=rng.uniform(0, 1, (3, *blocks)).astype(np.float32),
        cams_mean=rng.uniform(8, 16, (3, *coarse.shape)).astype(np.float32),
        cams_slope=rng.uniform(0.3, 1.5, (3, *blocks)).astype(np.float32),
        weights=np.full((3, len(MEMBERS)), 1 / 3, np.float32), constant=np.zeros(3, np.float32),
        data_range=40.0, about={"region": "testland", "world": "sample"},
    )  # fmt: skip


SPEC = EngineSpec(
    name="constant", hash="00" * 32, tile=32, patch=8, coarse_patch=4, coarse_shape=(16, 20),
    channels=CHANNELS, trained_leads=(1, 2, 3), region="testland", simulated=True, device="cpu", licence="CC-BY-4.0",
)  # fmt: skip


class ConstantEngine:
    """Adds the same residual everywhere, `lead` times."""

    def __init__(self, residual: float = 0.0, **changes: object) -> None:
        self.spec = replace(SPEC, **changes)
        self.residual = residual
        self.batches: list[int] = []

    def encode_day(self, day: DayInputs, lead: int) -> object:
        assert day.coarse.shape[0] == len(self.spec.channels)
        return day.day

    def forecast_tiles(self, state: object, tiles: TileInputs, lead: int) -> np.ndarray:
        self.batches.append(len(tiles.pm))
        return np.full(tiles.filled.shape, self.residual * lead, np.float32)


class PlaceEngine(ConstantEngine):
    """A residual that depends on latitude, longitude and wind: every pixel of a tile differs."""

    def forecast_tiles(self, state: object, tiles: TileInputs, lead: int) -> np.ndarray:
        shape = np.sin(tiles.lats * 20)[:, :, None] * np.cos(tiles.lons * 30)[:, None, :]
        return (shape + 0.01 * tiles.wind.mean(axis=(1, 2))[:, None, None]).astype(np.float32)


class PastEngine(ConstantEngine):
    """Forecasts the mean of the two maps that are made of the past: whatever changes them changes the forecast."""

    def __init__(self) -> None:
        super().__init__(channels=(*CHANNELS, FORECAST_MAP), maps=("pm2p5_t", CORRECTED_MAP, USUAL_MAP))

    def forecast_tiles(self, state: object, tiles: TileInputs, lead: int) -> np.ndarray:
        return (tiles.pm[:, 1:].mean(axis=1) - tiles.pm[:, 0]) / PM_SCALE
