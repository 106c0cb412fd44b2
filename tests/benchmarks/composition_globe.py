"""The globe for a day: 0.75 degrees every 3 hours to 0.25 degrees every hour. Time, memory, seam, mean, nodes.

    python -m tests.benchmarks.composition_globe [--time FOLDER] [--space FOLDER] [--hours 24] [--threads 1]

The globe is the analytic one of `cranpm.sample.globe`, so its hours and its 0.25 degrees are known everywhere. Prints
wall and CPU seconds, peak memory, the change of the domain mean, RMSE beside interpolation, how the error at the date
line compares with that at every other longitude, and how far nodes of both grids move beside how far the degradation
(the mean over a cell) had moved them.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import netCDF4
import numpy as np
import torch
from numpy.typing import NDArray

from cranpm.composition.deepcams.checkpoint import read_sharpener
from cranpm.composition.deepcams.files import sharpen_file
from cranpm.composition.deepcams.reanalysis import open_reanalysis
from cranpm.composition.deepcams.sharpen import Engine
from cranpm.sample.globe import FINE, globe_cells, globe_map, write_globe

Map = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--time", default="sample-time")
    parser.add_argument("--space", default="sample-space")
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    engine = Engine.of(
        None if given.time == "linear" else read_sharpener(given.time, "time"),
        None if given.space == "bicubic" else read_sharpener(given.space, "space"),
        torch.device("cpu"),
    )
    with TemporaryDirectory() as name:
        folder = Path(name)
        source = write_globe(folder / "globe.nc", range(0, given.hours + 1, 3))
        measure(source, engine, folder / "sharp.nc", given.threads)
        write_globe(folder / "start.nc", (0, 3))
        sharpen_file(open_reanalysis([folder / "start.nc"]), Engine.plain(), folder / "plain.nc")
        for hour in (1, 3):
            truth = globe_map(FINE, hour)
            for kind in ("plain", "sharp"):
                with netCDF4.Dataset(folder / f"{kind}.nc") as data:
                    made = data["pm2p5"][hour]
                report(kind, hour, made, truth)
                if hour == 3:
                    nodes(kind, made, truth, globe_cells(hour))


def measure(source: Path, engine: Engine, out: Path, threads: int) -> None:
    """Sharpen, and print what it took and what it did to the mean."""
    reanalysis = open_reanalysis([source])
    wall, spent = time.perf_counter(), time.process_time()
    kept = sharpen_file(reanalysis, engine, out)["pm2p5"]
    wall, spent = time.perf_counter() - wall, time.process_time() - spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{kept.hours} hours: {wall:.0f} s wall, {spent:.0f} CPU s, {threads} threads, peak {peak:.2f} GiB")
    print(f"mean {kept.before:.4f} -> {kept.after:.4f} ug m-3 ({100 * kept.change:+.3f}%)")
    print(f"block means within {100 * kept.blocks:.2f}% (rms) of the reanalysis; {kept.clipped} raised to 0")


def report(kind: str, hour: int, made: Map, truth: Map) -> None:
    """RMSE of a map, and at the date line: the error, and the step between the last and the first column."""
    error = np.abs(made - truth)
    by_place = [float(np.roll(error, -turn, axis=1)[:, [*range(-6, 6)]].mean()) for turn in range(0, 1440, 12)]
    steps = np.abs(np.diff(np.concatenate([made, made[:, :1]], axis=1), axis=1)).max(axis=0)
    print(
        f"hour {hour}, {kind}: RMSE {np.sqrt((error**2).mean()):.4f}; mean error around the date line "
        f"{by_place[0]:.4f} (other places {min(by_place[1:]):.4f} to {max(by_place[1:]):.4f}); largest step across it "
        f"{steps[-1]:.2f} (elsewhere up to {steps[:-1].max():.2f})"
    )


def nodes(kind: str, made: Map, truth: Map, cells: Map) -> None:
    """How far nodes of both grids lie from the reanalysis, in the result and in truth."""
    moved, meant = (np.abs(one[::3, ::3] - cells) for one in (made, truth))
    print(
        f"nodes of both grids, {kind}: moved by {np.sqrt((moved**2).mean()):.4f} (rms), {moved.max():.2f} (most); the "
        f"degradation had moved them by {np.sqrt((meant**2).mean()):.4f}, {meant.max():.2f}"
    )


if __name__ == "__main__":
    main()
