"""Training examples: days and tiles of stores as tensors. The one place where numpy becomes tensors for training.

Tiles are made by `cranpm.forecast.inputs`, as for every forecast; this module adds what was to be forecast. Days come
from memory (`HeldStore`) or, where they do not fit, straight from the store's files (`DiskStore`).
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

from cranpm.data.days import ONE_DAY, shown_days
from cranpm.data.progress import Progress, silent
from cranpm.data.shards import ShardedMaps
from cranpm.data.store import Store, prepare_line
from cranpm.errors import CranpmError
from cranpm.forecast.inputs import day_inputs, tile_inputs
from cranpm.model.config import ModelConfig
from cranpm.model.statistics import LOCAL_SCALES, Scale, Statistics
from cranpm.region import Hotspot
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
        station_at: where the stations inside each tile stand: fractional row and column in the tile, pixel centres at
            integers, 0 in the padding, shape (B, M, 2); M is the number of stations in the tile that has most.
        station_pm: PM2.5 measured there on the valid day, ug m-3, NaN where there is none, shape (B, M).
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
    station_at: Tensor
    station_pm: Tensor

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
        return Batch(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory, from where it goes to a GPU while that computes."""
        return Batch(*(getattr(self, field.name).pin_memory() for field in fields(self)))


class HeldStore:
    """Days of a store held in memory, read like a store by `cranpm.forecast.inputs`.

    Coarse fields are float32 in physical units; PM2.5 stays in the store's counts.

    Attributes:
        station_at: fractional row and column of the stations on the fine grid, shape (N, 2).
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
        self.station_at = _station_places(store)
        self._stations = [store.station_pm(day) for day in self.days] if len(self.station_at) else None

    def coarse_day(self, day: date) -> NDArray[np.float32]:
        """The coarse fields of a day, physical units, shape (35, H, W)."""
        return self.fields[self._index[day]]

    def pm(self, day: date, rows: slice = slice(None), columns: slice = slice(None)) -> NDArray[np.float32]:
        """Fine PM2.5 of a day in ug m-3, NaN where missing."""
        return _decoded(self._counts[self._index[day], rows, columns])

    def station_pm(self, day: date) -> NDArray[np.float32]:
        """Daily means at the stations in ug m-3, NaN where missing, shape (N,)."""
        return self._stations[self._index[day]] if self._stations else np.empty(0, np.float32)


class DiskStore:
    """Days of a store left on disk: only the windows asked for are read, whatever the size of the maps.

    Terrain and land mask of the whole domain are read once per process. It may be sent to another process; nothing
    is held open between reads. Interface as `HeldStore`.
    """

    def __init__(self, store: Store, days: Sequence[date]) -> None:
        if absent := set(days) - set(store.days):
            raise CranpmError(
                f"{store.path}: {len(absent)} of the {len(days)} days to train on are not prepared "
                f"({shown_days(absent)}); add them: {prepare_line(store.path, store.pack)} "
                f"--days {shown_days(absent)}"
            )
        self.region, self.simulated = store.region, store.simulated
        self.coarse, self.fine, self.overlap = store.coarse, store.fine, store.overlap
        self.days = tuple(days)
        self.station_at = _station_places(store)
        self._store, self._maps = store, ShardedMaps(store.path / "fine" / "pm2p5")

    @property
    def coarse_elevation(self) -> NDArray[np.float32]:
        """Terrain on the coarse grid, metres, shape (H, W)."""
        return self._store.coarse_elevation

    @property
    def elevation(self) -> NDArray[np.float32]:
        """Terrain on the fine grid, metres, shape (h, w)."""
        return self._store.elevation

    @property
    def land(self) -> NDArray[np.bool_]:
        """Which fine pixels are land, shape (h, w)."""
        return self._store.land

    def coarse_day(self, day: date) -> NDArray[np.float32]:
        """The coarse fields of a day, physical units, shape (35, H, W)."""
        return self._store.coarse_day(day)

    def pm(self, day: date, rows: slice = slice(None), columns: slice = slice(None)) -> NDArray[np.float32]:
        """Fine PM2.5 of a day in ug m-3, NaN where missing."""
        counts = self._maps.window((day - self._store.first).days, rows, columns)
        return self._store.pm(day, rows, columns) if counts is None else _decoded(counts)

    def station_pm(self, day: date) -> NDArray[np.float32]:
        """Daily means at the stations in ug m-3, NaN where missing, shape (N,)."""
        return self._store.station_pm(day) if len(self.station_at) else np.empty(0, np.float32)


TrainingStore = HeldStore | DiskStore


@dataclass(frozen=True)
class _Area:
    """A hotspot on a fine grid: its first row and column and its size in pixels."""

    name: str
    row: int
    column: int
    height: int
    width: int


class Examples:
    """Batches of examples from several stores, for one configuration of the network.

    Args:
        stores: where the days come from.
        config: of the network.
        leads: days ahead.
        hotspots: areas of the pack that `draw` may prefer; a store uses those that hold land of its fine grid.
    """

    def __init__(
        self,
        stores: Sequence[TrainingStore],
        config: ModelConfig,
        leads: Sequence[int],
        hotspots: Sequence[Hotspot] = (),
    ) -> None:
        self.stores, self.config, self.leads = tuple(stores), config, tuple(leads)
        self.starts = [(k, day) for k, store in enumerate(stores) for day in _starts(store.days, leads)]
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
        self._areas = [_areas(store, hotspots) for store in self.stores]

    @property
    def hotspots(self) -> tuple[tuple[str, ...], ...]:
        """Names of the hotspots that each store holds; a store with none is always drawn from uniformly."""
        return tuple(tuple(area.name for area in areas) for areas in self._areas)

    @property
    def has_hotspots(self) -> bool:
        """Whether any store holds a hotspot, so that `hotspot_ratio` changes what is drawn."""
        return any(self._areas)

    def draw(
        self,
        rng: np.random.Generator,
        days: int,
        tiles: int,
        shares: Sequence[float],
        hotspot_ratio: float = 0.0,
        align: int = 1,
    ) -> list[Draw]:
        """Random days, and for each as many tiles at random places as asked for.

        Args:
            rng: decides everything.
            days: how many days.
            tiles: how many tiles of each day.
            shares: how often each of the leads is drawn for a tile.
            hotspot_ratio: how often a tile is centred in a hotspot that its store holds; the others lie anywhere.
            align: pixels; tiles start at the nearest multiple, or flush with the far edge. With the side of the
                store's chunks a tile touches as few of them as it can. A tile in a hotspot still covers the pixel it
                was to be centred at.

        Raises:
            CranpmError: the ratio is no share, or tiles would be moved by more than their size.
        """
        if not 0 <= hotspot_ratio <= 1 or not 1 <= align <= self.config.tile:
            raise CranpmError(
                f"hotspot ratio {hotspot_ratio:g} and alignment {align} px: expected 0..1 and 1..{self.config.tile} px"
            )
        odds = np.asarray(shares) / np.sum(shares)
        chosen = rng.choice(len(self.starts), size=days, replace=days > len(self.starts))
        pairs = [self.starts[int(k)] for k in chosen]
        return [self._draw_day(rng, k, day, tiles, odds, hotspot_ratio, align) for k, day in pairs]

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
        joined = parts[0] if len(parts) == 1 else {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}
        joined["station_at"], joined["station_pm"] = _padded([pair for draw in draws for pair in self._stations(draw)])
        return Batch(**{key: torch.from_numpy(np.ascontiguousarray(values)) for key, values in joined.items()})

    def _draw_day(
        self,
        rng: np.random.Generator,
        k: int,
        day: date,
        tiles: int,
        odds: NDArray[np.float64],
        hotspot_ratio: float,
        align: int,
    ) -> Draw:
        areas = self._areas[k] if hotspot_ratio > 0 else ()
        places = []
        for _ in range(tiles):  # with neither hotspots nor alignment, the numbers drawn are those of the first version
            preferred = areas if areas and rng.random() < hotspot_ratio else ()
            places.append(self._draw_place(rng, self.stores[k], preferred, align))
        chosen = tuple(Tile((0, i), row, column, self.config.tile) for i, (row, column) in enumerate(places))
        leads = tuple(int(lead) for lead in rng.choice(self.leads, size=tiles, p=odds))
        return Draw(k, day, chosen, leads)

    def _draw_place(
        self, rng: np.random.Generator, store: TrainingStore, areas: Sequence[_Area], align: int
    ) -> tuple[int, int]:
        """First row and column of a tile with land in it: centred in one of the areas, or anywhere without areas."""
        size = self.config.tile
        furthest = [length - size for length in store.fine.shape]
        while True:
            if areas:
                start = _centre(rng, areas) - size // 2
            else:
                start = np.array([rng.integers(0, last + 1) for last in furthest])
            row, column = (_snap(int(s), last, align) for s, last in zip(start, furthest, strict=True))
            if store.land[row : row + size, column : column + size].any():
                return row, column

    def _stations(self, draw: Draw) -> list[tuple[NDArray[np.float64], NDArray[np.float32]]]:
        """For each tile of a draw, where the stations between its outermost pixel centres stand, and their values."""
        store, out = self.stores[draw.store], []
        measured = {lead: store.station_pm(draw.day + lead * ONE_DAY) for lead in sorted({*draw.leads})}
        for tile, lead in zip(draw.tiles, draw.leads, strict=True):
            at = store.station_at - (tile.row, tile.column)
            inside = ((at >= 0) & (at <= tile.size - 1)).all(axis=1)
            out.append((at[inside], measured[lead][inside]))
        return out

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


def statistics_of(stores: Sequence[TrainingStore], progress: Progress = silent) -> Statistics:
    """Mean and deviation of every coarse variable over all days of some stores; those of t serve t-1 too.

    Args:
        stores: in memory, or on disk and then read once, a day at a time.
        progress: told about the days of stores on disk.
    """
    held = [store for store in stores if isinstance(store, HeldStore)]
    mean, std = _pooled(held) if len(held) == len(stores) else _streamed(stores, progress)
    coarse: dict[str, Scale] = {
        f"{name}_{when}": (float(mean[k]), max(float(std[k]), 1e-12)) for when in DAYS for k, name in enumerate(COARSE)
    }
    return Statistics(coarse, dict(LOCAL_SCALES))


def hold(path: Path, days: Sequence[date]) -> HeldStore:
    """Read days of a store into memory."""
    return HeldStore(Store.open(path), days)


def _pooled(stores: Sequence[HeldStore]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation per channel of fields in memory: the mean first, then the distances from it."""
    count = sum(len(store.fields) * store.fields[0, 0].size for store in stores)
    total = sum(store.fields.sum(axis=(0, 2, 3), dtype=np.float64) for store in stores)
    mean = np.asarray(total) / count
    spread = sum(_squares(store.fields, mean) for store in stores)
    return mean, np.sqrt(np.asarray(spread) / count)


def _streamed(stores: Sequence[TrainingStore], progress: Progress) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same in one pass: each day's mean and sum of squared distances, merged as Chan et al. (1983) do."""
    days = [(store, day) for store in stores for day in store.days]
    mean, spread, count = np.zeros(len(COARSE)), np.zeros(len(COARSE)), 0
    for done, (store, day) in enumerate(days, start=1):
        fields = store.coarse_day(day).reshape(len(COARSE), -1)
        size = fields.shape[1]
        own = fields.mean(axis=1, dtype=np.float64)
        apart = own - mean
        count += size
        spread += np.square(fields - own[:, None]).sum(axis=1) + apart**2 * (size * (count - size) / count)
        mean += apart * (size / count)
        progress("days for the statistics", done, len(days))
    return mean, np.sqrt(spread / count)


def _starts(days: Sequence[date], leads: Sequence[int]) -> list[date]:
    """The days t with t-1 and every t + lead at hand."""
    held = set(days)
    offsets = [-ONE_DAY, *(lead * ONE_DAY for lead in leads)]
    return [day for day in days if all(day + offset in held for offset in offsets)]


def _areas(store: TrainingStore, hotspots: Sequence[Hotspot]) -> tuple[_Area, ...]:
    """The hotspots on a store's fine grid, cut to it; those without land there are left out."""
    out = []
    for spot in hotspots:
        lats, lons = store.fine.lats, store.fine.lons
        rows = np.flatnonzero((spot.south <= lats) & (lats <= spot.north))
        columns = np.flatnonzero((spot.west <= lons) & (lons <= spot.east))
        if rows.size and columns.size and store.land[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].any():
            out.append(_Area(spot.name, int(rows[0]), int(columns[0]), len(rows), len(columns)))
    return tuple(out)


def _centre(rng: np.random.Generator, areas: Sequence[_Area]) -> NDArray[np.int64]:
    """A random pixel (row, column) of some areas: each in proportion to its size."""
    sizes = np.array([area.height * area.width for area in areas])
    area = areas[int(rng.choice(len(areas), p=sizes / sizes.sum()))]
    return np.array([area.row + rng.integers(0, area.height), area.column + rng.integers(0, area.width)])


def _snap(start: int, furthest: int, align: int) -> int:
    """The multiple of `align` nearest to a start brought into 0..furthest; `furthest` counts as a multiple."""
    inside = min(max(start, 0), furthest)
    before = inside - inside % align
    after = min(before + align, furthest)
    return before if inside - before < after - inside else after


def _station_places(store: Store) -> NDArray[np.float64]:
    """Fractional row and column of a store's stations on its fine grid, shape (N, 2)."""
    table = store.stations()
    places = np.stack([store.fine.rows(table.latitude), store.fine.columns(table.longitude)], axis=-1)
    return np.round(places, 6)  # a station at a pixel's centre stands exactly there


def _padded(
    stations: Sequence[tuple[NDArray[np.float64], NDArray[np.float32]]],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Places and values of each tile's stations as arrays of shapes (B, M, 2) and (B, M)."""
    most = max(len(values) for _, values in stations)
    at = np.zeros((len(stations), most, 2), np.float32)
    pm = np.full((len(stations), most), np.nan, np.float32)
    for k, (places, values) in enumerate(stations):
        at[k, : len(values)], pm[k, : len(values)] = places, values
    return at, pm


def _squares(fields: NDArray[np.float32], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of squared distances from the mean per channel, a block of days at a time."""
    out = np.zeros(len(mean))
    for start in range(0, len(fields), _BLOCK):
        apart = fields[start : start + _BLOCK] - mean[:, None, None]
        out += np.square(apart).sum(axis=(0, 2, 3))
    return out


def _decoded(counts: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Counts of the store in ug m-3, NaN where missing."""
    return np.where(counts == FINE_MISSING, np.float32(np.nan), counts * np.float32(FINE_SCALE))


def _counts(pm: NDArray[np.float32]) -> NDArray[np.uint16]:
    missing = np.isnan(pm)
    return np.where(missing, FINE_MISSING, np.rint(np.where(missing, 0, pm) / FINE_SCALE)).astype(np.uint16)
