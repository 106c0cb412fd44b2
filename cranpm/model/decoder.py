"""From fused tokens back to pixels: doublings of resolution by PixelShuffle (section 3.6)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Padding = Literal["zeros", "replicate"]


class Decoder(nn.Module):
    """One up-block per doubling, then a 1x1 convolution that starts at zero: untrained, its fields are 0."""

    def __init__(
        self,
        dim: int,
        widths: tuple[int, ...],
        fields: int = 1,
        upsampling: str = "shuffle",
        padding: Padding = "zeros",
    ) -> None:
        super().__init__()
        steps = zip((dim, *widths), widths, strict=False)
        block = UpBlock if upsampling == "shuffle" else TransposedBlock
        self.up = nn.ModuleList(block(before, after, padding) for before, after in steps)
        self.head = nn.Conv2d(widths[-1], fields, kernel_size=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Tokens (B, N, D) in raster order of a grid; fields (B, F, S, S)."""
        field = tokens.unflatten(1, grid).permute(0, 3, 1, 2)
        for block in self.up:
            field = block(field)
        return self.head(field)


class UpBlock(nn.Module):
    """3x3 convolution to 4C channels, PixelShuffle to C at twice the resolution, one residual block."""

    def __init__(self, before: int, after: int, padding: Padding) -> None:
        super().__init__()
        self.expand = nn.Conv2d(before, 4 * after, kernel_size=3, padding=1, padding_mode=padding)
        self.shuffle = nn.PixelShuffle(2)
        self.first = nn.Conv2d(after, after, kernel_size=3, padding=1, padding_mode=padding)
        self.second = nn.Conv2d(after, after, kernel_size=3, padding=1, padding_mode=padding)
        self.act = nn.GELU()
        nn.init.kaiming_normal_(self.expand.weight, nonlinearity="relu")  # or the signal fades, block by block
        with torch.no_grad():  # the four pixels of a group start equal: no checkerboard
            for parameter in self.expand.parameters():
                parameter.copy_(parameter[::4].repeat_interleave(4, dim=0))

    def rise(self, field: Tensor) -> Tensor:
        """To twice the resolution: (B, before, h, w) to (B, after, 2h, 2w)."""
        return self.act(self.shuffle(self.expand(field)))

    def forward(self, field: Tensor) -> Tensor:
        """(B, before, h, w) to (B, after, 2h, 2w)."""
        field = self.rise(field)
        return field + self.second(self.act(self.first(field)))


class TransposedBlock(nn.Module):
    """What Table 3 (R4) puts in the place of PixelShuffle: a transposed convolution, then one residual block."""

    def __init__(self, before: int, after: int, padding: Padding) -> None:
        super().__init__()
        self.expand = nn.ConvTranspose2d(before, after, kernel_size=2, stride=2)
        self.first = nn.Conv2d(after, after, kernel_size=3, padding=1, padding_mode=padding)
        self.second = nn.Conv2d(after, after, kernel_size=3, padding=1, padding_mode=padding)
        self.act = nn.GELU()

    def rise(self, field: Tensor) -> Tensor:
        """To twice the resolution: (B, before, h, w) to (B, after, 2h, 2w)."""
        return self.act(self.expand(field))

    def forward(self, field: Tensor) -> Tensor:
        """(B, before, h, w) to (B, after, 2h, 2w)."""
        field = self.rise(field)
        return field + self.second(self.act(self.first(field)))
