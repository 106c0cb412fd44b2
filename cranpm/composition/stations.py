"""PM2.5 at stations before and after sharpening: does more detail agree better with what was measured?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cranpm.data.inspect import identify
from cranpm.data.products import stations
from cranpm.data.products.description import Description
from cranpm.data.products.hours import Want, daily_mean, gather, span
from cranpm.errors import CranpmError
from cranpm.grid import Grid, sample_points
from cranpm.variables import COMPOSITION

_PM = next(v for v in COMPOSITION if v.name == "pm2p5")


@dataclass(frozen=True)
class InSitu:
    """Daily means at stations: Pearson correlation, RMSE and mean error (ug m-3), over all pairs."""

    r: float
    rmse: float
    bias: float
    pairs: int
    stations: int


def compare_at_stations(products: Sequence[Sequence[Path]], measured: Sequence[Path]) -> list[InSitu]:
    """Score products at the same stations on the same days, those that all of them have.

    Args:
        products: the files of each product: the reanalysis as delivered, the sharpened one.
        measured: station tables, as `cranpm data prepare` reads them.

    Returns:
        One entry for each product.

    Raises:
        CranpmError: a product without PM2.5, or no day and station that all have.
    """
    files = [_pm_files(paths) for paths in products]
    tables = [found for path in _files(measured) for found in identify(path) if found.product == "stations"]
    if not tables:
        raise CranpmError(
            f"{', '.join(str(path) for path in measured)}: no station tables; see docs/products.md for their formats"
        )
    days = sorted(set.intersection(*({day for file in one for day in file.days} for one in files)))
    grids = [one[0].axes.grid for one in files if one[0].axes is not None]
    west, south, east, north = _common(grids)
    found = stations.daily(tables, days, (west, south, east, north))
    at = (found["latitude"].values, found["longitude"].values)
    truth: list[NDArray] = []
    guesses: list[list[NDArray]] = [[] for _ in files]
    for number, day in enumerate(days):
        maps = [_daily(one, grid, day) for one, grid in zip(files, grids, strict=True)]
        if any(one is None for one in maps):
            continue
        truth.append(found["pm2p5"].values[number])
        for guess, mean, grid in zip(guesses, maps, grids, strict=True):
            assert mean is not None
            guess.append(sample_points(mean, grid, *at))
    kept = np.isfinite(np.array(truth)) if truth else np.zeros((0, 0), bool)
    if kept.sum() < 3:
        raise CranpmError(
            f"{int(kept.sum())} daily means of stations inside {south:g}..{north:g}N {west:g}..{east:g}E on the days "
            "of both products; expected some: check the days of the files"
        )
    return [_scored(np.array(guess)[kept], np.array(truth)[kept], kept) for guess in guesses]


def _scored(guess: NDArray, truth: NDArray, kept: NDArray[np.bool_]) -> InSitu:
    error = guess.astype(float) - truth
    r = float(np.corrcoef(guess, truth)[0, 1])
    at = int(kept.any(axis=0).sum())
    return InSitu(r, float(np.sqrt((error**2).mean())), float(error.mean()), int(kept.sum()), at)


def _daily(files: Sequence[Description], grid: Grid, day: date) -> NDArray[np.float32] | None:
    """Daily mean of PM2.5 on the files' own grid; None where a day is not whole."""
    hours = gather(files, [Want("pm2p5", _PM, None, *span(day))], grid)
    try:
        return daily_mean(hours["pm2p5"], "pm2p5", day) if "pm2p5" in hours else None
    except CranpmError:
        return None


def _pm_files(paths: Sequence[Path]) -> list[Description]:
    found = [file for path in _files(paths) for file in identify(path) if "pm2p5" in file.names]
    if not found:
        raise CranpmError(f"{', '.join(path.name for path in paths)}: no PM2.5 found; give files of the reanalysis")
    return found


def _files(paths: Sequence[Path]) -> list[Path]:
    return [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if file.is_file()]


def _common(grids: Sequence[Grid]) -> tuple[float, float, float, float]:
    """West, south, east, north of what all grids cover; they are of one area."""
    whole = all(grid.width * grid.step > 360 - 2 * grid.step for grid in grids)
    return (
        -180.0 if whole else max(grid.west for grid in grids),
        max(grid.south for grid in grids),
        180.0 if whole else min(grid.east for grid in grids),
        min(grid.north for grid in grids),
    )
