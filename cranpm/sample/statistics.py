"""Statistics of the sample world beside those of the real one: the tables of docs/sample_world.md.

python -m cranpm.sample.statistics europe --years 2018 --fit-years 2017 --realisation 1
"""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cranpm.grid import Grid
from cranpm.region import load_region
from cranpm.sample.pollution import BLOCK
from cranpm.sample.regrid import Regrid
from cranpm.sample.world import FORECAST_LEADS, World

Field = NDArray[np.floating]

_STRIDE = 8  # every 8th pixel in both directions

# Medians over stations of real daily series: mean, sd, 10/50/90/99 %, lag-1/2/3 autocorrelation, persistence RMSE.
REAL: dict[str, dict[str, tuple[float, ...]]] = {
    "europe": {
        "real: Brandenburg 2016-20": (12.8, 9.5, 4.7, 10.2, 24.0, 45.7, 0.77, 0.60, 0.48, 6.4, 8.4, 9.4),
        "real: Lombardy 2017-21": (22.9, 17.1, 7.5, 17.3, 46.6, 76.6, 0.83, 0.66, 0.54, 9.7, 13.7, 15.8),
    },
    "india": {
        "real: Gangetic plain 2015-20": (90, 70, 28, 69, 187, 323, 0.87, 0.77, 0.71, 40, 50, 59),
        "real: 13 other cities": (51, 28, 17, 46, 83, 137, 0.83, 0.70, 0.66, 19, 24, 26),
    },
    "north_america": {
        "real: Bay Area 2020, no smoke": (6.5, 3.5, 3.0, 5.7, 11.2, 16.1, 0.55, 0.21, 0.09, 3.5, 4.4, 4.9),
        "real: Bay Area 2020, smoke": (10.6, 15.2, 3.2, 6.8, 16.8, 99.5, 0.80, 0.58, 0.46, 9.6, 13.9, 15.9),
    },
}
RATIOS = {
    "damped persistence": (0.93, 0.87, 0.85),
    "CAMS forecast": (1.11, 0.84, 0.78),
    "corrected CAMS": (0.98, 0.74, 0.69),
}
"""Real RMSE over that of persistence at T+1, T+2, T+3 (15 European stations, 2020-21)."""


@dataclass(frozen=True)
class Sample:
    """Subsampled days of a world.

    Attributes:
        days: proleptic ordinals, shape (n,).
        ghap: retrieval at every 8th land pixel, NaN where missing, shape (n, pixels).
        truth: the truth there.
        cams: CAMS-like daily mean forecast *for* each day, by lead, shape (3, n, pixels); NaN where not issued.
        sites: retrieval at the station pixels, shape (n, stations).
        rain: mm, at the coarse land nodes within the fine window, shape (n, nodes).
        burning: whether a fire burns in the coarse window, shape (n,).
    wind: daily mean u10 at every 8th coarse node, shape (n, nodes).
    """

    days: NDArray[np.int64]
    ghap: Field
    truth: Field
    cams: Field
    sites: Field
    rain: Field
    burning: NDArray[np.bool_]
    wind: Field


def collect(world: World, days: list[dt.date]) -> Sample:
    """Run a world and keep what the statistics need."""
    fine, coarse = world.fine, world.coarse
    points = Grid(
        fine.north, fine.west, fine.step * _STRIDE, -(-fine.height // _STRIDE), -(-fine.width // _STRIDE)
    )  # fmt: skip
    land = world.land[::_STRIDE, ::_STRIDE]
    to_points = Regrid(coarse, points)
    rows = np.round(fine.rows([s.lat for s in world.stations])).astype(int)
    columns = np.round(fine.columns([s.lon for s in world.stations])).astype(int)
    inside = world.coarse_land & np.outer(
        (coarse.lats < fine.north) & (coarse.lats > fine.south), (coarse.lons > fine.west) & (coarse.lons < fine.east)
    )
    number = {day.toordinal(): index for index, day in enumerate(sorted(days))}
    cams = np.full((len(FORECAST_LEADS), len(days), int(land.sum())), np.nan, np.float32)
    ghap, truth, sites, rain, burning, wind = [], [], [], [], [], []
    for day in world.days(days):
        ordinal = day.day.toordinal()
        ghap.append(day.ghap[::_STRIDE, ::_STRIDE][land])
        truth.append(day.truth[::_STRIDE, ::_STRIDE][land])
        sites.append(day.ghap[rows, columns])
        rain.append(day.weather["tp"].sum(axis=0)[inside] * 1000)
        burning.append(bool(world.fires(day.day)))
        wind.append(day.weather["u10"].mean(axis=0)[::_STRIDE, ::_STRIDE].ravel())
        daily = to_points(day.forecast_composition["pm2p5"].mean(axis=1))
        for lead in FORECAST_LEADS:
            if ordinal + lead in number:
                cams[lead - 1, number[ordinal + lead]] = daily[lead - 1][land]
    return Sample(
        np.array(sorted(number)), np.array(ghap), np.array(truth), cams, np.array(sites), np.array(rain),
        np.array(burning), np.array(wind),
    )  # fmt: skip


def series(days: NDArray[np.int64], values: Field) -> tuple[float, ...]:
    """Medians over sites of: mean, sd, 10/50/90/99 %, lag-1/2/3 autocorrelation, persistence RMSE, sd of the log."""
    with np.errstate(all="ignore"):
        quantiles = np.nanpercentile(values, (10, 50, 90, 99), axis=0)
        found = [np.nanmean(values, axis=0), np.nanstd(values, axis=0), *quantiles]
        lags = [_lagged(days, values, lag) for lag in FORECAST_LEADS]
        found += [_correlation(a, b) for a, b in lags]
        found += [np.sqrt(np.nanmean((b - a) ** 2, axis=0)) for a, b in lags]
        found.append(np.nanstd(np.log(np.maximum(values, 0.1)), axis=0))
    return tuple(float(np.nanmedian(value)) for value in found)


def ratios(fit: Sample, score: Sample) -> tuple[dict[str, tuple[float, ...]], tuple[float, ...]]:
    """Pooled RMSE over that of persistence by lead, and persistence's own; lines are fitted per pixel on `fit`."""
    found: dict[str, list[float]] = {name: [] for name in RATIOS}
    persistence = []
    for lead in FORECAST_LEADS:
        today, later = _lagged(score.days, score.ghap, lead)
        cams = _lagged(score.days, score.cams[lead - 1], lead)[1]
        today = np.where(np.isfinite(cams), today, np.nan)
        persistence.append(_rmse(today, later))
        fit_today, fit_later = _lagged(fit.days, fit.ghap, lead)
        damped = _line(fit_today, fit_later, today)
        corrected = _line(fit.cams[lead - 1], fit.ghap, cams)
        for name, forecast in zip(RATIOS, (damped, cams, corrected), strict=True):
            found[name].append(_rmse(np.where(np.isfinite(today), forecast, np.nan), later) / persistence[-1])
    return {name: tuple(values) for name, values in found.items()}, tuple(persistence)


def report(
    name: str, years: list[int], fit_years: list[int], realisation: int, every: int, seed: int = 0
) -> Iterator[str]:
    """The lines of the table for a region."""
    region = load_region(name)
    world = World(region, seed=seed, realisation=realisation)
    score = collect(world, _days(years, every))
    head = ("mean", "sd", "10%", "50%", "90%", "99%", "r1", "r2", "r3", "P1", "P2", "P3")
    climate = region.sample.climate
    yield f"simulated {name}, realisation {realisation}, {_text(years)}, {len(score.days)} days"
    yield f"| series | {' | '.join(head)} |"
    yield "|---" * (len(head) + 1) + "|"
    for label, real in REAL.get(climate, {}).items():
        yield _row(label, real)
    sites, pixels = series(score.days, score.sites), series(score.days, score.ghap)
    yield _row(f"simulated: {score.sites.shape[1]} sites", sites[:-1])
    yield _row("simulated: all land pixels", pixels[:-1])
    yield from _figures(score, sites[-1], pixels[-1])
    if fit_years:
        fit = collect(world, _days(fit_years, every))
        yield from _ratio_lines(fit, score, _text(fit_years))


def _figures(score: Sample, sites: float, pixels: float) -> Iterator[str]:
    with np.errstate(all="ignore"):
        mean = np.nanmean(score.ghap, axis=0)
        between = np.corrcoef(np.where(np.isfinite(score.sites), score.sites, np.nanmean(score.sites, axis=0)).T)
    error = np.nanstd(np.log(np.maximum(score.ghap, 0.1)) - np.log(np.maximum(score.truth, 0.1)))
    yield f"sd of log concentration: {sites:.2f} at sites, {pixels:.2f} over land (real .50-.74)"
    low, high = np.percentile(mean, (5, 95))
    yield f"spatial sd of the period mean: {mean.std():.1f}; its 5/95 %: {low:.1f} / {high:.1f}"
    yield f"median correlation between sites: {np.median(between[np.triu_indices_from(between, 1)]):.2f}"
    yield f"wet days (> 1 mm): {(score.rain > 1).mean():.2f}; mean rain {score.rain.mean():.2f} mm/day"
    yield f"days with a fire in the coarse window: {score.burning.mean():.2f}"
    yield f"highest pixel: {np.nanmax(score.ghap):.0f}"
    winds = [np.median(_correlation(*_lagged(score.days, score.wind, lag))) for lag in FORECAST_LEADS]
    yield "lag-1/2/3 autocorrelation of the daily wind: " + " / ".join(f"{value:.2f}" for value in winds)
    yield f"missing over land: {np.isnan(score.ghap).mean():.3f}; log error of the retrieval: {error:.3f}"


def _ratio_lines(fit: Sample, score: Sample, fitted: str) -> Iterator[str]:
    found, persistence = ratios(fit, score)
    yield f"RMSE over that of persistence, all valid land pixels, lines fitted on {fitted}; real: 15 stations in Europe"
    yield "| method | T+1 | T+2 | T+3 | real T+1 | T+2 | T+3 | within 15 % |"
    yield "|---|---|---|---|---|---|---|---|"
    yield "| persistence, ug/m3 | " + " | ".join(f"{value:.2f}" for value in persistence) + " | 5.54 | 7.34 | 7.92 | |"
    for name, real in RATIOS.items():
        numbers = [f"{value:.2f}" for value in (*found[name], *real)]
        good = [abs(value / target - 1) <= 0.15 for value, target in zip(found[name], real, strict=True)]
        yield f"| {name} | {' | '.join(numbers)} | {' '.join('yes' if ok else 'no' for ok in good)} |"


def _days(years: list[int], every: int) -> list[dt.date]:
    """All days of the years, or of every so many blocks."""
    found = []
    for year in years:
        first, last = dt.date(year, 1, 1).toordinal(), dt.date(year, 12, 31).toordinal()
        found += [dt.date.fromordinal(day) for day in range(first, last + 1) if (day // BLOCK) % every == 0]
    return found


def _lagged(days: NDArray[np.int64], values: Field, lag: int) -> tuple[Field, Field]:
    """Values of today and of `lag` days later (NaN where that day is not there), as if for each later day."""
    place = np.searchsorted(days, days - lag)
    there = days[np.minimum(place, len(days) - 1)] == days - lag
    return np.where(there[:, None], values[np.minimum(place, len(days) - 1)], np.nan), values


def _correlation(a: Field, b: Field) -> Field:
    both = np.isfinite(a) & np.isfinite(b)
    a, b = np.where(both, a, np.nan), np.where(both, b, np.nan)
    a, b = a - np.nanmean(a, axis=0), b - np.nanmean(b, axis=0)
    return np.nanmean(a * b, axis=0) / np.sqrt(np.nanmean(a * a, axis=0) * np.nanmean(b * b, axis=0))


def _line(x: Field, y: Field, at: Field) -> Field:
    """A straight line per pixel, fitted by least squares on (x, y) and evaluated."""
    both = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(both, x, np.nan).astype(float), np.where(both, y, np.nan).astype(float)
    middle, level = np.nanmean(x, axis=0), np.nanmean(y, axis=0)
    slope = np.nanmean((x - middle) * (y - level), axis=0) / np.nanmean((x - middle) ** 2, axis=0)
    return level + slope * (at - middle)


def _rmse(a: Field, b: Field) -> float:
    return float(np.sqrt(np.nanmean((a.astype(float) - b) ** 2)))


def _row(label: str, values: tuple[float, ...]) -> str:
    numbers = [f"{value:.2f}" if column in (6, 7, 8) else f"{value:.1f}" for column, value in enumerate(values)]
    return f"| {label} | {' | '.join(numbers)} |"


def _text(years: list[int]) -> str:
    return ", ".join(str(year) for year in years)


def main() -> None:
    """Print the table of a region."""
    parser = argparse.ArgumentParser(prog="python -m cranpm.sample.statistics", description=__doc__.splitlines()[0])
    parser.add_argument("region")
    parser.add_argument("--years", type=int, nargs="+", default=[2018])
    parser.add_argument("--fit-years", type=int, nargs="*", default=[], help="years on which the lines are fitted")
    parser.add_argument("--realisation", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=1, help=f"take every so many blocks of {BLOCK} days")
    given = parser.parse_args()
    for line in report(given.region, given.years, given.fit_years, given.realisation, given.every, given.seed):
        print(line, flush=True)


if __name__ == "__main__":
    main()
