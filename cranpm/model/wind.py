"""The wind in the network: the order of tokens inside a window, and the upwind cosine of eq. 4."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cranpm.model.swin import Windows, occupied, partition

KM_UNIT = 1000.0  # positions are handled in 1000 km, so that their squares fit into half precision


class WindOrder(nn.Module):
    """Puts the tokens of every window into upwind-to-downwind order (the paper's wind-guided shuffling).

    The mean wind over a window is sorted into the nearest of the sectors; a table holds the order of a
    window's tokens for each sector and, in its last row, the raster order that calm wind keeps.
    """

    headings: Tensor
    orders: Tensor
    slots: Tensor

    def __init__(self, window: int, *, sectors: int = 16, calm: float = 0.1) -> None:
        super().__init__()
        self.calm = calm
        orders = sector_orders(window, sectors)
        self.register_buffer("headings", _headings(sectors).float(), persistent=False)
        self.register_buffer("orders", orders, persistent=False)
        self.register_buffer("slots", orders.argsort(dim=1), persistent=False)

    def sectors(self, wind: Tensor) -> Tensor:
        """Nearest sector of each wind vector (..., 2), m/s east and north; the last index + 1 means calm."""
        along = (wind[..., None, :] * self.headings).sum(dim=-1)  # no matrix product: bfloat16 would turn the wind
        nearest = along.argmax(dim=-1)
        speed = wind.square().sum(dim=-1)
        return torch.where(speed >= self.calm**2, nearest, torch.full_like(nearest, len(self.headings)))

    def forward(self, wind: Tensor, windows: Windows) -> tuple[Tensor, Tensor]:
        """Orders for all windows of a day.

        Args:
            wind: 10 m wind at the tokens, m/s (eastward, northward), shape (B, rows, columns, 2).
            windows: how the token grid is cut.

        Returns:
            `order`, shape (B, windows, tokens): which raster place goes into each slot, upwind first;
            `slot`, the inverse: which slot each raster place went to.
        """
        real = occupied(windows, wind.device).unsqueeze(-1)
        mean = partition(wind, windows).sum(dim=2) / real.sum(dim=1)
        sector = self.sectors(mean)
        return self.orders[sector], self.slots[sector]


def sector_orders(window: int, sectors: int = 16) -> Tensor:
    """Raster places of a window's tokens from upwind to downwind, shape (sectors + 1, window * window).

    Sector k is a wind that blows towards k * 360 / sectors degrees, counter-clockwise from east. Row 0 of a
    window is its north. Ties keep raster order, and so does the last row, which is for calm wind.
    """
    place = torch.arange(window, dtype=torch.float64)
    north, east = torch.meshgrid(-place, place, indexing="ij")
    places = torch.stack([east, north], dim=-1).reshape(-1, 2)
    along = (_headings(sectors) @ places.T).mul(1e6).round()  # rounding makes equal projections tie
    raster = torch.arange(window * window)
    return torch.cat([along.argsort(dim=1, stable=True), raster[None]])


@dataclass(frozen=True)
class Way:
    """From the coarse tokens to the fine ones: what biases may ask about it.

    Attributes:
        queries, keys: positions of the fine and the coarse tokens, km east and north, shapes (B, Q, 2), (B, K, 2).
        wind: at the fine tokens, m/s, shape (B, Q, 2).
    """

    queries: Tensor
    keys: Tensor
    wind: Tensor

    def upwind(self, calm: float) -> Tensor:
        """gamma of eq. 4, shape (B, Q, K)."""
        return upwind_cosine(self.queries, self.keys, self.wind, calm=calm)

    def distance(self) -> Tensor:
        """Distances in 1000 km, shape (B, Q, K)."""
        apart = self.queries[:, :, None] / KM_UNIT - self.keys[:, None] / KM_UNIT
        return apart.square().sum(dim=-1).sqrt()


def upwind_cosine(queries: Tensor, keys: Tensor, wind: Tensor, *, calm: float = 0.1) -> Tensor:
    """gamma of eq. 4: how far each coarse token lies upwind of each fine token.

    Args:
        queries: positions of the fine tokens, km east and north on the tile's tangent plane, shape (B, Q, 2).
        keys: positions of the coarse tokens on the same plane, shape (B, K, 2).
        wind: 10 m wind at the fine tokens, m/s eastward and northward, shape (B, Q, 2).
        calm: speed in m/s below which the wind has no direction.

    Returns:
        Cosine between the wind and the way from key to query, shape (B, Q, K): +1 where the key lies exactly
        upwind, -1 exactly downwind, 0 for calm wind and where both coincide.
    """
    speed = wind.square().sum(dim=-1, keepdim=True).sqrt()
    heading = wind / speed.clamp_min(calm) * (speed >= calm)
    queries, keys = queries / KM_UNIT, keys / KM_UNIT
    east = queries[:, :, None, 0] - keys[:, None, :, 0]
    north = queries[:, :, None, 1] - keys[:, None, :, 1]
    distance = (east.square() + north.square()).sqrt().clamp_min(1e-6)  # 1 m
    return (east * heading[:, :, None, 0] + north * heading[:, :, None, 1]) / distance


def _headings(sectors: int) -> Tensor:
    angle = torch.arange(sectors, dtype=torch.float64) * (2 * math.pi / sectors)
    return torch.stack([angle.cos(), angle.sin()], dim=-1)
