"""How fast training examples leave a store of Europe's size, and how many cores keep a GPU fed.

python -m tests.benchmarks.loader --cache /tmp/loader --json loader.json

Makes a store with Europe's grids and layout (kept with --cache), then lets `cranpm.train.loader` make groups of one
day with 2, 8 and 16 tiles of 512 px, with tiles at the chunks' corners and anywhere, in 0, 1 and 2 workers. The
fields are random but smooth, with a texture of one pixel, so that they compress like maps; nothing of them is real.
The files lie in the page cache: what a parallel file system adds is not in these figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from zarr.storage import LocalStore

from cranpm.data.dataset import DiskStore, Examples
from cranpm.data.store import Store
from cranpm.model.config import PAPER_96M
from cranpm.region import load_region
from cranpm.tiles import plan_tiles
from cranpm.train.loader import Sampling, Steps, feed
from cranpm.variables import COARSE
from tests.benchmarks.full_store import full_store

LEADS = (1, 2, 3)
USABLE_DAYS = 1457  # of 2017-2020: the day before and three days after are there too
LAND_TILES = 130  # of the 160 of Europe's plan
GPU_HOURS, EPOCHS = 860, 30  # the paper's training
TILE_GFLOP, DAY_GFLOP = 134.1, 93.1  # forward, of a tile and of a day's encoding
BF16_TFLOPS, SHARE = 790, 0.4  # a modern GPU's rate, and the share of it that training reaches at best


@dataclass(frozen=True)
class Speed:
    """One measurement: how examples were made, and tiles per second and kilobytes read per tile."""

    tiles_per_day: int
    align: int
    workers: int
    tiles_per_second: float
    kilobytes_per_tile: float


def main() -> None:
    """Make the store, print the table and the arithmetic."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, help="folder that keeps the store (without: a temporary one)")
    parser.add_argument("--days", type=int, default=6, help="days of the store, at least 5 (%(default)s)")
    parser.add_argument("--height", type=int, help="rows of the fine map, from the north (all 4192)")
    parser.add_argument("--tiles", type=int, nargs="+", default=[2, 8, 16], help="tiles per day (%(default)s)")
    parser.add_argument("--align", type=int, nargs="+", default=[256, 1], help="px (%(default)s)")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], help="loader processes (%(default)s)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement (%(default)s)")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with _folder(asked.cache) as folder:
        store = Store.open(full_store(folder, load_region("europe"), days=asked.days, height=asked.height))
        disk = DiskStore(store, store.days)
        examples = Examples([disk], PAPER_96M, LEADS)
        _ = disk.elevation  # read once by a process, before the clock starts
        about = _about(store)
        print("\n".join(f"{key}: {value}" for key, value in about.items()))
        print(f"\n{'tiles/day':>9} {'align':>6} {'workers':>8} {'tiles/s':>8} {'kB/tile':>8}", flush=True)
        speeds = []
        for tiles in asked.tiles:
            for align in asked.align:
                steps = Steps(examples, Sampling(1, 1, tiles, (1.0,) * len(LEADS), 0.0, align), 0, steps=100_000)
                size = _kilobytes(steps, tiles)
                for workers in asked.workers:
                    speeds.append(Speed(tiles, align, workers, _rate(steps, tiles, workers, asked.seconds), size))
                    s = speeds[-1]
                    print(
                        f"{tiles:9} {align:6} {workers:8} {s.tiles_per_second:8.1f} {s.kilobytes_per_tile:8.0f}",
                        flush=True,
                    )
    needs = [_need(speeds, tiles) for tiles in asked.tiles]
    print("\n".join(_arithmetic(needs)))
    if asked.json:
        figures = {"about": about, "speeds": [asdict(s) for s in speeds], "needs": needs}
        asked.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _rate(steps: Steps, tiles: int, workers: int, seconds: float) -> float:
    """Tiles per second that leave the loader while nobody computes."""
    batches = iter(feed(steps, workers=workers))
    for _ in range(2 * workers + 1):  # workers have started and their queues are full
        next(batches)
    began, groups = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < seconds:
        next(batches)
        groups += 1
    return groups * tiles / spent


def _kilobytes(steps: Steps, tiles: int, groups: int = 8) -> float:
    """Read from files per tile, its share of the coarse days and of the indices of files included."""
    _ = steps[0]
    sizes: list[int] = []
    get = LocalStore.get

    async def counting(self: LocalStore, key: str, prototype: Any, byte_range: Any = None) -> Any:
        buffer = await get(self, key, prototype, byte_range)
        sizes.append(len(buffer) if buffer is not None else 0)
        return buffer

    LocalStore.get = counting  # type: ignore[method-assign]
    try:
        for step in range(1, groups + 1):
            _ = steps[step]
    finally:
        LocalStore.get = get  # type: ignore[method-assign]
    return sum(sizes) / (groups * tiles) / 1000


def _need(speeds: Sequence[Speed], tiles: int) -> dict[str, float]:
    """Tiles per second that a GPU takes and a core gives: the most per worker, or without workers if none was asked."""
    own = [s for s in speeds if s.tiles_per_day == tiles]
    core = max(s.tiles_per_second / max(s.workers, 1) for s in ([s for s in own if s.workers] or own))
    gflop = 3 * (TILE_GFLOP + DAY_GFLOP / tiles)
    paper = USABLE_DAYS * LAND_TILES * EPOCHS / (GPU_HOURS * 3600)
    modern = SHARE * BF16_TFLOPS * 1000 / gflop
    return {
        "tiles_per_day": tiles, "core": core, "gflop_per_tile": gflop, "paper_gpu": paper, "modern_gpu": modern,
        "cores_per_paper_gpu": paper / core, "cores_per_modern_gpu": modern / core,
    }  # fmt: skip


def _arithmetic(needs: Sequence[dict[str, float]]) -> Iterator[str]:
    """The needs in words."""
    epoch = USABLE_DAYS * LAND_TILES
    yield (
        f"\nAn epoch, as counted here: {USABLE_DAYS:,} usable days of 2017-2020 x {LAND_TILES} land tiles of the "
        f"160-tile plan, each with one lead: {epoch:,} tiles.\nThe paper's GPUs: {GPU_HOURS} GPU-hours / ({EPOCHS} "
        f"epochs x {epoch:,} tiles) = {GPU_HOURS * 3600 / EPOCHS / epoch:.3f} s per tile and GPU, "
        f"{needs[0]['paper_gpu']:.2f} tiles/s."
    )
    for need in needs:
        yield (
            f"{need['tiles_per_day']:2.0f} tiles/day: a core makes {need['core']:.1f} tiles/s: "
            f"{need['cores_per_paper_gpu']:.2f} cores feed one of the paper's GPUs. A modern GPU needs at least "
            f"{need['gflop_per_tile']:.0f} GFLOP / ({SHARE:.0%} of {BF16_TFLOPS} TFLOP/s) = "
            f"{1000 / need['modern_gpu']:.2f} ms per tile, {need['modern_gpu']:.0f} tiles/s: "
            f"{need['cores_per_modern_gpu']:.1f} cores."
        )


def _about(store: Store) -> dict[str, object]:
    """What was measured on."""
    pixels = store._pm
    size = sum(file.stat().st_size for file in (store.path / "fine" / "pm2p5" / "c").rglob("*") if file.is_file())
    land = len(plan_tiles(*store.fine.shape, size=PAPER_96M.tile, overlap=store.overlap).tiles(store.land))
    return {
        "fields": "random, smooth, with a texture of one pixel; not real",
        "fine map": f"{store.fine.height} x {store.fine.width} px, in chunks of {pixels.chunks[1:]} px, "
        f"files of {pixels.shards[1:]} px",
        "land": f"{store.land.mean():.0%} of the pixels, {land} tiles of the plan",
        "compressed": f"{8 * size / len(store.days) / store.land.sum():.1f} bits per land pixel",
        "coarse": f"{len(COARSE)} x {store.coarse.height} x {store.coarse.width}",
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("numpy", "zarr", "numcodecs", "torch")),
    }


@contextmanager
def _folder(cache: Path | None) -> Iterator[Path]:
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        yield cache
        return
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


if __name__ == "__main__":
    main()
