"""Training examples: days and tiles of stores as tensors. The one place where numpy becomes tensors for training.

Tiles are made by `cranpm.forecast.inputs`, as for every forecast; this module adds what was to be forecast.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cranpm.data.days import ONE_DAY
from cranpm.data.store import Store
from cranpm.errors import CranpmError
from cranpm.forecast.inputs import day_inputs, tile_inputs
from cranpm.model.config import ModelConfig
from cranpm.model.statistics import LOCAL_SCALES, Scale, Statistics
from cranpm.tiles import Tile, plan_tiles
from cranpm.variables import COARSE, DAYS, FINE_MISSING, FINE_SCALE

_BLOCK = 64  # days read from a store at a time


@dataclass(frozen=True)
class Draw:
    """What to make a part of a batch of: one day, its tiles, and the lead of each tile."""

    store: int
    day: date
    tiles: tuple[Tile, ...]
    leads: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """D days with their tiles, B in all; the tiles of the first day come first.

    Attributes:
        coarse, coarse_elevation: as `CranPM.encode_day` takes them, physical units, (D, 70, H, W) and (D, H, W).
        pm, elevation, lats, lons, wind, queries, keys, lead: as `CranPM.forward_tiles` takes them.
        target: PM2.5 of the valid day, ug m-3, 0 where not valid, shape (B, S, S).
        valid: land pixels whose target is known, shape (B, S, S).
    """

    coarse: Tensor
    coarse_elevation: Tensor
    pm: Tensor
    elevation: Tensor
    lats: Tensor
    lons: Tensor
    wind: Tensor
    queries: Tensor
    keys: Tensor
    lead: Tensor
    target: Tensor
    valid: Tensor

    @property
    def day(self) -> tuple[Tensor, Tensor]:
        """The arguments of `encode_day`."""
        return self.coarse, self.coarse_elevation

    @property
    def tiles(self) -> tuple[Tensor, ...]:
        """The arguments of `forward_tiles` after the state."""
        return self.pm, self.elevation, self.lats, self.lons, self.wind, self.queries, self.keys, self.lead

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


class HeldStore:
    """Days of a store held in memory, read like a store by `cranpm.forecast.inputs`.

    Coarse fields are float32 in physical units; PM2.5 stays in the store's counts.
    """

    def __init__(self, store: Store, days: Sequence[date]) -> None:
        self.region, self.simulated = store.region, store.simulated
        self.coarse, self.fine, self.overlap = store.coarse, store.fine, store.overlap
        self.coarse_elevation, self.elevation, self.land = store.coarse_elevation, store.elevation, store.land
        self.days = tuple(days)
        self._index = {day: index for index, day in enumerate(self.days)}
        blocks = [self.days[start : start + _BLOCK] for start in range(0, len(self.days), _BLOCK)]
        self.fields = np.concatenate([store.coarse_days(block) for block in blocks])
        self._counts = np.concatenate([_counts(store.pm_days(block)) for block in blocks])

    def coarse_day(self, day: date) -> NDArray[np.float32]:
        """The coarse fields of a day, physical units, shape (35, H, W)."""
        return self.fields[self._index[day]]

    def pm(self, day: date, rows: slice = slice(None), columns: slice = slice(None)) -> NDArray[np.float32]:
        """Fine PM2.5 of a day in ug m-3, NaN where missing."""
        counts = self._counts[self._index[day], rows, columns]
        return np.where(counts == FINE_MISSING, np.float32(np.nan), counts * np.float32(FINE_SCALE))

    def starts(self, leads: Sequence[int]) -> list[date]:
        """The days t with t-1 and every t + lead at hand."""
        offsets = [-ONE_DAY, *(lead * ONE_DAY for lead in leads)]
        return [day for day in self.days if all(day + offset in self._index for offset in offsets)]


class Examples:
    """Batches of examples from several held stores, for one configuration of the network."""

    def __init__(self, stores: Sequence[HeldStore], config: ModelConfig, leads: Sequence[int]) -> None:
        self.stores, self.config, self.leads = tuple(stores), config, tuple(leads)
        self.starts = [(k, day) for k, store in enumerate(stores) for day in store.starts(leads)]
        for store in self.stores:
            if not store.land.any() or min(store.fine.shape) < config.tile:
                raise CranpmError(
                    f"a training window of {store.fine.height} x {store.fine.width} px at {store.fine.north:g}N "
                    f"{store.fine.west:g}E without land or smaller than a tile of {config.tile} px: move or enlarge it"
                )
        if not self.starts:
            raise CranpmError(
                f"no day has the day before and the {max(leads)} days after it in the stores: train on longer ranges"
            )

    def draw(self, rng: np.random.Generator, days: int, tiles: int, shares: Sequence[float]) -> list[Draw]:
        """Random days, and for each as many tiles at random places as asked for.

        Args:
            rng: decides everything.
            days: how many days.
            tiles: how many tiles of each day.
            shares: how often each of the leads is drawn for a tile.
        """
        odds = np.asarray(shares) / np.sum(shares)
        chosen = rng.choice(len(self.starts), size=days, replace=days > len(self.starts))
        return [self._draw_day(rng, *self.starts[int(k)], tiles, odds) for k in chosen]

    def sweep(self, *, every: int, tiles: int) -> Iterator[list[Draw]]:
        """Every n-th day with some of the plan's land tiles, taking turns, and all leads: for validation."""
        size = self.config.tile
        for turn, (k, day) in enumerate(self.starts[::every]):
            store = self.stores[k]
            plan = plan_tiles(*store.fine.shape, size=size, overlap=store.overlap).tiles(store.land)
            apart = max(len(plan) // tiles, 1)
            chosen = tuple(plan[(turn + j * apart) % len(plan)] for j in range(min(tiles, len(plan))))
            yield [Draw(k, day, chosen * len(self.leads), tuple(np.repeat(self.leads, len(chosen)).tolist()))]

    def batch(self, draws: Sequence[Draw]) -> Batch:
        """The tensors of some draws, all with the same number of tiles."""
        parts = [self._arrays(draw) for draw in draws]
        joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        return Batch(**{key: torch.from_numpy(np.ascontiguousarray(values)) for key, values in joined.items()})

    def _draw_day(self, rng: np.random.Generator, k: int, day: date, tiles: int, odds: NDArray[np.float64]) -> Draw:
        store, size = self.stores[k], self.config.tile
        chosen: list[Tile] = []
        while len(chosen) < tiles:
            row, column = (int(rng.integers(0, length - size + 1)) for length in store.fine.shape)
            tile = Tile((0, len(chosen)), row, column, size)
            if store.land[tile.window].any():
                chosen.append(tile)
        leads = tuple(int(lead) for lead in rng.choice(self.leads, size=tiles, p=odds))
        return Draw(k, day, tuple(chosen), leads)

    def _arrays(self, draw: Draw) -> dict[str, NDArray]:
        """One day and its tiles, under the names of `Batch`."""
        store, config = self.stores[draw.store], self.config
        day = day_inputs(store, draw.day, config.channels)
        tiles = tile_inputs(store, day, draw.tiles, patch=config.patch, coarse_patch=config.coarse_patch)
        pairs = zip(draw.tiles, draw.leads, strict=True)
        truth = np.stack([store.pm(draw.day + lead * ONE_DAY, *tile.window) for tile, lead in pairs])
        valid = np.isfinite(truth) & np.stack([store.land[tile.window] for tile in draw.tiles])
        inputs = ("pm", "elevation", "lats", "lons", "wind", "queries", "keys")
        return {
            "coarse": day.coarse[None],
            "coarse_elevation": day.elevation[None],
            **{name: getattr(tiles, name) for name in inputs},
            "lead": np.asarray(draw.leads, dtype=np.int64),
            "target": np.where(valid, truth, np.float32(0.0)),
            "valid": valid,
        }


def statistics_of(stores: Sequence[HeldStore]) -> Statistics:
    """Mean and deviation of every coarse variable over all days of some stores; those of t serve t-1 too."""
    count = sum(len(store.fields) * store.fields[0, 0].size for store in stores)
    total = sum(store.fields.sum(axis=(0, 2, 3), dtype=np.float64) for store in stores)
    mean = np.asarray(total) / count
    spread = sum(_squares(store.fields, mean) for store in stores)
    std = np.sqrt(np.asarray(spread) / count)
    coarse: dict[str, Scale] = {
        f"{name}_{when}": (float(mean[k]), max(float(std[k]), 1e-12)) for when in DAYS for k, name in enumerate(COARSE)
    }
    return Statistics(coarse, dict(LOCAL_SCALES))


def hold(path: Path, days: Sequence[date]) -> HeldStore:
    """Read days of a store into memory."""
    return HeldStore(Store.open(path), days)


def _squares(fields: NDArray[np.float32], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of squared distances from the mean per channel, a block of days at a time."""
    out = np.zeros(len(mean))
    for start in range(0, len(fields), _BLOCK):
        apart = fields[start : start + _BLOCK] - mean[:, None, None]
        out += np.square(apart).sum(axis=(0, 2, 3))
    return out


def _counts(pm: NDArray[np.float32]) -> NDArray[np.uint16]:
    missing = np.isnan(pm)
    return np.where(missing, FINE_MISSING, np.rint(np.where(missing, 0, pm) / FINE_SCALE)).astype(np.uint16)
