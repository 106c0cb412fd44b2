"""The block of the U-Net's middle: Conv2Former, attention's place taken by a large depthwise convolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cranpm.composition.coupling.sphere import Convolution

_START = 1e-6  # of the layer scales: at first a block is nearly the identity


class Conv2Former(nn.Module):
    """x + g1 P(DW(GELU(W1 LN x)) o W2 LN x), then + g2 MLP(LN x), whose middle adds a depthwise 3 x 3 of itself.

    Args:
        width: channels d; there are 11 d^2 + (k^2 + 55) d parameters.
        kernel: side k of the depthwise convolution.
        globe: whether columns close around it.
    """

    def __init__(self, width: int, kernel: int, *, globe: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.weigh, self.value, self.project = (nn.Conv2d(width, width, 1) for _ in range(3))
        self.around = Convolution((width, width), kernel, globe=globe, groups=width)
        self.mlp_norm = nn.LayerNorm(width, eps=1e-6)
        self.widen, self.narrow = nn.Conv2d(width, 4 * width, 1), nn.Conv2d(4 * width, width, 1)
        self.near = Convolution((4 * width, 4 * width), 3, globe=globe, groups=4 * width)
        self.scale, self.mlp_scale = (nn.Parameter(torch.full((width, 1, 1), _START)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, d, H, W) to the same."""
        seen = _over_channels(self.norm, x)
        x = x + self.scale * self.project(self.around(F.gelu(self.weigh(seen))) * self.value(seen))
        wide = F.gelu(self.widen(_over_channels(self.mlp_norm, x)))
        return x + self.mlp_scale * self.narrow(wide + F.gelu(self.near(wide)))


def _over_channels(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    return norm(x.movedim(1, -1)).movedim(-1, 1)
