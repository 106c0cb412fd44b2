"""A forecast as a stream: leads, and within a lead finished strips of the map, north to south."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cranpm.data.days import shown_days
from cranpm.errors import CranpmError
from cranpm.forecast.detail import give_back
from cranpm.forecast.engine import Engine, EngineSpec, check_leads
from cranpm.forecast.inputs import DayInputs, DayStore, KnownPast, day_inputs, tile_inputs
from cranpm.tiles import Tile, TilePlan, blend, plan_tiles
from cranpm.variables import PM_SCALE

Progress = Callable[[int], None]
"""Called with the number of tiles that were just finished."""


class ForecastStore(DayStore, Protocol):
    """What a forecast reads of a store."""

    @property
    def region(self) -> str: ...
    @property
    def overlap(self) -> int: ...
    @property
    def land(self) -> NDArray[np.bool_]: ...
    @property
    def days(self) -> tuple[dt.date, ...]: ...


@dataclass(frozen=True)
class Strip:
    """Finished rows of a map.

    Attributes:
        row: first row on the fine grid.
        pm: PM2.5, ug m-3, at least 0; NaN over sea, shape (rows, width).
        clipped: how many land pixels came out below 0 and were raised to it.
    """

    row: int
    pm: NDArray[np.float32]
    clipped: int


@dataclass(frozen=True)
class LeadForecast:
    """One lead of a forecast; `strips` can be read once, and computes as it is read."""

    lead: int
    day: dt.date
    strips: Iterator[Strip]

    @property
    def valid_day(self) -> dt.date:
        """The day the map is for."""
        return self.day + dt.timedelta(days=self.lead)


def forecast(
    engine: Engine,
    store: ForecastStore,
    day: dt.date,
    leads: Sequence[int] = (1, 2, 3),
    *,
    past: KnownPast | None = None,
    batch: int = 8,
    progress: Progress | None = None,
) -> Iterator[LeadForecast]:
    """Forecast the leads of one issue day; memory holds one row of tiles, whatever the domain.

    Args:
        engine: runs the network.
        store: the inputs; nothing issued later than `day` is read.
        day: day t, the last day that is known; the store must hold t and t-1.
        leads: whole days ahead.
        past: what was fitted on the pack's past; a network that reads maps of it does worse without.
        batch: tiles per call of the engine.
        progress: called with the number of tiles finished.

    Yields:
        One `LeadForecast` per lead; read its strips before asking for the next lead.

    Raises:
        CranpmError: a lead was not trained, a day is missing, or the domain is smaller than a tile.
    """
    check_leads(engine.spec, leads)
    check_day(store, day)
    plan, tiles = tile_plan(engine.spec, store)
    _warn_of_coarse_shape(engine.spec, store)
    for lead in leads:
        if lead == leads[0] or engine.spec.state_per_lead:
            inputs = day_inputs(store, day, engine.spec.channels, lead, past)
        state = engine.encode_day(inputs, lead)
        maps = _tile_maps(engine, store, inputs, tiles, state, lead, batch, progress)
        yield LeadForecast(lead, day, _finish(blend(plan, maps), store.land))


def assemble_map(strips: Iterator[Strip], shape: tuple[int, int]) -> tuple[NDArray[np.float32], int]:
    """The whole map of one lead and its clip count, for domains that fit in memory."""
    out = np.full(shape, np.nan, dtype=np.float32)
    clipped = 0
    for strip in strips:
        out[strip.row : strip.row + len(strip.pm)] = strip.pm
        clipped += strip.clipped
    return out, clipped


def tile_plan(spec: EngineSpec, store: ForecastStore) -> tuple[TilePlan, list[Tile]]:
    """The plan for a store's domain and the tiles of it that touch land.

    Raises:
        CranpmError: no land in the domain, or a domain smaller than a tile.
    """
    plan = plan_tiles(*store.fine.shape, size=spec.tile, overlap=store.overlap)
    tiles = plan.tiles(store.land)
    if not tiles:
        raise CranpmError(f"the fine domain of '{store.region}' has no land pixel: nothing to forecast")
    return plan, tiles


def check_day(store: ForecastStore, day: dt.date) -> None:
    """Refuse an issue day whose inputs (t and t-1) the store does not hold.

    Raises:
        CranpmError: day t or t-1 is missing.
    """
    missing = [d for d in (day - dt.timedelta(days=1), day) if d not in store.days]
    if missing:
        raise CranpmError(
            f"a forecast issued on {day} needs that day and the day before; the store lacks "
            f"{' and '.join(map(str, missing))} and holds {shown_days(store.days)}: "
            "choose another --date or prepare these days"
        )


def _tile_maps(
    engine: Engine,
    store: ForecastStore,
    day: DayInputs,
    tiles: Sequence[Tile],
    state: object,
    lead: int,
    batch: int,
    progress: Progress | None,
) -> Iterator[tuple[Tile, NDArray[np.float32]]]:
    """Each tile with its forecast in ug m-3."""
    spec = engine.spec
    for start in range(0, len(tiles), batch):
        part = tiles[start : start + batch]
        inputs = tile_inputs(store, day, part, patch=spec.patch, coarse_patch=spec.coarse_patch, maps=spec.maps)
        residual = engine.forecast_tiles(state, inputs, lead)
        if residual.shape != inputs.filled.shape or not np.isfinite(residual).all():
            raise CranpmError(
                f"'{spec.name}' gave residuals of shape {residual.shape} or not finite on {day.day}, lead {lead}: "
                f"expected finite values of shape {inputs.filled.shape}; the checkpoint does not fit these inputs"
            )
        maps = inputs.pm[:, 0] + PM_SCALE * residual
        if share := spec.detail.get(lead, 0.0):
            known = ~inputs.filled & np.stack([store.land[tile.window] for tile in part])
            maps = give_back(maps, inputs.pm[:, 0], known, share).astype(np.float32)
        yield from zip(part, maps, strict=True)
        if progress is not None:
            progress(len(part))


def _finish(strips: Iterator[tuple[int, NDArray[np.float32]]], land: NDArray[np.bool_]) -> Iterator[Strip]:
    for row, values in strips:
        ground = land[row : row + len(values)]
        clipped = int(np.count_nonzero(values[ground] < 0))
        yield Strip(row, np.where(ground, np.maximum(values, 0), np.nan).astype(np.float32), clipped)


def _warn_of_coarse_shape(spec: EngineSpec, store: ForecastStore) -> None:
    if tuple(spec.coarse_shape) != store.coarse.shape:
        warnings.warn(
            f"'{spec.name}' was trained on a coarse window of {spec.coarse_shape[0]} x {spec.coarse_shape[1]} nodes, "
            f"'{store.region}' has {store.coarse.height} x {store.coarse.width}: it runs, out of its training shape",
            stacklevel=3,
        )
