"""What the temporal network is put together from: features of a map, an hourglass, the refinement; first weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Features(nn.Module):
    """Features of one map, at the stride: a strided convolution is shared by the halvings that it takes."""

    def __init__(self, n: int, stride: int) -> None:
        super().__init__()
        self.halvings = stride.bit_length() - 1
        self.first = nn.Conv2d(1, n, 3, 1, 1)
        self.strided = nn.Conv2d(n, n, 3, 2, 1) if self.halvings else None
        self.second = nn.Conv2d(n, n, 3, 1, 1)
        self.residual = nn.Sequential(Residual(n), Residual(n))

    def forward(self, map: Tensor) -> Tensor:
        """(n, 1, h, w) to (n, features, h / stride, w / stride)."""
        x = F.relu(self.first(map))
        for _ in range(self.halvings):
            assert self.strided is not None
            x = F.relu(self.strided(x))
        x = self.second(x)
        return x + self.residual(x)


class Residual(nn.Module):
    """Convolution, ReLU, convolution, added to what came in."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(n, n, 3, 1, 1), nn.Conv2d(n, n, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Shape kept."""
        return x + self.second(F.relu(self.first(x)))


class Hourglass(nn.Module):
    """Twice down and twice up; the last layer begins at zero."""

    def __init__(self, incoming: int, n: int, outgoing: int) -> None:
        super().__init__()
        self.down_1, self.down_2 = nn.Conv2d(incoming, 2 * n, 4, 2, 1), nn.Conv2d(2 * n, 4 * n, 4, 2, 1)
        self.up_1, self.up_2 = nn.Conv2d(4 * n, 2 * n, 3, 1, 1), nn.Conv2d(2 * n, n, 3, 1, 1)
        self.last = zeroed(nn.Conv2d(n, outgoing, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(n, incoming, h, w) to (n, outgoing, h, w); h and w are multiples of 4."""
        x = F.relu(self.down_2(F.relu(self.down_1(x))))
        x = F.relu(self.up_1(F.interpolate(x, scale_factor=2)))
        return self.last(F.relu(self.up_2(F.interpolate(x, scale_factor=2))))


class Refinement(nn.Module):
    """A U-Net that gives the mask's logit and the residual of eq. 3; the last layer begins at zero."""

    def __init__(self, incoming: int, n: int, *, whole: bool) -> None:
        super().__init__()
        self.down_1 = nn.Conv2d(incoming, n, 4, 2, 1)
        self.down_2 = nn.Conv2d(n, 2 * n, 4, 2, 1)
        self.down_3 = nn.Conv2d(2 * n, 4 * n, 4, 2, 1)
        self.deepest = nn.Conv2d(4 * n, 4 * n, 3, 1, 1)
        self.up_1 = nn.Conv2d(6 * n, 2 * n, 3, 1, 1)
        self.up_2 = nn.Conv2d(3 * n, n, 3, 1, 1)
        self.whole = nn.Conv2d(incoming, n, 3, 1, 1) if whole else None
        self.join = nn.Conv2d(2 * n, n, 3, 1, 1) if whole else None
        self.last = zeroed(nn.Conv2d(n, 2, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(n, incoming, h, w) to (n, 2, h, w); h and w are multiples of 8."""
        one = F.relu(self.down_1(x))
        two = F.relu(self.down_2(one))
        deep = F.relu(self.deepest(F.relu(self.down_3(two))))
        up = F.relu(self.up_1(torch.cat([F.interpolate(deep, scale_factor=2), two], dim=1)))
        up = F.relu(self.up_2(torch.cat([F.interpolate(up, scale_factor=2), one], dim=1)))
        up = F.interpolate(up, scale_factor=2)
        if self.whole is not None and self.join is not None:
            whole = F.relu(self.whole(x))
            up = whole + F.relu(self.join(torch.cat([up, whole], dim=1)))
        return self.last(up)


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """A layer that gives zero until it is trained."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def started(module: nn.Module) -> None:
    """First weights of a convolution that keep what passes through it at its size (He et al. 2015), unless zeroed.

    What torch starts with lets it fade by more than half in each layer.
    """
    if isinstance(module, nn.Conv2d) and module.weight.any():
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        assert module.bias is not None
        nn.init.zeros_(module.bias)
