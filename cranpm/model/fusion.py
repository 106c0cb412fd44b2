"""Other ways for a tile to learn of the day: what Table 3a of the paper compares its bridge with, for ablations.

Each stands in the place of `network.Bridge`: `keys_values` makes once per day what the tiles share, `forward` adds it
to the tokens of a tile.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cranpm.model.attention import CrossAttention, FeedForward, attend, merge_heads, split_heads
from cranpm.model.config import ModelConfig
from cranpm.model.wind import Way

Shared = list[tuple[Tensor, ...]]


class Blind(nn.Module):
    """Instead of the global branch (R1): the day leaves nothing behind."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.shape = (config.coarse_grid[0] * config.coarse_grid[1], config.global_dim)

    def forward(self, coarse: Tensor, wind: Tensor, elevation: Tensor) -> Tensor:
        """Zeros of the shape of Z^g."""
        return coarse.new_zeros(len(coarse), *self.shape)


def other_fusion(config: ModelConfig) -> nn.Module:
    """The fusion that a configuration names, but for "cross"."""
    kinds: dict[str, type[nn.Module]] = {
        "off": Nothing, "none": Pooled, "sum": Added, "film": Modulated, "concat": Joint, "reverse": Reverse,
        "both": Both,
    }  # fmt: skip
    return kinds[config.fusion](config)


class Nothing(nn.Module):
    """R1: the tile alone, with the bridge's feed-forward layers, so that only the coarse branch is missing."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_feed(config) for _ in range(config.bridge_layers))
        self.norm = nn.LayerNorm(config.local_dim)

    def keys_values(self, state: Tensor) -> Shared:
        """Nothing is shared."""
        return []

    def forward(self, tokens: Tensor, shared: Shared, way: Way) -> Tensor:
        """Tokens (B, Q, D) of the tiles."""
        for layer in self.layers:
            tokens = tokens + layer(tokens)
        return self.norm(tokens)


class Pooled(Nothing):
    """(i) no cross-attention: the mean of the coarse tokens is added to all tokens of a tile."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.project = nn.Linear(config.global_dim, config.local_dim)

    def keys_values(self, state: Tensor) -> Shared:
        """The pooled day (G, 1, D)."""
        return [(self.project(state.mean(dim=1, keepdim=True)),)]

    def forward(self, tokens: Tensor, shared: Shared, way: Way) -> Tensor:
        """Tokens (B, Q, D) of the tiles."""
        return super().forward(tokens + _spread(shared[0][0], tokens), shared, way)


class Added(Nothing):
    """(ii) sum: the coarse tokens around each fine token, weighted by their distance, are added to it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.project = nn.Linear(config.global_dim, config.local_dim)

    def keys_values(self, state: Tensor) -> Shared:
        """The projected day (G, K, D)."""
        return [(self.project(state),)]

    def forward(self, tokens: Tensor, shared: Shared, way: Way) -> Tensor:
        """Tokens (B, Q, D) of the tiles."""
        return super().forward(tokens + _nearby(shared[0][0], tokens, way), shared, way)


class Modulated(Nothing):
    """(iii) FiLM: the coarse tokens around a fine token scale and shift its channels."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.project = nn.Linear(config.global_dim, 2 * config.local_dim)

    def keys_values(self, state: Tensor) -> Shared:
        """Scales and shifts (G, K, 2 D)."""
        return [(self.project(state),)]

    def forward(self, tokens: Tensor, shared: Shared, way: Way) -> Tensor:
        """Tokens (B, Q, D) of the tiles."""
        scale, shift = _nearby(shared[0][0], tokens, way).chunk(2, dim=-1)
        return super().forward(tokens * (1 + scale) + shift, shared, way)


class Joint(nn.Module):
    """(iv) concat and self-attention: coarse and fine tokens attend to each other in one sequence."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.project = config.bridge_heads, nn.Linear(config.global_dim, config.local_dim, bias=False)
        self.layers = nn.ModuleList(_SelfAttention(config) for _ in range(config.bridge_layers))
        self.norm = nn.LayerNorm(config.local_dim)

    def keys_values(self, state: Tensor) -> Shared:
        """The projected day (G, K, D)."""
        return [(self.project(state),)]

    def forward(self, tokens: Tensor, shared: Shared, way: Way) -> Tensor:
        """Tokens (B, Q, D) of the tiles."""
        count = tokens.shape[1]
        together = torch.cat([tokens, _each(shared[0][0], tokens)], dim=1)
        for layer in self.layers:
            together = layer(together)
        return self.norm(together[:, :count])


class Reverse(nn.Module):
    """(v) coarse queries fine: coarse tokens gather from the tile; each fine token takes from those around it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.local_dim
        self.heads, self.project = config.bridge_heads, nn.Linear(config.global_dim, dim, bias=False)
        width = 2 * config.bridge_heads * config.bridge_head_dim
        self.key_value = nn.ModuleList(nn.Linear(dim, width) for _ in range(config.bridge_layers))
        self.layers = nn.ModuleList(
            CrossAttention(dim, config.bridge_heads, config.bridge_head_dim, config.mlp_ratio)
            for _ in range(config.bridge_layers)
        )
        self.norm = nn.LayerNorm(dim)

    def keys_values(self, state: Tensor) -> Shared:
        """The projected day (G, K, D)."""
        return [(self.project(state),)]

    def gathered(self, tokens: Tensor, coarse: Tensor) -> Tensor:
        """Coarse tokens (B, K, D) that know the tile."""
        for layer, linear in zip(self.layers, self.key_value, strict=True):
            keys, values = split_heads(linear(tokens), self.heads, parts=2)
            coarse = layer(coarse, keys, values, None)
        return coarse

    def forward(self, tokens: Tensor, shared: Shared, way: Way) -> Tensor:
        """Tokens (B, Q, D) of the tiles."""
        coarse = self.gathered(tokens, _each(shared[0][0], tokens))
        return self.norm(tokens + _nearby(coarse, tokens, way))


class Both(nn.Module):
    """(vi) bidirectional: the coarse tokens ask the tile first, then the tile asks them."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, self.calm = config.local_dim, config.calm
        self.up = Reverse(config)
        width = 2 * config.bridge_heads * config.bridge_head_dim
        self.heads, self.key_value = config.bridge_heads, nn.Linear(dim, width)
        self.down = CrossAttention(dim, config.bridge_heads, config.bridge_head_dim, config.mlp_ratio)
        self.norm = nn.LayerNorm(dim)

    def keys_values(self, state: Tensor) -> Shared:
        """The projected day (G, K, D)."""
        return self.up.keys_values(state)

    def forward(self, tokens: Tensor, shared: Shared, way: Way) -> Tensor:
        """Tokens (B, Q, D) of the tiles."""
        coarse = self.up.gathered(tokens, _each(shared[0][0], tokens))
        keys, values = split_heads(self.key_value(coarse), self.heads, parts=2)
        return self.norm(self.down(tokens, keys, values, way.upwind(self.calm)))


class _SelfAttention(nn.Module):
    """Plain self-attention over all tokens, then a feed-forward layer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, inner = config.local_dim, config.bridge_heads * config.bridge_head_dim
        self.heads, self.norm, self.qkv = config.bridge_heads, nn.LayerNorm(dim), nn.Linear(dim, 3 * inner)
        self.project, self.feed = nn.Linear(inner, dim), _feed(config)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, D)."""
        q, k, v = split_heads(self.qkv(self.norm(tokens)), self.heads, parts=3)
        tokens = tokens + self.project(merge_heads(attend(q, k, v)))
        return tokens + self.feed(tokens)


def _feed(config: ModelConfig) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(config.local_dim), FeedForward(config.local_dim, config.mlp_ratio))


def _each(shared: Tensor, tokens: Tensor) -> Tensor:
    """What G days share, (G, K, D), for each of B tiles: (B, K, D)."""
    return shared.repeat_interleave(len(tokens) // len(shared), dim=0)


def _spread(shared: Tensor, tokens: Tensor) -> Tensor:
    """One token a day, (G, 1, D), for all tokens (B, Q, D)."""
    return _each(shared, tokens).expand(-1, tokens.shape[1], -1)


def _nearby(coarse: Tensor, tokens: Tensor, way: Way) -> Tensor:
    """Coarse tokens (G or B, K, D) at the fine tokens (B, Q, .): a mean that falls off within 100 km."""
    weights = (-10.0 * way.distance()).softmax(dim=-1)
    return weights.to(coarse.dtype) @ _each(coarse, tokens)
