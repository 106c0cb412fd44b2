"""The decoder with its head folded into its last convolution: the same map of tokens to fields, of less arithmetic.

Between the last activation and the fields everything is linear. With a the activation, x what goes around it, S the
last 3x3 convolution and H the 1x1 head,

    H (x + S a) = H x + (H S) a,

and H S has as many outputs as there are fields: one, not 32. A runtime is slow at 3x3 convolutions with so few outputs:
each of the nine taps is an output of one 1x1 convolution, and the nine maps are added, each shifted by its tap.
The weights keep their names, and H S is written as arithmetic on them: ONNX Runtime computes it once, as a session is
made, with the weights of an adapter where one is worn.
"""

from __future__ import annotations

from functools import reduce
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cranpm.model.decoder import Decoder, UpBlock

_TAPS = 9


class FoldedDecoder(nn.Module):
    """What a decoder computes, of a decoder's own weights."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.up, self.head = decoder.up, decoder.head

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Tokens (B, N, D) in raster order of a grid; fields (B, F, S, S)."""
        field = tokens.unflatten(1, grid).permute(0, 3, 1, 2)
        *before, last = cast("list[UpBlock]", list(self.up))
        for block in before:
            field = block(field)
        around = last.rise(field)
        inner = last.act(last.first(around))
        return F.conv2d(around, self.head.weight, self._bias(last.second)) + self._last(inner, last.second)

    def _bias(self, second: nn.Conv2d) -> Tensor:
        """H s + h, of the biases of the last convolution and of the head."""
        assert second.bias is not None and self.head.bias is not None
        return (self.head.weight.flatten(1) @ second.bias[:, None])[:, 0] + self.head.bias

    def _last(self, inner: Tensor, second: nn.Conv2d) -> Tensor:
        """(H S) a: the nine taps, each where it belongs."""
        fields, channels = self.head.weight.shape[:2]
        both = self.head.weight.flatten(1) @ second.weight.flatten(1)
        taps = both.reshape(fields, channels, _TAPS).permute(2, 0, 1).reshape(_TAPS * fields, channels, 1, 1)
        mode = "constant" if second.padding_mode == "zeros" else second.padding_mode
        maps = F.pad(F.conv2d(inner, taps), (1, 1, 1, 1), mode=mode)
        height, width = inner.shape[-2:]
        shifted = [
            maps[:, tap * fields : (tap + 1) * fields, tap // 3 : tap // 3 + height, tap % 3 : tap % 3 + width]
            for tap in range(_TAPS)
        ]
        return reduce(torch.add, shifted)
