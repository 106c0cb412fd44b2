"""How fast a bundle runs here: seconds per tile, per day, and so per map, on drawn inputs."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from cranpm.export.budget import as_json, budget
from cranpm.export.cases import drawn_case
from cranpm.forecast.bundle import Bundle
from cranpm.forecast.onnx_engine import BATCH, OnnxEngine
from cranpm.tiles import plan_tiles


def bench(bundle: Bundle, *, device: str = "auto", batch: int | None = None, repeats: int = 5) -> dict[str, Any]:
    """Run a bundle on drawn inputs, and time it.

    Args:
        bundle: the bundle.
        device: where.
        batch: tiles at a time; without, what suits the device.
        repeats: how often the day and the tiles are run; medians count.

    Returns:
        Hardware, provider and precision; seconds to start, per day and per tile; per pack of the bundle the tiles of
        a whole map (those at sea included) and the seconds of one lead; the peak of memory, and what was predicted.
    """
    engine = OnnxEngine(bundle, device=device, batch=batch)
    kind = engine.spec.device.split(",")[0]
    size = batch or BATCH[kind]
    window, lead = max(bundle.days), engine.spec.trained_leads[0]
    case = drawn_case(engine.spec, bundle.checkpoint.statistics, window, lead, count=size)
    started = time.perf_counter()
    state = engine.encode_day(case.day, lead)
    ready = time.perf_counter() - started
    day = _median(lambda: engine.encode_day(replace(case.day), lead), repeats)
    started = time.perf_counter()
    engine.forecast_tiles(state, case.tiles, lead)
    ready += time.perf_counter() - started
    tile = _median(lambda: engine.forecast_tiles(state, case.tiles, lead), repeats) / size
    return {
        "bundle": bundle.checkpoint.name,
        "manifest": bundle.hash,
        "precision": bundle.precision,
        "device": engine.spec.device,
        "processor": _processor(),
        "cores": _cores(),
        "threads": os.environ.get("OMP_NUM_THREADS", "") or "all",
        "batch": size,
        "window": f"{window[0]}x{window[1]}",
        "start_s": round(ready, 3),
        "day_s": round(day, 4),
        "tile_s": round(tile, 4),
        "maps": {name: _map(bundle, name, day, tile) for name in bundle.manifest["packs"]},
        "peak_mb": _peak(),
        "predicted": as_json(budget(bundle, device="cuda" if kind in ("cuda", "tensorrt") else "cpu", batch=size)),
    }


def _map(bundle: Bundle, name: str, day: float, tile: float) -> dict[str, float]:
    """A whole map of a pack, as if no tile lay at sea."""
    from cranpm.forecast.load import Choice

    region = Choice(None, bundle).region(name)
    plan = plan_tiles(*region.fine.shape, size=bundle.checkpoint.config.tile, overlap=region.overlap)
    count = len(plan.tiles())
    return {"tiles": count, "seconds": round(day + count * tile, 2)}


def _median(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _processor() -> str:
    """The processor's own name, where the system tells."""
    table = Path("/proc/cpuinfo")
    lines = table.read_text().splitlines() if table.is_file() else []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _peak() -> float | None:
    """Most memory that this process ever held, MB; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)
