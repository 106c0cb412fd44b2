"""Offline coupling: the whole network, top to bottom.

    P(t-1), P(t), places, emissions  -> composition  \\
    Q(t), Q(t+1)                     -> weather       > fused, 3 x 3 neighbourhoods   eq. 4
    fused, time of t                 -> U-Net, Conv2Former in its middle              eq. 5
    U-Net                            -> scale Psi and change D of every species       eq. 1
    P(t+1) = Psi B + D, base B: P(t), or P(t-1) for what follows the sun              eq. 2

A step is 12 h. Composition is what `Normalise` makes of concentrations (eqs. 10 to 12), weather is in physical units.
Psi is 1 plus what the last layer gives, which is zero at first: an untrained network forecasts its base. What it gives
for a species is in units of how much that species changes (`Scales.change`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cranpm.composition.coupling.channels import is_vector
from cranpm.composition.coupling.config import CouplingConfig
from cranpm.composition.coupling.conv2former import Conv2Former
from cranpm.composition.coupling.fusion import make_fusion
from cranpm.composition.coupling.normalise import Normalise
from cranpm.composition.coupling.scales import Scales
from cranpm.composition.coupling.sphere import Convolution, crop_map, pad_map


@dataclass(frozen=True)
class Ground:
    """What a forecast knows of the places, and stays as it is.

    Attributes:
        places: the channels of `CouplingConfig.places`, shape (B or 1, S, H, W).
        emissions: those of `CouplingConfig.emissions`, physical units, shape (B or 1, E, H, W); None without any.
    """

    places: Tensor
    emissions: Tensor | None = None


class Coupling(nn.Module):
    """The network f of eq. 1, and the forecast of eq. 2."""

    weather_mean: Tensor
    weather_std: Tensor
    place_mean: Tensor
    place_std: Tensor
    signs: Tensor
    day_before: Tensor
    unit: Tensor

    def __init__(self, config: CouplingConfig, scales: Scales) -> None:
        super().__init__()
        self.config = config
        self.species = Normalise(*scales.of_species(config))
        self.emitted = Normalise(*scales.of_emissions(config)) if config.emissions else None
        place_mean, place_std = scales.of_places(config)
        weather_mean, weather_std = scales.of_weather(config)
        for name, values in (
            ("weather_mean", weather_mean), ("weather_std", weather_std),
            ("place_mean", place_mean), ("place_std", place_std),
        ):  # fmt: skip
            self.register_buffer(name, torch.tensor(values).reshape(-1, 1, 1), persistent=False)
        self.register_buffer(
            "signs", torch.tensor([-1.0 if is_vector(n) else 1.0 for n in config.weather * 2]), persistent=False
        )
        late = torch.tensor([name in config.day_before for name in config.species])
        self.register_buffer("day_before", late.reshape(-1, 1, 1), persistent=False)
        self.register_buffer("unit", torch.tensor(scales.of_changes(config)).reshape(-1, 1, 1), persistent=False)
        self.fusion = make_fusion(config)
        self.unet = UNet(config)
        self.head = Convolution((config.widths[0], 2 * len(config.species)), 3, globe=config.globe)
        nn.init.zeros_(self.head.kernel.weight)
        nn.init.zeros_(self.head.kernel.bias)  # type: ignore[arg-type]

    def forward(
        self, before: Tensor, now: Tensor, weather: Tensor, weather_next: Tensor, ground: Ground, clock: Tensor
    ) -> Tensor:
        """The composition 12 h after t.

        Args:
            before, now: composition at t - 12 h and t as `species` makes it, shape (B, C, H, W).
            weather, weather_next: at t and t + 12 h, physical units, shape (B, D, H, W).
            ground: what is known of the places.
            clock: day of the year and hour of the day (UTC) of t, shape (B, 2).

        Returns:
            Eq. 2, as `species` would make it, shape (B, C, H, W).
        """
        scale, change = self.changes(before, now, weather, weather_next, ground, clock)
        return scale * self.base(before, now) + change

    def base(self, before: Tensor, now: Tensor) -> Tensor:
        """B of eq. 2: of 24 h before the forecast for the species that follow the sun, else the latest."""
        return torch.where(self.day_before, before, now)

    def changes(
        self, before: Tensor, now: Tensor, weather: Tensor, weather_next: Tensor, ground: Ground, clock: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Psi and D of eq. 1, shape (B, C, H, W) each; the arguments are those of `forward`."""
        batch, _, *shape = now.shape
        composition = torch.cat([before, now, *self._ground(ground, batch)], dim=1)
        both = torch.cat([(weather - self.weather_mean), (weather_next - self.weather_mean)], dim=1)
        both = both / self.weather_std.repeat(2, 1, 1)
        sides = self.config.padding((shape[0], shape[1]))
        composition = pad_map(composition, sides, globe=self.config.globe)
        both = pad_map(both, sides, globe=self.config.globe, signs=self.signs)
        fields = self.head(self.unet(self.fusion(composition, both), clock))
        scale, change = crop_map(fields, sides).chunk(2, dim=1)
        return 1 + self.unit * scale, self.unit * change

    def _ground(self, ground: Ground, batch: int) -> list[Tensor]:
        found = [(ground.places - self.place_mean) / self.place_std]
        if self.emitted is not None:
            assert ground.emissions is not None
            found.append(self.emitted(ground.emissions))
        return [field.expand(batch, -1, -1, -1) for field in found]


class UNet(nn.Module):
    """Levels down, Conv2Former blocks at the coarsest, levels up; the time is added at each (section 3.5)."""

    def __init__(self, config: CouplingConfig) -> None:
        super().__init__()
        widths, strides, globe, groups = config.widths, config.strides, config.globe, config.groups
        self.time = TimeEmbedding(config.time_width)
        self.first = Level(widths[0], widths[0], config)
        self.down = nn.ModuleList(
            Convolution((widths[k], widths[k + 1]), 3, stride=stride, globe=globe) for k, stride in enumerate(strides)
        )
        self.encoder = nn.ModuleList(Level(width, width, config) for width in widths[1:-1])
        self.middle_norm = nn.GroupNorm(groups, widths[-1])
        self.middle_time = nn.Linear(config.time_width, widths[-1])
        self.middle = nn.Sequential(*(Conv2Former(widths[-1], config.kernel, globe=globe) for _ in range(config.depth)))
        self.up = nn.ModuleList(
            Convolution((widths[k + 1], widths[k]), 3, globe=globe) for k in reversed(range(len(strides)))
        )
        self.decoder = nn.ModuleList(Level(2 * width, width, config) for width in reversed(widths[:-1]))
        self.strides = strides

    def forward(self, fields: Tensor, clock: Tensor) -> Tensor:
        """(B, G, H, W), and day of the year and hour (B, 2), to (B, G, H, W)."""
        time = self.time(clock)
        skips = [self.first(fields, time)]
        for down, level in zip(self.down[:-1], self.encoder, strict=True):
            skips.append(level(down(skips[-1]), time))
        middle = F.gelu(self.middle_norm(self.down[-1](skips[-1])) + _on_map(self.middle_time(time)))
        fields = self.middle(middle)
        for up, level, stride in zip(self.up, self.decoder, reversed(self.strides), strict=True):
            fields = up(F.interpolate(fields, scale_factor=float(stride), mode="nearest"))
            fields = level(torch.cat([fields, skips.pop()], dim=1), time)
        return fields


class Level(nn.Module):
    """Two 3 x 3 convolutions, each normalised in groups and followed by GELU; the time is added after the first."""

    def __init__(self, into: int, width: int, config: CouplingConfig) -> None:
        super().__init__()
        self.first = Convolution((into, width), 3, globe=config.globe)
        self.second = Convolution((width, width), 3, globe=config.globe)
        self.first_norm, self.second_norm = (nn.GroupNorm(config.groups, width) for _ in range(2))
        self.time = nn.Linear(config.time_width, width)

    def forward(self, fields: Tensor, time: Tensor) -> Tensor:
        """(B, C, H, W) and the embedded time (B, T) to (B, C', H, W)."""
        fields = F.gelu(self.first_norm(self.first(fields)) + _on_map(self.time(time)))
        return F.gelu(self.second_norm(self.second(fields)))


class TimeEmbedding(nn.Module):
    """Eq. 5 with the circle's 2 pi, which is missing in print: hour 24 is hour 0. Then two layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, width), nn.GELU(), nn.Linear(width, width), nn.GELU())

    def forward(self, clock: Tensor) -> Tensor:
        """Day of the year and hour of the day (B, 2) to (B, T)."""
        return self.layers(waves(clock))


def waves(clock: Tensor) -> Tensor:
    """Eq. 5: cosines and sines of the day in a year of 366 and the hour in a day of 24, shape (B, 4)."""
    turns = 2 * math.pi * clock / torch.tensor([366.0, 24.0], device=clock.device)
    return torch.cat([turns.cos(), turns.sin()], dim=1)


def _on_map(values: Tensor) -> Tensor:
    return values[:, :, None, None]
