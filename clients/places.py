"""Four agencies of different regimes in the sample world, for `cranpm federate simulate`; all of it simulated."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from cranpm.data.progress import Progress
from cranpm.data.store import Store
from cranpm.grid import coarse_grid, fine_grid
from cranpm.region import Window, load_region
from cranpm.train.stores import end_with_parent

COARSE = (56, 84)
SIDE = 256
"""Pixels of the fine windows: four tiles of the small network."""
OVERLAP = 16
FIRST = date(2021, 7, 1)
"""In the packs' validation year: nothing of the years that models are scored on."""
PUBLIC = 12
"""Days that anyone may see, a week after the agencies' own."""


@dataclass(frozen=True)
class Place:
    """An agency's window: its pack, the coarse window's first node, and the fine window's north-west edge."""

    name: str
    region: str
    coarse: tuple[float, float]
    fine: tuple[float, float]

    @property
    def window(self) -> Window:
        """As grids."""
        return Window(coarse_grid(*self.coarse, *COARSE), fine_grid(*self.fine, SIDE, SIDE), OVERLAP)


PLACES = (
    Place("bihar", "india", (32.0, 76.0), (27.0, 84.0)),
    Place("california", "usa_canada", (44.0, -130.0), (38.5, -121.7)),
    Place("delhi", "india", (34.0, 68.0), (29.0, 76.0)),
    Place("silesia", "europe", (57.0, 8.0), (52.4, 16.4)),
)


def agency_days(count: int) -> tuple[date, ...]:
    """The agencies' own days."""
    return tuple(FIRST + timedelta(days=k) for k in range(count))


def public_days(count: int) -> tuple[date, ...]:
    """The public days after so many own days."""
    return tuple(FIRST + timedelta(days=count + 7 + k) for k in range(PUBLIC))


def make_stores(
    places: Sequence[Place], days: Sequence[date], seed: int, folder: Path, tell: Progress
) -> dict[str, Path]:
    """Simulate what is not there yet, in as many processes as there are cores.

    Args:
        places: the windows.
        days: wanted in each.
        seed: the realisation of weather, emissions and noise.
        folder: where stores are kept, for every further federation.
        tell: called about once a second.

    Returns:
        The stores by name of the place.
    """
    from cranpm.sample.world import WORLD_VERSION

    paths = {
        place.name: folder / "federation" / f"{place.name}-r{seed}-w{WORLD_VERSION}-{SIDE}.zarr" for place in places
    }
    missing = [place for place in places if _ready(paths[place.name], days) < len(days)]
    if missing:
        (folder / "federation").mkdir(parents=True, exist_ok=True)
        context = multiprocessing.get_context("spawn")
        workers = min(len(missing), os.cpu_count() or 1)
        with ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent) as pool:
            jobs = [pool.submit(_simulate, place, tuple(days), seed, paths[place.name]) for place in missing]
            while not all(job.done() for job in jobs):
                time.sleep(1.0)
                tell("simulating days", sum(_ready(path, days) for path in paths.values()), len(days) * len(places))
            for job in jobs:
                job.result()
        tell("simulating days", len(days) * len(places), len(days) * len(places))
    return paths


def _simulate(place: Place, days: Sequence[date], seed: int, path: Path) -> None:
    """Fill one store, on one core."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    from cranpm.sample.direct import write_store
    from cranpm.sample.world import World

    world = World(load_region(place.region), realisation=20 + seed, window=place.window)
    write_store(world, days, path, first=FIRST)


def _ready(path: Path, days: Sequence[date]) -> int:
    from cranpm.errors import CranpmError

    try:
        return len(set(Store.open(path).days) & set(days)) if path.exists() else 0
    except CranpmError:  # being made
        return 0
