"""What the network is fed: one coarse day and batches of fine tiles, in physical units (numpy only).

Training and every engine share this module, so a tile is made of a store in one way only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cranpm.errors import CranpmError
from cranpm.grid import Grid, bilinear, tangent_plane
from cranpm.tiles import Tile
from cranpm.variables import CHANNELS, COARSE, DAYS

Float = NDArray[np.float32]


class DayStore(Protocol):
    """What this module reads of a store (see `cranpm.data.store.Store`)."""

    @property
    def coarse(self) -> Grid: ...
    @property
    def fine(self) -> Grid: ...
    @property
    def coarse_elevation(self) -> Float: ...
    @property
    def elevation(self) -> Float: ...
    def coarse_day(self, day: dt.date) -> Float: ...
    def pm(self, day: dt.date, rows: slice = ..., columns: slice = ...) -> Float: ...


@dataclass(frozen=True)
class DayInputs:
    """The coarse inputs of day t.

    Attributes:
        coarse: channels in physical units, shape (len(channels), H, W).
        elevation: metres, shape (H, W).
        grid: the coarse grid.
        day: day t.
        channels: names of the channels, `variables.CHANNELS` unless the network orders them otherwise.
    """

    coarse: Float
    elevation: Float
    grid: Grid
    day: dt.date
    channels: tuple[str, ...] = CHANNELS

    def channel(self, name: str) -> Float:
        """One channel by name, shape (H, W)."""
        return self.coarse[self.channels.index(name)]


@dataclass(frozen=True)
class TileInputs:
    """A batch of B tiles of S x S pixels, with Q fine and K coarse tokens.

    Attributes:
        pm: PM2.5 of days t and t-1, gaps filled, ug m-3, shape (B, 2, S, S).
        elevation: metres, shape (B, S, S).
        lats, lons: of the rows and columns, degrees (longitudes continuous), shape (B, S).
        wind: daily mean 10 m wind of day t at the fine tokens (eastward, northward), m s-1, shape (B, Q, 2).
        queries: fine token centres (east, north) on the plane that touches the Earth at the tile's centre, km,
            shape (B, Q, 2), row-major from the north-west.
        keys: coarse token centres on the same plane, km, shape (B, K, 2).
        filled: pixels of day t that the store does not have, shape (B, S, S).
    """

    pm: Float
    elevation: Float
    lats: Float
    lons: Float
    wind: Float
    queries: Float
    keys: Float
    filled: NDArray[np.bool_]


def day_inputs(store: DayStore, day: dt.date, channels: tuple[str, ...] = CHANNELS) -> DayInputs:
    """The coarse inputs of a day: the analyses of the day and of the day before, nothing later.

    Raises:
        CranpmError: a day is missing or holds a gap, or a channel is not one of ours.
    """
    unknown = [name for name in channels if name not in CHANNELS]
    if unknown:
        raise CranpmError(
            f"the network asks for coarse channels {', '.join(unknown)}, which no store has "
            f"(known: {', '.join(COARSE)}, each of days {' and '.join(DAYS)}); use a checkpoint made with these names"
        )
    days = np.concatenate([store.coarse_day(day), store.coarse_day(day - dt.timedelta(days=1))])
    if channels != CHANNELS:
        days = days[[CHANNELS.index(name) for name in channels]]
    return DayInputs(days.astype(np.float32, copy=False), store.coarse_elevation, store.coarse, day, channels)


def tile_inputs(store: DayStore, day: DayInputs, tiles: Sequence[Tile], *, patch: int, coarse_patch: int) -> TileInputs:
    """The fine inputs of some tiles on one day.

    Args:
        store: where PM2.5 and elevation come from.
        day: the coarse inputs of the same day.
        tiles: tiles of one size, on the store's fine grid.
        patch: side of a fine token, pixels; it must divide the tile.
        coarse_patch: side of a coarse token, nodes.

    Raises:
        CranpmError: the tile is not a whole number of tokens, or lies outside the coarse window.
    """
    if not tiles or any(tile.size % patch for tile in tiles):
        raise CranpmError(f"tiles of {[t.size for t in tiles][:1]} px do not divide into tokens of {patch} px")
    lats = np.stack([store.fine.lats[tile.window[0]] for tile in tiles])
    lons = np.stack([store.fine.lons[tile.window[1]] for tile in tiles])
    maps = [_filled_window(store, day, *tile.window) for tile in tiles]
    places = [_places(day, *pair, patch, coarse_patch) for pair in zip(lats, lons, strict=True)]
    wind, queries, keys = (np.stack(part).astype(np.float32, copy=False) for part in zip(*places, strict=True))
    return TileInputs(
        pm=np.stack([pm for pm, _ in maps]),
        elevation=np.stack([store.elevation[tile.window] for tile in tiles]).astype(np.float32, copy=False),
        lats=lats.astype(np.float32),
        lons=lons.astype(np.float32),
        wind=wind,
        queries=queries,
        keys=keys,
        filled=np.stack([filled for _, filled in maps]),
    )


def fill_today(store: DayStore, day: DayInputs, rows: slice, columns: slice) -> tuple[Float, NDArray[np.bool_]]:
    """PM2.5 of day t in a window with its gaps filled, and which pixels were filled: persistence's own map.

    A missing pixel takes the value of t-1, else the coarse PM2.5 of day t; sea pixels take the latter.

    Returns:
        Values, ug m-3, and the mask of filled pixels, both of the window's shape.
    """
    pm, filled = _filled_window(store, day, rows, columns)
    return pm[0], filled


def token_centres(grid: Grid, patch: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Latitudes and longitudes at which square tokens of a grid are centred; a last partial token counts."""
    rows, columns = -(-grid.height // patch), -(-grid.width // patch)
    middle = (patch - 1) / 2
    lats = grid.north - grid.step * (np.arange(rows) * patch + middle)
    lons = grid.west + grid.step * (np.arange(columns) * patch + middle)
    return lats, lons


def _filled_window(store: DayStore, day: DayInputs, rows: slice, columns: slice) -> tuple[Float, NDArray[np.bool_]]:
    """PM2.5 of t and t-1, gaps filled, shape (2, h, w), and where day t had none."""
    today = store.pm(day.day, rows, columns)
    before = store.pm(day.day - dt.timedelta(days=1), rows, columns)
    filled, older = np.isnan(today), np.isnan(before)
    pm = np.stack([np.where(filled, before, today), before])
    gaps = np.stack([filled & older, older])
    if gaps.any():
        coarse = np.stack([day.channel("pm2p5_t"), day.channel("pm2p5_t-1")])
        lats, lons = store.fine.lats[rows], store.fine.lons[columns]
        pm = np.where(gaps, np.maximum(bilinear(coarse, day.grid, lats, lons), 0.0), pm)
    return pm.astype(np.float32, copy=False), filled


def _places(day: DayInputs, lats: NDArray, lons: NDArray, patch: int, coarse_patch: int) -> tuple[Float, Float, Float]:
    """Wind at the fine tokens, and the places of fine and coarse tokens in km, of one tile."""
    fine_lats, fine_lons = lats.reshape(-1, patch).mean(axis=1), lons.reshape(-1, patch).mean(axis=1)
    coarse_lats, coarse_lons = token_centres(day.grid, coarse_patch)
    centre = float(lats.mean()), float(lons.mean())
    components = np.stack([day.channel("u10_t"), day.channel("v10_t")])
    wind = bilinear(components, day.grid, fine_lats, fine_lons).reshape(2, -1).T
    queries = tangent_plane(fine_lats[:, None], fine_lons[None, :], *centre).reshape(-1, 2)
    keys = tangent_plane(coarse_lats[:, None], coarse_lons[None, :], *centre).reshape(-1, 2)
    return wind, queries, keys
