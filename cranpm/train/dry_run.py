"""`cranpm train --dry-run`: what a run takes, without starting it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import torch

from cranpm.data.days import ONE_DAY, day_range, shown_days
from cranpm.data.store import Store
from cranpm.errors import CranpmError
from cranpm.model.config import ModelConfig
from cranpm.model.parts import parts
from cranpm.region import Region
from cranpm.tiles import plan_tiles
from cranpm.train.memory import footprint
from cranpm.train.recipe import Recipe, read_recipe, recipe_path

TRAINING_PASSES = 3
"""A backward pass does about twice the arithmetic of the forward pass."""
_GB = 1e9

Row = tuple[str, str]


@dataclass(frozen=True)
class Amount:
    """How much there is to train on.

    Attributes:
        tiles: (day, land tile) pairs of an epoch.
        text: the same in words.
        exact: whether a store was looked at, not the pack alone.
    """

    tiles: int
    text: str
    exact: bool


def describe(name: str, *, quick: bool = False, data: Path | None = None, devices: int | None = None) -> list[Row]:
    """Steps, memory and data of a recipe, as pairs of what and how much.

    Args:
        name, quick: the recipe.
        data: the store it would be trained on; without, the pack's years and the whole tile plan are counted.
        devices: on how many the steps are spread; one without.

    Raises:
        CranpmError: the recipe or the store is not there or not right, or the groups cannot be spread so.
    """
    recipe, region = read_recipe(recipe_path(name, quick=quick))
    ranks = devices or 1
    if recipe.batch.groups % ranks:
        raise CranpmError(
            f"batch.groups {recipe.batch.groups} cannot be shared by {ranks} devices: take a divisor of it"
        )
    store = None if data is None else Store.open(data, region.given)
    amount = _amount(recipe, region, store)
    return [
        ("what", f"{recipe.model} on {recipe.region}, {', '.join(f'T+{lead}' for lead in recipe.leads)}"),
        *_steps(recipe, amount, ranks),
        *_arithmetic(recipe, amount),
        *_memory(recipe, ranks),
        *_data(recipe, region, store),
    ]


def _amount(recipe: Recipe, region: Region, store: Store | None) -> Amount:
    size, simulated = recipe.config.tile, recipe.simulated
    if simulated is not None:
        days = sum(_starts(past.dates, recipe.leads) for past in simulated.train)
        plan = plan_tiles(simulated.fine_size, simulated.fine_size, size=size, overlap=region.sample.overlap)
        return Amount(days * len(plan.tiles()), f"{days:,} days x {len(plan.tiles())} tiles at most", False)
    if store is None:
        plan = plan_tiles(*region.fine.shape, size=size, overlap=region.overlap)
        days, tiles = _starts(_years(region.split.train), recipe.leads), len(plan.tiles())
        return Amount(days * tiles, f"{days:,} days x {tiles} tiles (a store tells how many hold land: --data)", False)
    ready = [day for day in store.days if day.year in region.split.train]
    plan = plan_tiles(*store.fine.shape, size=size, overlap=store.overlap)
    days, tiles = _starts(ready, recipe.leads), len(plan.tiles(store.land))
    return Amount(days * tiles, f"{days:,} days x {tiles} tiles with land", True)


def _steps(recipe: Recipe, amount: Amount, ranks: int) -> Iterator[Row]:
    batch, mine = recipe.batch, recipe.batch.groups // ranks
    per_epoch = recipe.steps_per_epoch(1, amount.tiles)
    schedule = recipe.schedule.in_steps(per_epoch)
    yield "epoch", f"{amount.text} = {amount.tiles:,} tiles, {per_epoch:,} steps"
    yield "run", f"{schedule.length:,} steps, {schedule.warm_up:,} to warm up, validated every {schedule.validate:,}"
    yield (
        "step",
        (
            f"{recipe.tiles_per_step} tiles: {_count(batch.groups, 'group')} of {_count(batch.days, 'day')} with "
            f"{_count(batch.tiles_per_day, 'tile')} each"
        ),
    )
    yield (
        "on each device",
        (
            f"{_count(mine, 'group')} a step ({_count(ranks, 'device')}): {_count(mine * batch.days, 'day')} encoded, "
            f"{mine * batch.days * batch.tiles_per_day} tiles in passes of {batch.days * _at_once(recipe)}"
        ),
    )


def _arithmetic(recipe: Recipe, amount: Amount) -> Iterator[Row]:
    per = {kind: sum(part.gflop for part in parts(recipe.config) if part.per == kind) for kind in ("day", "tile")}
    shared = recipe.batch.tiles_per_day
    tile = TRAINING_PASSES * (per["tile"] + per["day"] / shared)
    steps = recipe.schedule.in_steps(recipe.steps_per_epoch(1, amount.tiles)).length
    total = steps * recipe.tiles_per_step * tile
    yield (
        "arithmetic",
        (
            f"{tile:,.0f} GFLOP a tile, forwards and backwards, a day shared by {_count(shared, 'tile')}; "
            f"{total / 1e6:,.2f} PFLOP in all: {total / 10e3 / 3600:,.3g} device-hours where 10 TFLOP/s are sustained"
        ),
    )


def _memory(recipe: Recipe, ranks: int) -> Iterator[Row]:
    batch, config, average = recipe.batch, recipe.config, bool(recipe.schedule.average)
    half, full = (footprint(config, dtype, average=average) for dtype in (torch.bfloat16, torch.float32))
    low, high = (found.peak(batch.days, _at_once(recipe)) / _GB for found in (half, full))
    yield (
        "device memory",
        (
            f"{low:.2f} GB (bfloat16) to {high:.2f} GB (float32): {half.state / _GB:.2f} of weights and optimiser, "
            f"{half.day / _GB:.2f}-{full.day / _GB:.2f} a day, {half.tile / _GB:.2f}-{full.tile / _GB:.2f} a tile"
        ),
    )
    step = batch.groups // ranks * batch.days * (_day_bytes(config) + batch.tiles_per_day * _tile_bytes(config))
    yield "loader memory", f"{step / _GB:.2f} GB for the inputs of one step, two steps a reading process"


def _data(recipe: Recipe, region: Region, store: Store | None) -> Iterator[Row]:
    if recipe.simulated is not None:
        pasts = (*recipe.simulated.train, *recipe.simulated.validate)
        days = sum(len(past.dates) for past in pasts)
        side = recipe.simulated.fine_size
        size = days * _store_bytes(recipe.config.coarse_shape, (side, side))
        yield "data", f"{days:,} simulated days in {len(pasts)} stores, at most {size / _GB:.1f} GB, made on demand"
        return
    needed = [*_years(region.split.train), *_years(region.split.validate)]
    coarse, fine = (region.coarse, region.fine) if store is None else (store.coarse, store.fine)
    size = len(needed) * _store_bytes(coarse.shape, fine.shape)
    years = f"{_span(region.split.train)} to train, {_span(region.split.validate)} to validate"
    yield "data", f"a store of {len(needed):,} days ({years}), at most {size / _GB:,.0f} GB before compression"
    yield "products", "ERA5, CAMS, GHAP, elevation; stations for the station term (docs/products.md)"
    if store is None:
        yield (
            "to prepare it",
            f"cranpm data prepare {region.given} --from DIR --out STORE --days {needed[0]}..{needed[-1]}",
        )
        return
    missing = sorted(set(needed) - set(store.days))
    ready = len(needed) - len(missing)
    yield (
        "store",
        f"{store.path}: {ready:,} of these days are ready; missing: {shown_days(missing)}",
    )


def _starts(days: Iterable[date], leads: tuple[int, ...]) -> int:
    """Days with the day before and every valid day."""
    held = set(days)
    return sum(all(day + k * ONE_DAY in held for k in (-1, *leads)) for day in held)


def _years(years: Iterable[int]) -> list[date]:
    return [day for year in years for day in day_range(date(year, 1, 1), date(year, 12, 31))]


def _span(years: tuple[int, ...]) -> str:
    return f"{years[0]}" if len(years) == 1 else f"{years[0]}-{years[-1]}"


def _store_bytes(coarse: tuple[int, int], fine: tuple[int, int]) -> int:
    """A day of a store before compression: 35 float32 fields, the same for three forecasts, a map of 16-bit counts."""
    return 4 * 35 * 4 * coarse[0] * coarse[1] + 2 * fine[0] * fine[1]


def _day_bytes(config: ModelConfig) -> int:
    return 4 * (len(config.channels) + 1) * config.coarse_shape[0] * config.coarse_shape[1]


def _tile_bytes(config: ModelConfig) -> int:
    """Two maps, elevation, target (float32) and what is valid (one byte); the rest is small."""
    return (4 * 4 + 1) * config.tile * config.tile


def _at_once(recipe: Recipe) -> int:
    return recipe.batch.at_once or recipe.batch.tiles_per_day


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
