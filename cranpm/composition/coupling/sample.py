"""What coupled forecasts of the sample world start from, made where the cache lacks it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from cranpm.composition.coupling.checkpoint import CouplingCheckpoint
from cranpm.composition.coupling.report import area_of, world_seed
from cranpm.composition.coupling.series import world_folder
from cranpm.data.lock import locked
from cranpm.data.progress import Progress, silent
from cranpm.folders import cache_folder
from cranpm.region import load_region


def sample_starts(
    checkpoint: CouplingCheckpoint, days: Sequence[dt.date], *, tell: Progress = silent
) -> dict[dt.date, Path]:
    """Folders with `cams/` and `driver/`, for forecasts from 00 UTC of simulated days (realisation 0).

    Raises:
        CranpmError: the network was not trained on the sample world.
    """
    from cranpm.sample.species import SPECIES_VERSION, SpeciesWorld
    from cranpm.sample.species_files import write_starts

    area, seed = area_of([checkpoint]), world_seed(checkpoint)
    folder = world_folder(area, 0, cache_folder(), seed, SPECIES_VERSION)
    starts = {day: folder / "starts" / f"{day}" for day in days}
    with locked(folder, wait=True):
        missing = {day: path for day, path in starts.items() if not (path / "complete").exists()}
        if missing:
            tell("simulating starts", 0, len(missing))
            world = SpeciesWorld(load_region(area.region), area.grid, seed=seed)
            for done, path in enumerate(write_starts(world, missing), start=1):
                (path / "complete").touch()
                tell("simulating starts", done, len(missing))
    return starts
