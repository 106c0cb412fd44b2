"""What a forecast knows of the places of its grid: from the sample world, or from a pack's own terrain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cranpm.composition.coupling.series import Area, places, simulated_ground
from cranpm.errors import CranpmError
from cranpm.folders import cache_folder
from cranpm.grid import Grid


def places_of(names: Sequence[str], grid: Grid, region: str, simulated: bool) -> NDArray[np.float32]:
    """The channels of the places, shape (S, H, W).

    Args:
        names: the channels of `CouplingConfig.places`.
        grid: of the forecast.
        region: the pack.
        simulated: whether the network was trained on the sample world, whose terrain it then needs.

    Raises:
        CranpmError: terrain is needed on a grid for which none is known.
    """
    if simulated:
        area = Area(region, grid.north, grid.west, grid.step, grid.height, grid.width)
        return simulated_ground(area, names, cache_folder())
    if {"elevation", "land"} & set(names):
        raise CranpmError("terrain of real places is not read yet for the coupling: train a network without it")
    empty = np.zeros(grid.shape, np.float32)
    return places(names, grid, empty, empty)
