"""A batch of training examples as tensors; needs torch alone."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """D days with their tiles, B in all; the tiles of the first day come first.

    Attributes:
        coarse, coarse_elevation: as `CranPM.encode_day` takes them, physical units, (D, 70, H, W) and (D, H, W).
        pm, elevation, lats, lons, wind, queries, keys, lead: as `CranPM.forward_tiles` takes them.
        target: PM2.5 of the valid day, ug m-3, 0 where not valid, shape (B, S, S).
        valid: land pixels whose target is known, shape (B, S, S).
        station_at: where the stations inside each tile stand: fractional row and column in the tile, pixel centres at
            integers, 0 in the padding, shape (B, M, 2); M is the number of stations in the tile that has most.
        station_pm: PM2.5 measured there on the valid day, ug m-3, NaN where there is none, shape (B, M).
    """

    coarse: Tensor
    coarse_elevation: Tensor
    pm: Tensor
    elevation: Tensor
    lats: Tensor
    lons: Tensor
    wind: Tensor
    queries: Tensor
    keys: Tensor
    lead: Tensor
    target: Tensor
    valid: Tensor
    station_at: Tensor
    station_pm: Tensor

    @property
    def day(self) -> tuple[Tensor, Tensor]:
        """The arguments of `encode_day`."""
        return self.coarse, self.coarse_elevation

    @property
    def tiles(self) -> tuple[Tensor, ...]:
        """The arguments of `forward_tiles` after the state."""
        return self.pm, self.elevation, self.lats, self.lons, self.wind, self.queries, self.keys, self.lead

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return Batch(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory, from where it goes to a GPU while that computes."""
        return Batch(*(getattr(self, field.name).pin_memory() for field in fields(self)))
