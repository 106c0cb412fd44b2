"""What the benchmarks run: networks with random weights everywhere, made-up inputs, and the tile pass of one day."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from cranpm.model.config import CONFIGS
from cranpm.model.decoder import UpBlock
from cranpm.model.network import CranPM
from cranpm.model.statistics import nominal
from tests.model.examples import coarse_inputs, tile_inputs

KeysValues = list[tuple[Tensor, ...]]
TileForward = Callable[..., Tensor]


def random_network(config: str, device: torch.device) -> CranPM:
    """A network in evaluation mode whose last layer is not zero, as it would be untrained."""
    torch.manual_seed(0)
    network = CranPM(CONFIGS[config], nominal()).eval()
    nn.init.normal_(network.decoder.head.weight, std=0.1)
    return network.to(device)


def day_of(network: CranPM, device: torch.device, days: int = 1) -> list[Tensor]:
    """The arguments of `encode_day`."""
    return [tensor.to(device) for tensor in coarse_inputs(network.config, days)]


def tiles_of(network: CranPM, device: torch.device, tiles: int) -> list[Tensor]:
    """The arguments of `forward_tiles` after the state."""
    return [tensor.to(device) for tensor in tile_inputs(network.config, tiles)]


def for_inference(network: CranPM, dtype: str, *, channels_last: bool) -> CranPM:
    """A copy prepared as a forecaster would: matrices and kernels in bf16 once, the decoder channels-last."""
    ready = copy.deepcopy(network).eval().requires_grad_(False)
    if channels_last:
        stay_channels_last(ready)
    if dtype == "bf16":
        for module in ready.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                module.to(torch.bfloat16)
    return ready


def stay_channels_last(network: CranPM) -> None:
    """Lay the decoder out channels-last; torch's own PixelShuffle would turn every field back (on a GPU)."""
    network.decoder.to(memory_format=torch.channels_last)
    for block in network.decoder.up:
        if isinstance(block, UpBlock):
            _group_by_pixel(block.expand)
            block.shuffle = GroupedShuffle()  # type: ignore[assignment]


class GroupedShuffle(nn.Module):
    """PixelShuffle by 2 of channels grouped by pixel (2, 2, C), channels-last: one copy of whole runs of C."""

    def forward(self, field: Tensor) -> Tensor:
        """(B, 4C, h, w) to (B, C, 2h, 2w), both channels-last."""
        batch, channels, height, width = field.shape
        pixels = field.permute(0, 2, 3, 1).reshape(batch, height, width, 2, 2, channels // 4).transpose(2, 3)
        return pixels.reshape(batch, 2 * height, 2 * width, channels // 4).permute(0, 3, 1, 2)


def tile_forward(network: CranPM) -> TileForward:
    """`CranPM.forward_tiles` for the tiles of one day, with the bridge's keys and values given instead of the state."""
    return network.forward_held


def encode(network: CranPM, day: list[Tensor]) -> KeysValues:
    """All that a day's tiles need of it."""
    return network.bridge.keys_values(network.encode_day(*day))


def _group_by_pixel(expand: nn.Conv2d) -> None:
    """Reorder a convolution's outputs from PixelShuffle's (C, 2, 2) to (2, 2, C)."""
    order = torch.arange(expand.out_channels).reshape(-1, 2, 2).permute(1, 2, 0).flatten()
    with torch.no_grad():
        for parameter in expand.parameters():
            parameter.copy_(parameter[order.to(parameter.device)].clone())
