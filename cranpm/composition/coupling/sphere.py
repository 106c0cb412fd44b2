"""What lies beyond the edge of a map: around the Earth the other end, over a pole the far meridian, else the edge."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def pad_map(field: Tensor, sides: tuple[int, int, int, int], *, globe: bool, signs: Tensor | None = None) -> Tensor:
    """A map with rows and columns added.

    Args:
        field: shape (B, C, H, W).
        sides: columns left and right, rows above and below.
        globe: whether the map is the globe's, its first and last row being the poles, with even W: its rows go on
            beyond a pole with those of the opposite meridian (the pole's own row is not repeated). Without, the
            edge is repeated.
        signs: by what each channel is multiplied beyond a pole, shape (C,): -1 for components of vectors.
    """
    left, right, above, below = sides
    if not globe:
        return F.pad(field, sides, mode="replicate") if any(sides) else field
    if above or below:
        across = field.roll(field.shape[-1] // 2, dims=-1)
        if signs is not None:
            across = across * signs.reshape(-1, 1, 1)
        height = field.shape[-2]
        north = across[..., 1 : above + 1, :].flip(-2)
        south = across[..., height - 1 - below : height - 1, :].flip(-2)
        field = torch.cat([north, field, south], dim=-2)
    return F.pad(field, (left, right, 0, 0), mode="circular") if left or right else field


def crop_map(field: Tensor, sides: tuple[int, int, int, int]) -> Tensor:
    """What `pad_map` was given."""
    left, right, above, below = sides
    return field[..., above : field.shape[-2] - below, left : field.shape[-1] - right]


class Convolution(nn.Module):
    """A convolution over a map: columns close around a globe, elsewhere the edge is repeated.

    Args:
        channels: in and out.
        kernel: side, odd.
        stride: in both directions.
        globe: whether columns close; rows beyond those of a globe are zero: what is near them is cropped at the end.
        groups: as in torch; as many as channels for a depthwise convolution.
        bias: whether there is one.
    """

    def __init__(
        self, channels: Sequence[int], kernel: int, *, globe: bool, stride: int = 1, groups: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self.reach, self.globe = kernel // 2, globe
        rows = self.reach if globe else 0
        self.kernel = nn.Conv2d(
            channels[0], channels[1], kernel, stride=stride, padding=(rows, 0), groups=groups, bias=bias
        )

    def forward(self, field: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H / stride, W / stride)."""
        reach = self.reach
        if self.globe:
            field = F.pad(field, (reach, reach, 0, 0), mode="circular")
        elif reach:
            field = F.pad(field, (reach, reach, reach, reach), mode="replicate")
        return self.kernel(field)
