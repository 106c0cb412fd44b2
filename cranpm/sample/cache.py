"""The pack's sample as a prepared store, made on demand and kept: what `--data` means when it is left out."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from cranpm.data.composition import Composition
from cranpm.data.days import ONE_DAY
from cranpm.data.layout import SCHEMA_VERSION
from cranpm.data.lock import locked
from cranpm.data.progress import Progress, silent
from cranpm.data.store import Store
from cranpm.errors import CranpmError, require
from cranpm.folders import cache_folder
from cranpm.region import Region

if TYPE_CHECKING:
    from cranpm.sample.world import World

Make = Callable[[Sequence[date], Path, Progress], None]
_BLOCK = 31  # days whose files exist at a time


def sample_store(
    region: Region,
    days: Sequence[date],
    *,
    seed: int = 0,
    realisation: int = 0,
    full: bool = False,
    progress: Progress | None = None,
) -> Path:
    """A store of simulated days, by way of the providers' file formats and their loaders.

    One store is kept for each pack window, seed, realisation and version of the sample world, and grows by the
    days that are asked for; a second call with the same days only looks. Processes wait for each other.

    Args:
        region: the pack.
        days: the UTC days that must be in the store; see `cranpm.data.days.needed_days`.
        seed, realisation: which sample world.
        full: the pack's whole domain instead of its sample window.
        progress: told after each day.

    Raises:
        CranpmError: the cache folder cannot be written, a day lies before the store's time axis, or the extra
            that writes elevation files is not installed and days are to be simulated.
    """

    @cache
    def world() -> World:
        from cranpm.sample.world import World

        return World(region, seed=seed, realisation=realisation, full=full)

    def make(block: Sequence[date], files: Path, tell: Progress) -> None:
        from cranpm.sample.files import write_files

        write_files(world(), block, files, progress=tell)

    folder = cache_folder() / cache_key(region, seed, realisation, full)
    return grown_store(region, days, folder, make, tell=progress or silent)


def grown_store(
    region: Region, days: Sequence[date], folder: Path, make: Make, *, composition: Composition = "raw", tell: Progress
) -> Path:
    """The store in a folder of the cache, with the days that it lacks made as files and prepared, as they come.

    Args:
        region: the pack.
        days: those that must be in the store.
        folder: of the cache, for this store alone.
        make: writes the files of days that follow each other into a folder.
        composition: what `make` writes, whatever the pack says of its years.
        tell: told after each day.

    Raises:
        CranpmError: as `sample_store`.
    """
    wanted = sorted(set(days))
    if not wanted:
        raise CranpmError("no days asked for: give at least one day")
    path, start = folder / "store.zarr", _start(region, wanted)
    if start < _start(region, []):
        path = folder / f"store-from-{start.year}.zarr"
    if not _missing(path, wanted):
        return path
    require("rasterio", extra="terrain")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CranpmError(f"{folder}: cannot be made ({error}); set CRANPM_CACHE to a folder of yours") from error
    with locked(folder, wait=True):
        missing = _missing(path, wanted)
        if missing:
            _add(region, missing, path, start, make, composition, tell)
    return path


def _add(
    region: Region, days: list[date], path: Path, start: date, make: Make, composition: Composition, tell: Progress
) -> None:
    """Simulate days as files, a month at a time, and prepare them."""
    from cranpm.data.prepare import prepare

    what = f"simulating {region.name}"
    tell(what, 0, len(days))
    files, done = path.parent / "files", 0
    for block in _blocks(days):
        shutil.rmtree(files, ignore_errors=True)
        make(block, files, _shifted(what, done, len(days), tell))
        prepared = _shifted("preparing days", done, len(days), tell)
        prepare(region, files, path, days=block, start=start, composition=composition, progress=prepared)
        done += len(block)
    shutil.rmtree(files, ignore_errors=True)


def _shifted(what: str, before: int, total: int, tell: Progress) -> Progress:
    """Progress of one block of days as part of all days, under one name; reading single files is not told."""

    def part(step: str, done: int, of: int) -> None:
        if "day" in step:
            tell(what, before + done, total)

    return part


def _blocks(days: Sequence[date]) -> Iterator[list[date]]:
    """Days that follow each other, at most a month of them at a time."""
    block: list[date] = []
    for day in days:
        if block and (day - block[-1] != ONE_DAY or len(block) == _BLOCK):
            yield block
            block = []
        block.append(day)
    yield block


def _missing(path: Path, days: Sequence[date]) -> list[date]:
    if not path.exists():
        return list(days)
    ready = set(Store.open(path).days)
    return [day for day in days if day not in ready]


def _start(region: Region, days: Sequence[date]) -> date:
    """Where the time axis starts: a year before the first training year, or earlier where a day lies earlier."""
    return date(min([min(region.split.train) - 1, *(day.year for day in days)]), 1, 1)


def cache_key(region: Region, seed: int, realisation: int, full: bool) -> str:
    """Name of the cache entry: whatever changes the values changes the name."""
    from cranpm.sample.world import WORLD_VERSION

    window = asdict(region.window(full))
    content = json.dumps([window, region.sample.climate, WORLD_VERSION, SCHEMA_VERSION], sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()[:10]
    return f"{region.name}-{'full' if full else 'sample'}-s{seed}-r{realisation}-{digest}"
