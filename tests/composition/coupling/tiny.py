"""A coupling network and fields small enough for tests: a globe of 13 rows (poles included) by 24 columns."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from cranpm.composition.coupling.config import SMALL, CouplingConfig
from cranpm.composition.coupling.network import Coupling, Ground
from cranpm.composition.coupling.scales import Scales

ROWS, COLUMNS = 13, 24
GLOBE = CouplingConfig(
    name="tiny", species=("pm2p5", "no2_850", "o3_500"), weather=("u10", "v10", "t2m"), day_before=("no2_850",),
    logarithmic=("pm2p5", "no2_850"), hidden=8, bias=True, widths=(8, 8, 16), strides=(2, 3), depth=2, kernel=5,
    time_width=8, groups=2,
)  # fmt: skip
REGION = replace(GLOBE, name="tiny-region", globe=False)


def network(config: CouplingConfig = GLOBE, *, trained: bool = True) -> Coupling:
    """With random weights, its last layer too where it is to be as if trained."""
    torch.manual_seed(0)
    made = Coupling(config, Scales.unit(config)).eval()
    if trained:
        torch.nn.init.normal_(made.head.kernel.weight, std=0.05)
        for block in made.unet.middle:
            torch.nn.init.constant_(block.scale, 0.5)
    return made


def inputs(config: CouplingConfig = GLOBE, batch: int = 1, shape: tuple[int, int] = (ROWS, COLUMNS)) -> dict:
    """Arguments of the network: before, now, weather, weather_next, ground, clock."""
    torch.manual_seed(1)

    def field(channels: int, size: int = batch) -> Tensor:
        return torch.randn(size, channels, *shape)

    species, weather = len(config.species), len(config.weather)
    return {
        "before": field(species) + 2, "now": field(species) + 2, "weather": field(weather),
        "weather_next": field(weather), "ground": Ground(field(len(config.places), 1)),
        "clock": torch.tensor([[100.0, 12.0]]).repeat(batch, 1),
    }  # fmt: skip


def small(species: tuple[str, ...]) -> CouplingConfig:
    """The small configuration for some species."""
    from cranpm.composition.coupling.config import with_species

    return with_species(SMALL, species)
