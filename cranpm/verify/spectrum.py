"""The power spectrum of a map: how much of its variance lies at which wavelength, over the same land as the truth.

Each window of the map is weighted, transformed, and its waves summed by wavelength: isotropic, in km on the ground (a
pixel is narrower than high by the cosine of the window's latitude). Sums over bands are variances, (ug m-3)^2.

* Weights: 1 on valid land, falling to 0 over `SOFT` pixels towards the window's edge, sea and gaps. Setting what is not
  valid to the mean instead would put a step at every coast and gap, whose short waves come from the large scales: a
  map that is smoothed until nothing is left of its short waves would still show half of the truth's. Holes of up to
  2 x `HOLE` pixels, which would take their whole neighbourhood with them, are filled with the running mean below.
* Whitening: of waves shorter than `WHITE_KM` the spectrum is taken after a running mean over valid pixels is removed (a
  Gaussian of `BROAD_KM`), and divided by what that leaves of a wave. The variance of PM2.5 falls so steeply towards
  short waves that the weights' own sharpness would spread large scales over small ones. Longer waves stay as they are.

All of it is linear with one mask for truth and forecast, so the spectrum of the error is that of the difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from cranpm.grid import KM_PER_DEGREE, Grid

EDGES_KM = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
"""Bounds of the wavelength bands; below the first lie only waves that run obliquely or east to west."""
DETAIL = slice(1, 4)  # the bands of 2 to 16 km: what a 1 km map has to add to a coarse one
SIDE = 512  # pixels: the largest window
MOST = 16  # windows of a domain: enough for a mean, few enough for any domain
SMALLEST = 32  # pixels: nothing is said of maps that are smaller
SOFT = 8  # pixels
HOLE = 2  # pixels: half of a small hole's width
BROAD_KM = 6.0
WHITE_KM = 128.0
_BANDS = len(EDGES_KM) + 1

Map = NDArray[Any]
Mask = NDArray[np.bool_]
Sum = NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """A part of a domain: its rows and columns, and the height and width of its pixels in km."""

    rows: slice
    columns: slice
    pixel_km: tuple[float, float]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


@dataclass(frozen=True)
class Spectrum:
    """Sums over windows and days by band, shape (len(EDGES_KM) + 1,), of a map beside the truth; adding them pools.

    Attributes:
        weight: squared weights; a sum over it is a variance, (ug m-3)^2.
        power: of the map.
        truth: of the truth on the same pixels.
        error: of their difference.
    """

    weight: float = 0.0
    power: Sum = field(default_factory=lambda: np.zeros(_BANDS))
    truth: Sum = field(default_factory=lambda: np.zeros(_BANDS))
    error: Sum = field(default_factory=lambda: np.zeros(_BANDS))

    def __add__(self, other: Spectrum) -> Spectrum:
        return Spectrum(
            self.weight + other.weight, self.power + other.power, self.truth + other.truth, self.error + other.error
        )

    @property
    def ratio(self) -> list[float | None]:
        """Power over the truth's, by band: below 1 is blur, above 1 detail that is not there."""
        return [_share(*pair) for pair in zip(self.power, self.truth, strict=True)]

    @property
    def error_ratio(self) -> list[float | None]:
        """Power of the error over the truth's, by band: from 1 on, nothing would have been better."""
        return [_share(*pair) for pair in zip(self.error, self.truth, strict=True)]

    @property
    def detail(self) -> float | None:
        """Power over the truth's at 2 to 16 km."""
        return _share(self.power[DETAIL].sum(), self.truth[DETAIL].sum())


def land_windows(grid: Grid, land: Mask) -> tuple[Window, ...]:
    """Windows of at most `SIDE` pixels in which at least half is land, or the one with most; none of a small map.

    Of more than `MOST`, as many are taken at even distances in their order from north-west to south-east.
    """
    if min(grid.shape) < SMALLEST or not land.any():
        return ()
    (height, tops), (width, lefts) = (_starts(length) for length in grid.shape)
    windows = []
    for top in tops:
        middle = grid.north - grid.step * (top + (height - 1) / 2)
        tall = grid.step * KM_PER_DEGREE
        pixel = (tall, float(tall * np.cos(np.radians(middle))))
        windows += [Window(slice(top, top + height), slice(left, left + width), pixel) for left in lefts]
    share = np.array([land[window.rows, window.columns].mean() for window in windows])
    rich = np.flatnonzero(share >= min(0.5, share.max()))
    chosen = rich[np.linspace(0, len(rich) - 1, min(MOST, len(rich))).round().astype(int)]
    return tuple(windows[place] for place in chosen)


def no_more_blur(one: Spectrum, other: Spectrum) -> bool | None:
    """Whether a map keeps at least as much of the truth's power as another in each band of 2 to 16 km."""
    pairs = list(zip(one.ratio[DETAIL], other.ratio[DETAIL], strict=True))
    known = [(own, least) for own, least in pairs if own is not None and least is not None]
    return all(own >= least for own, least in known) if len(known) == len(pairs) else None


def spectra(maps: Mapping[str, Map], truth: Map, valid: Mask, windows: tuple[Window, ...]) -> dict[str, Spectrum]:
    """The spectrum of each map beside the truth's.

    Args:
        maps: ug m-3, shape (h, w).
        truth: ug m-3, shape (h, w).
        valid: the pixels that count in all of them, shape (h, w).
        windows: of `land_windows`.

    Returns:
        By the names of the maps; empty where no window keeps a weight.
    """
    total: dict[str, Spectrum] = {}
    for window in windows:
        place = window.rows, window.columns
        view = _look(valid[place], window)
        weight = float((view.weights.astype(float) ** 2).sum())
        if not weight > 0:
            continue
        true = _waves(truth[place], view)
        reference = _power(true, view.scales)
        for name, values in maps.items():
            own = _waves(values[place], view)
            found = Spectrum(weight, _power(own, view.scales), reference, _power(own - true, view.scales))
            total[name] = total.get(name, Spectrum()) + found
    return total


@dataclass(frozen=True, eq=False)
class _Scales:
    """What depends on a window's shape and pixels alone.

    Attributes:
        band: the band of each wave, shape (h, w // 2 + 1).
        count: how often a wave stands for itself and its mirror image, over the number of pixels, same shape.
        gain: what the removal of the running mean leaves of a wave; 1 for waves that stay as they are, same shape.
        whitened: the waves of which it is removed, same shape.
        down, across: weights of the running mean between rows and between columns, shapes (h, h) and (w, w).
    """

    band: NDArray[np.intp]
    count: Map
    gain: Map
    whitened: Mask
    down: Map
    across: Map


@dataclass(frozen=True, eq=False)
class _View:
    """A window with a day's mask: its scales, valid pixels, their weights, and the running mean of the mask."""

    scales: _Scales
    valid: Mask
    weights: Map
    cover: Map


def _look(valid: Mask, window: Window) -> _View:
    scales = _scales(window.shape, window.pixel_km)
    cover = scales.down @ valid.astype(np.float32) @ scales.across
    return _View(scales, valid, soft_weights(~_grown(~_grown(valid, HOLE), HOLE)), np.maximum(cover, np.float32(1e-6)))


def soft_weights(valid: Mask) -> NDArray[np.float32]:
    """Weights that are 0 where not valid and rise to 1 over 2 `SOFT` pixels, from the map's edge too, shape (h, w)."""
    inside = np.pad(valid[1:-1, 1:-1], 1)  # the outermost pixels are where the ramp from the edge begins
    down, across = (_bell(length) for length in valid.shape)
    return down @ (~_grown(~inside, SOFT)).astype(np.float32) @ across


def _grown(mask: Mask, reach: int) -> Mask:
    """The mask and all that lies within some pixels of it, in rows and columns."""
    for axis in (0, 1):
        wide = np.pad(mask, [(reach, reach) if axis == k else (0, 0) for k in (0, 1)])
        mask = np.logical_or.reduce(sliding_window_view(wide, 2 * reach + 1, axis), axis=-1)
    return mask


def _waves(values: Map, view: _View) -> Map:
    """The weighted map's waves, shape (h, w // 2 + 1)."""
    scales, weights = view.scales, view.weights
    known = np.where(view.valid, values, 0).astype(np.float32)
    broad = scales.down @ known @ scales.across / view.cover
    whole = np.where(view.valid, known, broad)
    short = np.fft.rfft2((whole - broad) * weights) / scales.gain
    return np.where(scales.whitened, short, np.fft.rfft2((whole - np.average(whole, weights=weights)) * weights))


def _power(waves: Map, scales: _Scales) -> Sum:
    squares = (waves.real.astype(float) ** 2 + waves.imag.astype(float) ** 2) * scales.count
    return np.bincount(scales.band.ravel(), squares.ravel(), minlength=_BANDS).astype(float, copy=False)


@lru_cache(maxsize=MOST)
def _scales(shape: tuple[int, int], pixel_km: tuple[float, float]) -> _Scales:
    (height, width), (tall, wide) = shape, pixel_km
    cycles = np.hypot(np.fft.fftfreq(height, tall)[:, None], np.fft.rfftfreq(width, wide))  # per km
    length = 1 / np.maximum(cycles, 1e-9)
    whitened = length < WHITE_KM
    column = np.arange(width // 2 + 1)
    mirrored = np.where((column == 0) | (2 * column == width), 1, 2) * (cycles > 0)  # the mean is no wave
    down, across = (
        np.exp(-((_apart(n) * pixel / BROAD_KM) ** 2) / 2).astype(np.float32)
        for n, pixel in zip(shape, pixel_km, strict=True)
    )
    return _Scales(
        band=np.digitize(length, EDGES_KM),
        count=mirrored / (height * width),
        gain=np.where(whitened, 1 - np.exp(-2 * (np.pi * BROAD_KM * cycles) ** 2), 1).astype(np.float32),
        whitened=whitened,
        down=down,
        across=across,
    )


@lru_cache(maxsize=4)
def _bell(length: int) -> Map:
    """Weights of a mean over places up to `SOFT` apart along an axis, shape (length, length)."""
    apart = _apart(length)
    bell = np.cos(np.pi / 2 * apart / (SOFT + 1)) ** 2 / (SOFT + 1)
    return np.where(apart <= SOFT, bell, 0).astype(np.float32)


def _apart(length: int) -> NDArray[np.int64]:
    """Distance between any two places along an axis, pixels, shape (length, length)."""
    place = np.arange(length)
    return np.abs(place[:, None] - place)


def _starts(length: int) -> tuple[int, list[int]]:
    """Side of the windows along an axis and where they start."""
    side, number = min(length, SIDE), -(-length // SIDE)
    return side, [int(start) for start in np.linspace(0, length - side, number).round()]


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole > 0 else None
