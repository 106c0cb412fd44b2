"""A store with the grids and layout of a whole region: random but smooth fields, nothing of them real but the coast.

python -m tests.benchmarks.full_store india /tmp/stores            two days of the whole of India, some 100 MB

A simulated store of a whole region takes long; reading, tiling and the network take the same time on noise. The
texture of one pixel lets the maps compress as maps do. For networks that read no forecasts.
"""

from __future__ import annotations

import argparse
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cranpm.data.layout import DayRecord, Fixed, Header, StationTable
from cranpm.data.writer import open_writer
from cranpm.grid import Grid, bilinear
from cranpm.model.statistics import nominal
from cranpm.region import Region, load_region
from cranpm.variables import COARSE

FIRST = date(2017, 1, 1)
STATIONS = 2971  # as many as the paper's


def main() -> None:
    """Write a store where there is none, and print where it lies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("region", help="a shipped region or the path of a pack")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--days", type=int, default=2, help="from 2017-01-01 on (%(default)s)")
    asked = parser.parse_args()
    print(full_store(asked.folder, load_region(asked.region), days=asked.days, coast=True))


def full_store(folder: Path, region: Region, *, days: int, height: int | None = None, coast: bool = False) -> Path:
    """The store, written unless it is there.

    Args:
        folder: where it lies.
        region: whose grids it has.
        days: how many, from 2017-01-01 on.
        height: rows of the fine map, from the north; without, all.
        coast: the real land mask; without, 55 % of the map are land.
    """
    fine = region.fine.window(0, 0, height or region.fine.height, region.fine.width)
    path = folder / f"{region.name}-{fine.height}x{fine.width}-{days}.zarr"
    if path.exists():
        return path
    header = Header(region.name, "sample", region.coarse, fine, region.overlap, {"benchmark": True})
    terrain = _smooth(np.random.default_rng(0), fine, min(900, fine.height // 3))
    land = _coast(fine) if coast else terrain > np.quantile(terrain[::10, ::10], 0.45)

    def fixed() -> Fixed:
        rng = np.random.default_rng(1)
        elevation = np.where(land, 400 * (terrain - terrain.min()), 0).astype(np.float32)
        lats, lons = rng.choice(fine.lats, STATIONS), rng.choice(fine.lons, STATIONS)
        names = tuple(map(str, range(STATIONS)))
        table = StationTable(names, names, names, tuple(lats), tuple(lons), (0.0,) * STATIONS)
        return Fixed(np.zeros(region.coarse.shape, np.float32), elevation, land, table)

    with open_writer(path, header, fixed, FIRST, FIRST + timedelta(days=days - 1)) as writer:
        for k in range(days):
            print(f"writing day {k + 1} of {days}", flush=True)
            writer.write_day(_day(k, region.coarse, fine, land))
    return path


def _coast(fine: Grid) -> NDArray[np.bool_]:
    """Which pixels are land on the real Earth."""
    from global_land_mask import globe

    rows = [globe.is_land(np.full(fine.width, lat), fine.lons) for lat in fine.lats]
    return np.stack(rows)


def _day(k: int, coarse: Grid, fine: Grid, land: NDArray[np.bool_]) -> DayRecord:
    rng = np.random.default_rng([2, k])
    scales = nominal().coarse
    fields = np.stack([
        np.clip(scales[f"{name}_t"][0] + scales[f"{name}_t"][1] * _smooth(rng, coarse, 12), variable.low, variable.high)
        for name, variable in COARSE.items()
    ]).astype(np.float32)  # fmt: skip
    texture = rng.normal(0, 0.5, fine.shape).astype(np.float32)
    pm = np.where(land, np.clip(15 + 6 * _smooth(rng, fine, 25) + texture, 0.5, None), np.float32(np.nan))
    measured = rng.gamma(2, 8, STATIONS).astype(np.float32)
    return DayRecord(FIRST + timedelta(days=k), fields, pm, None, measured)


def _smooth(rng: np.random.Generator, grid: Grid, apart: int) -> NDArray[np.float32]:
    """Noise that varies over so many pixels, of about unit deviation."""
    wide = Grid(grid.north, grid.west, grid.step * apart, grid.height // apart + 2, grid.width // apart + 2)
    return bilinear(rng.normal(0, 1.5, wide.shape).astype(np.float32), wide, grid.lats, grid.lons)


if __name__ == "__main__":
    main()
