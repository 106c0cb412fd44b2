"""How composition and weather meet: low-rank bilinear pooling over 3 x 3 neighbourhoods, and what it is compared to.

Eq. 4 of the coupling paper: the 3 x 3 neighbourhoods of both are projected to H channels and multiplied there; the
product is projected to the 3 x 3 neighbourhood of the result (unvec), where overlapping neighbourhoods add up. Read
as convolutions: a 3 x 3 convolution of each, their product, and a 3 x 3 (transposed) convolution of that.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cranpm.composition.coupling.config import CouplingConfig
from cranpm.composition.coupling.sphere import Convolution


class BilinearPooling(nn.Module):
    """Eq. 4: W'_x^T (W'_p^T vec(p) o W'_q^T vec(q)).

    A transposed 3 x 3 convolution of stride 1 is a 3 x 3 convolution with its kernel turned round, so W'_x is one.
    """

    def __init__(self, composition: int, weather: int, hidden: int, width: int, *, globe: bool, bias: bool) -> None:
        super().__init__()
        self.composition = Convolution((composition, hidden), 3, globe=globe, bias=bias)
        self.weather = Convolution((weather, hidden), 3, globe=globe, bias=bias)
        self.product = Convolution((hidden, width), 3, globe=globe, bias=bias)

    def forward(self, composition: Tensor, weather: Tensor) -> Tensor:
        """(B, P, H, W) and (B, Q, H, W) to (B, G, H, W)."""
        return self.product(self.composition(composition) * self.weather(weather))


class Concatenation(nn.Module):
    """Composition and weather side by side, the ablation's other way; without weather where there is none to see."""

    def __init__(self, composition: int, weather: int, hidden: int, width: int, *, globe: bool) -> None:
        super().__init__()
        self.blind = not weather
        self.first = Convolution((composition + weather, hidden), 3, globe=globe)
        self.second = Convolution((hidden, width), 3, globe=globe)

    def forward(self, composition: Tensor, weather: Tensor) -> Tensor:
        """(B, P, H, W) and (B, Q, H, W) to (B, G, H, W)."""
        both = composition if self.blind else torch.cat([composition, weather], dim=1)
        return self.second(F.gelu(self.first(both)))


def make_fusion(config: CouplingConfig) -> BilinearPooling | Concatenation:
    """The fusion of a configuration."""
    composition = 2 * len(config.species) + len(config.places) + len(config.emissions)
    weather, width = 2 * len(config.weather), config.widths[0]
    if config.fusion == "bilinear":
        return BilinearPooling(composition, weather, config.hidden, width, globe=config.globe, bias=config.bias)
    seen = weather if config.fusion == "concat" else 0
    return Concatenation(composition, seen, config.hidden, width, globe=config.globe)
