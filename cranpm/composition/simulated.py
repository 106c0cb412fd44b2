"""The sample prepared from the reanalysis at 0.75 degrees, or from the same sharpened: what sharpening is worth."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Literal

from cranpm.data.days import ONE_DAY
from cranpm.data.progress import Progress, silent
from cranpm.folders import cache_folder
from cranpm.region import Region

Kind = Literal["raw", "sharpened"]
KINDS: tuple[Kind, ...] = ("raw", "sharpened")
NETWORKS = ("sample-time", "sample-space")


def composition_store(region: Region, days: Sequence[date], kind: Kind, *, progress: Progress | None = None) -> Path:
    """A store of simulated days whose composition came by way of EAC4's grid and hours.

    Unlike `cranpm.sample.cache.sample_store`, whose composition is the world's own at 0.25 degrees. Kept in the cache
    folder by kind and by the networks that ship; grows by the days that are asked for.

    Args:
        region: the pack.
        days: those that must be in the store.
        kind: `raw`, as delivered; `sharpened`, by the networks that ship.
        progress: told after each day.

    Raises:
        CranpmError: as `sample_store`; for `sharpened`, torch is not installed.
    """
    from cranpm.sample.cache import cache_key, grown_store

    def make(block: Sequence[date], files: Path, tell: Progress) -> None:
        write_reanalysis_days(region, block, files, tell)
        if kind == "sharpened":
            _sharpen(files)

    folder = cache_folder() / f"{cache_key(region, 0, 0, False)}-{kind}{_networks() if kind == 'sharpened' else ''}"
    return grown_store(region, days, folder, make, composition=kind, tell=progress or silent)


def write_reanalysis_days(region: Region, block: Sequence[date], files: Path, tell: Progress = silent) -> None:
    """Write the products of simulated days, the composition (in `cams/`) as EAC4 would hold it.

    Args:
        region: the pack.
        block: days that follow each other.
        files: an empty folder, or none yet.
        tell: told after each day.
    """
    from cranpm.sample.eac4 import write_eac4
    from cranpm.sample.files import write_day, write_files
    from cranpm.sample.world import SimulatedDay, World

    world = World(region)
    write_files(world, (), files)
    before: SimulatedDay | None = None
    for number, simulated in enumerate(world.days([*block, block[-1] + ONE_DAY])):
        if before is not None:
            write_day(world, before, files)
            write_eac4(world.coarse, before, simulated, files / "eac4")
            tell("simulating days", number, len(block))
        before = simulated
    shutil.rmtree(files / "cams")
    (files / "eac4").rename(files / "cams")


def _sharpen(files: Path) -> None:
    """Put sharpened composition in the place of the reanalysis."""
    from cranpm.errors import require

    require("torch", extra="train")
    import torch

    from cranpm.composition.deepcams.checkpoint import read_sharpener
    from cranpm.composition.deepcams.files import sharpen_file
    from cranpm.composition.deepcams.reanalysis import open_reanalysis
    from cranpm.composition.deepcams.sharpen import Engine

    time, space = NETWORKS
    engine = Engine.of(read_sharpener(time, "time"), read_sharpener(space, "space"), torch.device("cpu"))
    sharpen_file(open_reanalysis([files / "cams"]), engine, files / "sharpened.nc")
    shutil.rmtree(files / "cams")


def _networks() -> str:
    """What tells these networks from others, for the name of a folder."""
    from cranpm.composition.deepcams.checkpoint import read_sharpener

    time, space = NETWORKS
    hashes = read_sharpener(time, "time").hash + read_sharpener(space, "space").hash
    return f"-{hashlib.sha256(hashes.encode()).hexdigest()[:8]}"
