"""Scores of a map against the truth, as sums per day that pool over days exactly.

Definitions, over the valid pixels of the scored days (a pixel is valid where it is land and the truth has a value):

* rmse, mae, bias: of forecast minus truth, ug m-3; all pixels of all days in one pool, not a mean of daily scores.
* r2: squared Pearson correlation; slope: of forecast on truth, ordinary least squares.
* ssim: structural similarity with Gaussian windows (sigma 1.5 pixels, 11 x 11, K1 = .01, K2 = .03, population
  covariance), the data range stated with the result and the same for every day and method; pixels that are not
  valid take the day's mean truth in both maps, and the mean is over the windows centred on valid pixels.
* 25 km: the same on means over blocks of 25 x 25 pixels from the north-west corner, kept where at least half is valid.
* the suffix _w: pixels weighted by the cosine of their latitude.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from cranpm.errors import require
from cranpm.grid import block_mean

SSIM_WINDOW = 11  # pixels: what a Gaussian of sigma 1.5 cut at 3.5 sigma spans in scikit-image
Float = NDArray[np.floating]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Sums:
    """Weighted sums over the valid pixels of a day; adding them pools days.

    Attributes:
        n: number of pixels.
        weight: sum of weights.
        error, absolute, squared: of forecast minus truth.
        f, o, ff, oo, fo: of forecast, truth, their squares and product.
        ssim: of the local similarities, and `ssim_weight` the weights behind it (0 where a map was too small).
    """

    n: int = 0
    weight: float = 0.0
    error: float = 0.0
    absolute: float = 0.0
    squared: float = 0.0
    f: float = 0.0
    o: float = 0.0
    ff: float = 0.0
    oo: float = 0.0
    fo: float = 0.0
    ssim: float = 0.0
    ssim_weight: float = 0.0

    def __add__(self, other: Sums) -> Sums:
        return Sums(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(self)))


@dataclass(frozen=True)
class Scores:
    """Pooled scores; None where one is not defined (no pixel, no variance, a map smaller than a window)."""

    rmse: float | None
    mae: float | None
    bias: float | None
    r2: float | None
    slope: float | None
    ssim: float | None
    n: int


@dataclass(frozen=True)
class MapSums:
    """The sums of one map: at 1 km and at 25 km, plain and weighted by the cosine of latitude."""

    fine: Sums
    fine_w: Sums
    blocks: Sums
    blocks_w: Sums

    def __add__(self, other: MapSums) -> MapSums:
        return MapSums(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(self)))


NOTHING = MapSums(Sums(), Sums(), Sums(), Sums())


def map_sums(forecast: Float, truth: Float, valid: Mask, lats: Float, *, data_range: float) -> MapSums:
    """Compare one map with the truth.

    Args:
        forecast, truth: ug m-3, shape (h, w); only valid pixels are looked at.
        valid: which pixels count, shape (h, w).
        lats: latitudes of the rows, degrees, shape (h,).
        data_range: of the SSIM, ug m-3.
    """
    weights = np.broadcast_to(np.cos(np.radians(lats))[:, None], valid.shape)
    fine = _both(forecast, truth, valid, weights, data_range)
    coarse_forecast, kept = block_mean(forecast, valid)
    coarse_truth, _ = block_mean(truth, valid)
    coarse_weights, _ = block_mean(weights, valid)
    blocks = _both(coarse_forecast, coarse_truth, kept, coarse_weights, data_range)
    return MapSums(*fine, *blocks)


def pooled(parts: Iterable[Sums]) -> Scores:
    """Scores of the union of the pixels behind some sums."""
    return scores_of(sum(parts, Sums()))


def scores_of(sums: Sums) -> Scores:
    """Scores from pooled sums."""
    if not sums.weight > 0:
        return Scores(None, None, None, None, None, None, sums.n)
    w = sums.weight
    var_f, var_o = sums.ff / w - (sums.f / w) ** 2, sums.oo / w - (sums.o / w) ** 2
    covariance = sums.fo / w - sums.f / w * (sums.o / w)
    floor = 1e-12 * (1 + sums.oo / w)  # below this a variance is rounding, not spread
    return Scores(
        rmse=float(np.sqrt(max(sums.squared / w, 0.0))),
        mae=sums.absolute / w,
        bias=sums.error / w,
        r2=covariance**2 / (var_f * var_o) if min(var_f, var_o) > floor else None,
        slope=covariance / var_o if var_o > floor else None,
        ssim=sums.ssim / sums.ssim_weight if sums.ssim_weight > 0 else None,
        n=sums.n,
    )


def pixel_sums(forecast: Float, truth: Float) -> Sums:
    """Unweighted sums over the valid pixels of a map, flat, without the SSIM, which needs the map."""
    return _sums(forecast.astype(float), truth.astype(float), np.ones(forecast.size), None) if forecast.size else Sums()


def ssim_sums(forecast: Float, truth: Float, valid: Mask, *, data_range: float) -> Sums:
    """The SSIM of a map alone, for those that are no forecast and need no other score."""
    similarity = local_ssim(forecast, truth, valid, data_range=data_range)
    if similarity is None:
        return Sums()
    n = int(valid.sum())
    return Sums(n=n, weight=n, ssim=float(similarity[valid].astype(float).sum()), ssim_weight=n)


def local_ssim(forecast: Float, truth: Float, valid: Mask, *, data_range: float) -> Float | None:
    """Structural similarity around each pixel, shape (h, w), or None for a map smaller than a window.

    Pixels that are not valid take the mean truth in both maps, so they differ nowhere.
    """
    if min(valid.shape) < SSIM_WINDOW or not valid.any():
        return None
    skimage = require("skimage.metrics", extra="verify")
    level = float(truth[valid].mean())
    maps = [np.where(valid, values, level).astype(np.float32) for values in (forecast, truth)]
    _, similarity = skimage.structural_similarity(
        *maps, data_range=data_range, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    return similarity


def _both(forecast: Float, truth: Float, valid: Mask, weights: Float, data_range: float) -> tuple[Sums, Sums]:
    """Plain and weighted sums over the valid pixels."""
    if not valid.any():
        return Sums(), Sums()
    similarity = local_ssim(forecast, truth, valid, data_range=data_range)
    inside = None if similarity is None else similarity[valid].astype(float)
    f, o, w = (values[valid].astype(float) for values in (forecast, truth, weights))
    return _sums(f, o, np.ones_like(w), inside), _sums(f, o, w, inside)


def _sums(f: Float, o: Float, w: Float, similarity: Float | None) -> Sums:
    """Sums over flat pixels; the three error scores are those of the `scores` package."""
    xarray, continuous = require("xarray", extra="verify"), require("scores.continuous", extra="verify")
    total = float(w.sum())
    pair = xarray.DataArray(f, dims="pixel"), xarray.DataArray(o, dims="pixel")
    share = None if bool((w == w[0]).all()) else xarray.DataArray(w, dims="pixel")
    fw, ow = f * w, o * w
    return Sums(
        n=f.size,
        weight=total,
        error=total * float(continuous.additive_bias(*pair, weights=share)),
        absolute=total * float(continuous.mae(*pair, weights=share)),
        squared=total * float(continuous.mse(*pair, weights=share)),
        f=float(fw.sum()),
        o=float(ow.sum()),
        ff=float(fw @ f),
        oo=float(ow @ o),
        fo=float(fw @ o),
        ssim=0.0 if similarity is None else float(w @ similarity),
        ssim_weight=0.0 if similarity is None else total,
    )
