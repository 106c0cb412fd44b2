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
from cranpm.variables import (
    CHANNELS,
    COARSE,
    CORRECTED_MAP,
    DAYS,
    FORECAST_CHANNELS,
    FORECAST_MAP,
    FUTURE_MAPS,
    LOCAL_CHANNELS,
    USUAL_MAP,
)

Float = NDArray[np.float32]


class Field(Protocol):
    """A map that is read by window; an array is one."""

    def __getitem__(self, window: tuple[slice, slice], /) -> Float: ...


class DayStore(Protocol):
    """What this module reads of a store (see `cranpm.data.store.Store`)."""

    @property
    def coarse(self) -> Grid: ...
    @property
    def fine(self) -> Grid: ...
    @property
    def coarse_elevation(self) -> Float: ...
    @property
    def elevation(self) -> Field: ...
    def coarse_day(self, day: dt.date) -> Float: ...
    def forecast(self, day: dt.date, lead: int, channels: Sequence[str] | None = None) -> Float: ...
    def pm(self, day: dt.date, rows: slice = ..., columns: slice = ...) -> Float: ...


WITHOUT_PAST = (
    "the model reads what was fitted on the pack's past, and nothing was: today's map stands for what is usual and the "
    "forecast composition as it was issued for the corrected one"
)
"""What a reader of such a forecast must know."""


class KnownPast(Protocol):
    """What was fitted on a place's past (see `cranpm.verify.baselines.Fitted`)."""

    @property
    def leads(self) -> tuple[int, ...]: ...
    def climatology(self, day: dt.date, rows: slice = ..., columns: slice = ...) -> Float: ...
    def cams_corrected(self, cams: Float, lead: int, rows: slice = ..., columns: slice = ...) -> Float: ...


@dataclass(frozen=True)
class DayInputs:
    """The coarse inputs of day t, for one lead where forecasts are among them.

    Attributes:
        coarse: channels in physical units, shape (len(channels), H, W).
        elevation: metres, shape (H, W).
        grid: the coarse grid.
        day: day t.
        composition: PM2.5 of days t and t-1, ug m-3, shape (2, H, W): what gaps of the fine maps are filled with.
        wind: 10 m wind of day t, m s-1 eastward and northward, shape (2, H, W).
        channels: names of the channels, `variables.CHANNELS` unless the network orders them otherwise.
        lead: days ahead of the valid day; 0 where nothing is read that depends on it.
        past: what was fitted on the place's past, None where nothing was.
    """

    coarse: Float
    elevation: Float
    grid: Grid
    day: dt.date
    composition: Float
    wind: Float
    channels: tuple[str, ...] = CHANNELS
    lead: int = 0
    past: KnownPast | None = None

    @property
    def valid_day(self) -> dt.date:
        """The day that is forecast."""
        return self.day + dt.timedelta(days=self.lead)

    def channel(self, name: str) -> Float:
        """One channel by name, shape (H, W)."""
        return self.coarse[self.channels.index(name)]


@dataclass(frozen=True)
class TileInputs:
    """A batch of B tiles of S x S pixels, with Q fine and K coarse tokens.

    Attributes:
        pm: the maps asked for, gaps filled, ug m-3, shape (B, maps, S, S); day t's comes first.
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


def day_inputs(
    store: DayStore,
    day: dt.date,
    channels: tuple[str, ...] = CHANNELS,
    lead: int | None = None,
    past: KnownPast | None = None,
) -> DayInputs:
    """The coarse inputs of a day: the analyses of the day and of the day before, and what was issued on the day.

    Args:
        store: where they come from.
        day: day t.
        channels: the network's, in its order.
        lead: days ahead of the valid day that forecast channels (`u10_f`) are for.
        past: what was fitted on the place's past, for the maps that are made of it.

    Raises:
        CranpmError: a day is missing or holds a gap, a forecast was not issued, or a channel is not one of ours.
    """
    unknown = [name for name in channels if name not in CHANNELS and name not in FORECAST_CHANNELS]
    if unknown:
        raise CranpmError(
            f"the network asks for coarse channels {', '.join(unknown)}, which no store has "
            f"(known: {', '.join(COARSE)}, each of days {' and '.join(DAYS)}); use a checkpoint made with these names"
        )
    days = np.concatenate([store.coarse_day(day), store.coarse_day(day - dt.timedelta(days=1))])
    composition, wind = days[[CHANNELS.index(c) for c in _COMPOSITION]], days[[CHANNELS.index(c) for c in _WIND]]
    issued = tuple(name.removesuffix("_f") for name in channels if name in FORECAST_CHANNELS)
    known = CHANNELS
    if issued:
        if lead is None:
            raise ValueError("forecast channels are for a lead: none was given")
        days = np.concatenate([days, store.forecast(day, lead, issued)])
        known += tuple(f"{name}_f" for name in issued)
    if channels != known:
        days = days[[known.index(name) for name in channels]]
    coarse = days.astype(np.float32, copy=False)
    ahead = lead if issued and lead else 0  # inputs without forecasts serve every lead
    return DayInputs(coarse, store.coarse_elevation, store.coarse, day, composition, wind, channels, ahead, past)


def tile_inputs(
    store: DayStore, day: DayInputs, tiles: Sequence[Tile], *, patch: int, coarse_patch: int,
    maps: Sequence[str] = LOCAL_CHANNELS[:2],
) -> TileInputs:  # fmt: skip
    """The fine inputs of some tiles on one day.

    Args:
        store: where PM2.5 and elevation come from.
        day: the coarse inputs of the same day.
        tiles: tiles of one size, on the store's fine grid.
        patch: side of a fine token, pixels; it must divide the tile.
        coarse_patch: side of a coarse token, nodes.
        maps: names of the maps of PM2.5 that the network reads, day t's first. Without a known past today's map
            stands for what is usual, and the forecast as it is for the corrected one.

    Raises:
        CranpmError: the tile is not a whole number of tokens, or lies outside the coarse window.
    """
    if not tiles or any(tile.size % patch for tile in tiles):
        raise CranpmError(f"tiles of {[t.size for t in tiles][:1]} px do not divide into tokens of {patch} px")
    lats = np.stack([store.fine.lats[tile.window[0]] for tile in tiles])
    lons = np.stack([store.fine.lons[tile.window[1]] for tile in tiles])
    filled = [_filled_window(store, day, *tile.window) for tile in tiles]
    known = dict(zip(LOCAL_CHANNELS, np.stack([pm for pm, _ in filled], axis=1), strict=False))
    for name in FUTURE_MAPS:
        if name in maps:
            known[name] = np.stack(
                [_future_map(name, store, day, tile, pm[0]) for tile, (pm, _) in zip(tiles, filled, strict=True)]
            )
    places = [_places(day, *pair, patch, coarse_patch) for pair in zip(lats, lons, strict=True)]
    wind, queries, keys = (np.stack(part).astype(np.float32, copy=False) for part in zip(*places, strict=True))
    return TileInputs(
        pm=np.stack([known[name] for name in maps], axis=1),
        elevation=np.stack([store.elevation[tile.window] for tile in tiles]).astype(np.float32, copy=False),
        lats=lats.astype(np.float32),
        lons=lons.astype(np.float32),
        wind=wind,
        queries=queries,
        keys=keys,
        filled=np.stack([mask for _, mask in filled]),
    )


_COMPOSITION = ("pm2p5_t", "pm2p5_t-1")
_WIND = ("u10_t", "v10_t")


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
    place = day.grid, store.fine.lats[rows], store.fine.lons[columns]
    pairs = zip((today, before), day.composition, strict=True)
    pm = np.stack([fill_gaps(found, before, coarse, *place) for found, coarse in pairs])
    return pm.astype(np.float32, copy=False), np.isnan(today)


def fill_gaps(found: NDArray, before: NDArray, coarse: NDArray, grid: Grid, lats: NDArray, lons: NDArray) -> NDArray:
    """A map of PM2.5 without gaps: where it has none the value of the day before, else the coarse one of its own day.

    Args:
        found: the map, ug m-3, NaN where missing, shape (h, w).
        before: the map of the day before, same shape; of the map itself where there is none older.
        coarse: coarse PM2.5 of the map's day on `grid`, ug m-3, shape (H, W).
        grid: the coarse grid.
        lats, lons: of the map's rows and columns, degrees.
    """
    filled = np.where(np.isnan(found), before, found)
    gaps = np.isnan(filled)
    return np.where(gaps, np.maximum(bilinear(coarse, grid, lats, lons), 0.0), filled) if gaps.any() else filled


def _future_map(name: str, store: DayStore, day: DayInputs, tile: Tile, today: Float) -> Float:
    """One of the maps for the valid day in a tile, ug m-3, shape (h, w)."""
    rows, columns = tile.window
    if day.past is not None and name == USUAL_MAP:
        return day.past.climatology(day.valid_day, rows, columns)
    forecast = day.channel(FORECAST_MAP)
    if day.past is not None and name == CORRECTED_MAP and day.lead in day.past.leads:
        return day.past.cams_corrected(forecast, day.lead, rows, columns)
    if name == USUAL_MAP:
        return today
    return np.maximum(bilinear(forecast, day.grid, store.fine.lats[rows], store.fine.lons[columns]), 0.0)


def _places(day: DayInputs, lats: NDArray, lons: NDArray, patch: int, coarse_patch: int) -> tuple[Float, Float, Float]:
    """Wind at the fine tokens, and the places of fine and coarse tokens in km, of one tile."""
    fine_lats, fine_lons = lats.reshape(-1, patch).mean(axis=1), lons.reshape(-1, patch).mean(axis=1)
    coarse_lats, coarse_lons = token_centres(day.grid, coarse_patch)
    centre = float(lats.mean()), float(lons.mean())
    wind = bilinear(day.wind, day.grid, fine_lats, fine_lons).reshape(2, -1).T
    queries = tangent_plane(fine_lats[:, None], fine_lons[None, :], *centre).reshape(-1, 2)
    keys = tangent_plane(coarse_lats[:, None], coarse_lons[None, :], *centre).reshape(-1, 2)
    return wind, queries, keys
