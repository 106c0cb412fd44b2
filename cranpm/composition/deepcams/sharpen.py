"""From maps three hours apart at 0.75 degrees to hourly maps at 0.25 degrees: time first, then space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cranpm.composition.deepcams.checkpoint import Sharpener
from cranpm.composition.deepcams.degrade import enlarge
from cranpm.composition.deepcams.geometry import Tiling, surrounded
from cranpm.composition.deepcams.objective import Network
from cranpm.composition.deepcams.pairs import HOURS
from cranpm.composition.deepcams.spatial import SpatialNetwork
from cranpm.grid import Grid

Map = NDArray[np.float32]
_AROUND = 16  # coarse pixels that the temporal network sees beyond the map


@dataclass(frozen=True)
class Engine:
    """Both networks, ready to run; interpolation, linear in time and bicubic in space, in the place of one left out.

    Attributes:
        time, space: what was trained, or None.
        networks: theirs.
        device: where they run.
    """

    time: Sharpener | None
    space: Sharpener | None
    networks: tuple[Network | None, Network | None]
    device: torch.device

    @classmethod
    def of(cls, time: Sharpener | None, space: Sharpener | None, device: torch.device) -> Engine:
        """The engine of trained networks."""
        made = [None if one is None else one.network().to(device) for one in (time, space)]
        return cls(time, space, (made[0], made[1]), device)

    @classmethod
    def plain(cls) -> Engine:
        """Interpolation alone: linear in time, bicubic in space."""
        return cls(None, None, (None, None), torch.device("cpu"))

    @property
    def simulated(self) -> bool:
        """Whether a network was trained on the sample world."""
        return any(one is not None and one.simulated for one in (self.time, self.space))

    def between(self, first: Map, second: Map, grid: Grid, *, periodic: bool, relative: float = 1.0) -> list[Map]:
        """The maps of the hours between two maps three hours apart, at least 0.

        Args:
            first, second: shape (height, width).
            grid, periodic: where they lie, and whether the columns go round the globe.
            relative: mean of the species over that of what the network was trained on, in the unit of the maps.
        """
        times = np.arange(1, HOURS, dtype=np.float32) / HOURS
        network = self.networks[0]
        if network is None or self.time is None:
            return [((1 - t) * first + t * second).astype(np.float32) for t in times]
        scale = np.float32(self.time.scale * relative)
        around = [surrounded(map / scale, grid, _AROUND, periodic=periodic) for map in (first, second)]
        ends = [torch.from_numpy(map)[None, None].to(self.device) for map in around]
        inside = (slice(_AROUND, _AROUND + grid.height), slice(_AROUND, _AROUND + grid.width))
        found = []
        with torch.inference_mode():
            for t in times:  # one at a time: half the memory
                guess = network(*ends, torch.tensor([t], device=self.device))[0, 0][inside]
                found.append(np.maximum(guess.float().cpu().numpy(), 0) * scale)
        return found

    def refine(self, map: Map, tiling: Tiling, *, relative: float = 1.0) -> tuple[Map, int]:
        """A map on the grid three times finer, and how many of its values were raised to 0.

        Args:
            map: shape (height, width).
            tiling: how it is cut into tiles.
            relative: as in `between`.
        """
        scale = np.float32((self.space.scale if self.space else 1.0) * relative)

        def run(tiles: Map) -> Map:
            with torch.inference_mode():
                coarse = torch.from_numpy(tiles)[:, None].to(self.device)
                network = self.networks[1] or enlarge
                # one tile at a time where every position attends to all: memory grows with the square of a tile
                alone = isinstance(network, SpatialNetwork) and network.config.attention
                parts = [network(part) for part in coarse.split(1 if alone else 4)]
                return torch.cat(parts)[:, 0].float().cpu().numpy()

        fine = tiling.refine(map / scale, run) * scale
        return np.maximum(fine, 0), int(np.count_nonzero(fine < 0))
