"""CRAN-PM: the whole dual-branch network, top to bottom.

    day t, t-1, coarse  -> GlobalBranch -> Z^g, one token per 8x8 nodes   once per day       (Alg. S1, lines 3-5)
    tile, fine, lead    -> LocalBranch  -> Z^l, one token per 16x16 px    per tile and lead  (line 6)
    Z^l asks Z^g        -> Bridge       -> Z^l with large-scale context   eqs. 4, 5          (lines 7-10)
    Z^l                 -> Decoder      -> residual f, normalised         section 3.6        (line 11)
    forecast            =  PM2.5(t) + 20 f                                eq. 1              (line 12)

Everything enters in physical units: the network normalises with named statistics, while the elevation bias
(eq. 2), the wind order and the wind bias (eq. 4) see metres, m/s and km. "Global" and "local" are the two
branches; "coarse" and "fine" the two grids.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cranpm.model.attention import CrossAttention, ElevationBlock, split_heads
from cranpm.model.config import PLACE, ModelConfig, token_grid
from cranpm.model.decoder import Decoder
from cranpm.model.fusion import Blind, other_fusion
from cranpm.model.statistics import Statistics
from cranpm.model.swin import SwinBlock, Windows
from cranpm.model.wind import Way, WindOrder
from cranpm.variables import PM_OFFSET, PM_SCALE


class CranPM(nn.Module):
    """The network f of eq. 1: the change from today's fine PM2.5 to that of a later day."""

    coarse_mean: Tensor
    coarse_std: Tensor
    local_mean: Tensor
    local_std: Tensor

    def __init__(self, config: ModelConfig, statistics: Statistics) -> None:
        super().__init__()
        self.config = config
        for branch, (mean, std) in {
            "coarse": statistics.coarse_scales(config.channels),
            "local": statistics.local_scales(config.local_channels),
        }.items():
            self.register_buffer(f"{branch}_mean", torch.tensor(mean).reshape(-1, 1, 1), persistent=False)
            self.register_buffer(f"{branch}_std", torch.tensor(std).reshape(-1, 1, 1), persistent=False)
        self.global_branch = GlobalBranch(config) if config.fusion != "off" else Blind(config)
        self.local_branch = LocalBranch(config)
        self.bridge = Bridge(config) if config.fusion == "cross" else cast("Bridge", other_fusion(config))
        self.output = Output(config)
        self.decoder = Decoder(
            config.local_dim, config.decoder_widths, self.output.fields, config.upsampling, config.padding
        )

    def forward(
        self, coarse: Tensor, coarse_elevation: Tensor, pm: Tensor, elevation: Tensor, lats: Tensor, lons: Tensor,
        wind: Tensor, queries: Tensor, keys: Tensor, lead: Tensor,
    ) -> Tensor:  # fmt: skip
        """Both halves in one: the arguments of `encode_day`, then those of `forward_tiles`."""
        state = self.encode_day(coarse, coarse_elevation)
        return self.forward_tiles(state, pm, elevation, lats, lons, wind, queries, keys, lead)

    def encode_day(self, coarse: Tensor, elevation: Tensor) -> Tensor:
        """The state of a day, Z^g, which serves all its tiles and leads.

        Args:
            coarse: the coarse channels in the order of the configuration, physical units, shape (B, 70, H, W).
            elevation: of the coarse nodes, metres, shape (B, H, W).

        Returns:
            Global tokens, shape (B, K, D): K = ceil(H / patch) * ceil(W / patch), in raster order.
        """
        u, v = (self.config.channels.index(name) for name in ("u10_t", "v10_t"))
        wind = torch.stack([coarse[:, u], coarse[:, v]], dim=1)
        return self.global_branch((coarse - self.coarse_mean) / self.coarse_std, wind, elevation)

    def forward_tiles(
        self, state: Tensor, pm: Tensor, elevation: Tensor, lats: Tensor, lons: Tensor,
        wind: Tensor, queries: Tensor, keys: Tensor, lead: Tensor,
    ) -> Tensor:  # fmt: skip
        """The residual of a batch of tiles.

        Args:
            state: states of G days, shape (G, K, D). B is a multiple of G, and each day serves the next B / G
                tiles of the batch: G = 1 is one day for all, G = B a day for each.
            pm: the maps of the configuration without gaps, day t's first, ug m-3, shape (B, 2, S, S) in the paper.
            elevation: metres, shape (B, S, S).
            lats, lons: of the tile's rows and columns, degrees, shape (B, S).
            wind: 10 m wind of day t at the fine tokens, m/s eastward and northward, shape (B, Q, 2).
            queries: positions of the fine tokens on the tile's tangent plane, km east and north, (B, Q, 2).
            keys: positions of the coarse tokens on the same plane, km, shape (B, K, 2).
            lead: days ahead, integer, shape (B,).

        Returns:
            f of eq. 1, shape (B, S, S), in normalised units: the forecast is PM2.5(t) + 20 f.
        """
        held = self.bridge.keys_values(state)
        return self.forward_held(held, pm, elevation, lats, lons, wind, queries, keys, lead)

    def forward_held(
        self, held: list[tuple[Tensor, ...]], pm: Tensor, elevation: Tensor, lats: Tensor, lons: Tensor,
        wind: Tensor, queries: Tensor, keys: Tensor, lead: Tensor,
    ) -> Tensor:  # fmt: skip
        """As `forward_tiles`, with what `bridge.keys_values` makes of the states, once for all tiles of a day."""
        place = {
            "elevation": elevation[:, None],
            "latitude": lats[:, None, :, None].expand(-1, -1, -1, elevation.shape[-1]),
            "longitude": lons[:, None, None, :].expand(-1, -1, elevation.shape[-2], -1),
        }
        tile = torch.cat([pm, *(place[name] for name in PLACE if name in self.config.local_channels)], dim=1)
        tokens = self.local_branch((tile - self.local_mean) / self.local_std, elevation, lead)
        tokens = self.bridge(tokens, held, Way(queries, keys, wind))
        return self.output(self.decoder(tokens, self.config.grid), pm, lead)


class GlobalBranch(nn.Module):
    """Coarse fields to tokens: embedding, elevation-aware attention, wind-ordered Swin blocks (section 3.3)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, heads, window = config.global_dim, config.global_heads, config.global_window
        drops = _drop_paths(config.drop_path, 1 + config.global_depth)
        self.patch, self.window = config.coarse_patch, window
        self.embed = Embedding(len(config.channels), dim, config.coarse_patch, config.coarse_grid, config.dropout)
        self.elevation = ElevationBlock(
            dim, heads, elevation_scale=config.e0_global if config.elevation_bias else None,
            mlp_ratio=config.mlp_ratio, drop_path=drops[0],
        )  # fmt: skip
        self.wind = WindOrder(window, sectors=config.wind_sectors, calm=config.calm) if config.wind_order else None
        self.swin = nn.ModuleList(
            SwinBlock(dim, heads, window, mlp_ratio=config.mlp_ratio, drop_path=drop) for drop in drops[1:]
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, coarse: Tensor, wind: Tensor, elevation: Tensor) -> Tensor:
        """Normalised channels (B, C, H, W), wind in m/s (B, 2, H, W), metres (B, H, W); tokens (B, K, D)."""
        grid = token_grid((coarse.shape[-2], coarse.shape[-1]), self.patch)
        tokens = self.embed(fill_patches(coarse, self.patch), grid)
        tokens = self.elevation(tokens, token_means(elevation[:, None], self.patch).flatten(1), grid)
        token_wind = token_means(wind, self.patch).permute(0, 2, 3, 1)
        layouts = [Windows(grid, self.window), Windows(grid, self.window, shift=self.window // 2)]
        orders = [self.wind(token_wind, windows) if self.wind else None for windows in layouts]
        for index, block in enumerate(self.swin):  # even blocks: windows on the grid; odd: shifted by half of one
            tokens = block(tokens, layouts[index % 2], orders[index % 2])
        return self.norm(tokens)


class LocalBranch(nn.Module):
    """A fine tile and a lead to tokens: embeddings, elevation-aware attention, Swin blocks (section 3.3)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, heads, window = config.local_dim, config.local_heads, config.local_window
        drops = _drop_paths(config.drop_path, 1 + config.local_depth)
        self.patch, self.grid = config.patch, config.grid
        self.first_lead = config.leads[0]
        self.embed = Embedding(len(config.local_channels), dim, config.patch, config.grid, config.dropout)
        self.lead = nn.Embedding(len(config.leads), dim)
        nn.init.trunc_normal_(self.lead.weight, std=0.5)  # of the size of the tokens: leads differ from the start
        self.elevation = ElevationBlock(
            dim, heads, elevation_scale=config.e0_local if config.elevation_bias else None,
            mlp_ratio=config.mlp_ratio, drop_path=drops[0],
        )  # fmt: skip
        self.layouts = [Windows(config.grid, window), Windows(config.grid, window, shift=window // 2)]
        self.swin = nn.ModuleList(
            SwinBlock(dim, heads, window, mlp_ratio=config.mlp_ratio, drop_path=drop) for drop in drops[1:]
        )

    def forward(self, tile: Tensor, elevation: Tensor, lead: Tensor) -> Tensor:
        """Normalised channels (B, 5, S, S), metres (B, S, S), days ahead (B,); tokens (B, Q, D)."""
        tokens = self.embed(tile, self.grid) + self.lead(lead - self.first_lead)[:, None]
        tokens = self.elevation(tokens, token_means(elevation[:, None], self.patch).flatten(1), self.grid)
        for index, block in enumerate(self.swin):
            tokens = block(tokens, self.layouts[index % 2])
        return tokens


class Bridge(nn.Module):
    """Cross-resolution attention: Z^g projected to the local width without bias, then two layers (section 3.5)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.calm = config.bridge_heads, config.calm
        self.wind_bias, self.distance_bias = config.wind_bias, config.distance_bias
        width = 2 * config.bridge_heads * config.bridge_head_dim
        self.project = nn.Linear(config.global_dim, config.local_dim, bias=False)
        self.key_value = nn.ModuleList(nn.Linear(config.local_dim, width) for _ in range(config.bridge_layers))
        self.layers = nn.ModuleList(
            CrossAttention(
                config.local_dim,
                config.bridge_heads,
                config.bridge_head_dim,
                config.mlp_ratio,
                distance=config.distance_bias,
            )
            for _ in range(config.bridge_layers)
        )
        self.norm = nn.LayerNorm(config.local_dim)

    def keys_values(self, state: Tensor) -> list[tuple[Tensor, ...]]:
        """Keys and values (G, heads, K, d_h) of every layer, from the states of G days: once per day."""
        coarse = self.project(state)
        return [split_heads(linear(coarse), self.heads, parts=2) for linear in self.key_value]

    def forward(self, tokens: Tensor, keys_values: list[tuple[Tensor, ...]], way: Way) -> Tensor:
        """Tokens (B, Q, D) with the large-scale context."""
        gamma = way.upwind(self.calm) if self.wind_bias else None
        distance = way.distance() if self.distance_bias else None
        for layer, (keys, values) in zip(self.layers, keys_values, strict=True):
            tokens = layer(tokens, keys, values, gamma, distance)
        return self.norm(tokens)


class Output(nn.Module):
    """From the last layer's fields to the residual f of eq. 1, shape (B, S, S).

    "change": the field itself. "level": the field is the normalised forecast. "scale": a sum over bases B_k, today's
    map and those for the valid day: forecast = sum_k (b_k + psi_k) B_k + a + 20 d, where psi_k and d are fields, and
    a and b_k learned per lead: the scale and change of the offline coupling (its eq. 8) on several bases. Training
    starts a and b_k at the linear blend that fits best; before, with b_1 = 1 and all else 0, it is persistence.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.kind, self.first_lead = config.output, config.leads[0]
        self.places = [config.maps.index(name) for name in config.bases]
        self.fields = 1
        if self.kind == "scale":
            self.fields = 1 + len(self.places)
            start = torch.eye(self.fields)[1]
            self.blend = nn.Parameter(start.repeat(len(config.leads), 1))  # a / 20 and b_k of every lead

    def bases(self, pm: Tensor) -> Tensor:
        """What is scaled, in units of 20 ug m-3: 1, then the maps; shape (B, 1 + bases, S, S)."""
        maps = [pm[:, place] for place in self.places]
        return torch.stack([torch.ones_like(maps[0]), *(values / PM_SCALE for values in maps)], dim=1)

    def forward(self, fields: Tensor, pm: Tensor, lead: Tensor) -> Tensor:
        """Fields (B, F, S, S) of the last layer, the tile's maps in ug m-3, and the lead (B,)."""
        if self.kind == "level":
            return fields[:, 0] - (pm[:, 0] - PM_OFFSET) / PM_SCALE
        if self.kind == "change":
            return fields[:, 0]
        scales = fields + self.blend[lead - self.first_lead][:, :, None, None]
        return (scales * self.bases(pm)).sum(dim=1) - pm[:, 0] / PM_SCALE


class Embedding(nn.Module):
    """Patches to tokens (unfold and linear), plus a fixed 2-D sine embedding of their place."""

    place: Tensor

    def __init__(self, channels: int, dim: int, patch: int, grid: tuple[int, int], dropout: float) -> None:
        super().__init__()
        self.patch, self.grid = patch, grid
        self.linear = nn.Linear(channels * patch * patch, dim)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("place", sine_embedding(grid, dim), persistent=False)

    def forward(self, field: Tensor, grid: tuple[int, int]) -> Tensor:
        """(B, C, rows * patch, columns * patch) to tokens (B, rows * columns, D)."""
        batch, channels = field.shape[:2]
        patches = field.reshape(batch, channels, grid[0], self.patch, grid[1], self.patch).permute(0, 2, 4, 1, 3, 5)
        tokens = self.linear(patches.reshape(batch, grid[0] * grid[1], -1))
        place = self.place if grid == self.grid else sine_embedding(grid, tokens.shape[-1]).to(tokens.device)
        return self.dropout(tokens + place)


def sine_embedding(grid: tuple[int, int], dim: int) -> Tensor:
    """Sines and cosines of row and column at falling frequencies, shape (rows * columns, dim)."""
    frequency = 10_000.0 ** -(torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    waves = [torch.arange(length, dtype=torch.float64)[:, None] * frequency for length in grid]
    down, across = (torch.cat([wave.sin(), wave.cos()], dim=1) for wave in waves)
    rows, columns = grid
    down = down[:, None].expand(rows, columns, dim // 2)
    across = across[None].expand(rows, columns, dim // 2)
    return torch.cat([down, across], dim=-1).reshape(rows * columns, dim).float()


def fill_patches(field: Tensor, patch: int) -> Tensor:
    """A field (B, C, H, W) grown to whole patches by repeating its last row and column."""
    below, right = -field.shape[-2] % patch, -field.shape[-1] % patch
    return F.pad(field, (0, right, 0, below), mode="replicate") if below or right else field


def token_means(field: Tensor, patch: int) -> Tensor:
    """Mean over each patch of a field (B, C, H, W), shape (B, C, rows, columns)."""
    return F.avg_pool2d(fill_patches(field, patch), patch)


def _drop_paths(last: float, blocks: int) -> list[float]:
    return [last * index / max(blocks - 1, 1) for index in range(blocks)]
