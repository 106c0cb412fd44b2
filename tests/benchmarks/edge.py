"""A bundle on this machine's CPU: ONNX Runtime beside eager torch and beside the machine's own rate, in one run.

python -m tests.benchmarks.edge --threads 2 --json edge.json             seconds of a tile, all ways in turn
python -m tests.benchmarks.edge --steps                                  also without each step that makes it fast
python -m tests.benchmarks.edge --precisions fp32,fp16,int8 --data STORE int8 is calibrated on the first day of a store
python -m tests.benchmarks.edge --memory 1,2,4                           peaks of the edge process beside the budget
python -m tests.benchmarks.edge --data STORE --date D --map              a whole map, with its peak of memory

The networks have random weights: speed and memory do not depend on them. Bundles are exported into --folder and kept
there. STORE is one of the whole region (`tests.benchmarks.full_store`). All ways of computing a tile take turns, so
that a busy machine is busy for all; the best of all turns counts, in seconds and in CPU seconds. Memory is that of a
process without torch. Bars: a tile within 0.6 of (its GFLOP / torch's fp32 matrix-product rate), and within 0.6 of
torch's own eager tile; 8 bits within 0.6 of fp32; the process below 1 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

import cranpm.export.onnx as exporting
import cranpm.forecast.onnx_session as sessions
from cranpm.data.store import Store
from cranpm.export.bundle import Proof, export_bundle
from cranpm.export.cases import drawn_case
from cranpm.export.contents import Order
from cranpm.forecast.bundle import TILE_GRAPH, open_bundle
from cranpm.forecast.onnx_engine import OnnxEngine
from cranpm.model.config import CONFIGS
from cranpm.model.parts import parts
from cranpm.model.registry import load
from cranpm.region import load_region
from tests.benchmarks.networks import day_of, encode, random_network, tiles_of

ROOT = Path(__file__).parents[2]
PRODUCT = 2048  # side of the matrices whose product is the machine's own rate
Ways = dict[str, Callable[[], object]]


def main() -> None:
    """Measure, print JSON, and write it where asked."""
    given = _arguments()
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    torch.set_num_threads(given.threads)
    with ProcessPoolExecutor(1, get_context("spawn")) as apart:  # a child's peak begins with its parent's memory
        bundles = {
            precision: apart.submit(_bundle, given, precision).result() for precision in given.precisions.split(",")
        }
    found: dict[str, Any] = {"config": given.config, "threads": given.threads}
    if given.map:
        found["map"] = _map(bundles["fp32"], given)
    elif given.memory:
        batches = [int(batch) for batch in given.memory.split(",")]
        found["memory"] = [_memory(path, batch, given) for path in bundles.values() for batch in batches]
    else:
        found |= _tiles(bundles, given)
    print(json.dumps(found, indent=1))
    if given.json:
        Path(given.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="paper-96m", choices=list(CONFIGS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--precisions", default="fp32", help="fp32, fp16, int8, with commas; int8 needs --data")
    parser.add_argument("--folder", type=Path, default=Path("runs/edge"))
    parser.add_argument("--region", default="india")
    parser.add_argument("--data", type=Path, help="a store of the whole region")
    parser.add_argument("--steps", action="store_true", help="the fp32 tile also without each step that makes it fast")
    parser.add_argument("--memory", default="", help="tiles at a time, such as 1,2,4: measure memory, not time")
    parser.add_argument("--map", action="store_true", help="time a whole map, not a tile")
    parser.add_argument("--date", default="2017-01-02", help="of the whole map (%(default)s)")
    parser.add_argument("--json", default="")
    return parser.parse_args()


def _bundle(given: argparse.Namespace, precision: str, name: str = "") -> Path:
    path: Path = given.folder / f"{given.config}-{name or precision}.bundle"
    if not path.is_file():
        store = Store.open(given.data) if precision == "int8" else None
        proof = None if store is None else Proof(store, store.days[1:2])
        order = Order(load(given.config, random_weights=True), [load_region(given.region)], precision)
        export_bundle(order, path, proof=proof)
    return path


def _tiles(bundles: dict[str, Path], given: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a tile, by way of computing it, and what the bars are about."""
    ways = _torch_ways(given.config)
    for precision, path in bundles.items():
        ways[f"onnxruntime {precision}"] = _tile_of(path)
    if given.steps:
        ways |= _steps(given, bundles["fp32"])
    best = _in_turn(ways, given.repeats)
    flop = 2e-9 * PRODUCT**3
    rates = {kind: flop / best[f"product {kind}"]["seconds"] for kind in ("fp32", "bf16")}
    cpu_rate = flop / best["product fp32"]["cpu_seconds"]
    gflop = {
        per: sum(part.gflop for part in parts(CONFIGS[given.config]) if part.per == per) for per in ("day", "tile")
    }
    for name, spent in best.items():
        if name.startswith(("onnxruntime", "eager")):
            spent["of_product"] = spent["seconds"] / (gflop["tile"] / rates["fp32"])
            spent["of_product_cpu"] = spent["cpu_seconds"] / (gflop["tile"] / cpu_rate)
            spent["of_eager"] = spent["seconds"] / best["eager fp32"]["seconds"]
            spent["of_eager_cpu"] = spent["cpu_seconds"] / best["eager fp32"]["cpu_seconds"]
    return {"gflop": gflop, "gflop_per_s": rates, "load": os.getloadavg(), "ways": best}


def _torch_ways(config: str) -> Ways:
    """The machine's own rate, and the network as torch runs it."""
    network, device = random_network(config, torch.device("cpu")), torch.device("cpu")
    with torch.inference_mode():
        held, tile = encode(network, day_of(network, device)), tiles_of(network, device, 1)
    whole = torch.randn(2, PRODUCT, PRODUCT)
    half = whole.to(torch.bfloat16)

    def eager() -> None:
        network.forward_held(held, *tile)

    def eager_half() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            network.forward_held(held, *tile)

    return {
        "product fp32": lambda: whole[0] @ whole[1],
        "product bf16": lambda: half[0] @ half[1],
        "eager fp32": eager,
        "eager bf16": eager_half,
    }


def _steps(given: argparse.Namespace, path: Path) -> Ways:
    """The fp32 tile without one of the steps that make it fast."""
    folded, exporting.FoldedDecoder = exporting.FoldedDecoder, lambda decoder: decoder  # type: ignore[assignment,misc]
    try:
        plain = _tile_of(_bundle(given, "fp32", "head-not-folded"))
    finally:
        exporting.FoldedDecoder = folded  # type: ignore[misc]
    constants = sessions._FOLDED
    sessions._FOLDED = (constants[0], str(2**20))  # ONNX Runtime's own limit
    try:
        slow = _tile_of(path)
    finally:
        sessions._FOLDED = constants
    return {"onnxruntime fp32, head not folded": plain, "onnxruntime fp32, large constants not folded": slow}


def _tile_of(path: Path) -> Callable[[], object]:
    """One tile of a bundle, its session made."""
    bundle = open_bundle(path)
    engine = OnnxEngine(bundle, device="cpu")
    lead = engine.spec.trained_leads[0]
    case = drawn_case(engine.spec, bundle.checkpoint.statistics, max(bundle.days), lead, count=1)
    state = engine.encode_day(case.day, lead)
    engine._session(TILE_GRAPH)
    return lambda: engine.forecast_tiles(state, case.tiles, lead)


@torch.inference_mode()
def _in_turn(ways: Ways, repeats: int) -> dict[str, dict[str, float]]:
    """The least seconds and CPU seconds of each way; the first turn warms up."""
    best = {name: {"seconds": float("inf"), "cpu_seconds": float("inf")} for name in ways}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            started, spent = time.perf_counter(), time.process_time()
            way()
            found = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - spent}
            if turn:
                best[name] = {key: min(value, found[key]) for key, value in best[name].items()}
    return best


def _memory(bundle: Path, batch: int, given: argparse.Namespace) -> dict[str, Any]:
    """The peak that a process of its own reached, and the one predicted."""
    words = ["bundle", "bench", str(bundle), "--device", "cpu", "--repeats", "1", "--batch", str(batch), "--json"]
    measured = json.loads(_cranpm(words, given)[0])
    peak, predicted = measured["peak_mb"], measured["predicted"]["peak_mb"]
    return {
        "bundle": bundle.name, "batch": batch, "window": measured["window"], "measured_mb": peak,
        "predicted_mb": predicted, "ratio": round(predicted / peak, 2), "parts_mb": measured["predicted"]["parts_mb"],
    }  # fmt: skip


def _map(bundle: Path, given: argparse.Namespace) -> dict[str, float]:
    """A forecast of one lead of the whole store, as an edge site makes it."""
    words = ["forecast", given.region, "--date", given.date, "--leads", "1", "--bundle", str(bundle)]
    words += ["--data", str(given.data), "--out", str(given.folder / "maps"), "--device", "cpu"]
    started = time.perf_counter()
    _, usage = _cranpm(words, given)
    return {"seconds": time.perf_counter() - started, **usage}


def _cranpm(words: list[str], given: argparse.Namespace) -> tuple[str, dict[str, float]]:
    """What a command printed, the most memory its process held, MB, and its CPU seconds."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(given.threads), "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(
        [sys.executable, "-m", "cranpm", *words], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert child.stdout is not None
    printed = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"cranpm {' '.join(words)} failed")
    return printed, {"peak_mb": usage.ru_maxrss * 1024 / 1e6, "cpu_seconds": usage.ru_utime + usage.ru_stime}


if __name__ == "__main__":
    main()
