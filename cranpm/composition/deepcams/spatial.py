"""The spatial network (ABPN by three): one map in, the map on a grid three times finer out (eq. 7).

Up- and down-projections (`Up`: the paper's EUBP, `Down`: EDBP) alternate: each goes to the other resolution and back
and corrects itself by the difference. Attention (SAB) follows each down-projection. What they add up to is added to
the bicubic map, and what that fails to give back at the coarse grid is projected once more.

The last layers begin at zero: an untrained network *is* bicubic interpolation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cranpm.composition.deepcams.config import SpatialConfig
from cranpm.composition.deepcams.degrade import degrade, enlarge
from cranpm.composition.deepcams.layers import zeroed

KERNEL, STRIDE, PADDING = 5, 3, 1  # so that 3 n pixels become n and the other way round


class SpatialNetwork(nn.Module):
    """A map on a grid three times finer.

    Args:
        config: its shape.
    """

    def __init__(self, config: SpatialConfig) -> None:
        super().__init__()
        self.config = config
        d, blocks = config.features, config.blocks
        self.first = nn.Sequential(nn.Conv2d(1, config.head, 3, 1, 1), nn.PReLU())
        self.look = attention(config, config.head)
        self.second = nn.Sequential(nn.Conv2d(config.head, d, 3, 1, 1), nn.PReLU())
        self.ups = nn.ModuleList(Up(d) for _ in range(blocks))
        self.downs = nn.ModuleList(Down(d) for _ in range(blocks - 1))
        self.attentions = nn.ModuleList(attention(config, d) for _ in range(blocks - 1))
        self.up_links = nn.ModuleList(activated(nn.Conv2d(d, d, 1)) for _ in range(blocks - 2))
        self.attention_links = nn.ModuleList(
            activated(nn.Conv2d(d, d, 1)) for _ in range(blocks - 3 if config.attention else 0)
        )
        self.from_ups = nn.Sequential(activated(nn.Conv2d(blocks * d, d, 1)), activated(nn.Conv2d(d, d, 3, 1, 1)))
        self.from_downs = nn.Sequential(activated(nn.Conv2d((blocks - 1) * d, d, 1)), Up(d))
        self.last = zeroed(nn.Conv2d(d, 1, 3, 1, 1))
        self.back_first = nn.Sequential(nn.Conv2d(1, config.head, 3, 1, 1), nn.PReLU())
        self.back_look = attention(config, config.head)
        self.back_last = zeroed(nn.Conv2d(config.head, 1, 3, 1, 1))

    def forward(self, coarse: Tensor) -> Tensor:
        """(n, 1, h, w), normalised, to (n, 1, 3 h, 3 w)."""
        x = self.first(coarse)
        x = self.second(self.look(x, x))
        ups: list[Tensor] = []
        downs: list[Tensor] = []
        for k, up in enumerate(self.ups):
            high = up(x)
            if k >= 2:
                high = high + self.up_links[k - 2](ups[k - 2])
            ups.append(high)
            if k < len(self.downs):
                low = self.downs[k](high)
                x = self.attentions[k](self._earlier(k, x, downs), low)
                downs.append(x)
        detail = self.last(self.from_ups(torch.cat(ups, dim=1)) + self.from_downs(torch.cat(downs, dim=1)))
        return self._project_back(coarse, enlarge(coarse) + self.config.unit * detail)

    def _earlier(self, k: int, before: Tensor, downs: list[Tensor]) -> Tensor:
        """What the k-th attention compares positions by: the features before, from the third on linked further back."""
        return self.attention_links[k - 2](downs[k - 2]) if k >= 2 and self.config.attention else before

    def _project_back(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Correct a fine map by what its degradation lacks (published: what is lacking at the coarse nodes alone)."""
        x = self.back_first(coarse - degrade(fine))
        return fine + self.config.unit * enlarge(self.back_last(self.back_look(x, x)))


class Up(nn.Module):
    """Up-projection: up, back down, the difference to what came in up again, and added."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.there, self.back = activated(_deconvolution(d)), activated(_convolution(d))
        self.again = activated(_deconvolution(d))
        self.incoming, self.outgoing = activated(nn.Conv2d(d, d, 1)), activated(nn.Conv2d(d, d, 1))

    def forward(self, low: Tensor) -> Tensor:
        """(n, d, h, w) to (n, d, 3 h, 3 w)."""
        high = self.there(low)
        return self.outgoing(high) + self.again(self.incoming(low) - self.back(high))


class Down(nn.Module):
    """Down-projection: the mirror image of `Up`."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.there, self.back = activated(_convolution(d)), activated(_deconvolution(d))
        self.again = activated(_convolution(d))
        self.incoming, self.outgoing = activated(nn.Conv2d(d, d, 1)), activated(nn.Conv2d(d, d, 1))

    def forward(self, high: Tensor) -> Tensor:
        """(n, d, 3 h, 3 w) to (n, d, h, w)."""
        low = self.there(high)
        return self.outgoing(low) + self.again(self.incoming(high) - self.back(low))


class Attention(nn.Module):
    """Every position of a map gathers from all positions of another, by how alike they are; not scaled."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.key, self.query = nn.Conv2d(d, d, 1), nn.Conv2d(d, d, 1)
        self.value, self.outgoing = nn.Conv2d(d, d, 1), nn.Conv2d(d, d, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """y + projection of softmax(K(x)^T Q(x)) V(y), both of shape (n, d, h, w); softmax over Q's positions."""
        key, query, value = (layer(of).flatten(2).mT for layer, of in ((self.key, x), (self.query, x), (self.value, y)))
        gathered = F.scaled_dot_product_attention(key, query, value, scale=1.0)
        return y + self.outgoing(gathered.mT.reshape_as(y))


class NoAttention(nn.Module):
    """In the place of attention where the configuration has none."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """y, as it is."""
        return y


def attention(config: SpatialConfig, d: int) -> nn.Module:
    """Attention over d channels, or nothing where the configuration has none."""
    return Attention(d) if config.attention else NoAttention()


def activated(layer: nn.Module) -> nn.Sequential:
    """A layer and a parametric ReLU of one slope."""
    return nn.Sequential(layer, nn.PReLU())


def _convolution(d: int) -> nn.Conv2d:
    return nn.Conv2d(d, d, KERNEL, STRIDE, PADDING)


def _deconvolution(d: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(d, d, KERNEL, STRIDE, PADDING)
