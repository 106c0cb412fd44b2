"""What training minimises (eq. 6): squared error on land, focal frequency loss, squared error at the stations.

Everything is in normalised units (PM2.5 / 20). A step's tiles may lie in several groups, micro-batches and processes:
`sums` and `counts` of the parts add up to those of the whole, and only their totals make a `loss`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from cranpm.data.batch import Batch
from cranpm.variables import PM_SCALE


@dataclass(frozen=True)
class Weights:
    """How much each term of eq. 6 counts; a term of weight 0 is not computed.

    Attributes:
        pixel: of the squared error over valid land pixels.
        frequency: of the focal frequency loss of the tiles.
        station: of the squared error at the stations.
        high, above: pixels whose truth is `above` ug m-3 or more count `high` times in the pixel term (not in the
            paper): errors of high days count more, and the forecast leans upwards where it is in doubt.
        logarithmic: the pixel term is of log(1 + PM2.5 / 20) instead of PM2.5 / 20 (not in the paper).
    """

    pixel: float = 1.0
    frequency: float = 0.0
    station: float = 0.0
    high: float = 1.0
    above: float = 60.0
    logarithmic: bool = False


def counts(batch: Batch) -> Tensor:
    """Over what each term is a mean: valid pixels, tiles, stations with a value; float32, shape (3,)."""
    stations = batch.station_pm.isfinite().sum()
    return torch.stack([batch.valid.sum(), stations.new_tensor(len(batch.valid)), stations]).float()


def sums(residual: Tensor, batch: Batch, weights: Weights) -> Tensor:
    """The three terms of eq. 6, each summed over what it will be a mean of.

    Args:
        residual: f of eq. 1, normalised units, any floating type, shape (B, S, S).
        batch: its tiles.
        weights: which terms are needed.

    Returns:
        Squared error summed over valid pixels; focal frequency loss summed over tiles; squared error summed over
        stations; 0 where the weight is 0. float32, shape (3,).
    """
    residual = residual.float()
    error = _error(residual, batch.pm[:, 0], batch.target, batch.valid)
    none = error.new_zeros(())
    return torch.stack(
        [
            _pixel_term(error, residual, batch, weights) if weights.pixel else none,
            focal_frequency(error).sum() if weights.frequency else none,
            _at_stations(residual, batch).square().sum() if weights.station else none,
        ]
    )


def loss(sums: Tensor, counts: Tensor, weights: Weights) -> Tensor:
    """Eq. 6 from the totals of a step: each term's mean (0 over nothing) times its weight; a scalar."""
    pixel, frequency, station = sums / counts.clamp_min(1)
    return weights.pixel * pixel + weights.frequency * frequency + weights.station * station


def focal_frequency(error: Tensor) -> Tensor:
    """Focal frequency loss of tiles, as Jiang et al. (2021) with alpha = 1.

    A wave of the error counts with its power times its own share of the strongest wave's amplitude; that share is a
    weight, through which no gradient flows.

    Args:
        error: forecast minus target, 0 where nothing is known, shape (B, S, S), float32.

    Returns:
        The mean over each tile's spectrum, shape (B,); 0 for a tile without error.
    """
    spectrum = torch.fft.fft2(error, norm="ortho")
    power = spectrum.real.square() + spectrum.imag.square()
    amplitude = power.detach().sqrt()
    strongest = amplitude.amax(dim=(-2, -1), keepdim=True).clamp_min(torch.finfo(error.dtype).tiny)
    return (amplitude / strongest * power).mean(dim=(-2, -1))


def _error(residual: Tensor, today: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Forecast minus target in normalised units, 0 where not valid, shape (B, S, S)."""
    return (residual - (target - today) / PM_SCALE) * valid


def _pixel_term(error: Tensor, residual: Tensor, batch: Batch, weights: Weights) -> Tensor:
    """The squared error summed over valid pixels, as the weights ask for it."""
    if weights.logarithmic:
        forecast = (batch.pm[:, 0] / PM_SCALE + residual).clamp_min(0.0)
        error = (forecast.log1p() - (batch.target / PM_SCALE).log1p()) * batch.valid
    squares = error.square()
    if weights.high != 1.0:
        squares = torch.where(batch.target >= weights.above, weights.high * squares, squares)
    return squares.sum()


def _at_stations(residual: Tensor, batch: Batch) -> Tensor:
    """Forecast minus measured value in normalised units, 0 where there is none, shape (B, M)."""
    known = batch.station_pm.isfinite()
    if not known.shape[1]:
        return residual.sum(dim=(1, 2))[:, None] * 0.0  # keeps the graph: a group may have no station
    forecast = batch.pm[:, 0] + PM_SCALE * residual
    places = 2 * batch.station_at.flip(-1) / (residual.shape[-1] - 1) - 1  # columns first, -1..1 over the tile
    sampled = grid_sample(
        forecast[:, None], places[:, :, None], mode="bilinear", padding_mode="border", align_corners=True
    )[:, 0, :, 0]
    measured = torch.where(known, batch.station_pm, 0.0)
    return torch.where(known, (sampled - measured) / PM_SCALE, 0.0)
