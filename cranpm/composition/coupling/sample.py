"""Coupled forecasts of the sample world: what they start from and what comes out, made where the cache lacks it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from cranpm.composition.coupling.checkpoint import CouplingCheckpoint, read_coupling
from cranpm.composition.coupling.forecast import forecast_composition
from cranpm.composition.coupling.places import places_of
from cranpm.composition.coupling.report import area_of
from cranpm.composition.coupling.series import world_folder
from cranpm.data.lock import locked
from cranpm.data.progress import Progress, silent
from cranpm.errors import CranpmError
from cranpm.folders import cache_folder
from cranpm.grid import Grid
from cranpm.region import load_region

MODEL = "sample-coupling"
"""The network that ships with the package."""

SAME = ("pm2p5",)
"""What the world on a coarse grid and the one at 1 km have in common; gases there follow from PM2.5 and the weather."""


def sample_starts(
    checkpoint: CouplingCheckpoint, days: Sequence[dt.date], *, tell: Progress = silent
) -> dict[dt.date, Path]:
    """Folders with `cams/` and `driver/`, for forecasts from 00 UTC of simulated days (realisation 0).

    Raises:
        CranpmError: the network was not trained on the sample world.
    """
    from cranpm.sample.species import SPECIES_VERSION, SpeciesWorld
    from cranpm.sample.species_files import write_starts

    area = area_of([checkpoint])
    folder = world_folder(area, 0, cache_folder(), 0, SPECIES_VERSION)
    starts = {day: folder / "starts" / f"{day}" for day in days}
    with locked(folder, wait=True):
        missing = {day: path for day, path in starts.items() if not (path / "complete").exists()}
        if missing:
            tell("simulating starts", 0, len(missing))
            world = SpeciesWorld(load_region(area.region), area.grid)
            for done, path in enumerate(write_starts(world, missing), start=1):
                (path / "complete").touch()
                tell("simulating starts", done, len(missing))
    return starts


def sample_forecasts(days: Sequence[dt.date], grid: Grid, *, tell: Progress = silent) -> tuple[Path, tuple[str, ...]]:
    """Coupled forecasts of the sample world's days as files, and which of their species the 1 km world shares.

    Args:
        days: of issue.
        grid: that must lie within the network's.

    Returns:
        The folder of the files, and channel names.

    Raises:
        CranpmError: the network's grid does not reach over the one asked for.
    """
    checkpoint = read_coupling(MODEL)
    (west, south, east, north), (w, s, e, n) = checkpoint.grid.edges, grid.edges
    if w < west or s < south or e > east or n > north:
        raise CranpmError(
            f"network '{MODEL}' lies on {west:g}..{east:g}E {south:g}..{north:g}N, which does not hold "
            f"{w:g}..{e:g}E {s:g}..{n:g}N: only the sample of 'europe' can be forecast with it"
        )
    starts = sample_starts(checkpoint, days, tell=tell)
    out = next(iter(starts.values())).parents[1] / f"forecasts-{checkpoint.hash[:12]}"
    places = places_of(checkpoint)
    for done, (day, folder) in enumerate(starts.items(), start=1):
        if not (out / f"cams_forecast_{day:%Y%m%d}00.zip").exists():
            forecast_composition(checkpoint, day, folder / "cams", folder / "driver", out, places=places)
        tell("forecasting composition", done, len(starts))
    return out, SAME
