"""What a forecast knows of the places of its grid: from the sample world, or from a pack's own terrain."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cranpm.composition.coupling.checkpoint import CouplingCheckpoint
from cranpm.composition.coupling.report import area_of, world_seed
from cranpm.composition.coupling.series import places, simulated_ground
from cranpm.errors import CranpmError
from cranpm.folders import cache_folder


def places_of(checkpoint: CouplingCheckpoint) -> Tensor:
    """The channels of `CouplingConfig.places` on the network's grid, shape (S, H, W).

    Those of the sample world where the network was trained on it, in the region that its provenance names.

    Raises:
        CranpmError: terrain is needed on a grid for which none is known.
    """
    names, grid = checkpoint.config.places, checkpoint.grid
    if checkpoint.simulated:
        return torch.from_numpy(
            simulated_ground(area_of([checkpoint]), names, cache_folder(), seed=world_seed(checkpoint))
        )
    if {"elevation", "land"} & set(names):
        raise CranpmError("terrain of real places is not read yet for the coupling: train a network without it")
    empty = np.zeros(grid.shape, np.float32)
    return torch.from_numpy(places(names, grid, empty, empty))
