"""A small network with weights that depend on their names alone, and inputs that anyone can write down."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from cranpm.model.config import SMALL, ModelConfig
from cranpm.model.network import CranPM
from cranpm.model.statistics import nominal

TINY = replace(
    SMALL, name="tiny", tile=64, patch=8, coarse_shape=(28, 56), coarse_patch=4, global_dim=32, local_dim=32,
    global_heads=4, local_heads=4, local_window=4, bridge_heads=4, bridge_head_dim=8, decoder_widths=(16, 8, 8),
)  # fmt: skip


def network(config: ModelConfig = TINY, *, trained: bool = True) -> CranPM:
    """A network in evaluation mode; `trained` ones have weights everywhere, the last layer included."""
    net = CranPM(config, nominal()).eval()
    if trained:
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                rng = np.random.default_rng(zlib.crc32(name.encode()))
                scale = 1.0 / np.sqrt(max(parameter[0].numel(), 1)) if parameter.ndim > 1 else 0.1
                drawn = torch.from_numpy(rng.standard_normal(parameter.shape) * scale).float()
                parameter.copy_(drawn + (1.0 if "norm.weight" in name or name.endswith("beta") else 0.0))
    return net


def coarse_inputs(config: ModelConfig = TINY, days: int = 1, *, shape: tuple[int, int] | None = None) -> list[Tensor]:
    """`coarse` and `elevation` of `encode_day`: plausible weather with structure."""
    rng = np.random.default_rng(11)
    shape = shape or config.coarse_shape
    mean, std = nominal().coarse_scales(config.channels)
    noise = rng.standard_normal((days, len(mean), *shape))
    coarse = np.asarray(mean)[:, None, None] + np.asarray(std)[:, None, None] * noise
    return [torch.from_numpy(a).float() for a in (coarse, rng.uniform(0, 2500, (days, *shape)))]


def tile_inputs(config: ModelConfig = TINY, tiles: int = 2, *, shape: tuple[int, int] | None = None) -> list[Tensor]:
    """The arguments of `forward_tiles` after the state."""
    rng = np.random.default_rng(12)
    side, queries, maps = config.tile, config.grid[0] * config.grid[1], len(config.maps)
    rows, columns = (-(-n // config.coarse_patch) for n in shape or config.coarse_shape)
    lats = 46 - 0.01 * np.arange(side) + 0.1 * np.arange(tiles)[:, None]
    lons = 9 + 0.01 * np.arange(side) + 0.1 * np.arange(tiles)[:, None]
    arrays = (
        rng.uniform(2, 60, (tiles, maps, side, side)), rng.uniform(0, 2500, (tiles, side, side)), lats, lons,
        rng.normal(0, 4, (tiles, queries, 2)), rng.uniform(-60, 60, (tiles, queries, 2)),
        rng.uniform(-900, 900, (tiles, rows * columns, 2)),
    )  # fmt: skip
    return [*(torch.from_numpy(a).float() for a in arrays), torch.tensor([1 + i % 3 for i in range(tiles)])]
