"""Whether simulated stores hold the physics that the mechanisms of the CRAN-PM paper are made for.

python tests/benchmarks/world_physics.py --data STORE [STORE ...]

Prints Markdown: transport (eq. 4, wind order), terrain (eq. 2), day t-1, what the coarse fields of today know of
tomorrow, stations and small scales (eq. 6). Several stores are years of one window and are pooled.

A *gain* is the share of the squared error of a linear forecast that further predictors remove, percent; the RMSE falls
by about half of it. Forecasts are of the change of PM2.5 since day t, at 25 km unless said otherwise, from departures
from each place's yearly wave, by one ridge regression for all places, fitted on every other month and scored on the
months between, both ways round: a gain below zero is over-fitting. Intervals are 95 %, from resampled blocks of ten
days; a fitted line stays what it is. About twenty seconds per store on one idle core.
"""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cranpm.data.store import Store
from cranpm.errors import CranpmError
from cranpm.grid import KM_PER_DEGREE, Grid, block_mean, sample_points
from cranpm.model.config import FORECAST
from cranpm.variables import COARSE, COMPOSITION

Values = NDArray[np.floating]
Features = Sequence[Values]
"""Predictors of shape (days, places) each."""

BLOCK = 25  # pixels of a 25 km block
LEADS = (1, 2, 3)
PLACES = 600  # fine pixels that are followed
RING = 2.0  # degrees at which the surroundings of a block are looked at
TOKEN = 4  # coarse nodes along the side of a small network's global token
SMALL_SCALE = 16.0  # km
DRAWS, DAYS_TOGETHER = 400, 10
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of a ridge regression, shares of the predictors' variance
CHANNELS = tuple(COARSE)
GASES = tuple(variable.name for variable in COMPOSITION)
KEPT = ("u10", "v10", "u_850", "v_850", "pm2p5")  # coarse fields that are kept whole
STEP_HOURS = 6
WINDS = {
    "10 m wind of t": ("u10", "v10", False),
    "850 hPa wind of t": ("u_850", "v_850", False),
    "10 m wind of t to t+lead, as it will be": ("u10", "v10", True),
}
CALM = 0.1  # m/s, as in the network


@dataclass(frozen=True)
class Year:
    """What is looked at of one or more stores; B blocks (every other one) and P fine pixels lie on land.

    Attributes:
        days: T days that follow one another inside a store; between stores lie days without any value.
        blocks: PM2.5 of all 25 km blocks, ug m-3, NaN where less than half is valid, shape (T, rows, columns).
        block_grid: where they are centred.
        fields: the coarse fields `KEPT`, each of shape (T, H, W).
        coarse: their grid.
        here, around: the 35 coarse variables at the blocks and, as means, 2 degrees north, east, south and west of
            them, shapes (T, 35, B) and (4, T, 35, B).
        ahead: variables `FORECAST` at the blocks as issued on each day for 1, 2, 3 days later, shape (T, 3, 15, B).
        pixels, smooth: PM2.5 of the followed pixels, and of 17 x 17 pixels around them, ug m-3, shape (T, P).
        lats, lons, heights: of these pixels, degrees and metres, shape (P,).
        stations, at_stations: measured PM2.5 and the map's there, ug m-3, shape (T, S).
    """

    days: list[dt.date]
    blocks: Values
    block_grid: Grid
    fields: dict[str, Values]
    coarse: Grid
    here: Values
    around: Values
    ahead: Values
    pixels: Values
    smooth: Values
    lats: Values
    lons: Values
    heights: Values
    stations: Values
    at_stations: Values

    @property
    def known(self) -> NDArray[np.bool_]:
        """The B blocks: a chessboard of those that ever have a value, shape (rows, columns)."""
        return _chessboard(self.blocks)

    @property
    def block_places(self) -> tuple[Values, Values]:
        """Latitudes and longitudes of the B blocks."""
        lats, lons = np.meshgrid(self.block_grid.lats, self.block_grid.lons, indexing="ij")
        return lats[self.known], lons[self.known]

    def departures(self, values: Values) -> Values:
        """Values less each place's mean and yearly wave, shape (T, ...); NaN stays."""
        flat = values.reshape(len(values), -1).astype(float)
        phase = 2 * np.pi * np.array([day.timetuple().tm_yday for day in self.days]) / 365.25
        waves = np.column_stack([np.ones(len(flat)), np.cos(phase), np.sin(phase)])
        valid = np.isfinite(flat)
        products = np.einsum("tk,tn,tl->nkl", waves, valid.astype(float), waves, optimize=True) + 1e-9 * np.eye(3)
        sums = np.einsum("tk,tn->nk", waves, np.where(valid, flat, 0))
        fitted = np.linalg.solve(products, sums[:, :, None])[:, :, 0]
        return (flat - waves @ fitted.T).reshape(values.shape).astype(np.float32)


def report(stores: Sequence[Store]) -> Iterator[str]:
    """The whole report, line by line."""
    year, store = read(stores), stores[0]
    regression = Regression(year)
    years = ", ".join(f"{one.days[0]} to {one.days[-1]} (realisation {_realisation(one)})" for one in stores)
    yield f"Simulated {store.region}, fine window from {store.fine.north:.1f}N {store.fine.west:.1f}E: {years}."
    yield "PM2.5 in ug m-3. All of it is the sample world's.\n"
    yield from transport(year, regression)
    yield from eq4(year, regression)
    yield from terrain(year, store)
    yield from uphill(year, regression)
    yield from yesterday(year, regression)
    yield from context(year, regression)
    yield from stations(year, store)
    yield from spectra(store)
    yield from texture(year, regression)


def transport(year: Year, regression: Regression) -> Iterator[str]:
    """What PM2.5 upwind and downwind tells of the change, beyond that of the place itself."""
    yield "### Transport: gain of PM2.5(t) at one other place, beyond that of the place (block and coarse), percent\n"
    yield "| T+ | source | other place | km | upwind | downwind | upwind - downwind | the same of its departure |"
    yield "|---|---|---|---|---|---|---|---|"
    for lead in LEADS[:2]:
        for name, (u, v, real) in WINDS.items():
            way = trajectory(year, lead, u, v, real)
            for source in ("coarse", "coarse, 1 degree") if name == "10 m wind of t" else ("coarse",):
                yield _transport_row(year, regression, lead, way, source, f"back along the {name}")
        for source, distances in (("block", (50, 100, 150)), ("coarse, 1 degree", (100, 200, 400))):
            for distance in distances:
                name = f"at {distance} km by the 10 m wind of t"
                yield _transport_row(year, regression, lead, distance * heading(year), source, name)
    yield ""


def eq4(year: Year, regression: Regression) -> Iterator[str]:
    """What attention gets that follows eq. 4 alone: coarse PM2.5 averaged over all tokens with its weights."""
    yield "### Eq. 4 alone: coarse PM2.5(t) averaged with softmax(beta gamma - slope distance), gains at T+1, percent\n"
    yield (
        "| beta | slope per 1000 km | upwind | downwind | upwind - downwind | upwind, beyond the 10 m wind too "
        "| weight within 300 km | weight upwind |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    field, grid = _tokens(year.fields["pm2p5"], year.coarse)
    tokens, way = field.reshape(len(field), -1), Way(year, grid)
    change, base = _change(year, 1), _own(year)
    blowing = _variables(year, ("u10", "v10"))
    blowing.append(year.departures(np.hypot(*(year.here[:, CHANNELS.index(name)] for name in ("u10", "v10")))))
    for slope in (0.0, 3.0, 10.0):
        for beta in (0.0, 1.0, 3.0, 10.0):
            averaged, near, upwind = way.attended(tokens, beta, slope)
            up = down = regression.gain(change, base, [averaged])
            if beta:
                down = regression.gain(change, base, [way.attended(tokens, -beta, slope)[0]])
            beyond = regression.gain(change, [*base, *blowing], [averaged])
            yield f"| {beta:.0f} | {slope:.0f} | {up} | {down} | {up - down} | {beyond} | {near:.2f} | {upwind:.2f} |"
    yield ""


def terrain(year: Year, store: Store) -> Iterator[str]:
    """Correlation between pixels by distance and height difference, for departures and their day-to-day changes."""
    apart, climb, crest = _pairs(year, store)
    low, high = year.heights < 500, year.heights > 1000
    both_low, both_high = low[:, None] & low, high[:, None] & high
    alike = climb < 250
    kinds: dict[str, NDArray[np.bool_]] = {
        "dz < 250 m": alike,
        "250-500": (climb >= 250) & (climb < 500),
        "500-1000": (climb >= 500) & (climb < 1000),
        "1000-1500": (climb >= 1000) & (climb < 1500),
        "> 1500": climb >= 1500,
        "both < 500 m, no crest": both_low & (crest < 200),
        "both < 500 m, crest > 600 m": both_low & (crest > 600),
        "both > 1000 m, dz < 250": both_high & alike,
    }
    scaled = year.departures(year.pixels)
    scaled = scaled / np.nanstd(scaled, axis=0)
    regional = scaled - _mean_of(scaled, np.ones((1, scaled.shape[1]), bool))
    for title, values in {
        "PM2.5": scaled,
        "PM2.5 less the day's regional mean": regional,
        "the change PM2.5(t+1) - PM2.5(t)": np.diff(scaled, axis=0),
    }.items():
        yield f"### Terrain: correlation between pixels of {title}, departures in units of each pixel's sd\n"
        yield f"| km | {' | '.join(kinds)} |"
        yield "|---" * (len(kinds) + 1) + "|"
        draws = _correlations(values)
        for near, far in pairwise((10, 30, 60, 100, 150)):
            there = (apart >= near) & (apart < far)
            cells = [_correlation_cell(draws, there & kind) for kind in kinds.values()]
            yield f"| {near}-{far} | {' | '.join(cells)} |"
        yield ""


def uphill(year: Year, regression: Regression) -> Iterator[str]:
    """Whether a place learns less from higher than from lower places, as eq. 2 has it."""
    yield "### Eq. 2: gain at a pixel of PM2.5(t) of pixels higher, lower and as high, at T+1, percent\n"
    yield "| km | height difference | receivers | higher sources | lower sources | as high (150 m) | higher - lower |"
    yield "|---|---|---|---|---|---|---|"
    scaled = year.departures(year.pixels)
    scaled = scaled / np.nanstd(scaled, axis=0)
    change = _later(scaled, 1) - scaled
    apart = _apart(year.lats, year.lons)
    climb = year.heights[None, :] - year.heights[:, None]
    for near, far in ((10, 40), (40, 100)):
        for least, most in ((200, 500), (500, 1500)):
            ring = (apart >= near) & (apart < far)
            bands = ((climb >= least) & (climb < most), (-climb >= least) & (-climb < most), np.abs(climb) < 150)
            kinds = [ring & band for band in bands]
            takers = np.min([kind.sum(axis=1) for kind in kinds], axis=0) >= 2
            if takers.sum() < 10:
                continue
            sources = [_mean_of(scaled, kind[takers]) for kind in kinds]
            gains = [regression.gain(change[:, takers], [scaled[:, takers]], [source]) for source in sources]
            cells = (f"{near}-{far}", f"{least}-{most} m", takers.sum(), *gains, gains[0] - gains[1])
            yield f"| {' | '.join(map(str, cells))} |"
    yield ""


def yesterday(year: Year, regression: Regression) -> Iterator[str]:
    """What day t-1 adds."""
    yield "### Day t-1: gain, percent\n"
    yield "| what is added | beyond | T+1 | T+2 | T+3 |"
    yield "|---|---|---|---|---|"
    own = year.departures(year.blocks[:, year.known])
    pixel = year.departures(year.pixels)
    today, before = _variables(year, CHANNELS), [_later(field, -1) for field in _variables(year, CHANNELS)]
    weather = _variables(year, [name for name in CHANNELS if name not in GASES])
    at_25_km = "25 km PM2.5(t)"
    cases: list[tuple[str, str, Values, Features, Features]] = [
        ("PM2.5(t-1)", "the pixel's PM2.5(t)", pixel, [pixel], [_later(pixel, -1)]),
        ("PM2.5(t-1)", at_25_km, own, [own], [_later(own, -1)]),
        ("PM2.5(t-1)", f"{at_25_km}, weather of t", own, [own, *weather], [_later(own, -1)]),
        ("PM2.5(t-1)", f"{at_25_km}, all coarse fields of t", own, [own, *today], [_later(own, -1)]),
        ("all coarse fields of t-1", f"{at_25_km}, all of t, PM2.5(t-1)", own, [own, *today, _later(own, -1)], before),
    ]
    for what, beyond, values, base, more in cases:
        gains = [regression.gain(_later(values, lead) - values, base, more) for lead in LEADS]
        yield f"| {what} | {beyond} | {' | '.join(map(str, gains))} |"
    yield ""


def context(year: Year, regression: Regression) -> Iterator[str]:
    """What the coarse fields add: of today at the place and around it, and what was issued for the valid day."""
    yield "### Coarse fields: gain beyond the block's PM2.5(t) and (t-1), percent\n"
    yield "| what is added | predictors | T+1 | T+2 | T+3 |"
    yield "|---|---|---|---|---|"
    own = year.departures(year.blocks[:, year.known])
    base = [own, _later(own, -1)]
    weather = _variables(year, [name for name in CHANNELS if name not in GASES])
    composition = _variables(year, GASES)
    ring = [year.departures(field) for side in year.around for field in np.moveaxis(side, 1, 0)]
    flow = _advection(year)
    fixed: dict[str, Features] = {
        "composition of t at the place": composition,
        "weather of t at the place": weather,
        "both": [*weather, *composition],
        "both, 2 degrees N, E, S, W too": [*weather, *composition, *ring],
        "both, and advection of coarse PM2.5 by the wind of t": [*weather, *composition, *flow],
    }
    for name, more in fixed.items():
        gains = [regression.gain(_later(own, lead) - own, base, more) for lead in LEADS]
        yield f"| {name} | {len(more)} | {' | '.join(map(str, gains))} |"
    gases = [FORECAST.index(name) for name in FORECAST if name in GASES]
    for name, which in {
        "forecast composition": gases,
        "forecast composition and weather": range(len(FORECAST)),
    }.items():
        ahead = [[year.departures(year.ahead[:, lead - 1, k]) for k in which] for lead in LEADS]
        gains = [regression.gain(_later(own, lead) - own, base, ahead[lead - 1]) for lead in LEADS]
        yield f"| {name} for the valid day | {len(which)} | {' | '.join(map(str, gains))} |"
    more = fixed["both"]
    gains = []
    for lead in LEADS:
        issued = [year.departures(year.ahead[:, lead - 1, k]) for k in range(len(FORECAST))]
        gains.append(regression.gain(_later(own, lead) - own, [*base, *issued], more))
    yield f"| both of t at the place, beyond the forecasts too | {len(more)} | {' | '.join(map(str, gains))} |"
    yield ""


def stations(year: Year, store: Store) -> Iterator[str]:
    """How station values relate to the map that is trained on."""
    measured, mapped = year.stations, year.at_stations
    both = np.isfinite(measured) & np.isfinite(mapped)
    ratio = np.where(both, np.log(np.where(both, measured, 1) / np.where(both, np.maximum(mapped, 0.1), 1)), np.nan)
    bias = np.nanmean(ratio, axis=0)
    kinds = np.array(store.stations().kind)
    change = np.diff(np.where(both, measured, np.nan), axis=0), np.diff(np.where(both, mapped, np.nan), axis=0)
    error = np.where(both, measured - mapped, np.nan)
    corrected = np.where(both, measured * np.exp(-bias) - mapped, np.nan)
    persistence = np.sqrt(np.nanmean(change[1] ** 2))
    yield "### Stations and the map at their pixels\n"
    yield "| what | value |"
    yield "|---|---|"
    pixels = store.land.sum() / measured.shape[1]
    yield f"| stations; land pixels for each | {measured.shape[1]}; {pixels:.0f} |"
    yield f"| correlation of daily values; of changes | {_corr(measured, mapped, both):.3f}; {_corr(*change):.3f} |"
    yield f"| RMS difference; with each station's own factor removed | {_rms(error):.2f}; {_rms(corrected):.2f} |"
    yield f"| RMS of the map's change from day to day there | {persistence:.2f} |"
    yield f"| sd of the log ratio, day to day | {np.nanstd(ratio - bias):.3f} |"
    for kind in np.unique(kinds):
        yield f"| mean log ratio, {kind} ({(kinds == kind).sum()}) | {bias[kinds == kind].mean():+.3f} |"
    yield ""


def spectra(store: Store) -> Iterator[str]:
    """How much of the variance inside tiles lies below 16 km, and how much of it is white or seen by the loss."""
    yield f"### Small scales: power at wavelengths below {SMALL_SCALE:.0f} km inside 128 px tiles, percent\n"
    yield "| field | of the variance | of it white, at most | of the focal frequency loss, were the field the error |"
    yield "|---|---|---|---|"
    rows: dict[str, list[Values]] = {"PM2.5(t)": [], "PM2.5(t+1) - PM2.5(t)": [], "PM2.5(t+3) - PM2.5(t)": []}
    for index in range(0, len(store.days) - 3, 3):
        maps = [store.pm(store.days[index + ahead]) for ahead in (0, 1, 3)]
        for name, field in zip(rows, (maps[0], maps[1] - maps[0], maps[2] - maps[0]), strict=True):
            rows[name].append(_tile_power(field, store.fine))
    for name, found in rows.items():
        total, small, white, focal, focal_small = np.array(found).T
        draws = _day_draws(len(total), DAYS_TOGETHER // 3)
        cells = [
            _interval(100 * part.sum() / whole.sum(), 100 * part[draws].sum(axis=1) / whole[draws].sum(axis=1))
            for part, whole in ((small, total), (white, small), (focal_small, focal))
        ]
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""


def texture(year: Year, regression: Regression) -> Iterator[str]:
    """Whether what is smaller than 17 pixels can be forecast: today's, and that scaled with its surroundings."""
    yield "### Small scales: gain for a pixel's excess over its 17 x 17 pixels, T+1, percent\n"
    yield "| predictors | beyond | gain |"
    yield "|---|---|---|"
    excess = year.pixels - year.smooth
    yield f"| its RMS is {_rms(excess):.2f}, that of its day-to-day change {_rms(np.diff(excess, axis=0)):.2f} | | |"
    later, grown = _later(excess, 1), excess * np.clip(_later(year.smooth, 1) / np.maximum(year.smooth, 0.5), 0, 10)
    usual = np.broadcast_to(np.nanmean(excess, axis=0), excess.shape)
    ratio = np.broadcast_to(np.nanmean(excess, axis=0) / np.nanmean(year.smooth, axis=0), excess.shape)
    scaled = ratio * _later(year.smooth, 1)
    constant = np.ones_like(excess)
    yield f"| the pixel's usual excess | nothing | {regression.gain(later, [constant], [usual])} |"
    yield f"| today's excess | nothing | {regression.gain(later, [constant], [excess])} |"
    yield f"| the usual excess | today's | {regression.gain(later, [excess], [usual])} |"
    yield (
        "| today's and the usual, grown with tomorrow's true smooth field | both as they are | "
        f"{regression.gain(later, [excess, usual], [grown, scaled])} |"
    )
    yield ""


def read(stores: Sequence[Store]) -> Year:
    """All that is looked at, in one pass over the days of each store.

    Raises:
        CranpmError: the stores do not lie on the same grids.
    """
    first = stores[0]
    for store in stores[1:]:
        if (store.fine, store.coarse) != (first.fine, first.coarse):
            raise CranpmError(f"{store.path}: another window than {first.path}; give stores of one window")
    rows, columns = np.nonzero(first.land)
    chosen = np.random.default_rng(0).choice(len(rows), size=min(PLACES, len(rows)), replace=False)
    pixels = rows[chosen], columns[chosen]
    fine, half = first.fine, (BLOCK - 1) / 2 * first.fine.step
    grid = Grid(fine.north - half, fine.west + half, BLOCK * fine.step, fine.height // BLOCK, fine.width // BLOCK)
    days: list[dt.date] = []
    parts: list[dict[str, Values]] = []
    for store in stores:
        part = _read_maps(store, pixels)
        known = _chessboard(part["blocks"])
        lats, lons = (place[known] for place in np.meshgrid(grid.lats, grid.lons, indexing="ij"))
        parts.append(part | _read_coarse(store, lats, lons))
        days += [*store.days, *(store.days[-1] + dt.timedelta(days=gap + 1) for gap in range(LEADS[-1]))]
    joined = {name: np.concatenate([_with_gap(part[name]) for part in parts]) for name in parts[0]}
    return Year(
        days=days,
        block_grid=grid,
        coarse=first.coarse,
        fields=dict(zip(KEPT, joined.pop("fields").swapaxes(0, 1), strict=True)),
        around=joined.pop("around").swapaxes(0, 1),
        lats=fine.lats[pixels[0]],
        lons=fine.lons[pixels[1]],
        heights=first.elevation[pixels],
        **joined,
    )


def _read_maps(store: Store, pixels: tuple[NDArray[np.intp], NDArray[np.intp]]) -> dict[str, Values]:
    """The fine part of a `Year`, of one store."""
    table = store.stations()
    rows, columns = store.fine.rows(table.latitude), store.fine.columns(table.longitude)
    at = np.round(rows).astype(int), np.round(columns).astype(int)
    found: dict[str, list[Values]] = {"blocks": [], "pixels": [], "smooth": [], "at_stations": [], "stations": []}
    for day in store.days:
        pm = store.pm(day)
        means, kept = block_mean(pm, np.isfinite(pm), size=BLOCK)
        found["blocks"].append(np.where(kept, means, np.nan))
        found["pixels"].append(pm[pixels])
        found["smooth"].append(_box_mean(pm, 8)[pixels])
        found["at_stations"].append(pm[at])
        found["stations"].append(store.station_pm(day))
    return {name: np.array(values, np.float32) for name, values in found.items()}


def _read_coarse(store: Store, lats: Values, lons: Values) -> dict[str, Values]:
    """The coarse part of a `Year`, of one store, at these blocks."""
    sides = [(lats + RING * north, lons + RING * east) for north, east in ((1, 0), (0, 1), (-1, 0), (0, -1))]
    found: dict[str, list[Values]] = {"fields": [], "here": [], "around": [], "ahead": []}
    for day in store.days:
        coarse = store.coarse_day(day)
        issued = np.concatenate([store.forecast(day, lead, FORECAST) for lead in LEADS])
        ahead = sample_points(issued, store.coarse, lats, lons)
        found["fields"].append(coarse[[CHANNELS.index(name) for name in KEPT]])
        found["here"].append(sample_points(coarse, store.coarse, lats, lons))
        found["around"].append(np.stack([sample_points(coarse, store.coarse, *side) for side in sides]))
        found["ahead"].append(ahead.reshape(len(LEADS), len(FORECAST), -1))
    return {name: np.array(values, np.float32) for name, values in found.items()}


def _with_gap(values: Values) -> Values:
    """A store's days and as many empty ones as a forecast reaches: nothing is carried into the next store."""
    return np.concatenate([values, np.full((LEADS[-1], *values.shape[1:]), np.nan, values.dtype)])


def _chessboard(blocks: Values) -> NDArray[np.bool_]:
    rows, columns = np.indices(blocks.shape[1:])
    return np.asarray(np.isfinite(blocks).any(axis=0) & ((rows + columns) % 2 == 0))


def _realisation(store: Store) -> object:
    return (store.attrs.get("simulated") or {}).get("realisation")


@dataclass(frozen=True)
class Gain:
    """Share of the squared error that is removed, percent, and the same in every draw of days."""

    percent: float
    draws: Values

    def __sub__(self, other: Gain) -> Gain:
        return Gain(self.percent - other.percent, self.draws - other.draws)

    def __str__(self) -> str:
        return _interval(self.percent, self.draws)


class Regression:
    """Ridge regressions for all places at once, fitted on every other month and scored on the rest."""

    def __init__(self, year: Year) -> None:
        self.month = np.array([13 * day.year + day.month for day in year.days]) % 4
        ahead = [day + dt.timedelta(days=LEADS[-1]) for day in year.days]
        self.inside = np.array([day.month == late.month for day, late in zip(year.days, ahead, strict=True)])
        self.draws = _day_draws(len(year.days), DAYS_TOGETHER)

    def gain(self, target: Values, base: Features, more: Features) -> Gain:
        """What further predictors remove of the error that the base leaves, on the same days and places."""
        rows = np.isfinite(target) & self.inside[:, None]
        for field in (*base, *more):
            rows &= np.isfinite(field)
        before, after = (self._errors(rows, target, [*base, *extra]) for extra in ((), more))
        drawn = 1 - after[self.draws].sum(axis=1) / before[self.draws].sum(axis=1)
        return Gain(100 * (1 - after.sum() / before.sum()), 100 * drawn)

    def _errors(self, rows: NDArray[np.bool_], target: Values, features: Features) -> Values:
        """Squared error of each day, shape (T,): what was fitted on the other months."""
        day = np.nonzero(rows)[0]
        x = np.stack([field[rows] for field in features], axis=1).astype(np.float32)
        level = np.abs(x.mean(axis=0)) + x.std(axis=0)
        x = np.column_stack([x / np.maximum(level, 1e-9), np.ones(len(x), np.float32)])
        y = target[rows].astype(np.float32)
        group = self.month[day]
        parts = [_moments(x[group == number], y[group == number]) for number in range(4)]
        errors = np.zeros(len(target))
        for fold in (0, 1):
            first, second = parts[1 - fold], parts[3 - fold]
            trials = [
                _left(second, _weights(first, penalty)) + _left(first, _weights(second, penalty))
                for penalty in PENALTIES
            ]
            weights = _weights(first + second, PENALTIES[int(np.argmin(trials))])
            scored = group % 2 == fold
            squares = (y[scored] - x[scored] @ weights.astype(np.float32)).astype(float) ** 2
            errors += np.bincount(day[scored], squares, minlength=len(target))
        return errors


def _moments(x: Values, y: Values) -> Values:
    """Products of the predictors and, last, the target, summed over rows."""
    z = np.column_stack([x, y])
    return (z.T @ z).astype(float)


def _weights(moments: Values, penalty: float) -> Values:
    xx, xy = moments[:-1, :-1], moments[:-1, -1]
    return np.asarray(np.linalg.solve(xx + penalty * np.diag(np.diag(xx) + 1e-9), xy))


def _left(moments: Values, weights: Values) -> float:
    """The squared error that weights leave on the rows behind some moments."""
    ends = np.append(-weights, 1.0)
    return float(ends @ moments @ ends)


def _later(values: Values, lead: int) -> Values:
    """Values of `lead` days later (earlier, if negative), NaN beyond the ends."""
    moved = np.full(values.shape, np.nan, np.float32)
    if lead > 0:
        moved[:-lead] = values[lead:]
    else:
        moved[-lead:] = values[:lead]
    return moved


def _change(year: Year, lead: int) -> Values:
    own = year.departures(year.blocks[:, year.known])
    return _later(own, lead) - own


def _own(year: Year) -> list[Values]:
    """PM2.5 of the place itself: the block's, and that of the coarse analysis."""
    return [year.departures(year.blocks[:, year.known]), year.departures(year.here[:, CHANNELS.index("pm2p5")])]


def _variables(year: Year, names: Sequence[str]) -> list[Values]:
    return [year.departures(year.here[:, CHANNELS.index(name)]) for name in names]


def heading(year: Year) -> Values:
    """Where the 10 m wind of each day blows to at the blocks, unit vectors east and north, shape (T, B, 2)."""
    wind = np.stack([year.here[:, CHANNELS.index(name)] for name in ("u10", "v10")], axis=-1)
    return wind / np.maximum(np.hypot(wind[..., :1], wind[..., 1:]), CALM)


def trajectory(year: Year, lead: int, u: str, v: str, real: bool) -> Values:
    """How far air comes until noon of day t + lead, since noon of t, km east and north, shape (T, B, 2).

    The wind is that of day t all the way or, `real`, that of each day as it was.
    """
    lats, lons = (np.tile(place, (len(year.days), 1)) for place in year.block_places)
    start = lats.copy(), lons.copy()
    for step in range(24 * lead // STEP_HOURS):
        elapsed = (step + 0.5) * STEP_HOURS
        later = int((24 * lead + 12 - elapsed) // 24) if real else 0
        wind = [_later(year.fields[name], later) if later else year.fields[name] for name in (u, v)]
        east, north = (3.6 * STEP_HOURS * _at(field, year.coarse, lats, lons) for field in wind)
        lats, lons = lats - north / KM_PER_DEGREE, lons - east / (KM_PER_DEGREE * np.cos(np.radians(lats)))
    return np.stack(
        [(start[1] - lons) * KM_PER_DEGREE * np.cos(np.radians(start[0])), (start[0] - lats) * KM_PER_DEGREE], axis=-1
    )


def _transport_row(year: Year, regression: Regression, lead: int, way: Values, source: str, name: str) -> str:
    """Median distance, and the gains of PM2.5(t) against and along a way (T, B, 2), and of its departures there."""
    field, grid = (year.blocks, year.block_grid) if source == "block" else (year.fields["pm2p5"], year.coarse)
    if "degree" in source:
        field, grid = _tokens(field, grid)
    lats, lons = year.block_places
    places = []
    for move in (-way, way):
        east = move[..., 0] / (KM_PER_DEGREE * np.cos(np.radians(lats)))
        places.append((lats + move[..., 1] / KM_PER_DEGREE, lons + east))
    found = [_at(field, grid, *place) for place in places]
    unusual = [_at(year.departures(field), grid, *place) for place in places]
    everywhere = np.isfinite(found).all(axis=0)
    target, base = np.where(everywhere, _change(year, lead), np.nan), _own(year)
    up, down = (regression.gain(target, base, [year.departures(values)]) for values in found)
    up_alone, down_alone = (regression.gain(target, base, [values]) for values in unusual)
    distance = np.nanmedian(np.hypot(way[..., 0], way[..., 1])[everywhere])
    cells = (lead, source, name, f"{distance:.0f}", up, down, up - down, up_alone - down_alone)
    return f"| {' | '.join(map(str, cells))} |"


def _tokens(field: Values, grid: Grid) -> tuple[Values, Grid]:
    """Means over the nodes of each global token, and the grid of the tokens."""
    rows, columns = grid.height // TOKEN, grid.width // TOKEN
    cut = field[:, : rows * TOKEN, : columns * TOKEN].reshape(len(field), rows, TOKEN, columns, TOKEN)
    half = (TOKEN - 1) / 2 * grid.step
    return cut.mean(axis=(2, 4)), Grid(grid.north - half, grid.west + half, TOKEN * grid.step, rows, columns)


class Way:
    """From the blocks to the global tokens, as the network's eq. 4 sees it."""

    def __init__(self, year: Year, grid: Grid) -> None:
        lats, lons = year.block_places
        token_lats, token_lons = (place.ravel() for place in np.meshgrid(grid.lats, grid.lons, indexing="ij"))
        north = (lats[:, None] - token_lats) * KM_PER_DEGREE
        east = (lons[:, None] - token_lons) * KM_PER_DEGREE * np.cos(np.radians(lats))[:, None]
        distance = np.maximum(np.hypot(east, north), 1e-3)
        self.year, self.distance = year, (distance / 1000).astype(np.float32)
        self.east, self.north = (east / distance).astype(np.float32), (north / distance).astype(np.float32)
        self.heading = heading(year).astype(np.float32)

    def attended(self, tokens: Values, beta: float, slope: float) -> tuple[Values, float, float]:
        """Tokens (T, K) averaged with the weights of eq. 4; the weight within 300 km, and that of the upwind half.

        Returns:
            Departures of the averages, shape (T, B), and the two shares.
        """
        averaged = np.full(self.heading.shape[:2], np.nan, np.float32)
        near, upwind = [], []
        fall = np.exp(-slope * self.distance)
        for day in np.flatnonzero(np.isfinite(tokens).all(axis=1)):
            head = self.heading[day]
            gamma = head[:, :1] * self.east + head[:, 1:] * self.north
            weight = np.exp(beta * gamma) * fall
            weight /= weight.sum(axis=1, keepdims=True)
            averaged[day] = weight @ tokens[day]
            near.append((weight * (self.distance < 0.3)).sum(axis=1).mean())
            upwind.append((weight * (gamma > 0)).sum(axis=1).mean())
        return self.year.departures(averaged), float(np.mean(near)), float(np.mean(upwind))


def _advection(year: Year) -> list[Values]:
    """Minus the wind of t times the slope of coarse PM2.5, for the 10 m and the 850 hPa wind, at the blocks."""
    pm, grid = year.fields["pm2p5"], year.coarse
    down, right = np.gradient(pm, axis=1), np.gradient(pm, axis=2)
    across = KM_PER_DEGREE * grid.step * np.cos(np.radians(grid.lats))[:, None]
    lats, lons = year.block_places
    found = []
    for u, v in (("u10", "v10"), ("u_850", "v_850")):
        flow = -(year.fields[u] * right / across - year.fields[v] * down / (KM_PER_DEGREE * grid.step))
        found.append(year.departures(sample_points(flow, grid, lats, lons)))
    return found


def _at(field: Values, grid: Grid, lats: Values, lons: Values) -> Values:
    """Bilinear values of each day's field (T, H, W) at that day's points (T, N); NaN outside the grid."""
    row, column = (grid.north - lats) / grid.step, (lons - grid.west) / grid.step
    inside = (row >= 0) & (row <= grid.height - 1) & (column >= 0) & (column <= grid.width - 1)
    row, column = np.where(inside, row, 0), np.where(inside, column, 0)
    top, left = np.minimum(row.astype(int), grid.height - 2), np.minimum(column.astype(int), grid.width - 2)
    down, right = row - top, column - left
    day = np.arange(len(field))[:, None]
    upper = field[day, top, left] * (1 - right) + field[day, top, left + 1] * right
    lower = field[day, top + 1, left] * (1 - right) + field[day, top + 1, left + 1] * right
    return np.where(inside, upper * (1 - down) + lower * down, np.nan)


def _apart(lats: Values, lons: Values) -> Values:
    """Distances between all places, km."""
    east = (lons[:, None] - lons) * np.cos(np.radians(lats.mean()))
    return np.hypot(east, lats[:, None] - lats) * KM_PER_DEGREE


def _pairs(year: Year, store: Store) -> tuple[Values, Values, Values]:
    """Of every pair of pixels: distance (km), height difference (m), crest between above the higher one (m)."""
    height = year.heights
    highest = np.maximum(height[:, None], height)
    crest = np.zeros_like(highest)
    for share in np.linspace(0.05, 0.95, 19):
        lats = year.lats[:, None] * (1 - share) + year.lats * share
        lons = year.lons[:, None] * (1 - share) + year.lons * share
        rows, columns = (np.round(store.fine.rows(lats)).astype(int), np.round(store.fine.columns(lons)).astype(int))
        crest = np.maximum(crest, store.elevation[rows, columns] - highest)
    return _apart(year.lats, year.lons), np.abs(height[:, None] - height), crest


def _correlations(values: Values) -> list[Values]:
    """Correlation matrices of all places: over all days, then over drawn days; days with large gaps are left out."""
    valid = np.isfinite(values)
    full = valid.mean(axis=1) > 0.8
    filled = np.where(valid, values, 0)[full].astype(np.float32)
    found = []
    for draw in (np.arange(len(filled)), *_day_draws(len(filled), DAYS_TOGETHER)[:50]):
        counts = np.bincount(draw, minlength=len(filled)).astype(np.float32)
        products = (filled * counts[:, None]).T @ filled
        size = np.sqrt(np.diag(products))
        found.append(products / (size[:, None] * size))
    return found


def _correlation_cell(draws: list[Values], pairs: NDArray[np.bool_]) -> str:
    pairs = np.triu(pairs, 1)
    if pairs.sum() < 30:
        return "-"
    means = [float(found[pairs].mean()) for found in draws]
    return _interval(means[0], np.array(means[1:]), digits=2)


def _mean_of(values: Values, sources: NDArray[np.bool_]) -> Values:
    """Mean over the sources of each receiver, shape (T, receivers)."""
    valid = np.isfinite(values).astype(np.float32)
    total = np.where(np.isfinite(values), values, 0).astype(np.float32) @ sources.T.astype(np.float32)
    count = valid @ sources.T.astype(np.float32)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _box_mean(field: Values, radius: int) -> Values:
    """Mean of the valid pixels within `radius` rows and columns, shape of the field."""
    valid = np.isfinite(field)
    sums = [_box_sum(part, radius) for part in (np.where(valid, field, 0), valid)]
    return np.where(sums[1] > 0, sums[0] / np.maximum(sums[1], 1), np.nan)


def _box_sum(field: NDArray, radius: int) -> Values:
    total = np.pad(field.astype(float), radius).cumsum(axis=0).cumsum(axis=1)
    total = np.pad(total, ((1, 0), (1, 0)))
    size = 2 * radius + 1
    return total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]


def _tile_power(field: Values, grid: Grid, side: int = 128) -> Values:
    """Sums over gapless tiles, shape (5,).

    Variance inside the tile, that below 16 km, what of that may be white; the focal frequency loss of the field (alpha
    = 1, nothing taken off), and its part below 16 km.
    """
    sums = np.zeros(5)
    window = np.hanning(side)[:, None] * np.hanning(side)
    north = np.fft.fftfreq(side, grid.step * KM_PER_DEGREE)
    for top in range(0, grid.height - side + 1, 64):
        width = grid.step * KM_PER_DEGREE * np.cos(np.radians(grid.lats[top + side // 2]))
        waves = np.hypot(north[:, None], np.fft.fftfreq(side, width))
        below, finest = waves > 1 / SMALL_SCALE, waves > 1 / 2.5
        for left in range(0, grid.width - side + 1, 64):
            tile = field[top : top + side, left : left + side]
            if not np.isfinite(tile).all():
                continue
            power = np.abs(np.fft.fft2((tile - tile.mean()) * window)) ** 2
            white = np.median(power[finest]) / np.log(2) * below.sum()  # log 2: the median of an exponential variable
            amplitude = np.abs(np.fft.fft2(tile))
            focal = amplitude**3 / amplitude.max()
            sums += power[waves > 0].sum(), power[below].sum(), white, focal.sum(), focal[below].sum()
    return sums


def _day_draws(days: int, together: int) -> NDArray[np.intp]:
    """Days drawn in blocks with replacement, shape (DRAWS, about days)."""
    blocks = max(days // together, 1)
    starts = np.random.default_rng(0).integers(0, max(days - together, 1), size=(DRAWS, blocks))
    return (starts[:, :, None] + np.arange(min(together, days))).reshape(DRAWS, -1)


def _interval(value: float, draws: Values, digits: int = 1) -> str:
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _corr(a: Values, b: Values, both: NDArray[np.bool_] | None = None) -> float:
    both = np.isfinite(a) & np.isfinite(b) if both is None else both
    return float(np.corrcoef(a[both], b[both])[0, 1])


def _rms(values: Values) -> float:
    return float(np.sqrt(np.nanmean(values**2)))


def main() -> None:
    """Print the report of a store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="STORE", help="simulated stores of a window, a year each"
    )
    for line in report([Store.open(path) for path in parser.parse_args().data]):
        print(line, flush=True)


if __name__ == "__main__":
    main()
