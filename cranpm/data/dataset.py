"""Training examples: days and tiles of stores as tensors. The one place where numpy becomes tensors for training.

Tiles are made by `cranpm.forecast.inputs`, as for every forecast; this module adds what was to be forecast. Days come
from memory (`HeldStore`) or, where they do not fit, straight from the store's files (`DiskStore`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import torch
from numpy.typing import NDArray

from cranpm.data.batch import Batch
from cranpm.data.days import ONE_DAY
from cranpm.data.hotspots import Area, held_areas, random_centre, snapped
from cranpm.data.training_days import DiskStore, HeldStore, TrainingStore, hold, statistics_of
from cranpm.errors import CranpmError
from cranpm.forecast.inputs import day_inputs, tile_inputs
from cranpm.model.config import ModelConfig
from cranpm.region import Hotspot
from cranpm.tiles import Tile, plan_tiles

__all__ = ["Batch", "DiskStore", "Draw", "Examples", "HeldStore", "TrainingStore", "hold", "statistics_of"]


@dataclass(frozen=True)
class Draw:
    """What to make a part of a batch of: one day, its tiles, and the lead of each tile."""

    store: int
    day: date
    tiles: tuple[Tile, ...]
    leads: tuple[int, ...]


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
        self._areas = [held_areas(store.fine, store.land, hotspots) for store in self.stores]

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
            each = [Draw(k, day, chosen, (lead,) * len(chosen)) for lead in self.leads]
            if self.config.state_per_lead:
                yield each
            else:  # one state for all leads
                yield [Draw(k, day, chosen * len(self.leads), tuple(lead for draw in each for lead in draw.leads))]

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
        for _ in range(tiles):  # without hotspots none is drawn for the choice
            preferred = areas if areas and rng.random() < hotspot_ratio else ()
            places.append(self._draw_place(rng, self.stores[k], preferred, align))
        chosen = tuple(Tile((0, i), row, column, self.config.tile) for i, (row, column) in enumerate(places))
        alike = self.config.state_per_lead  # the tiles of a day share its state
        leads = rng.choice(self.leads, size=1 if alike else tiles, p=odds)
        return Draw(k, day, chosen, tuple(int(lead) for lead in np.broadcast_to(leads, tiles)))

    def _draw_place(
        self, rng: np.random.Generator, store: TrainingStore, areas: Sequence[Area], align: int
    ) -> tuple[int, int]:
        """First row and column of a tile with land in it: centred in one of the areas, or anywhere without areas."""
        size = self.config.tile
        furthest = [length - size for length in store.fine.shape]
        while True:
            if areas:
                start = random_centre(rng, areas) - size // 2
            else:
                start = np.array([rng.integers(0, last + 1) for last in furthest])
            row, column = (snapped(int(s), last, align) for s, last in zip(start, furthest, strict=True))
            window = store.land[row : row + size, column : column + size]
            if window[size // 2, size // 2] or window.any():  # a step of many processes draws all their tiles
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
        past = store.pasts.get(draw.day)
        day = day_inputs(store, draw.day, config.channels, draw.leads[0], past)
        tiles = tile_inputs(
            store, day, draw.tiles, patch=config.patch, coarse_patch=config.coarse_patch, maps=config.maps
        )
        pairs = zip(draw.tiles, draw.leads, strict=True)
        truth = np.stack([store.pm(draw.day + lead * ONE_DAY, *tile.window) for tile, lead in pairs])
        valid = np.isfinite(truth) & np.stack([store.land[tile.window] for tile in draw.tiles])
        inputs = ("pm", "elevation", "lats", "lons", "wind", "queries", "keys")
        return {
            "coarse": day.coarse[None],
            "coarse_elevation": day.elevation[None].copy(),
            **{name: getattr(tiles, name) for name in inputs},
            "lead": np.asarray(draw.leads, dtype=np.int64),
            "target": np.where(valid, truth, np.float32(0.0)),
            "valid": valid,
        }


def _starts(days: Sequence[date], leads: Sequence[int]) -> list[date]:
    """The days t with t-1 and every t + lead at hand."""
    held = set(days)
    offsets = [-ONE_DAY, *(lead * ONE_DAY for lead in leads)]
    return [day for day in days if all(day + offset in held for offset in offsets)]


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
