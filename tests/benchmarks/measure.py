"""How the benchmarks measure: seconds, memory, the machine's own rate, and what the figures were taken on."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import datetime as dt
import json
import math
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from cranpm.errors import CranpmError
from cranpm.forecast.torch_engine import pick_device

Run = Callable[[], object]
Row = dict[str, Any]
MIB = 2**20


def seconds(run: Run, device: torch.device, *, repeats: int, warm_up: int = 2) -> float:
    """Median of some runs after a warm-up; on a GPU between device events, so launches are not waited for."""
    for _ in range(warm_up):
        run()
    return statistics.median(_once(run, device) for _ in range(repeats))


def peak_mib(run: Run, device: torch.device) -> float:
    """The most memory one run holds beyond what was held before it: weights and inputs do not count.

    On a GPU from torch's allocator. On Linux from the process's own high-water mark (VmHWM), which is set back
    first, after memory that was freed but kept was given back; `ru_maxrss` cannot be set back, and a child inherits
    its parent's. NaN where neither is to be had.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return (torch.cuda.max_memory_allocated(device) - before) / MIB
    if not _reset_high_water():
        return math.nan
    before = resident_mib("VmRSS")
    run()
    return resident_mib("VmHWM") - before


def held_mib(device: torch.device) -> float:
    """All that was ever held since the last `peak_mib` began: on a GPU by torch, else by the process."""
    return torch.cuda.max_memory_allocated(device) / MIB if device.type == "cuda" else resident_mib("VmHWM")


def resident_mib(key: str) -> float:
    """A line of /proc/self/status in MiB: VmRSS is what lies in memory now, VmHWM the most so far."""
    try:
        found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return math.nan
    return int(found[1]) / 1024 if found else math.nan


def captured(run: Run, device: torch.device) -> Run:
    """The device's work of a run as one CUDA graph; `run` must use the same memory every time."""
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        for _ in range(3):  # libraries choose and allocate now: they must not do it while the graph is recorded
            run()
    torch.cuda.current_stream(device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def matmul_gflops(device: torch.device, dtype: torch.dtype, *, size: int, repeats: int) -> float:
    """GFLOP/s of a plain square matrix product of random numbers: the machine's own rate."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2e-9 * size**3 / seconds(lambda: a @ b, device, repeats=repeats)


def precision(dtype: str, device: torch.device, *, cache: bool = True) -> contextlib.AbstractContextManager[object]:
    """Autocast for bf16, nothing for fp32; `cache=False` for weights that are bf16 already, and in CUDA graphs."""
    if dtype == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=cache)


def machine(device: torch.device) -> Row:
    """What the figures were taken on."""
    gpu = {"gpu": torch.cuda.get_device_name(device), "cuda": torch.version.cuda} if device.type == "cuda" else {}
    return {
        "date": f"{dt.datetime.now(dt.UTC):%Y-%m-%d}",
        **gpu,
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def arguments(about: str | None, *, config: str = "paper-96m", repeats: int = 5) -> argparse.ArgumentParser:
    """The options that all benchmarks share."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", choices=("small", "paper-96m"), default=config)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32", help="bf16: by autocast")
    parser.add_argument("--threads", type=int, help="of torch; [default: OMP_NUM_THREADS, else all cores]")
    parser.add_argument("--repeats", type=int, default=repeats, help="the median of so many runs counts")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument(
        "--compile", nargs="?", const="default", metavar="MODE", help="torch.compile, e.g. max-autotune-no-cudagraphs"
    )
    return parser


def set_up(settings: argparse.Namespace) -> torch.device:
    """The device, with the threads asked for; fp32 means fp32, so no TF32."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    return pick_device(settings.device)


def counted(text: str) -> list[int]:
    """Whole numbers from 1 on, separated by commas."""
    numbers = [int(part) for part in text.split(",")]
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"'{text}': whole numbers from 1 on expected, such as 1,2,4")
    return numbers


def show(rows: Sequence[Row]) -> None:
    """Print rows with the same keys as a Markdown table."""
    cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[k]) for line in cells) for k in range(len(cells[0]))]
    lines = [" | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in cells]
    lines.insert(1, "|".join("-" * (width + 2) for width in widths)[1:-1])
    print("\n".join(f"| {line} |" for line in lines), flush=True)


def save(path: Path | None, settings: argparse.Namespace, device: torch.device, **tables: object) -> None:
    """Write the figures with their machine and settings as JSON; NaN becomes null."""
    said = {key: str(value) if isinstance(value, Path) else value for key, value in vars(settings).items()}
    if path is not None:
        content = {"machine": machine(device), "settings": said, **tables}
        path.write_text(json.dumps(_plain(content), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def refuse(holds: bool, reason: str) -> None:
    """Raise a readable error if something does not go together."""
    if holds:
        raise CranpmError(reason)


def _once(run: Run, device: torch.device) -> float:
    if device.type != "cuda":
        began = time.perf_counter()
        run()
        return time.perf_counter() - began
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    start.record()
    run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000


def _reset_high_water() -> bool:
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        return False
    return True


def _cpu_name() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    if not math.isfinite(value):
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
