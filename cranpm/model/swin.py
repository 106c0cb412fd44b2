"""Shifted-window attention (Swin v1) on a token grid of any size.

A shifted layout starts half a window before the grid, so its outer windows hang over the edge. The overhang is
empty and masked, as is the padding of a grid that does not divide into windows: nothing wraps around, and a
place in a window always means the same place on Earth, which the wind order relies on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cranpm.model.attention import DropPath, FeedForward, attend, merge_heads, split_heads

MASKED = -1e4  # finite, so that half precision has it and no row of scores can become NaN


@dataclass(frozen=True)
class Windows:
    """How a token grid is cut into square windows.

    Attributes:
        grid: rows and columns of tokens.
        size: tokens along a window's side.
        shift: tokens of the first window that lie on the grid, when the layout is shifted; 0 when it is not.
    """

    grid: tuple[int, int]
    size: int
    shift: int = 0

    @property
    def before(self) -> int:
        """Empty rows above and columns left of the grid."""
        return (self.size - self.shift) % self.size

    @property
    def counts(self) -> tuple[int, int]:
        """Windows down and across."""
        rows, columns = self.grid
        return -(-(rows + self.before) // self.size), -(-(columns + self.before) // self.size)

    @property
    def padded(self) -> bool:
        """Whether some places of some windows are empty."""
        return self.before > 0 or any(length % self.size for length in self.grid)


class SwinBlock(nn.Module):
    """Window attention with a relative position bias, then a feed-forward layer.

    With an order, the tokens of each window are put into it for the attention and put back after; the
    relative bias belongs to the *slots* of the ordered window, hence to the wind's frame.
    """

    slots: Tensor

    def __init__(self, dim: int, heads: int, window: int, *, mlp_ratio: float, drop_path: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.project = nn.Linear(dim, dim)
        self.table = nn.Parameter(torch.zeros(heads, (2 * window - 1) ** 2))
        nn.init.trunc_normal_(self.table, std=0.02)
        self.register_buffer("slots", _slot_offsets(window), persistent=False)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = FeedForward(dim, mlp_ratio)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor, windows: Windows, order: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Tokens (B, N, D) in raster order; `order` as `WindOrder` gives it for these windows."""
        tokens = tokens + self.drop_path(self.project(self._attention(self.qkv(self.norm(tokens)), windows, order)))
        return tokens + self.drop_path(self.mlp(self.mlp_norm(tokens)))

    def _attention(self, qkv: Tensor, windows: Windows, order: tuple[Tensor, Tensor] | None) -> Tensor:
        batch = qkv.shape[0]
        grouped = partition(qkv.unflatten(1, windows.grid), windows)
        real = occupied(windows, qkv.device).expand(batch, -1, -1)
        if order is not None:
            grouped, real = rearrange(grouped, order[0]), real.gather(2, order[0])
        q, k, v = split_heads(grouped.flatten(0, 1), self.heads, parts=3)
        bias = self.table.index_select(1, self.slots.flatten()).reshape(1, self.heads, *self.slots.shape)
        if windows.padded:
            bias = bias + torch.where(real, 0.0, MASKED).flatten(0, 1)[:, None, None, :]
        attended = merge_heads(attend(q, k, v, bias)).unflatten(0, (batch, -1))
        if order is not None:
            attended = rearrange(attended, order[1])
        return merge(attended, windows).flatten(1, 2)


def partition(tokens: Tensor, windows: Windows) -> Tensor:
    """Tokens (B, rows, columns, D) by windows, shape (B, windows, size * size, D); empty places hold zeros."""
    (rows, columns), (down, across), size = windows.grid, windows.counts, windows.size
    below = down * size - rows - windows.before
    right = across * size - columns - windows.before
    tokens = F.pad(tokens, (0, 0, windows.before, right, windows.before, below))
    blocks = tokens.reshape(tokens.shape[0], down, size, across, size, tokens.shape[-1])
    return blocks.permute(0, 1, 3, 2, 4, 5).reshape(tokens.shape[0], down * across, size * size, tokens.shape[-1])


def merge(grouped: Tensor, windows: Windows) -> Tensor:
    """The inverse of `partition`, without the empty places: (B, rows, columns, D)."""
    (rows, columns), (down, across), size = windows.grid, windows.counts, windows.size
    blocks = grouped.reshape(grouped.shape[0], down, across, size, size, grouped.shape[-1]).permute(0, 1, 3, 2, 4, 5)
    tokens = blocks.reshape(grouped.shape[0], down * size, across * size, grouped.shape[-1])
    start = windows.before
    return tokens[:, start : start + rows, start : start + columns]


def occupied(windows: Windows, device: torch.device) -> Tensor:
    """Which places of which windows hold a token, shape (windows, size * size)."""
    ones = torch.ones(1, *windows.grid, 1, device=device)
    return partition(ones, windows)[0, :, :, 0] > 0


def rearrange(grouped: Tensor, order: Tensor) -> Tensor:
    """The tokens (B, windows, T, D) of each window taken in the order (B, windows, T) of raster places."""
    return grouped.gather(2, order.unsqueeze(-1).expand(-1, -1, -1, grouped.shape[-1]))


def _slot_offsets(window: int) -> Tensor:
    """Index of the relative bias for each pair of slots of a window, shape (T, T)."""
    place = torch.arange(window)
    offset = place[None, :] - place[:, None] + window - 1
    pairs = offset[:, None, :, None] * (2 * window - 1) + offset[None, :, None, :]
    return pairs.reshape(window * window, window * window)
