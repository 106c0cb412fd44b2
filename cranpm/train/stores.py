"""The simulated stores that a recipe trains on, made once and kept in the cache folder for every seed."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict
from datetime import date
from pathlib import Path

from cranpm.data.store import Store
from cranpm.errors import CranpmError
from cranpm.region import Region
from cranpm.train.recipe import Past, Recipe

_POLL = 1.0  # seconds between looks at what is ready


def make_stores(recipe: Recipe, region: Region, pasts: Sequence[Past], folder: Path) -> Iterator[tuple[int, int]]:
    """Simulate the days that are not there yet, in as many processes as there are cores.

    Yields:
        Days that are ready and days in all, about once a second; the last pair is complete.

    Raises:
        CranpmError: a simulation failed.
    """
    paths = [store_path(recipe, region, past, folder) for past in pasts]
    total = sum(len(past.dates) for past in pasts)
    missing = [(past, path) for past, path in zip(pasts, paths, strict=True) if _ready(path, past) < len(past.dates)]
    if missing:
        workers = min(len(missing), os.cpu_count() or 1)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent) as pool:
            jobs = [pool.submit(_simulate, recipe, region, past, path) for past, path in missing]
            try:
                while not all(job.done() for job in jobs):
                    time.sleep(_POLL)
                    _raise_failures(jobs)
                    yield sum(map(_ready, paths, pasts)), total
                _raise_failures(jobs)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    yield total, total


def store_path(recipe: Recipe, region: Region, past: Past, folder: Path) -> Path:
    """Where the store of some days lies: whatever changes its values changes its name."""
    from cranpm.data.layout import SCHEMA_VERSION
    from cranpm.sample.world import WORLD_VERSION

    window = asdict(recipe.window(past.window, region.sample.overlap))
    seed = _seed(recipe)
    content = [window, region.sample.climate, seed, past.days, WORLD_VERSION, SCHEMA_VERSION]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]
    name = f"{region.name}-{past.window}-s{seed}-r{past.realisation}-{digest}.zarr"
    return folder / "training" / name


def _seed(recipe: Recipe) -> int:
    assert recipe.simulated is not None, "only recipes with simulated days have stores of their own"
    return recipe.simulated.world_seed


def end_with_parent() -> None:
    """Let this process end as soon as the one that started it has, even if that was killed; stores survive it."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _simulate(recipe: Recipe, region: Region, past: Past, path: Path) -> None:
    """Fill one store; runs in a process of its own, on one core."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    from cranpm.sample.direct import write_store
    from cranpm.sample.world import World

    path.parent.mkdir(parents=True, exist_ok=True)
    window = recipe.window(past.window, region.sample.overlap)
    world = World(region, seed=_seed(recipe), realisation=past.realisation, window=window)
    write_store(world, past.dates, path)


def _ready(path: Path, past: Past) -> int:
    """How many of the days a store holds; 0 while it is being made."""
    try:
        ready: set[date] = set(Store.open(path).days) if path.exists() else set()
    except CranpmError:
        return 0
    return len(ready & set(past.dates))


def _raise_failures(jobs: Sequence[Future[None]]) -> None:
    for job in jobs:
        if job.done() and (error := job.exception()) is not None:
            raise error
