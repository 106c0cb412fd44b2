"""Attention with a bias on the scores: elevation-aware self-attention and cross-resolution attention."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FLOOR = -10.0  # lower end of the elevation bias, eq. 2


class ElevationBlock(nn.Module):
    """Transformer block whose attention is softmax(QK^T / sqrt(d_h) + B^elev + B^rel) V over all tokens (eq. 3)."""

    def __init__(
        self, dim: int, heads: int, *, elevation_scale: float | None, mlp_ratio: float, drop_path: float
    ) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.project = nn.Linear(dim, dim)
        self.elevation = None if elevation_scale is None else ElevationBias(heads, elevation_scale)
        self.relative = RelativeBias(heads)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = FeedForward(dim, mlp_ratio)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor, elevation: Tensor, grid: tuple[int, int]) -> Tensor:
        """Tokens (B, N, D) in raster order of a token grid; their mean elevation in metres (B, N)."""
        q, k, v = split_heads(self.qkv(self.norm(tokens)), self.heads, parts=3)
        bias = self.relative(grid)
        if self.elevation is not None:
            bias = self.elevation(elevation) + bias
        tokens = tokens + self.drop_path(self.project(merge_heads(attend(q, k, v, bias))))
        return tokens + self.drop_path(self.mlp(self.mlp_norm(tokens)))


class ElevationBias(nn.Module):
    """B^elev of eq. 2: sources that lie higher than the receiver are attended to less.

    alpha >= 0 is learned per head, as the softplus of a free parameter; it starts at 1.
    """

    def __init__(self, heads: int, scale: float) -> None:
        super().__init__()
        self.scale = scale  # E_0, metres
        self.free = nn.Parameter(torch.full((heads,), math.log(math.e - 1.0)))

    @property
    def alpha(self) -> Tensor:
        """Strength per head, shape (heads,)."""
        return F.softplus(self.free)

    def forward(self, elevation: Tensor) -> Tensor:
        """Bias (B, heads, N, N) for receivers i (rows) and sources j (columns); elevations (B, N) in metres."""
        climb = F.relu((elevation[:, None, :] - elevation[:, :, None]) / self.scale)
        return (-self.alpha[:, None, None] * climb[:, None]).clamp_min(FLOOR)


class RelativeBias(nn.Module):
    """B^rel of eq. 3: learned per head by row and column offset, in logarithmic buckets so that any grid fits."""

    buckets: Tensor
    REACH = 256  # offsets beyond this many tokens share the last bucket
    EXACT = 4  # offsets up to this have a bucket each

    def __init__(self, heads: int) -> None:
        super().__init__()
        buckets = offset_buckets(self.EXACT, self.REACH)
        self.register_buffer("buckets", torch.tensor(buckets), persistent=False)
        count = buckets[-1] + 1
        self.table = nn.Parameter(torch.zeros(heads, count, count))
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self, grid: tuple[int, int]) -> Tensor:
        """Bias (heads, N, N) for the N = rows * columns tokens of a grid in raster order."""
        (rows, columns), heads = grid, len(self.table)
        by_row = self.table.index_select(1, self._bucket(rows).flatten())
        by_both = by_row.index_select(2, self._bucket(columns).flatten())
        offsets = by_both.reshape(heads, rows, rows, columns, columns).permute(0, 1, 3, 2, 4)
        return offsets.reshape(heads, rows * columns, rows * columns)

    def _bucket(self, length: int) -> Tensor:
        place = torch.arange(length, device=self.buckets.device)
        offset = (place[None, :] - place[:, None]).clamp(-self.REACH, self.REACH)
        return self.buckets[offset + self.REACH]


def offset_buckets(exact: int, reach: int) -> list[int]:
    """Bucket of each offset -reach..reach: one each up to `exact`, then two per doubling; signs kept apart."""
    beyond = [exact + math.ceil(2 * math.log2(d / exact)) for d in range(exact + 1, reach + 1)]
    one_side = [*range(exact + 1), *beyond]
    middle = one_side[-1]
    return [middle - bucket for bucket in reversed(one_side[1:])] + [middle + bucket for bucket in one_side]


class CrossAttention(nn.Module):
    """One layer of the bridge: fine tokens ask the coarse tokens, eq. 5, then a feed-forward layer.

    beta of eq. 4 is learned per head and starts at 1. With `distance`, scores fall with the distance of a coarse
    token, by a slope >= 0 learned per head; the slopes start between 1 and 10 per 1000 km (not in the paper).
    """

    def __init__(self, dim: int, heads: int, head_dim: int, mlp_ratio: float, *, distance: bool = False) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_dim
        self.norm = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, inner)
        self.project = nn.Linear(inner, dim)
        self.beta = nn.Parameter(torch.ones(heads))
        self.log_slope = nn.Parameter(torch.linspace(0.0, math.log(10.0), heads)) if distance else None
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = FeedForward(dim, mlp_ratio)

    def forward(
        self, tokens: Tensor, keys: Tensor, values: Tensor, gamma: Tensor | None, distance: Tensor | None = None
    ) -> Tensor:
        """Tokens (B, Q, D) ask keys and values (G, heads, K, d_h) of G days; gamma and 1000 km, (B, Q, K).

        B is a multiple of G: each day serves B / G consecutive tiles, whose queries are asked together.
        """
        batch, count, dim = tokens.shape
        days = keys.shape[0]
        together = tokens.reshape(days, -1, dim)
        (q,) = split_heads(self.query(self.norm(together)), self.heads, parts=1)
        bias = None
        if gamma is not None:
            bias = self.beta[:, None, None] * gamma.reshape(days, 1, -1, gamma.shape[-1])
        if self.log_slope is not None and distance is not None:
            fall = -self.log_slope.exp()[:, None, None] * distance.reshape(days, 1, -1, distance.shape[-1])
            bias = fall if bias is None else bias + fall
        together = together + self.project(merge_heads(attend(q, keys, values, bias)))
        together = together + self.mlp(self.mlp_norm(together))
        return together.reshape(batch, count, dim)


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """softmax(QK^T / sqrt(d_h) + B) V for (..., tokens, d_h); the bias broadcasts to (..., queries, keys)."""
    learned = bias is not None and torch.is_grad_enabled() and q.device.type == "cpu"  # no fused kernel for these
    if learned or torch.compiler.is_exporting():  # the exporter's own way scales keys too, by roots in half precision
        scores = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(-2, -1))
        scores = scores if bias is None else scores + bias.to(scores.dtype)
        return torch.matmul(scores.softmax(dim=-1), v)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=None if bias is None else bias.to(q.dtype))


def split_heads(projected: Tensor, heads: int, *, parts: int) -> tuple[Tensor, ...]:
    """(B, N, parts * heads * d_h) as `parts` tensors of shape (B, heads, N, d_h)."""
    batch, count, width = projected.shape
    return projected.reshape(batch, count, parts, heads, width // (parts * heads)).permute(2, 0, 3, 1, 4).unbind(0)


def merge_heads(attended: Tensor) -> Tensor:
    """(B, heads, N, d_h) back to (B, N, heads * d_h)."""
    return attended.transpose(1, 2).flatten(2)


class FeedForward(nn.Sequential):
    """Linear, GELU, Linear with a wider middle."""

    def __init__(self, dim: int, ratio: float) -> None:
        hidden = int(dim * ratio)
        super().__init__(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))


class DropPath(nn.Module):
    """Leaves out a residual path per sample during training, and scales the others up to keep the mean."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, path: Tensor) -> Tensor:
        """A residual path of shape (B, ...)."""
        if not self.training or self.probability == 0.0:
            return path
        keep = 1.0 - self.probability
        shape = (path.shape[0], *[1] * (path.ndim - 1))
        return path * torch.empty(shape, dtype=path.dtype, device=path.device).bernoulli_(keep).div_(keep)
