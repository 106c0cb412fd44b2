"""Fitting a pack's baselines on its past, a few days in memory at a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cranpm.errors import CranpmError
from cranpm.grid import Grid, bilinear
from cranpm.verify.baselines import BLOCK, MEMBERS, Fitted, Map, block_grid, season, year_fraction
from cranpm.verify.blend import fit_blend
from cranpm.verify.exceedance import BIN, histogram
from cranpm.verify.past import LEADS, Past, PastDay

MIN_DAYS = 60
_RIDGE = 1e-3  # of the number of days: keeps harmonics small at places with few valid days
_WHOLE_YEAR = 10  # months that must be seen: an annual cycle fitted to fewer runs wild in those that were not


def fit(
    past: Past, fine: Grid, coarse: Grid, land: NDArray[np.bool_], about: dict[str, object], least: int | None = None
) -> Fitted:
    """Fit climatology, damping and CAMS lines, then, on the same days once more, the blend of what they give.

    Args and errors: see `fit_places`; the past is called twice.
    """
    fitted = fit_places(past(), fine, coarse, land, about, least)
    weights, constant = fit_blend(past(), fitted, land)
    return replace(fitted, weights=weights, constant=constant)


def fit_places(
    past: Iterable[PastDay], fine: Grid, coarse: Grid, land: NDArray[np.bool_], about: dict[str, object],
    least: int | None = None,
) -> Fitted:  # fmt: skip
    """Fit what belongs to each place: climatology, damping and CAMS lines. The blend's numbers are left at 0.

    Args:
        past: the days to fit on, in order.
        fine, coarse: the grids.
        land: land mask, shape (h, w).
        about: region, world, years, identity of the sample world; the number of days is added.
        least: days that are needed; without, 60.

    Raises:
        CranpmError: too few days, or none with a valid pixel.
    """
    sums = _Sums(fine, coarse, land)
    for day in past:
        sums.add(day)
    least = MIN_DAYS if least is None else least
    if len(sums.days) < least or not sums.count.any():
        raise CranpmError(f"{len(sums.days)} days of past: baselines need at least {least}, better whole years")
    mean = _completed(sums.total / np.maximum(sums.count, 1), sums.count > 0)
    truth, cams = np.stack(sums.truth), np.stack(sums.cams)
    valid = np.isfinite(truth)
    seen: Map = np.asarray(valid.any(axis=0))
    level = np.where(seen, np.nansum(truth, axis=0) / np.maximum(valid.sum(axis=0), 1), np.nan)
    harmonics = _harmonics(sums.days, truth, level)
    usual = level * (1 + np.tensordot(_seasons(sums.days).T, harmonics, axes=1))
    index = {day: k for k, day in enumerate(sums.days)}
    damping, slopes = [], []
    cams_mean = sums.cams_total / len(sums.days)
    for k, lead in enumerate(LEADS):
        now, later = _pairs(index, lead)
        damping.append(np.clip(_slope((truth - usual)[now], (truth - usual)[later]), 0, 1))
        slopes.append(np.maximum(_slope((cams[:, k] - cams[:, k].mean(axis=0))[now], (truth - level)[later]), 0))
    return Fitted(
        fine=fine,
        coarse=coarse,
        leads=LEADS,
        mean=mean.astype(np.float32),
        harmonics=_complete_all(harmonics, seen),
        damping=_complete_all(np.stack(damping), seen),
        cams_mean=cams_mean.astype(np.float32),
        cams_slope=_complete_all(np.stack(slopes), seen),
        weights=np.zeros((len(LEADS), len(MEMBERS)), np.float32),
        constant=np.zeros(len(LEADS), np.float32),
        data_range=sums.data_range(),
        about={**about, "fitted_days": len(sums.days), "first_day": _mark(sums)},
    )


@dataclass
class _Sums:
    """What one pass over the past leaves behind: sums per pixel, series per block, a histogram."""

    fine: Grid
    coarse: Grid
    land: NDArray[np.bool_]
    days: list[dt.date] = field(default_factory=list)
    truth: list[Map] = field(default_factory=list)
    cams: list[Map] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.total, self.count = np.zeros(self.fine.shape), np.zeros(self.fine.shape, np.int32)
        self.cams_total = np.zeros((len(LEADS), *self.coarse.shape))
        self.histogram = histogram(np.empty(0))

    def add(self, day: PastDay) -> None:
        """Take in a day."""
        valid = np.isfinite(day.pm) & self.land
        self.total += np.where(valid, day.pm, 0)
        self.count += valid
        self.cams_total += day.cams
        blocks = block_grid(self.fine)
        self.days.append(day.day)
        self.truth.append(_block_means(day.pm, valid))
        self.cams.append(bilinear(day.cams, self.coarse, blocks.lats, blocks.lons).astype(np.float32))
        self.histogram += histogram(day.pm[valid])

    def data_range(self) -> float:
        """From the 0.5 to the 99.5 percentile of all valid pixels, ug m-3."""
        share = np.cumsum(self.histogram) / self.histogram.sum()
        low, high = np.searchsorted(share, [0.005, 0.995])
        return float(max((high - low) * BIN, BIN))


def _mark(sums: _Sums) -> dict[str, object]:
    """The first day and its mean over blocks, ug m-3: tells whether the past is still the one that was fitted."""
    return {"day": str(sums.days[0]), "mean": round(float(np.nanmean(sums.truth[0])), 3)}


def _block_means(pm: Map, valid: NDArray[np.bool_]) -> Map:
    """Means over the valid pixels of each block, NaN where none, last partial blocks included."""
    rows, columns = np.arange(0, pm.shape[0], BLOCK), np.arange(0, pm.shape[1], BLOCK)
    total, count = (
        np.add.reduceat(np.add.reduceat(part, rows, axis=0), columns, axis=1)
        for part in (np.where(valid, pm, 0).astype(float), valid.astype(float))
    )
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _seasons(days: Sequence[dt.date]) -> Map:
    return season(np.array([year_fraction(day) for day in days]))


def _harmonics(days: Sequence[dt.date], truth: Map, level: Map) -> Map:
    """Least squares of the relative departure from the mean on the annual cycle, shape (5, bh, bw).

    Without days in ten months of the year there is no annual cycle: the harmonics but the constant are 0.
    """
    basis = _seasons(days)
    if len({day.month for day in days}) < _WHOLE_YEAR:
        basis[1:] = 0
    ratio = truth / np.maximum(level, 1e-3) - 1
    valid = np.isfinite(ratio)
    normal = np.einsum("dhw,id,jd->hwij", valid.astype(np.float32), basis, basis, optimize=True)
    normal += _RIDGE * len(days) * np.eye(len(basis))
    right = np.einsum("dhw,id->hwi", np.where(valid, ratio, 0), basis, optimize=True)
    return np.moveaxis(np.linalg.solve(normal, right[..., None])[..., 0], -1, 0)


def _pairs(index: dict[dt.date, int], lead: int) -> tuple[list[int], list[int]]:
    """Places in the series of day t and of its valid day, where both are there."""
    ahead = dt.timedelta(days=lead)
    pairs = [(k, index[day + ahead]) for day, k in index.items() if day + ahead in index]
    return [now for now, _ in pairs], [later for _, later in pairs]


def _slope(x: Map, y: Map) -> Map:
    """Slope of y on x through the origin of both (departures), per block; 0 where x never moves."""
    valid = np.isfinite(x) & np.isfinite(y)
    xx, xy = (np.where(valid, x * other, 0).sum(axis=0, dtype=float) for other in (x, y))
    return np.where(xx > 0, xy / np.maximum(xx, 1e-9), 0.0)


def _complete_all(fields: Map, known: Map) -> Map:
    return np.stack([_completed(part, known) for part in fields]).astype(np.float32)


def _completed(values: Map, known: Map) -> Map:
    """A field whose unknown places (sea) take the mean of their known neighbours, spreading outward."""
    values, known = np.where(known, values, 0.0), known.copy()
    for _ in range(4):  # enough for interpolation at the coast; further out at sea nothing is read
        around, count = np.pad(values * known, 1), np.pad(known.astype(float), 1)
        total, near = (
            sum(
                part[1 + i : part.shape[0] - 1 + i, 1 + j : part.shape[1] - 1 + j]
                for i in (-1, 0, 1)
                for j in (-1, 0, 1)
            )
            for part in (around, count)
        )
        new = ~known & (near > 0)
        values, known = np.where(new, total / np.maximum(near, 1), values), known | new
    return np.where(known, values, values[known].mean())
