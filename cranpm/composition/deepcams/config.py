"""The shapes of the two networks: `paper`, as published, and `small`, which two cores train in minutes."""

from __future__ import annotations

from dataclasses import dataclass

from cranpm.config import nearest
from cranpm.errors import CranpmError


@dataclass(frozen=True)
class TemporalConfig:
    """Of the network that fills in hours.

    Attributes:
        features: channels of the feature maps; everything else is a multiple of it.
        stride: pixels of the map behind one pixel of the features: 1, 2 or 4.
        levels: coarsest level; level l sees the maps reduced by 2**l. With 0 there is no other than the map itself.
        unit: what a 1 of the last layer adds to the normalised map; published 1. Near the size of the corrections,
            training neither jumps about them nor crawls.
        flow_unit: the same for flows, in pixels of the features.
        whole: whether the refinement looks at full resolution, too. As published it ends with features of half of it,
            enlarged: enough for pictures, too little where a pixel is 75 km.
        relative: whether the network sees the logarithms of the maps and how they change, and adds a *share* of the
            map. PM2.5 spans two orders of magnitude, and what wind, mixing and traffic do to it is in proportion.
    """

    features: int
    stride: int
    levels: int
    unit: float = 1.0
    flow_unit: float = 1.0
    whole: bool = False
    relative: bool = False

    @property
    def multiple(self) -> int:
        """Height and width the maps are padded to a multiple of."""
        return 2**self.levels * self.stride * 4 if self.stride > 1 else 2**self.levels * 8


@dataclass(frozen=True)
class SpatialConfig:
    """Of the network that refines the grid.

    Attributes:
        features: channels between blocks.
        head: channels of the first convolution.
        blocks: up-projections; there is one down-projection less.
        attention: whether every position of a tile attends to all of them, as published. Without, the result does
            not depend on the size of the tiles.
        unit: as in `TemporalConfig`.
    """

    features: int
    head: int
    blocks: int
    attention: bool
    unit: float = 1.0


TEMPORAL = {
    "paper": TemporalConfig(features=64, stride=4, levels=1),
    "small": TemporalConfig(features=16, stride=2, levels=0, unit=0.1, flow_unit=0.1, whole=True, relative=True),
}
SPATIAL = {
    "paper": SpatialConfig(features=32, head=64, blocks=10, attention=True),
    "small": SpatialConfig(features=16, head=32, blocks=3, attention=False, unit=0.2),
}


def temporal_config(name: str) -> TemporalConfig:
    """A temporal configuration by name.

    Raises:
        CranpmError: there is no such configuration.
    """
    if name not in TEMPORAL:
        raise CranpmError(f"no temporal configuration '{name}' ({nearest(name, list(TEMPORAL))})")
    return TEMPORAL[name]


def spatial_config(name: str) -> SpatialConfig:
    """A spatial configuration by name.

    Raises:
        CranpmError: there is no such configuration.
    """
    if name not in SPATIAL:
        raise CranpmError(f"no spatial configuration '{name}' ({nearest(name, list(SPATIAL))})")
    return SPATIAL[name]
