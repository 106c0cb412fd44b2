"""A bundle on this machine's CPU: ONNX Runtime beside eager torch and beside the machine's own rate, in one run.

python -m tests.benchmarks.edge --threads 2 --json edge.json
python -m tests.benchmarks.edge --config small --repeats 3
python -m tests.benchmarks.edge --data india-full.zarr --region india         a whole map, with its peak of memory

The networks have random weights: speed and memory do not depend on them. Bundles are exported into --folder and kept
there. Each is timed in a process of its own that has no torch, by `cranpm bundle bench`; a whole map by
`cranpm forecast`. Bars: a tile within 0.6 of (its GFLOP / torch's fp32 matrix-product rate), and within 0.6 of torch's
own eager tile; the process below 1 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from cranpm.model.config import CONFIGS
from cranpm.model.parts import parts
from tests.benchmarks.measure import matmul_gflops, seconds
from tests.benchmarks.networks import day_of, encode, random_network, tiles_of

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Measure, print a table, and write the figures where asked."""
    given = _arguments()
    torch.set_num_threads(given.threads)
    device = torch.device("cpu")
    found: dict[str, Any] = {"config": given.config, "threads": given.threads, "gflop": _gflop(given.config)}
    for kind, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        found[f"torch_{kind}_gflops"] = matmul_gflops(device, dtype, size=4096, repeats=given.repeats)
    found["torch_tile_s"] = _eager(given, device)
    for precision in given.precisions.split(","):
        bundle = _bundle(given, precision)
        found[precision] = _bench(bundle, given)
        tile_s = found[precision]["tile_s"]
        found[precision]["of_product"] = tile_s / (found["gflop"]["tile"] / found["torch_fp32_gflops"])
        found[precision]["of_eager"] = tile_s / found["torch_tile_s"]
    if given.data:
        found["map"] = _map(_bundle(given, "fp32"), given)
    print(json.dumps(found, indent=1))
    if given.json:
        Path(given.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="paper-96m", choices=list(CONFIGS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--precisions", default="fp32,fp16", help="int8 needs --data: it is calibrated")
    parser.add_argument("--folder", type=Path, default=Path("runs/edge"))
    parser.add_argument("--region", default="europe")
    parser.add_argument("--data", default="", help="a store of the whole region: int8, and a whole map")
    parser.add_argument("--date", default="", help="of the whole map")
    parser.add_argument("--json", default="")
    return parser.parse_args()


def _gflop(config: str) -> dict[str, float]:
    return {per: sum(part.gflop for part in parts(CONFIGS[config]) if part.per == per) for per in ("day", "tile")}


@torch.inference_mode()
def _eager(given: argparse.Namespace, device: torch.device) -> float:
    """Seconds of a tile in eager torch, fp32; the network is let go before bundles are timed."""
    network = random_network(given.config, device)
    held, tile = encode(network, day_of(network, device)), tiles_of(network, device, 1)
    return seconds(lambda: network.forward_held(held, *tile), device, repeats=given.repeats)


def _bundle(given: argparse.Namespace, precision: str) -> Path:
    path: Path = given.folder / f"{given.config}-{precision}.bundle"
    if not path.is_file():
        words = ["export", given.config, "--random-weights", "--region", given.region, "--precision", precision]
        words += ["--data", given.data] if precision == "int8" else ["--drawn-only"]
        _cranpm([*words, "--out", str(path)], given)
    return path


def _bench(bundle: Path, given: argparse.Namespace) -> dict[str, Any]:
    words = ["bundle", "bench", str(bundle), "--device", "cpu", "--repeats", str(given.repeats), "--json"]
    measured: dict[str, Any] = json.loads(_cranpm(words, given)[0])
    return measured


def _map(bundle: Path, given: argparse.Namespace) -> dict[str, float]:
    """A forecast of one lead of the whole store, as an edge site makes it."""
    words = ["forecast", given.region, "--date", given.date, "--leads", "1", "--bundle", str(bundle)]
    words += ["--data", given.data, "--out", str(given.folder / "maps"), "--device", "cpu"]
    started = time.perf_counter()
    _, peak = _cranpm(words, given)
    return {"seconds": time.perf_counter() - started, "peak_mb": peak}


def _cranpm(words: list[str], given: argparse.Namespace) -> tuple[str, float]:
    """What a command printed, and the most memory its process held, MB."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(given.threads), "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(
        [sys.executable, "-m", "cranpm", *words], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert child.stdout is not None
    printed = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"cranpm {' '.join(words)} failed")
    return printed, usage.ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    main()
